"""How answers write batches and jobs: what the quick decoder reads, and how a record is made of it.

The formats are Roboflow's (https://docs.roboflow.com/api-reference, "List batches" and "List annotation jobs"):
``{"batches": [{"id", "name", "images", "numJobs", "uploaded": {"_seconds", "_nanoseconds"}}]}`` and ``{"jobs": [{"id",
"name", "status", "labeler", "reviewer", "sourceBatch", "numImages", …, "created": {"_seconds", "_nanoseconds"}}]}``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from rfsync.records import MAX_COUNT, MAX_ID_BYTES, MAX_SECONDS, Batch, Kind, ReportedJob

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
# A character is at most 4 bytes of UTF-8; a longer id is left to the slow reader, which counts bytes.
_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES // 4)]
_SourceBatch = Annotated[str, msgspec.Meta(max_length=MAX_ID_BYTES // 4)]


class _Timestamp(msgspec.Struct, gc=False):
    seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_SECONDS)] = msgspec.field(name="_seconds")
    nanoseconds: Annotated[int, msgspec.Meta(ge=0, le=999_999_999)] = msgspec.field(name="_nanoseconds", default=0)


class _Batch(msgspec.Struct, gc=False):
    id: _Id
    name: str | None = None
    images: _Count | None = None
    num_jobs: _Count | None = msgspec.field(name="numJobs", default=None)
    uploaded: _Timestamp | None = None


class _Job(msgspec.Struct, gc=False, rename="camel"):
    id: _Id
    source_batch: _SourceBatch | None = None
    name: str | None = None
    status: str | None = None
    labeler: str | UnsetType | None = UNSET
    reviewer: str | UnsetType | None = UNSET
    created_by: str | None = None
    created: _Timestamp | None = None
    num_images: _Count | None = None
    annotated: _Count | None = None
    unannotated: _Count | None = None
    approved: _Count | None = None
    rejected: _Count | None = None


class Envelope(msgspec.Struct):
    """A list in an object, beside which there may be signs of more pages."""

    continuation_token: object = msgspec.field(name="continuationToken", default=None)
    next_page_token: object = msgspec.field(name="nextPageToken", default=None)
    next: object = None
    next_page: object = msgspec.field(name="nextPage", default=None)
    has_more: object = msgspec.field(name="hasMore", default=None)

    def paging(self) -> dict[str, object]:
        """The signs as the answer has them."""
        fields = zip(Envelope.__struct_encode_fields__, Envelope.__struct_fields__, strict=True)
        return {key: getattr(self, name) for key, name in fields}


class _Batches(Envelope, kw_only=True):
    records: list[_Batch] = msgspec.field(name="batches")


class _RawBatches(Envelope, kw_only=True):
    records: list[msgspec.Raw] = msgspec.field(name="batches")


class _Jobs(Envelope, kw_only=True):
    records: list[_Job] = msgspec.field(name="jobs")


class _RawJobs(Envelope, kw_only=True):
    records: list[msgspec.Raw] = msgspec.field(name="jobs")


def _microseconds(timestamp: _Timestamp | None) -> int | None:
    return None if timestamp is None else timestamp.seconds * 1_000_000 + timestamp.nanoseconds // 1000


def _batch(record: _Batch) -> Batch:
    uploaded = record.uploaded  # without a call of _microseconds, which a million batches would notice
    uploaded_us = None if uploaded is None else uploaded.seconds * 1_000_000 + uploaded.nanoseconds // 1000
    return Batch(record.id, record.name, uploaded_us, record.images, record.num_jobs)


def _job(record: _Job) -> ReportedJob:
    return ReportedJob(
        record.id, batch_in(record.source_batch), record.name, record.status, _person(record.labeler),
        _person(record.reviewer), trimmed(record.created_by), _microseconds(record.created), record.num_images,
        record.annotated, record.unannotated, record.approved, record.rejected,
    )  # fmt: skip


def batch_in(source_batch: str | None) -> str | None:
    """The id of the batch in ``INTERNAL_PROJECT/BATCH_ID`` or ``BATCH_ID``; None: there is none."""
    return source_batch.rpartition("/")[2] or None if source_batch else None


def _person(written: str | UnsetType | None) -> str | None:
    return None if written is UNSET else person(written)


def person(written: str | None) -> str:
    """A labeler or reviewer as the answer names it; empty: nobody."""
    return trimmed(written) or ""


def trimmed(written: str | None) -> str | None:
    """A text that may be a person's address, without the space around it, which would make another person of it."""
    return None if written is None else written.strip()


@dataclass(frozen=True, slots=True)
class Format:
    """How answers write one kind of record."""

    #: A list, bare or in its envelope, of the structs that ``record`` takes.
    decode_all: Callable[[bytes | bytearray], Any]
    #: The same, of ``msgspec.Raw``.
    decode_raw: Callable[[bytes | bytearray], Any]
    #: One struct.
    decode_one: Callable[[msgspec.Raw], Any]
    #: Makes a record of a struct.
    record: Callable[[Any], Any]


FORMATS: Final = {
    Kind.BATCH: Format(
        msgspec.json.Decoder(list[_Batch] | _Batches).decode,
        msgspec.json.Decoder(list[msgspec.Raw] | _RawBatches).decode,
        msgspec.json.Decoder(_Batch).decode,
        _batch,
    ),
    Kind.JOB: Format(
        msgspec.json.Decoder(list[_Job] | _Jobs).decode,
        msgspec.json.Decoder(list[msgspec.Raw] | _RawJobs).decode,
        msgspec.json.Decoder(_Job).decode,
        _job,
    ),
}
