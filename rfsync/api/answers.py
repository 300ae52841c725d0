"""What the API answered, from bytes to typed batches: strict where a wrong number could get in, tolerant elsewhere.

The shape is Roboflow's (https://docs.roboflow.com/api-reference, "List batches"): ``{"batches": [{"id", "name",
"images", "numJobs", "uploaded": {"_seconds", "_nanoseconds"}}]}``. An answer whose records are all in order is
decoded in one go; only when one is not, each is looked at by itself.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, starmap
from operator import attrgetter, lt
from typing import Annotated, Final

import msgspec

from rfsync.api.lenient import Broken, read_json, read_name, read_record
from rfsync.batch import MAX_COUNT, MAX_ID_BYTES, MAX_SECONDS, Batch
from rfsync.errors import BadResponse

_BOM: Final = b"\xef\xbb\xbf"
_STEP: Final = 1 << 20
#: Bytes that are kept of an answer that can't be read.
_KEPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that broke the rules, and why."""

    #: Place in the answer's list, from 0.
    position: int
    reason: str
    #: None: it had no usable one.
    id: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A batch list: every batch once, in the order of their ids by code point, and the records left out."""

    batches: Sequence[Batch]
    rejected: Sequence[Rejected] = field(default=())

    @property
    def rejected_ids(self) -> frozenset[str]:
        """Ids of which something was said that can't be believed: such batches are neither changed nor gone."""
        return frozenset(r.id for r in self.rejected if r.id is not None)


_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]


class _Uploaded(msgspec.Struct, gc=False):
    seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_SECONDS)] = msgspec.field(name="_seconds")
    nanoseconds: Annotated[int, msgspec.Meta(ge=0, le=999_999_999)] = msgspec.field(name="_nanoseconds", default=0)


class _Record(msgspec.Struct, gc=False):
    # A character is at most 4 bytes of UTF-8, so that ids within this need no second look.
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES // 4)]
    name: str | None = None
    images: _Count | None = None
    num_jobs: _Count | None = msgspec.field(name="numJobs", default=None)
    uploaded: _Uploaded | None = None


class _Envelope(msgspec.Struct):
    batches: list[_Record]


class _RawEnvelope(msgspec.Struct):
    batches: list[msgspec.Raw]


_decode_all = msgspec.json.Decoder(list[_Record] | _Envelope).decode
_decode_one = msgspec.json.Decoder(_Record).decode
_decode_raw = msgspec.json.Decoder(list[msgspec.Raw] | _RawEnvelope).decode


def parse(body: bytes | bytearray) -> Answer:
    """The batch list in ``body``.

    Raises:
        BadResponse: not JSON, no batch list, or more than half of its records rejected.
    """
    if body.startswith(_BOM):
        body = body[len(_BOM) :]  # not removeprefix, which would copy a hundred megabytes also where there is no prefix
    _check_utf8(body)
    try:
        decoded = _decode_all(body)
        records = decoded if isinstance(decoded, list) else decoded.batches
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _parse_each(body)
    if b"\\u0000" in body:
        return _parse_each(body)
    return _answer([_batch(r) for r in records], [], len(records))


def _check_utf8(body: bytes | bytearray) -> None:
    """The quick decoder steps over fields that it does not know without looking into them."""
    if body.isascii():
        return
    decode = codecs.getincrementaldecoder("utf-8")().decode
    try:
        for start in range(0, len(body), _STEP):
            decode(body[start : start + _STEP])
        decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise _not_json(body) from error


def parse_one(body: bytes | bytearray, batch_id: str) -> Batch:
    """The one batch in the answer of its own address, bare or under ``batch``.

    Raises:
        BadResponse: anything but a valid record of the batch ``batch_id``.
    """
    decoded = _json(body.removeprefix(_BOM))
    if isinstance(decoded, dict) and "id" not in decoded and "batch" in decoded:
        decoded = decoded["batch"]
    batch = _read(0, decoded)
    if isinstance(batch, Rejected):
        raise BadResponse(f"the answer for batch {batch_id!r} breaks the rules: {batch.reason}", rejected=1)
    if batch.id != batch_id:
        raise BadResponse(f"asked for batch {batch_id!r}, the answer describes {batch.id!r}")
    return batch


def parse_projects(body: bytes | bytearray) -> tuple[dict[str, str | None], list[str]]:
    """The projects of a workspace's answer, id -> name, and for each left out the reason.

    Raises:
        BadResponse: not the description of a workspace.
    """
    decoded = _json(body.removeprefix(_BOM))
    workspace = decoded.get("workspace") if isinstance(decoded, dict) else None
    listed = workspace.get("projects") if isinstance(workspace, dict) else None
    if not isinstance(listed, list):
        raise _no_list(body, "no workspace with its projects")
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
    return Batch(
        record.id,
        record.name,
        None if uploaded is None else uploaded.seconds * 1_000_000 + uploaded.nanoseconds // 1000,
        record.images,
        record.num_jobs,
    )


