"""Parsing of answers into typed records: strict where a wrong number could get in, tolerant elsewhere.

An answer whose records are all valid is decoded in one go; otherwise each record is decoded by itself.
"""

import codecs
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter, lt
from typing import Any, Final, Generic, Literal, TypeVar, overload

import msgspec

from rfsync.api.formats import FORMATS
from rfsync.api.lenient import Rejected, read_json, read_name, read_record
from rfsync.errors import BadResponse
from rfsync.records import MAX_COUNT, Batch, Kind, ReportedJob

#: A record as the API reports it.
Reported = Batch | ReportedJob
_R = TypeVar("_R", bound=Reported)
_R_co = TypeVar("_R_co", bound=Reported, covariant=True)
#: What may stand before a JSON text.
BOM: Final = b"\xef\xbb\xbf"
#: What msgspec raises.
_UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_UTF8_CHUNK: Final = 1 << 20
#: How JSON writes U+0000, which only the slow reader replaces.
_NUL: Final = b"\\u0000"
#: Where an answer has the address of its next page.
_NEXT_PAGE: Final = ("continuationToken", "nextPageToken", "next", "nextPage")
#: The sum of a count over a list; the databases' 64 bits leave room for what is not listed, and for other projects.
MAX_SUM: Final = 2**60
#: Bytes of an invalid answer that its error keeps.
_EXCERPT: Final = 4096


@dataclass(frozen=True, slots=True)
class Answer(Generic[_R_co]):
    """A list of batches or jobs: every record once, in the order of their ids by code point, and the invalid ones."""

    records: Sequence[_R_co]
    rejected: Sequence[Rejected] = ()

    @property
    def rejected_ids(self) -> frozenset[str]:
        """Ids with an invalid record: what they name stays as it is."""
        return frozenset(r.id for r in self.rejected if r.id is not None)


@overload
def parse(body: bytes | bytearray, kind: Literal[Kind.BATCH] = Kind.BATCH) -> Answer[Batch]: ...


@overload
def parse(body: bytes | bytearray, kind: Literal[Kind.JOB]) -> Answer[ReportedJob]: ...


@overload
def parse(body: bytes | bytearray, kind: Kind) -> Answer[Reported]: ...


def parse(body: bytes | bytearray, kind: Kind = Kind.BATCH) -> Answer[Reported]:
    """Parses a list of batches or jobs.

    Raises:
        BadResponse: not JSON, no list of that kind, only a page of one, more than half of its records are invalid, or a
            count of jobs adds up to more than ``MAX_SUM``.
    """
    answer = _parse(body, kind)
    # Batches that can't be stored fail the run, and must not do so because of jobs. No fewer add up to that much.
    if kind is Kind.JOB and len(answer.records) > MAX_SUM // MAX_COUNT:
        _check_sums(answer.records)
    return answer


def _parse(body: bytes | bytearray, kind: Kind) -> Answer[Reported]:
    if body.startswith(BOM):
        body = body[len(BOM) :]  # removeprefix would copy the body even without a prefix
    _check_utf8(body)
    try:
        decoded = FORMATS[kind].decode_all(body)
    except _UNDECODABLE:
        return _parse_each(body, kind)
    if _NUL in body:
        return _parse_each(body, kind)
    records = [*map(FORMATS[kind].record, _listed(decoded))]
    return _answer(records, [], records)


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


@overload
def parse_one(body: bytes | bytearray, record_id: str, kind: Literal[Kind.BATCH] = Kind.BATCH) -> Batch: ...


@overload
def parse_one(body: bytes | bytearray, record_id: str, kind: Literal[Kind.JOB]) -> ReportedJob: ...


@overload
def parse_one(body: bytes | bytearray, record_id: str, kind: Kind) -> Reported: ...


def parse_one(body: bytes | bytearray, record_id: str, kind: Kind = Kind.BATCH) -> Reported:
    """Parses the answer of a record's own address: the record, bare or under ``batch`` or ``job``.

    Raises:
        BadResponse: not a valid record with the id ``record_id``.
    """
    decoded = decode_json(body.removeprefix(BOM))
    if isinstance(decoded, dict) and "id" not in decoded and kind.one in decoded:
        decoded = decoded[kind.one]
    record = read_record(0, decoded, kind)
    if isinstance(record, Rejected):
        raise BadResponse(f"the answer for {kind.one} {record_id!r} breaks the rules: {record.reason}", rejected=1)
    if record.id != record_id:
        raise BadResponse(f"asked for {kind.one} {record_id!r}, the answer describes {record.id!r}")
    return record


def parse_projects(body: bytes | bytearray) -> tuple[dict[str, str | None], list[str]]:
    """Parses a workspace's projects: id -> name, and a reason for each that is left out.

    Raises:
        BadResponse: not the description of a workspace.
    """
    decoded = decode_json(body.removeprefix(BOM))
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


def _listed(decoded: Any) -> Sequence[Any]:
    """The decoded list, which may be in its envelope."""
    records: Sequence[Any] = decoded
    if not isinstance(decoded, list):
        _refuse_page(decoded.paging())
        records = decoded.records
    return records


