"""The batch, and the limits of its fields."""

from typing import Final

import msgspec

#: Largest count: 2^53-1, up to which every JSON parser is exact.
MAX_COUNT: Final = 2**53 - 1
#: 9999-12-31T23:59:59Z in seconds since 1970, the last second that both databases and Python can store.
MAX_SECONDS: Final = 253_402_300_799
#: An id is part of index keys, which PostgreSQL limits to 2,704 bytes.
MAX_ID_BYTES: Final = 2_000


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
