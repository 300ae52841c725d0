"""The two kinds of record as the ledger sees them: key, counts, attributes and tables.

Everything else of the ledger runs over both: one diff, one bulk writer, one rule for what is missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from rfsync.records import Batch, Job, Kind, Record
from rfsync.schema import models
from rfsync.schema.job_models import JOB_COUNTS

#: Converts microseconds since 1970 UTC to what a statement takes for an instant.
Instant = Callable[[int | None], object]


@dataclass(frozen=True, slots=True, eq=False)
class RecordType:
    """A kind of record."""

    kind: Kind
    #: The class of a record; its fields are the key and ``columns``, in their order.
    make: type[Record]
    model: type[models.Base]
    changes: type[models.Base]
    missing: type[models.Base]
    #: The column of its id.
    key: str
    #: Its own columns in ``model``.
    columns: tuple[str, ...]
    #: Those of them that are summed up, in the order of ``counts_of``.
    counts: tuple[str, ...]
    #: Its columns in ``changes`` beside the key, the counts and their deltas.
    logged: tuple[str, ...]
    #: The one of ``columns`` that is an instant.
    instant: str
    #: Those of ``columns`` where nobody is 0 in a record, and NULL in the database.
    people: tuple[str, ...]
    #: A record's counts.
    counts_of: Callable[[Any], tuple[int, ...]]
    #: A record as a row of the key and ``columns``.
    row_of: Callable[[Any, Instant], tuple[object, ...]]
    #: A record's values of ``logged``.
    logged_of: Callable[[Any], tuple[object, ...]]
    #: The columns of ``projects`` with the number of records, and the sums of their counts.
    number_column: str
    sum_columns: tuple[str, ...]
    #: Before the names of the columns of ``projects`` that say what is known of the list.
    prefix: str

    def column(self, name: str) -> Any:
        """A column of ``model``."""
        return getattr(self.model, name)

    @property
    def key_column(self) -> Any:
        """The column of its id in ``model``."""
        return self.column(self.key)

    @property
    def project_column(self) -> Any:
        """The column of its project in ``model``."""
        return self.column("project_id")


def _batch_row(batch: Batch, instant: Instant) -> tuple[object, ...]:
    return batch.id, batch.name, instant(batch.uploaded_us), batch.images, batch.num_jobs


def _batch_logged(batch: Batch) -> tuple[object, ...]:
    return (batch.name,)


def _job_row(job: Job, instant: Instant) -> tuple[object, ...]:
    return (
        *(job.id, job.batch_id, job.name, job.status, job.labeler_id or None, job.reviewer_id or None),
        *(job.created_by, instant(job.created_us)),
        *(job.num_images, job.annotated, job.unannotated, job.approved, job.rejected),
    )


def _job_logged(job: Job) -> tuple[object, ...]:
    return job.batch_id, job.status, job.labeler_id or None, job.reviewer_id or None, job.name


BATCHES: Final = RecordType(
    kind=Kind.BATCH,
    make=Batch,
    model=models.Batch,
    changes=models.BatchChange,
    missing=models.MissingBatch,
    key="batch_id",
    columns=("name", "uploaded_at", "images", "num_jobs"),
    counts=("images", "num_jobs"),
    logged=("name",),
    instant="uploaded_at",
    people=(),
    counts_of=attrgetter("images", "num_jobs"),
    row_of=_batch_row,
    logged_of=_batch_logged,
    number_column="batches",
    sum_columns=("images", "num_jobs"),
    prefix="",
)

JOBS: Final = RecordType(
    kind=Kind.JOB,
    make=Job,
    model=models.Job,
    changes=models.JobChange,
    missing=models.MissingJob,
    key="job_id",
    columns=(
        *("batch_id", "name", "status", "labeler_id", "reviewer_id", "created_by", "created_at"),
        *JOB_COUNTS,
    ),
    counts=JOB_COUNTS,
    logged=("batch_id", "status", "labeler_id", "reviewer_id", "name"),
    instant="created_at",
    people=("labeler_id", "reviewer_id"),
    counts_of=attrgetter(*JOB_COUNTS),
    row_of=_job_row,
    logged_of=_job_logged,
    number_column="jobs",
    sum_columns=("images_in_jobs", "annotated", "unannotated", "approved", "rejected"),
    prefix="jobs_",
)

#: By kind, in the order in which they are asked for and written.
RECORD_TYPES: Final = {Kind.BATCH: BATCHES, Kind.JOB: JOBS}
