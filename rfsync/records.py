"""The two kinds of record, batches and jobs, and the limits of their fields."""

from enum import StrEnum
from typing import Final

import msgspec

#: Largest count: 2^53-1, up to which every JSON parser is exact.
MAX_COUNT: Final = 2**53 - 1
#: 9999-12-31T23:59:59Z in seconds since 1970, the last second that both databases and Python can store.
MAX_SECONDS: Final = 253_402_300_799
#: An id is part of index keys, which PostgreSQL limits to 2,704 bytes.
MAX_ID_BYTES: Final = 2_000


class Kind(StrEnum):
    """A kind of record; its value is the last part of the address of its list."""

    BATCH = "batches"
    JOB = "jobs"

    @property
    def one(self) -> str:
        """The word for one of them."""
        return "batch" if self is Kind.BATCH else "job"


class Batch(msgspec.Struct, frozen=True, gc=False):
    """A batch as the API reported it, or as the database has it: the type of both sides of a diff.

    ``gc=False``: it holds no containers, so the garbage collector need not track a million of them.
    """

    #: Opaque, not empty, unique within a project.
    id: str
    #: None: not reported (observed), or never known (stored).
    name: str | None
    #: Microseconds since 1970 UTC; None as for ``name``.
    uploaded_us: int | None
    #: Images not yet in a job, 0 to 2^53-1; None: not reported (observed only).
    images: int | None
    #: Annotation jobs, 0 to 2^53-1; None: not reported (observed only).
    num_jobs: int | None


class Job(msgspec.Struct, frozen=True, gc=False):
    """An annotation job as the database has it, or as the API reported it once its people are numbers.

    None means of each field that it was not reported (observed), or never known (stored).
    """

    #: Opaque, not empty, unique within a project.
    id: str
    #: Id of the batch that its images are from.
    batch_id: str | None
    name: str | None
    #: Any word.
    status: str | None
    #: Number of a person, see ``models.Person``; 0: nobody.
    labeler_id: int | None
    reviewer_id: int | None
    #: ``API``, a user's id, or ``person-N``.
    created_by: str | None
    #: Microseconds since 1970 UTC.
    created_us: int | None
    #: Each 0 to 2^53-1. They need not add up.
    num_images: int | None
    annotated: int | None
    unannotated: int | None
    approved: int | None
    rejected: int | None


class ReportedJob(msgspec.Struct, frozen=True, gc=False):
    """An annotation job as the API reported it: a ``Job`` whose people are addresses."""

    id: str
    batch_id: str | None
    name: str | None
    status: str | None
    #: A mail address, or any other text; empty: nobody.
    labeler: str | None
    reviewer: str | None
    created_by: str | None
    created_us: int | None
    num_images: int | None
    annotated: int | None
    unannotated: int | None
    approved: int | None
    rejected: int | None


#: A record of either kind, as both sides of a diff have it.
Record = Batch | Job
