"""The rows that queries return: immutable, with the fields that the command line prints.

Fields are described in docstrings, so that ``help()`` shows them. ``images`` are always those not yet in a job.
"""

from datetime import datetime
from typing import NamedTuple


class BatchRow(NamedTuple):
    """A batch at a moment.

    Attributes:
        workspace, project: URL ids of its workspace and project.
        batch_id: its id in the API.
        name: its name then; None: never reported.
        uploaded_at: as last reported by the API, also for a moment in the past; None: never reported.
        images: images not yet in a job.
        num_jobs: its jobs.
        first_seen_at: time of the observation that showed it first.
        changed_at: time of the observation of its last change until that moment.
    """

    workspace: str
    project: str
    batch_id: str
    name: str | None
    uploaded_at: datetime | None
    images: int
    num_jobs: int
    first_seen_at: datetime
    changed_at: datetime


class DepartureRow(NamedTuple):
    """A project that is gone from its workspace.

    Attributes:
        workspace, project: URL ids of the workspace and project.
        departed_at: time of the observation that found it gone.
    """

    workspace: str
    project: str
    departed_at: datetime


class ChangeRow(NamedTuple):
    """A row of the ledger: one change of one batch.

    Attributes:
        workspace, project: URL ids of the batch's workspace and project.
        batch_id: the batch's id in the API.
        name: its name after the change; None: never reported.
        change: ``added``, ``changed``, ``removed`` or ``restored``.
        observed_after: the change happened after this observation; None: it was in the project's first.
        observed_at: the change happened until this observation, which showed it.
        images, num_jobs: images not yet in a job, and jobs, after the change; 0 when removed.
        images_delta, num_jobs_delta: by how much they changed; 0 if only the name or upload time did.
        run_id: number of the run that observed it.
    """

    workspace: str
    project: str
    batch_id: str
    name: str | None
    change: str
    observed_after: datetime | None
    observed_at: datetime
    images: int
    num_jobs: int
    images_delta: int
    num_jobs_delta: int
    run_id: int


class TotalRow(NamedTuple):
    """A period of a project, or of all projects as one.

    Attributes:
        workspace: URL id of the workspace; None: all projects as one, of several workspaces.
        project: URL id of the project; None: all projects as one.
        period: start of the period in the calendar, even if ``since`` is later.
        batches, images, num_jobs: totals at its end, or at ``until`` if that is earlier; images are those not yet in a
            job. None: the project had not been observed by then.
        images_delta, num_jobs_delta: gains less losses; not the difference of the totals if first observations don't
            count as gains.
        images_gained, jobs_gained: sums of the positive deltas.
        images_lost, jobs_lost: sums of the negative deltas, as positive numbers. Most lost images went into a job.
        observed: True if there was an observation in the period. If not, changes in it are unknown.
        complete: True if the period is over and lies wholly between ``since`` and ``until``, so that its gains and
            losses can be compared with those of others.
    """

    workspace: str | None
    project: str | None
    period: datetime
    batches: int | None
    images: int | None
    num_jobs: int | None
    images_delta: int
    num_jobs_delta: int
    images_gained: int
    images_lost: int
    jobs_gained: int
    jobs_lost: int
    observed: bool
    complete: bool


class ThroughputRow(NamedTuple):
    """What changed in a trailing window of periods.

    Attributes:
        workspace: URL id of the workspace; None: all projects as one, of several workspaces.
        project: URL id of the project; None: all projects as one.
        period: start of the last period of the window.
        images_gained, jobs_gained: sums of the positive deltas in the window.
        images_lost, jobs_lost: sums of the negative deltas, as positive numbers. Most lost images went into a job.
        observed: number of periods of the window that had an observation; what changed in others is counted when it was
            next observed.
        complete: True if the last period is over, and ``until`` does not cut it.
    """

    workspace: str | None
    project: str | None
    period: datetime
    images_gained: int
    images_lost: int
    jobs_gained: int
    jobs_lost: int
    observed: int
    complete: bool


class FlowRow(NamedTuple):
    """What changed in a project between two moments.

    Attributes:
        workspace, project: URL ids of the workspace and project.
        changes: number of rows of the ledger.
        batches_added, batches_removed: number of times that a batch was added or restored, and removed.
        images_delta, num_jobs_delta: gains less losses.
        images_gained, jobs_gained: sums of the positive deltas.
        images_lost, jobs_lost: sums of the negative deltas, as positive numbers. Most lost images went into a job.
    """

    workspace: str
    project: str
    changes: int
    batches_added: int
    batches_removed: int
    images_delta: int
    num_jobs_delta: int
    images_gained: int
    images_lost: int
    jobs_gained: int
    jobs_lost: int


