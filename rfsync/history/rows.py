"""The rows that queries return: immutable, with the fields that the command line prints."""

from datetime import datetime
from typing import NamedTuple


class BatchRow(NamedTuple):
    """A batch at a moment."""

    workspace: str
    project: str
    batch_id: str
    #: NULL in the database, None here: never reported.
    name: str | None
    #: As last reported by the API, also for a moment in the past; None: never reported.
    uploaded_at: datetime | None
    #: Not yet in a job.
    images: int
    num_jobs: int
    #: Observation that showed it first.
    first_seen_at: datetime
    #: Observation of its last change until that moment.
    changed_at: datetime


class ChangeRow(NamedTuple):
    """A row of the ledger."""

    workspace: str
    project: str
    batch_id: str
    #: After the change.
    name: str | None
    #: added, changed, removed or restored.
    change: str
    #: The change happened after this observation; None: it was in the project's first.
    observed_after: datetime | None
    #: And until this one, which showed it.
    observed_at: datetime
    #: After the change; 0 when removed.
    images: int
    num_jobs: int
    images_delta: int
    num_jobs_delta: int
    run_id: int


class TotalRow(NamedTuple):
    """A period of a project, or of all projects as one."""

    #: None: all projects as one, of several workspaces.
    workspace: str | None
    #: None: all projects as one.
    project: str | None
    #: Start of the period.
    period: datetime
    #: Totals at its end, or at ``until`` if that is earlier; None: the project had not been observed by then.
    batches: int | None
    images: int | None
    num_jobs: int | None
    #: Gains less losses: not the difference of the totals if first observations don't count as gains.
    images_delta: int
    num_jobs_delta: int
    #: Sums of the positive deltas, and of the negative ones as a positive number.
    images_gained: int
    images_lost: int
    jobs_gained: int
    jobs_lost: int
    #: True if there was an observation in it. If not, changes in it are unknown.
    observed: bool
    #: True if it is over and lies wholly between ``since`` and ``until``, so that it can be compared with others.
    complete: bool


class ThroughputRow(NamedTuple):
    """What changed in a trailing window of periods."""

    workspace: str | None
    project: str | None
    #: Start of the last period of the window.
    period: datetime
    images_gained: int
    #: Mostly assigned to jobs.
    images_lost: int
    jobs_gained: int
    jobs_lost: int
    #: Periods of the window that had an observation; what changed in others is counted when it was next observed.
    observed: int
    #: True if the last period is over, and ``until`` does not cut it.
    complete: bool


class FlowRow(NamedTuple):
    """What changed in a project between two moments."""

    workspace: str
    project: str
    #: Rows of the ledger.
    changes: int
    #: New or restored.
    batches_added: int
    batches_removed: int
    images_delta: int
    num_jobs_delta: int
    images_gained: int
    images_lost: int
    jobs_gained: int
    jobs_lost: int


class MoverRow(NamedTuple):
    """A project or batch that changed much, by images gained plus images lost."""

    workspace: str
    project: str
    #: None: the row is of a project.
    batch_id: str | None
    #: Current name of the batch or project; None: unknown.
    name: str | None
    changes: int
    images_delta: int
    num_jobs_delta: int
    images_gained: int
    images_lost: int
    jobs_gained: int
    jobs_lost: int


class WaitingRow(NamedTuple):
    """A batch that exists, has images and no job."""

    workspace: str
    project: str
    batch_id: str
    name: str | None
    images: int
    #: When it lost its last job or came back; of a batch that never had one its upload, or where that is not known the
    #: observation that showed it first.
    waiting_since: datetime


class FirstJobRow(NamedTuple):
    """A batch whose first job was created while rfsync observed it."""

    workspace: str
    project: str
    batch_id: str
    name: str | None
    #: Its upload, or where that is not known the observation that showed it first.
    began_at: datetime
    #: The job came after this observation.
    observed_after: datetime
    #: And until this one, which showed it.
    observed_at: datetime
    #: Seconds from ``began_at`` to ``observed_at``: the highest age that the batch can have had.
    age_seconds: float


class BacklogRow(NamedTuple):
    """The images not yet in a job of batches in a range of ages."""

    #: Age in whole days from, inclusive, to, exclusive; None: no limit.
    from_days: int
    to_days: int | None
    batches: int
    images: int


class ProjectStatus(NamedTuple):
    """A project now: its totals and the state of its syncs."""

    workspace: str
    project: str
    #: Totals now, without removed batches.
    batches: int
    images: int
    num_jobs: int
    #: Last observation applied; None: none yet.
    observed_at: datetime | None
    #: Start of the last run that has ended; None: none has.
    last_run_at: datetime | None
    last_outcome: str | None
    last_success_at: datetime | None
    #: Runs that failed, were refused or abandoned since the last success.
    consecutive_failures: int
    #: Of the last unsuccessful run, however long ago.
    last_error_kind: str | None
    last_error: str | None


class FreshnessRow(NamedTuple):
    """The age of a project's data."""

    workspace: str
    project: str
    #: Last observation applied; None: none yet.
    observed_at: datetime | None
    #: Seconds since then; None: there was none.
    age_seconds: float | None
    last_success_at: datetime | None
    #: Runs that failed, were refused or abandoned since.
    consecutive_failures: int
