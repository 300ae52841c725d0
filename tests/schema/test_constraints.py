"""What the database itself refuses: a wrong row can't be written by any program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rig import Rig, record
from sqlalchemy import text

from rfsync.errors import DatabaseError

AT = "'2026-01-01 00:05:00.000000'"
LATER = "'2026-01-02 00:00:00.000000'"
CHANGE = """INSERT INTO batch_changes (run_id, project_id, batch_id, observed_after, observed_at, change, images,
    num_jobs, images_delta, num_jobs_delta) VALUES """
JOB_CHANGE = """INSERT INTO job_changes (run_id, project_id, job_id, labeler_id, observed_after, observed_at, change,
    num_images, annotated, unannotated, approved, rejected, num_images_delta, annotated_delta, unannotated_delta,
    approved_delta, rejected_delta) VALUES """
JOB = """INSERT INTO jobs (project_id, job_id, labeler_id, first_seen_at, changed_at, removed_at, num_images, annotated,
    unannotated, approved, rejected) VALUES """
PERSON = "INSERT INTO people (id, address, digest, forgotten_at) VALUES "
RUN = "INSERT INTO sync_runs (project_id, trigger, started_at, finished_at, outcome, error_kind) VALUES "

WRONG = {
    "a change twice": f"{CHANGE} (1, 1, 'a', NULL, {AT}, 'changed', 5, 1, 0, 0)",
    "a change of no batch": f"{CHANGE} (1, 1, 'nobody', NULL, {LATER}, 'changed', 5, 1, 0, 0)",
    "a change of no run": f"{CHANGE} (99, 1, 'a', NULL, {LATER}, 'changed', 5, 1, 0, 0)",
    "a change by no word": f"{CHANGE} (1, 1, 'a', NULL, {LATER}, 'altered', 5, 1, 0, 0)",
    "a change to less than nothing": f"{CHANGE} (1, 1, 'a', NULL, {LATER}, 'changed', -1, 1, -6, 0)",
    "a change from less than nothing": f"{CHANGE} (1, 1, 'a', NULL, {LATER}, 'changed', 5, 1, 6, 0)",
    "a removal that leaves images": f"{CHANGE} (1, 1, 'a', NULL, {LATER}, 'removed', 1, 0, -4, -1)",
    "an addition that starts from something": f"{CHANGE} (1, 1, 'a', NULL, {LATER}, 'added', 5, 1, 4, 1)",
    "a change seen before the look before": f"{CHANGE} (1, 1, 'a', {LATER}, {LATER}, 'changed', 5, 1, 0, 0)",
    "a count beyond 2^53-1": "UPDATE batches SET images = 9007199254740992",
    "a negative count": "UPDATE batches SET num_jobs = -1",
    "a batch without an id": f"INSERT INTO batches VALUES (1, '', NULL, NULL, 0, 0, {AT}, {AT}, NULL, NULL)",
    "a batch of no project": f"INSERT INTO batches VALUES (99, 'x', NULL, NULL, 0, 0, {AT}, {AT}, NULL, NULL)",
    "a batch twice": f"INSERT INTO batches VALUES (1, 'a', NULL, NULL, 0, 0, {AT}, {AT}, NULL, NULL)",
    "a batch changed before it was seen": f"""INSERT INTO batches
        VALUES (1, 'x', NULL, NULL, 0, 0, {LATER}, {AT}, NULL, NULL)""",
    "a project twice": "INSERT INTO projects (workspace, project) VALUES ('acme', 'widgets')",
    "a batch deleted from under its ledger": "DELETE FROM batches",
    "a run deleted from under its ledger": "DELETE FROM sync_runs",
    "a project deleted from under its batches": "DELETE FROM projects",
    "a batch renumbered under its ledger": "UPDATE batches SET batch_id = 'b'",
    "a run renumbered under its ledger": "UPDATE sync_runs SET id = 7",
    "a batch moved to no project": "UPDATE batches SET project_id = 99",
    "a change moved to no run": "UPDATE batch_changes SET run_id = 99",
    "a change moved to no batch": "UPDATE batch_changes SET batch_id = 'nobody'",
    "a run by no word": f"{RUN} (1, 'cli', {AT}, {AT}, 'done', NULL)",
    "a run that runs and has ended": f"{RUN} (1, 'cli', {AT}, {AT}, 'running', NULL)",
    "a run that has ended and not": f"{RUN} (1, 'cli', {AT}, NULL, 'changed', NULL)",
    "a failure without its kind": f"{RUN} (1, 'cli', {AT}, {AT}, 'failed', NULL)",
    "a success with an error": f"{RUN} (1, 'cli', {AT}, {AT}, 'changed', 'server')",
    "a kind of error that there is not": f"{RUN} (1, 'cli', {AT}, {AT}, 'failed', 'weather')",
    "a trigger that there is not": f"{RUN} (1, 'whim', {AT}, {AT}, 'changed', NULL)",
    "text for a count": "UPDATE batches SET images = 'many'",
    "a negative day": "UPDATE project_daily SET images_lost = -1",
    "a change of a job twice": f"{JOB_CHANGE} (1, 1, 'j', 1, NULL, {AT}, 'changed', 5, 1, 4, 0, 0, 0, 0, 0, 0, 0)",
    "a change of no job": f"{JOB_CHANGE} (1, 1, 'k', 1, NULL, {LATER}, 'changed', 5, 1, 4, 0, 0, 0, 0, 0, 0, 0)",
    "a job's change by no run": f"{JOB_CHANGE} (9, 1, 'j', 1, NULL, {LATER}, 'changed', 5, 1, 4, 0, 0, 0, 0, 0, 0, 0)",
    "a job's change by no word": f"{JOB_CHANGE} (1, 1, 'j', 1, NULL, {LATER}, 'done', 5, 1, 4, 0, 0, 0, 0, 0, 0, 0)",
    "a job's change by nobody": f"{JOB_CHANGE} (1, 1, 'j', 9, NULL, {LATER}, 'changed', 5, 1, 4, 0, 0, 0, 0, 0, 0, 0)",
    "a job's count from less than nothing": f"""{JOB_CHANGE}
        (1, 1, 'j', 1, NULL, {LATER}, 'changed', 5, 1, 4, 0, 0, 0, 0, 0, 0, 1)""",
    "a job's removal that leaves something": f"""{JOB_CHANGE}
        (1, 1, 'j', 1, NULL, {LATER}, 'removed', 0, 0, 0, 0, 1, -5, -1, -4, 0, 0)""",
    "a job's return that starts from something": f"""{JOB_CHANGE}
        (1, 1, 'j', 1, NULL, {LATER}, 'restored', 5, 1, 4, 0, 0, 5, 1, 3, 0, 0)""",
    "a job's change seen before the look before": f"""{JOB_CHANGE}
        (1, 1, 'j', 1, {LATER}, {LATER}, 'changed', 5, 1, 4, 0, 0, 0, 0, 0, 0, 0)""",
    "a job's count beyond 2^53-1": "UPDATE jobs SET approved = 9007199254740992",
    "a job's count below 0": "UPDATE jobs SET rejected = -1",
    "text for a job's count": "UPDATE jobs SET annotated = 'many'",
    "a job without an id": f"{JOB} (1, '', NULL, {AT}, {AT}, NULL, 0, 0, 0, 0, 0)",
    "a job of no project": f"{JOB} (99, 'x', NULL, {AT}, {AT}, NULL, 0, 0, 0, 0, 0)",
    "a job twice": f"{JOB} (1, 'j', NULL, {AT}, {AT}, NULL, 0, 0, 0, 0, 0)",
    "a job changed before it was seen": f"{JOB} (1, 'x', NULL, {LATER}, {AT}, NULL, 0, 0, 0, 0, 0)",
    "a job removed at another time than it changed": f"{JOB} (1, 'x', NULL, {AT}, {LATER}, {AT}, 0, 0, 0, 0, 0)",
    "a job of nobody's number": f"{JOB} (1, 'x', 9, {AT}, {AT}, NULL, 0, 0, 0, 0, 0)",
    "a job deleted from under its ledger": "DELETE FROM jobs",
    "a job renumbered under its ledger": "UPDATE jobs SET job_id = 'k'",
    "a job's change moved to no job": "UPDATE job_changes SET job_id = 'k'",
    "a person deleted from under their jobs": "DELETE FROM people",
    "nobody as a person": f"{PERSON} (0, NULL, '0', NULL)",
    "a person twice": f"{PERSON} (2, NULL, 'd', NULL)",
    "a forgotten person's address": f"UPDATE people SET forgotten_at = {AT}",
    "a second key of people": "INSERT INTO people_key (id, secret, mode) VALUES (2, '', 'address')",
    "a mode of people that there is not": "INSERT INTO people_key (id, secret, mode) VALUES (1, '', 'initials')",
    "a labeler's day twice": "INSERT INTO labeler_daily VALUES (1, '2026-01-01', 1, 0, 0, 0, 0, 0, 0, 0, 0)",
    "a labeler's day of no project": "INSERT INTO labeler_daily VALUES (9, '2026-01-01', 1, 0, 0, 0, 0, 0, 0, 0, 0)",
    "a labeler's day of less than nothing": "UPDATE labeler_daily SET approved_lost = -1",
    "a missing job of no project": f"INSERT INTO missing_jobs VALUES (9, 'j', {AT}, 0, NULL)",
}


@pytest.fixture(scope="module")
def filled(shared_database_url: str) -> Iterator[Rig]:
    """A batch and a job, and a change of each; no test changes anything of it."""
    rig = Rig(shared_database_url)
    rig.listed = [record("a", 5, 1)]
    rig.sync()
    for statement in (
        f"{PERSON} (1, 'ann@example.com', 'd', NULL)",
        f"{JOB} (1, 'j', 1, {AT}, {AT}, NULL, 5, 1, 4, 0, 0)",
        f"{JOB_CHANGE} (1, 1, 'j', 1, NULL, {AT}, 'added', 5, 1, 4, 0, 0, 5, 1, 4, 0, 0)",
        "INSERT INTO labeler_daily VALUES (1, '2026-01-01', 1, 0, 0, 0, 0, 0, 0, 0, 0)",
    ):
        rig.rows(statement)
    yield rig
    rig.close()


@pytest.mark.parametrize("name", WRONG)
def test_refused(filled: Rig, name: str) -> None:
    with pytest.raises(DatabaseError, match=r"(?i)constraint|invalid input syntax") as caught:
        filled.rows(WRONG[name])
    assert caught.type is DatabaseError


def test_what_is_right_is_taken(filled: Rig) -> None:
    """Else the test above could not tell a constraint from a typing error."""
    third = "'2026-01-03 00:00:00.000000'"
    with filled.database.begin("testing") as connection:
        for statement in (
            f"{CHANGE} (1, 1, 'a', {AT}, {LATER}, 'changed', 5, 1, 0, 0)",
            f"{CHANGE} (1, 1, 'a', {AT}, {third}, 'removed', 0, 0, -5, -1)",
            f"INSERT INTO batches VALUES (1, 'x', NULL, NULL, 0, 0, {AT}, {AT}, NULL, NULL)",
            f"{RUN} (1, 'cli', {AT}, {AT}, 'failed', 'server')",
            f"{PERSON} (2, NULL, 'e', {AT})",
            f"{JOB} (1, 'x', 2, {AT}, {AT}, {AT}, 0, 0, 0, 0, 0)",
            f"{JOB_CHANGE} (1, 1, 'j', 2, {AT}, {LATER}, 'changed', 5, 0, 4, 9, 0, 0, -1, 0, 9, 0)",
            f"{JOB_CHANGE} (1, 1, 'j', NULL, {AT}, {third}, 'removed', 0, 0, 0, 0, 0, -5, 0, -4, -9, 0)",
            "INSERT INTO people_key (id, secret, mode) VALUES (1, '', 'pseudonym')",
            "INSERT INTO labeler_daily VALUES (1, '2026-01-01', 0, 0, 0, 0, 0, 0, 0, 0, 0)",
            f"INSERT INTO missing_jobs VALUES (1, 'j', {AT}, 0, NULL)",
        ):
            connection.execute(text(statement))
        for ledger in ("batch_changes", "job_changes"):
            assert connection.execute(text(f"SELECT count(*) FROM {ledger}")).scalar() == 3
        connection.rollback()


def test_a_fraction_is_never_stored(rig: Rig) -> None:
    rig.listed = [record("a", 5, 1)]
    rig.sync()
    if rig.file is None:
        rig.rows("UPDATE batches SET images = 1.5")  # the column's type rounds it
        assert rig.rows("SELECT images FROM batches") == [(2,)]
        return
    with pytest.raises(DatabaseError, match="constraint"):  # SQLite would store it
        rig.rows("UPDATE batches SET images = 1.5")