class MoverRow(NamedTuple):
    """A project or batch that changed much, by images gained plus images lost.

    Attributes:
        workspace, project: URL ids of the workspace and project.
        batch_id: the batch's id in the API; None: the row is of a project.
        name: current name of the batch or project; None: unknown.
        changes: number of its rows of the ledger.
        images_delta, num_jobs_delta: gains less losses.
        images_gained, jobs_gained: sums of the positive deltas.
        images_lost, jobs_lost: sums of the negative deltas, as positive numbers. Most lost images went into a job.
    """

    workspace: str
    project: str
    batch_id: str | None
    name: str | None
    changes: int
    images_delta: int
    num_jobs_delta: int
    images_gained: int
    images_lost: int
    jobs_gained: int
    jobs_lost: int


class WaitingRow(NamedTuple):
    """A batch that exists, has images and no job.

    Attributes:
        workspace, project: URL ids of its workspace and project.
        batch_id: its id in the API.
        name: its name; None: never reported.
        images: images not yet in a job.
        waiting_since: when it lost its last job or came back; if it never had a job, its upload or, if that is unknown,
            the observation that showed it first.
    """

    workspace: str
    project: str
    batch_id: str
    name: str | None
    images: int
    waiting_since: datetime


class FirstJobRow(NamedTuple):
    """A batch whose first job was created while rfsync observed it.

    Attributes:
        workspace, project: URL ids of its workspace and project.
        batch_id: its id in the API.
        name: its name; None: never reported.
        began_at: its upload or, if that is unknown, the observation that showed it first.
        observed_after: the job was created after this observation.
        observed_at: the job was created until this observation, which showed it.
        age_seconds: seconds from ``began_at`` to ``observed_at``: the highest age that the batch can have had.
    """

    workspace: str
    project: str
    batch_id: str
    name: str | None
    began_at: datetime
    observed_after: datetime
    observed_at: datetime
    age_seconds: float


class BacklogRow(NamedTuple):
    """The images not yet in a job of batches in a range of ages.

    Attributes:
        from_days: lowest age in whole days, inclusive.
        to_days: highest age, exclusive; None: no limit.
        batches: number of batches of that age with such images.
        images: their images not yet in a job.
    """

    from_days: int
    to_days: int | None
    batches: int
    images: int


class ProjectStatus(NamedTuple):
    """A project now: its totals and the state of its syncs.

    Attributes:
        workspace, project: URL ids of the workspace and project.
        batches, images, num_jobs: totals now, without removed batches; images are those not yet in a job. None: the
            project was never observed.
        observed_at: time of the last observation applied; None: none yet.
        last_run_at: start of the last run that has ended; None: none has.
        last_outcome: outcome of that run, as in ``sync_runs``.
        last_success_at: start of the last successful run; None: there was none.
        consecutive_failures: runs that failed, were refused or abandoned since the last success.
        last_error_kind, last_error: error of the last unsuccessful run, however long ago.
        jobs, images_in_jobs, annotated: totals over the jobs that exist now, as the API counts them; None: no job list
            was ever applied.
        jobs_observed_at: time of the last observation that had the job list; None: none yet.
        jobs_error_kind: why the job list was not applied when it was last asked for; None: it was, or nobody asked.
    """

    workspace: str
    project: str
    batches: int | None
    images: int | None
    num_jobs: int | None
    observed_at: datetime | None
    last_run_at: datetime | None
    last_outcome: str | None
    last_success_at: datetime | None
    consecutive_failures: int
    last_error_kind: str | None
    last_error: str | None
    jobs: int | None
    images_in_jobs: int | None
    annotated: int | None
    jobs_observed_at: datetime | None
    jobs_error_kind: str | None


class FreshnessRow(NamedTuple):
    """The age of a project's data.

    Attributes:
        workspace, project: URL ids of the workspace and project.
        observed_at: time of the last observation applied; None: none yet.
        age_seconds: seconds since then, negative if that is later than ``now``; None: there was none.
        last_success_at: start of the last successful run; None: there was none.
        consecutive_failures: runs that failed, were refused or abandoned since the last success.
    """

    workspace: str
    project: str
    observed_at: datetime | None
    age_seconds: float | None
    last_success_at: datetime | None
    consecutive_failures: int