def _parse_each(body: bytes | bytearray) -> Answer:
    """As ``parse``, one record at a time, so that a bad one costs no other."""
    batches: list[Batch] = []
    rejected: list[Rejected] = []
    positions: dict[str, list[int]] = {}
    total = 0
    for position, read in enumerate(_records(body)):
        total += 1
        if isinstance(read, Rejected):
            rejected.append(read)
        else:
            batches.append(read)
            positions.setdefault(read.id, []).append(position)
    return _answer(batches, rejected, total, positions)


def _records(body: bytes | bytearray) -> Iterator[Batch | Rejected]:
    try:
        decoded = _decode_raw(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Not JSON, or no list, or a lone surrogate, which this decoder can't step over and the standard one can. Nor
        # does it look beyond the first wrong field, where the same field may stand again, and count, or no JSON at all.
        yield from starmap(_read, enumerate(_read_list(body)))
        return
    for position, raw in enumerate(decoded if isinstance(decoded, list) else decoded.batches):
        yield _quick(raw) or _read(position, _json(bytes(raw)))


def _read_list(body: bytes | bytearray) -> list[object]:
    decoded = _json(body)
    if isinstance(decoded, dict):
        decoded = decoded.get("batches")
    if not isinstance(decoded, list):
        raise _no_list(body, "no batch list")
    return decoded


def _json(raw: bytes | bytearray) -> object:
    try:
        return read_json(raw)
    except (ValueError, RecursionError) as error:
        raise _not_json(raw) from error


def _quick(raw: msgspec.Raw) -> Batch | None:
    """The record by the quick way, if it is in order and contains nothing to be replaced."""
    try:
        record = _decode_one(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None  # no error yet: the slow reader accepts more, and says what is wrong with the rest
    return None if "\0" in record.id or "\0" in (record.name or "") else _batch(record)


def _read(position: int, decoded: object) -> Batch | Rejected:
    read = read_record(decoded)
    if isinstance(read, Broken):
        return Rejected(position, read.reason, read.id)
    return Batch(read.id, read.name, read.uploaded_us, read.images, read.num_jobs)


def _answer(
    batches: list[Batch], rejected: list[Rejected], total: int, positions: dict[str, list[int]] | None = None
) -> Answer:
    """Sorts, counts doubles once, rejects contradictions, and refuses an answer that is mostly nonsense."""
    ids = [b.id for b in batches]
    # One pass in C over what is nearly always true: strictly rising ids are both sorted and unique.
    if not all(map(lt, ids, islice(ids, 1, None))):
        if positions is None:
            positions = {}
            for position, batch_id in enumerate(ids):
                positions.setdefault(batch_id, []).append(position)
        batches, contradicting = _unique(batches)
        rejected += _reject(contradicting, positions, "the same id twice, with different content")
        batches.sort(key=attrgetter("id"))
    if rejected:
        spoilt = {r.id for r in rejected if r.id is not None}
        contradicting = {b.id for b in batches if b.id in spoilt}
        rejected += _reject(contradicting, positions or {}, "the same id twice, the other record breaks the rules")
        batches = [b for b in batches if b.id not in contradicting]
        rejected.sort(key=attrgetter("position"))
    if 2 * len(rejected) > total:
        first = rejected[0]
        raise BadResponse(
            f"{len(rejected)} of {total} records break the rules, the first at position {first.position}: "
            f"{first.reason}",
            rejected=len(rejected),
        )
    return Answer(batches, tuple(rejected))


def _unique(batches: list[Batch]) -> tuple[list[Batch], set[str]]:
    """Each batch once, and the ids of which different things were said (these are in no list).

    Looked up by id and never by all of the batch: the hash of a text is keyed, but numbers can be chosen so that
    thousands of batches have one hash, and looking each up would take as long as comparing it with all others.
    """
    first: dict[str, Batch] = {}
    contradicting = {b.id for b in batches if first.setdefault(b.id, b) != b}
    return [b for b in first.values() if b.id not in contradicting], contradicting


def _reject(ids: Iterable[str], positions: dict[str, list[int]], reason: str) -> list[Rejected]:
    return [Rejected(position, reason, batch_id) for batch_id in ids for position in positions[batch_id]]


def _not_json(body: bytes | bytearray) -> BadResponse:
    return BadResponse("the answer is not JSON", body=bytes(body[:_KEPT]))


def _no_list(body: bytes | bytearray, what: str) -> BadResponse:
    return BadResponse(f"the answer is JSON, but {what}", body=bytes(body[:_KEPT]))
