"""What breaks each rule in the database that ``test_verify`` fills, and what is said of it."""

from __future__ import annotations

from rig import START

_DAY = "7 changes: 4 batches added, 2 removed, 19 images gained, 8 lost, 5 jobs gained, {} lost"
_RUN = "{} batches added, {} changed, 0 removed, 0 restored, a sum of 12 images and 3 jobs, and the outcome changed"
_JOBS = "{} jobs, 16 images, 7 annotated, 8 unannotated, 3 approved and 0 rejected"
_ANN = "1 job opened, 6 images assigned, {} annotated and 2 less, 0 approved and 0 less, 0 rejected and 0 less"
_BOB = "2 jobs opened, 15 images assigned, 1 annotated and 0 less, 3 approved and 0 less, 0 rejected and 0 less"
_QUARTER = """5 changes: 3 batches added, 1 removed, 12 images gained, 2 lost, 4 jobs gained, {} lost,
2 jobs opened, 9 images assigned, 8 annotated and 0 less, 0 approved and 0 less, 0 rejected and 0 less"""
_REMOVED = "2026-01-01 00:20:00, when it was removed"

#: Rule -> what breaks it, among others, and what is said then.
BREAKS_OF_BATCHES = {
    "a batch's deltas sum up to its counts": (
        "UPDATE batches SET images = images - 3 WHERE batch_id = 'a'",
        "batch a: the ledger says 4 images and 2 jobs, the batch's row says 1 image and 2 jobs",
    ),
    "each change of a batch continues the one before": (
        "UPDATE batch_changes SET images = images + 1 WHERE id = 4",
        """change 4 of batch a: by the change before it and its own deltas it has to be changed or removed,
        with 4 images and 2 jobs; it says changed, with 5 images and 2 jobs""",
    ),
    "a change is of a batch that is there": (
        "DELETE FROM batches WHERE batch_id = 'b'",
        "batch b: the ledger has 2 changes of it, the table batches has no row",
    ),
    "a batch is as its last change has it": (
        "UPDATE batch_changes SET name = '1 jobs|{}' WHERE id = 4",
        'batch a: its last change in the ledger has the name "1 jobs|{}", the batch\'s row has the name "A"',
    ),
    "a batch's times are those of its changes": (
        "UPDATE batches SET first_seen_at = '2025-01-01 00:00:00.000000' WHERE batch_id = 'b'",
        """batch b: by the ledger it was first seen at 2026-01-01 00:05:00 and last changed at 2026-01-01
        00:15:00, when it was removed; its row says first seen at 2025-01-01 00:00:00 and last changed at
        2026-01-01 00:15:00, when it was removed""",
    ),
    "a project's totals are those of its batches": (
        "UPDATE projects SET num_jobs = num_jobs + 1",
        """totals: its batches add up to 2 batches, 11 images and 3 jobs, the project's row says 2 batches, 11
        images and 4 jobs""",
    ),
    "a day's sums are those of its changes": (
        "UPDATE project_daily SET jobs_lost = jobs_lost + 1",
        f"day 2026-01-01: the ledger has {_DAY.format(2)}; the day's row in project_daily has {_DAY.format(3)}",
    ),
    "a day's totals are the sum of all days before": (
        "UPDATE project_daily SET batches = batches - 1",
        """day 2026-01-01: the days until then add up to 2 batches, 11 images and 3 jobs, the day's row in
        project_daily says 1 batch, 11 images and 3 jobs""",
    ),
    "a day has changes": (
        "INSERT INTO project_daily VALUES (1, '2026-02-01', 0, 0, 0, 0, 0, 0, 0, 2, 11, 3)",
        "day 2026-02-01: the ledger has no change on it, the table project_daily has a row of it",
    ),
    "a workspace's day is the sum of its projects' days": (
        "UPDATE workspace_daily SET jobs_lost = jobs_lost + 1",
        f"""day 2026-01-01 of all of acme: its projects' days add up to {_DAY.format(2)}; the day's row in
        workspace_daily has {_DAY.format(3)}""",
    ),
    "a workspace's quarter of an hour is the sum of its changes": (
        "UPDATE workspace_quarter_hours SET jobs_lost = jobs_lost + 1 WHERE start < '2026-01-01 00:15:00.000000'",
        f"""quarter of an hour from 2026-01-01 00:00:00 of all of acme: the ledgers have {_QUARTER.format(0)}; the
        quarter's row in workspace_quarter_hours has {_QUARTER.format(1)}""",
    ),
    "a run's sums are those of its changes of batches": (
        "UPDATE sync_runs SET added = changed, changed = added WHERE id = 1",
        f"run 1: the ledger has, of this run, {_RUN.format(3, 0)}; the run's row says {_RUN.format(0, 3)}",
    ),
    "a change of a batch is of a run that is there": (
        "DELETE FROM sync_runs WHERE id = 1",
        "run 1: the ledger has 3 changes of it, the table sync_runs has no row",
    ),
    "a departed project has no batches": (
        "UPDATE projects SET departed_at = written_at",
        """departed at 2026-01-01 00:20:00: the project's row says that it is gone, and should have 0 batches;
        it has 2 batches""",
    ),
    "an unlisted batch exists, and is missing from the list": (
        "UPDATE batches SET unlisted_at = changed_at WHERE batch_id = 'b'",
        """batch b: its row says that it exists without being listed, and has to be in the table
        missing_batches, and not removed; it is removed""",
    ),
    "missing batches are counted": (
        "UPDATE projects SET missing = 1",
        "missing batches: the table missing_batches has 0 batches, the project's row says 1 batch",
    ),
    "time goes forward in the changes of batches": (
        "UPDATE projects SET observed_at = NULL, written_at = '2025-01-01 00:00:00.000000'",
        """last change of a batch: it has to be of 2025-01-01 00:00:00 at the latest, by written_at of the project's
        row; it is of 2026-01-01 00:15:00""",
    ),
}


