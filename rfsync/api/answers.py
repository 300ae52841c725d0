"""Parsing of answers into typed batches: strict where a wrong number could get in, tolerant elsewhere.

The format is Roboflow's (https://docs.roboflow.com/api-reference, "List batches"): ``{"batches": [{"id", "name",
"images", "numJobs", "uploaded": {"_seconds", "_nanoseconds"}}]}``. An answer whose records are all valid is decoded in
one go; otherwise each record is decoded by itself.
"""

import codecs
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, starmap
from operator import attrgetter, lt
from typing import Annotated, Final

import msgspec

from rfsync.api.lenient import Rejected, read_json, read_name, read_record
from rfsync.errors import BadResponse
from rfsync.records import MAX_COUNT, MAX_ID_BYTES, MAX_SECONDS, Batch

_BOM: Final = b"\xef\xbb\xbf"
#: What msgspec raises.
_UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_UTF8_CHUNK: Final = 1 << 20
#: Where an answer has the address of its next page.
_NEXT_PAGE: Final = ("continuationToken", "nextPageToken", "next", "nextPage")
#: Bytes of an invalid answer that its error keeps.
_EXCERPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Answer:
    """A batch list: every batch once, in the order of their ids by code point, and the invalid records."""

    batches: Sequence[Batch]
    rejected: Sequence[Rejected] = ()

    @property
    def rejected_ids(self) -> frozenset[str]:
        """Ids with an invalid record: these batches stay as they are."""
        return frozenset(r.id for r in self.rejected if r.id is not None)


_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class _Uploaded(msgspec.Struct, gc=False):
    seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_SECONDS)] = msgspec.field(name="_seconds")
    nanoseconds: Annotated[int, msgspec.Meta(ge=0, le=999_999_999)] = msgspec.field(name="_nanoseconds", default=0)


class _Record(msgspec.Struct, gc=False):
    # A character is at most 4 bytes of UTF-8; a longer id is left to the slow reader, which counts bytes.
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES // 4)]
    name: str | None = None
    images: _Count | None = None
    num_jobs: _Count | None = msgspec.field(name="numJobs", default=None)
    uploaded: _Uploaded | None = None


class _Paged(msgspec.Struct):
    """The signs of more pages, beside the list."""

    continuation_token: object = msgspec.field(name="continuationToken", default=None)
    next_page_token: object = msgspec.field(name="nextPageToken", default=None)
    next: object = None
    next_page: object = msgspec.field(name="nextPage", default=None)
    has_more: object = msgspec.field(name="hasMore", default=None)

    def paging(self) -> dict[str, object]:
        """The signs as the answer has them."""
        fields = zip(_Paged.__struct_encode_fields__, _Paged.__struct_fields__, strict=True)
        return {key: getattr(self, name) for key, name in fields}


class _Envelope(_Paged, kw_only=True):
    batches: list[_Record]


class _RawEnvelope(_Paged, kw_only=True):
    batches: list[msgspec.Raw]


_decode_all = msgspec.json.Decoder(list[_Record] | _Envelope).decode
_decode_one = msgspec.json.Decoder(_Record).decode
_decode_raw = msgspec.json.Decoder(list[msgspec.Raw] | _RawEnvelope).decode


def parse(body: bytes | bytearray) -> Answer:
    """Parses a batch list.

    Raises:
        BadResponse: not JSON, no batch list, only a page of one, or more than half of its records are invalid.
    """
    if body.startswith(_BOM):
        body = body[len(_BOM) :]  # removeprefix would copy the body even without a prefix
    _check_utf8(body)
    try:
        decoded = _decode_all(body)
    except _UNDECODABLE:
        return _parse_each(body)
    if b"\\u0000" in body:
        return _parse_each(body)
    if isinstance(decoded, _Envelope):
        _refuse_page(decoded.paging())
        decoded = decoded.batches
    batches = [_batch(record) for record in decoded]
    return _answer(batches, [], batches)


def _check_utf8(body: bytes | bytearray) -> None:
    """Checks what the quick decoder does not: it skips unknown fields without decoding them."""
    if body.isascii():
        return
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        for start in range(0, len(body), _UTF8_CHUNK):
            decode(body[start : start + _UTF8_CHUNK])
        decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _bad(body, "not JSON") from error


def parse_one(body: bytes | bytearray, batch_id: str) -> Batch:
    """Parses the answer of a batch's own address: the record, bare or under ``batch``.

    Raises:
        BadResponse: not a valid record of the batch ``batch_id``.
    """
    decoded = _json(body.removeprefix(_BOM))
    if isinstance(decoded, dict) and "id" not in decoded and "batch" in decoded:
        decoded = decoded["batch"]
    batch = read_record(0, decoded)
    if isinstance(batch, Rejected):
        raise BadResponse(f"the answer for batch {batch_id!r} breaks the rules: {batch.reason}", rejected=1)
    if batch.id != batch_id:
        raise BadResponse(f"asked for batch {batch_id!r}, the answer describes {batch.id!r}")
    return batch


