"""What the questions answer with: immutable rows, whose fields are those of the command line's output."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple


class BatchRow(NamedTuple):
    """A batch as it stood at a moment."""

    workspace: str
    project: str
    batch_id: str
    #: NULL in the database, None here: never reported.
    name: str | None
    #: By the API's last word on it, also for a moment in the past; None: never reported.
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
    """A period of a project, or of all that were asked for as one."""

    #: None: more than one, as one.
    workspace: str | None
    #: None: all that were asked for, as one.
    project: str | None
    #: Start of the period.
    period: datetime
    #: Totals at its end, or at the end of what was asked for, if that is earlier.
    batches: int
    images: int
    num_jobs: int
    #: What was gained less what was lost, and so not how the totals differ where first looks don't count as gained.
    images_delta: int
    num_jobs_delta: int
    #: Sums of the positive deltas, and of the negative ones as a positive number.
    images_gained: int
    images_lost: int
    jobs_gained: int
    jobs_lost: int
    #: Whether any observation fell into it. If not, that nothing moved is not known.
    observed: bool


class ThroughputRow(NamedTuple):
    """What moved in a trailing window: the period, and as many before it as the window has more."""

    workspace: str | None
    project: str | None
    #: Start of the last period of the window.
    period: datetime
    images_gained: int
    #: Mostly handed out to jobs.
    images_lost: int
    jobs_gained: int
    jobs_lost: int
    #: Periods of the window into which an observation fell; of the others it is not known when their share moved.
    observed: int


class FlowRow(NamedTuple):
    """What moved in a project between two moments, in both directions."""

    workspace: str
    project: str
    #: Rows of the ledger.
    changes: int
    #: New or back again.
    batches_added: int
    batches_removed: int
    images_delta: int
    num_jobs_delta: int
    images_gained: int
    images_lost: int
    jobs_gained: int
    jobs_lost: int


class MoverRow(NamedTuple):
    """A project or batch in which much moved, by images gained plus images lost."""

    workspace: str
    project: str
    #: None: the row is of a project.
    batch_id: str | None
    #: Of the batch now, else of the project; None: not known.
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
    """A batch whose first job came while rfsync was looking."""

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
    #: Seconds from ``began_at`` to ``observed_at``: at most so old was the batch.
    age_seconds: float


class BacklogRow(NamedTuple):
    """The images not yet in a job, of the batches of some age."""

    #: Age in whole days from, inclusive, to, exclusive; None: no limit.
    from_days: int
    to_days: int | None
    batches: int
    images: int


class ProjectStatus(NamedTuple):
    """A project now: its totals, and how its syncs have gone."""

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
    #: Of the last run that did not succeed, however long ago.
    last_error_kind: str | None
    last_error: str | None


class FreshnessRow(NamedTuple):
    """How old what is known of a project is."""

    workspace: str
    project: str
    #: Last observation applied; None: none yet.
    observed_at: datetime | None
    #: Seconds since then; None: there was none.
    age_seconds: float | None
    last_success_at: datetime | None
    #: Runs that failed, were refused or abandoned since.
    consecutive_failures: int