BREAKS_OF_JOBS = {
    "a job's deltas sum up to its counts": (
        "UPDATE jobs SET approved = approved - 1 WHERE job_id = 'j1'",
        """job j1: the ledger says 10 images, 5 annotated, 2 unannotated, 3 approved and 0 rejected, the job's row says
        10 images, 5 annotated, 2 unannotated, 2 approved and 0 rejected""",
    ),
    "each change of a job continues the one before": (
        "UPDATE job_changes SET annotated = annotated + 1 WHERE id = 6",
        """change 6 of job j1: by the change before it and its own deltas it has to be changed or removed, with 10
        images, 5 annotated, 2 unannotated, 3 approved and 0 rejected; it says changed, with 10 images, 6 annotated, 2
        unannotated, 3 approved and 0 rejected""",
    ),
    "a change is of a job that is there": (
        "DELETE FROM jobs WHERE job_id = 'j3'",
        "job j3: the ledger has 3 changes of it, the table jobs has no row",
    ),
    "a job is as its last change has it": (
        "UPDATE jobs SET labeler_id = NULL, status = 'x|{}' WHERE job_id = 'j1'",
        """job j1: its last change in the ledger has no name, the status "assigned", the batch "a", the labeler
        person-2, the reviewer person-3, the job's row has no name, the status "x|{}", the batch "a", no labeler, the
        reviewer person-3""",
    ),
    "a job's times are those of its changes": (
        "UPDATE jobs SET first_seen_at = '2025-01-01 00:00:00.000000' WHERE job_id = 'j2'",
        f"""job j2: by the ledger it was first seen at 2026-01-01 00:05:00 and last changed at {_REMOVED}; its row says
        first seen at 2025-01-01 00:00:00 and last changed at {_REMOVED}""",
    ),
    "a project's totals are those of its jobs": (
        "UPDATE projects SET jobs = 3",
        f"totals: its jobs add up to {_JOBS.format(2)}, the project's row says {_JOBS.format(3)}",
    ),
    "a run's sums are those of its changes of jobs": (
        "UPDATE sync_runs SET outcome = 'unchanged' WHERE id = 4",
        """run 4: the ledger has, of this run, 2 changes of jobs, and the outcome changed; the run's row says 2 changes
        of jobs, and the outcome unchanged""",
    ),
    "a change of a job is of a run that is there": (
        "DELETE FROM sync_runs WHERE id = 4",
        "run 4: the ledger has 2 changes of it, the table sync_runs has no row",
    ),
    "a departed project has no jobs": (
        "UPDATE projects SET departed_at = written_at",
        """departed at 2026-01-01 00:20:00: the project's row says that it is gone, and should have 0 jobs; it has 2
        jobs""",
    ),
    "an unlisted job exists, and is missing from the list": (
        "UPDATE jobs SET unlisted_at = changed_at WHERE job_id = 'j3'",
        """job j3: its row says that it exists without being listed, and has to be in the table missing_jobs, and not
        removed; it is not in that table""",
    ),
    "missing jobs are counted": (
        f"INSERT INTO missing_jobs (project_id, job_id, missing_at) VALUES (1, 'j1', '{START:%Y-%m-%d %X}.000000')",
        "missing jobs: the table missing_jobs has 1 job, the project's row says 0 jobs",
    ),
    "time goes forward in the changes of jobs": (
        "UPDATE job_changes SET observed_at = '2025-01-01 00:00:00.000000', observed_after = NULL WHERE id = 9",
        """change 9 of job j2: it has to be of 2026-01-01 00:20:00 or later, as the change before it; it is of
        2025-01-01 00:00:00""",
    ),
    "a labeler's day is the sum of what its changes moved": (
        "UPDATE labeler_daily SET annotated_gained = annotated_gained + 1 WHERE labeler_id = 1",
        f"""day 2026-01-01 of person-1: the ledger of jobs has {_ANN.format(7)}; the day's row in labeler_daily has
        {_ANN.format(8)}""",
    ),
    "a labeler's day in a workspace is the sum of its projects' days": (
        "UPDATE workspace_labeler_daily SET annotated_gained = annotated_gained + 1 WHERE labeler_id = 1",
        f"""day 2026-01-01 of person-1 of all of acme: the days of its projects add up to {_ANN.format(7)}; the day's
        row in workspace_labeler_daily has {_ANN.format(8)}""",
    ),
    "every person is there": (
        "UPDATE labeler_daily SET labeler_id = 9 WHERE labeler_id = 1",
        """people: its jobs, their changes or the days of its labelers name person-9, the table people has no such
        row""",
    ),
    "an address is stored only where it may be": (
        "UPDATE people SET address = 'cy@example.com' WHERE id = 3",
        "person-3: it has to have no address, since it was forgotten; it has an address",
    ),
}
#: What else breaks a rule.
MORE = {
    "a labeler's day is not there": (
        "a labeler's day is the sum of what its changes moved",
        "DELETE FROM labeler_daily WHERE labeler_id = 2",
        f"""day 2026-01-01 of person-2: the ledger of jobs has {_BOB}; the day's row in labeler_daily has nothing: it is
        not there""",
    ),
    "a labeler's day says nothing": (
        "a labeler's day is the sum of what its changes moved",
        "INSERT INTO labeler_daily VALUES (1, '2026-01-01', 0, 0, 0, 0, 0, 0, 0, 0, 0)",
        f"""day 2026-01-01 of nobody: the ledger of jobs has nothing; the day's row in labeler_daily has 0 jobs opened,
        0 images assigned{"".join(f", 0 {word} and 0 less" for word in ("annotated", "approved", "rejected"))}""",
    ),
    "an address among pseudonyms": (
        "an address is stored only where it may be",
        "UPDATE people_key SET mode = 'pseudonym'",
        "person-1: it has to have no address, since people are kept as pseudonyms; it has an address",
    ),
    "a person who is gone": (
        "every person is there",
        "DELETE FROM people WHERE id = 3",
        """people: its jobs, their changes or the days of its labelers name person-3, the table people has no such
        row""",
    ),
}
BREAKS = {name: (name, *how) for name, how in (BREAKS_OF_BATCHES | BREAKS_OF_JOBS).items()} | MORE