def parse_projects(body: bytes | bytearray) -> tuple[dict[str, str | None], list[str]]:
    """Parses a workspace's projects: id -> name, and a reason for each that is left out.

    Raises:
        BadResponse: not the description of a workspace.
    """
    decoded = _json(body.removeprefix(_BOM))
    workspace = decoded.get("workspace") if isinstance(decoded, dict) else None
    listed = workspace.get("projects") if isinstance(workspace, dict) else None
    if not isinstance(listed, list):
        raise _bad(body, "JSON, but no workspace with its projects")
    projects: dict[str, str | None] = {}
    skipped: list[str] = []
    for position, entry in enumerate(listed):
        # Roboflow's id is "workspace/project"; only the last part is the project's own.
        path = entry.get("id") if isinstance(entry, dict) else None
        project = path.rpartition("/")[2] if isinstance(path, str) else ""
        if not project or not project.isprintable() or project in {".", ".."} or set(project) & set(" ?#\\*"):
            skipped.append(f"number {position} in the answer has no usable id")
            continue
        projects[project] = read_name(entry.get("name"))
    return projects, skipped


def _batch(record: _Record) -> Batch:
    uploaded = record.uploaded
    uploaded_us = None if uploaded is None else uploaded.seconds * 1_000_000 + uploaded.nanoseconds // 1000
    return Batch(record.id, record.name, uploaded_us, record.images, record.num_jobs)


def _parse_each(body: bytes | bytearray) -> Answer:
    """As ``parse``, but one record at a time: an invalid one does not affect the others."""
    records = list(_records(body))
    batches = [record for record in records if isinstance(record, Batch)]
    return _answer(batches, [record for record in records if isinstance(record, Rejected)], records)


def _records(body: bytes | bytearray) -> Iterator[Batch | Rejected]:
    try:
        decoded = _decode_raw(body)
    except _UNDECODABLE:
        # Not JSON, no list, or a lone surrogate, which only the standard decoder accepts. Besides, msgspec stops at the
        # first bad field, so it misses a later duplicate key, which by JSON's rules wins, and invalid JSON after it.
        listed = _json(body)
        if isinstance(listed, dict):
            _refuse_page(listed)
            listed = listed.get("batches")
        if not isinstance(listed, list):
            raise _bad(body, "JSON, but no batch list") from None
        yield from starmap(read_record, enumerate(listed))
        return
    if isinstance(decoded, _RawEnvelope):
        _refuse_page(decoded.paging())
        decoded = decoded.batches
    for position, raw in enumerate(decoded):
        yield _quick(raw) or read_record(position, _json(bytes(raw)))


def _refuse_page(envelope: Mapping[str, object]) -> None:
    """Raises ``BadResponse`` if there is more than this answer: what one page lacks is not gone."""
    more = [key for key in _NEXT_PAGE if not _is_nothing(envelope.get(key))]
    if envelope.get("hasMore") is True:
        more.append("hasMore")
    if more:
        raise BadResponse(f"the answer is only a page of the list, since {more[0]} says that there is more")


def _is_nothing(value: object) -> bool:
    return value is None or value is False or value in ("", [], {})


def _json(raw: bytes | bytearray) -> object:
    try:
        return read_json(raw)
    except (ValueError, RecursionError) as error:
        raise _bad(raw, "not JSON") from error


def _quick(raw: msgspec.Raw) -> Batch | None:
    """The record from the quick decoder; None: it is invalid, or has characters to replace."""
    try:
        record = _decode_one(raw)
    except _UNDECODABLE:
        return None  # the slow reader accepts more, and says what is wrong with the others
    return None if "\0" in record.id or "\0" in (record.name or "") else _batch(record)


def _answer(batches: list[Batch], rejected: list[Rejected], records: Sequence[Batch | Rejected]) -> Answer:
    """Sorts, removes duplicates, rejects contradictions, and raises if too many records are invalid.

    Args:
        records: the batches and rejected records together, as the answer lists them.
    """
    ids = [b.id for b in batches]
    # Strictly ascending ids are sorted and unique. That is the usual case, and the check is quick.
    if not all(map(lt, ids, islice(ids, 1, None))):
        batches, contradicting = _unique(batches)
        rejected += _reject(contradicting, records, "the same id twice, with different content")
        batches.sort(key=attrgetter("id"))
    if rejected:
        invalid = {r.id for r in rejected if r.id is not None}
        contradicting = {b.id for b in batches if b.id in invalid}
        rejected += _reject(contradicting, records, "the same id twice, the other record breaks the rules")
        batches = [b for b in batches if b.id not in contradicting]
        rejected.sort(key=attrgetter("position"))
    if 2 * len(rejected) > len(records):
        share, first = f"{len(rejected)} of {len(records)}", rejected[0]
        text = f"{share} records break the rules, the first at position {first.position}: {first.reason}"
        raise BadResponse(text, rejected=len(rejected))
    return Answer(batches, tuple(rejected))


def _unique(batches: list[Batch]) -> tuple[list[Batch], set[str]]:
    """Each batch once, and the ids of contradicting ones, which are left out.

    They are looked up by id, not as a whole: the hash of a string is keyed, but numbers can be chosen so that thousands
    of batches have the same hash, and each look-up would compare the batch with all others.
    """
    first: dict[str, Batch] = {}
    contradicting = {b.id for b in batches if first.setdefault(b.id, b) != b}
    return [b for b in first.values() if b.id not in contradicting], contradicting


def _reject(ids: Collection[str], records: Sequence[Batch | Rejected], reason: str) -> list[Rejected]:
    valid = ((position, record.id) for position, record in enumerate(records) if isinstance(record, Batch))
    return [Rejected(position, reason, batch_id) for position, batch_id in valid if batch_id in ids]


def _bad(body: bytes | bytearray, what: str) -> BadResponse:
    return BadResponse(f"the answer is {what}", body=bytes(body[:_EXCERPT]))