def _parse_each(body: bytes | bytearray, kind: Kind) -> Answer[Reported]:
    """As ``parse``, but one record at a time: an invalid one does not affect the others."""
    read = list(_read_each(body, kind))
    records = [record for record in read if not isinstance(record, Rejected)]
    return _answer(records, [record for record in read if isinstance(record, Rejected)], read)


def _read_each(body: bytes | bytearray, kind: Kind) -> Iterator[Reported | Rejected]:
    try:
        decoded = FORMATS[kind].decode_raw(body)
    except _UNDECODABLE:
        # Not JSON, no list, or a lone surrogate, which only the standard decoder accepts. Besides, msgspec stops at the
        # first bad field, so it misses a later duplicate key, which by JSON's rules wins, and invalid JSON after it.
        listed = decode_json(body)
        if isinstance(listed, dict):
            _refuse_page(listed)
            listed = listed.get(kind.value)
        if not isinstance(listed, list):
            raise _bad(body, f"JSON, but no {kind.one} list") from None
        for position, record in enumerate(listed):
            yield read_record(position, record, kind)
        return
    for position, raw in enumerate(_listed(decoded)):
        yield _quick(raw, kind) or read_record(position, decode_json(bytes(raw)), kind)


def _refuse_page(envelope: Mapping[str, object]) -> None:
    """Raises ``BadResponse`` if there is more than this answer: what one page lacks is not gone."""
    more = [key for key in _NEXT_PAGE if not _is_nothing(envelope.get(key))]
    if envelope.get("hasMore") is True:
        more.append("hasMore")
    if more:
        raise BadResponse(f"the answer is only a page of the list, since {more[0]} says that there is more")


def _is_nothing(value: object) -> bool:
    return value is None or value is False or value in ("", [], {})


def decode_json(raw: bytes | bytearray) -> object:
    """Decodes JSON as ``read_json`` does.

    Raises:
        BadResponse: not JSON.
    """
    try:
        return read_json(raw)
    except (ValueError, RecursionError) as error:
        raise _bad(raw, "not JSON") from error


def _quick(raw: msgspec.Raw, kind: Kind) -> Reported | None:
    """The record from the quick decoder; None: it is invalid, or has characters to replace."""
    try:
        decoded = FORMATS[kind].decode_one(raw)
    except _UNDECODABLE:
        return None  # the slow reader accepts more, and says what is wrong with the others
    return None if _NUL in bytes(raw) else FORMATS[kind].record(decoded)


def _answer(records: list[_R], rejected: list[Rejected], read: Sequence[_R | Rejected]) -> Answer[_R]:
    """Sorts, removes duplicates, rejects contradictions, and raises if too many records are invalid.

    Args:
        read: the valid and the rejected records together, as the answer lists them.
    """
    ids = [r.id for r in records]
    # Strictly ascending ids are sorted and unique. That is the usual case, and the check is quick.
    if not all(map(lt, ids, islice(ids, 1, None))):
        records, contradicting = _unique(records)
        rejected += _reject(contradicting, read, "the same id twice, with different content")
        records.sort(key=attrgetter("id"))
    if rejected:
        invalid = {r.id for r in rejected if r.id is not None}
        contradicting = {r.id for r in records if r.id in invalid}
        rejected += _reject(contradicting, read, "the same id twice, the other record breaks the rules")
        records = [r for r in records if r.id not in contradicting]
        rejected.sort(key=attrgetter("position"))
    if 2 * len(rejected) > len(read):
        share, first = f"{len(rejected)} of {len(read)}", rejected[0]
        text = f"{share} records break the rules, the first at position {first.position}: {first.reason}"
        raise BadResponse(text, rejected=len(rejected))
    return Answer(records, tuple(rejected))


def _check_sums(jobs: Sequence[Reported]) -> None:
    for count in ("num_images", "annotated", "unannotated", "approved", "rejected"):
        total = sum(filter(None, map(attrgetter(count), jobs)))
        if total > MAX_SUM:
            text = f"the answer's {count} add up to {total:,}, more than the {MAX_SUM:,} that the database has room for"
            raise BadResponse(text)


def _unique(records: list[_R]) -> tuple[list[_R], set[str]]:
    """Each record once, and the ids of contradicting ones, which are left out.

    They are looked up by id, not as a whole: the hash of a string is keyed, but numbers can be chosen so that thousands
    of records have the same hash, and each look-up would compare the record with all others.
    """
    first: dict[str, _R] = {}
    contradicting = {r.id for r in records if first.setdefault(r.id, r) != r}
    return [r for r in first.values() if r.id not in contradicting], contradicting


def _reject(ids: Collection[str], read: Sequence[Reported | Rejected], reason: str) -> list[Rejected]:
    valid = ((position, record.id) for position, record in enumerate(read) if not isinstance(record, Rejected))
    return [Rejected(position, reason, record_id) for position, record_id in valid if record_id in ids]


def _bad(body: bytes | bytearray, what: str) -> BadResponse:
    return BadResponse(f"the answer is {what}", body=bytes(body[:_EXCERPT]))
