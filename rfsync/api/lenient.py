"""The slow, tolerant reader of one record, which also says why a record is invalid.

The quick decoder refuses a count written ``5.0`` and a name with a lone surrogate, which are both valid, and does not
say what the id of a refused record is. This reader is used only for such records.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, NoReturn

from rfsync.api.formats import batch_in, person, trimmed
from rfsync.records import MAX_COUNT, MAX_ID_BYTES, MAX_SECONDS, Batch, Kind, ReportedJob

_Fields = Mapping[str, object]
# U+0000 and lone surrogates, neither of which PostgreSQL can store.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Rejected:
    """An invalid record."""

    #: Index in the answer's list, from 0.
    position: int
    reason: str
    #: None: it has no valid one.
    id: str | None


class _InvalidError(ValueError):
    pass


def read_json(raw: bytes | bytearray) -> object:
    """Decodes JSON, with numbers as Decimal, and with lone surrogates.

    Raises:
        ValueError: not JSON.
        RecursionError: nested too deeply.
    """
    # A float would round 0.99999999999999999999 to 1.
    return json.loads(raw.decode(), parse_float=_number, parse_int=_number, parse_constant=_no_constant)


def read_record(position: int, decoded: object, kind: Kind) -> Batch | ReportedJob | Rejected:
    """Reads one record of an answer, decoded by ``read_json``."""
    if not isinstance(decoded, dict):
        return Rejected(position, "not an object", None)
    record_id = None
    try:
        record_id = _id(decoded.get("id"))
        return _batch(record_id, decoded) if kind is Kind.BATCH else _job(record_id, decoded)
    except _InvalidError as error:
        return Rejected(position, str(error), record_id)


def _batch(batch_id: str, fields: _Fields) -> Batch:
    name, uploaded = _text("name", fields), _timestamp("uploaded", fields)
    return Batch(batch_id, name, uploaded, _count("images", fields), _count("numJobs", fields))


def _job(job_id: str, fields: _Fields) -> ReportedJob:
    return ReportedJob(
        job_id, _source_batch(fields), _text("name", fields), _text("status", fields), _person("labeler", fields),
        _person("reviewer", fields), trimmed(_text("createdBy", fields)), _timestamp("created", fields),
        _count("numImages", fields), _count("annotated", fields), _count("unannotated", fields),
        _count("approved", fields), _count("rejected", fields),
    )  # fmt: skip


def read_name(value: object) -> str | None:
    """A name that both databases can store; None: ``value`` is not a string."""
    return _UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else None


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # the exponent is too large, so the number is 0 or out of range
        return Decimal("Infinity" if text.lower().partition("e")[0].strip("-0.") else 0)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _id(value: object) -> str:
    if value is None:
        raise _InvalidError("id is missing")
    if not isinstance(value, str):
        raise _InvalidError(f"id is {_type(value)}, not a string")
    if not value:
        raise _InvalidError("id is empty")
    return _storable_id("id", value)


def _storable_id(key: str, value: str) -> str:
    if _UNSTORABLE.search(value):
        raise _InvalidError(f"{key} contains U+0000 or a lone surrogate")
    if len(value.encode()) > MAX_ID_BYTES:
        raise _InvalidError(f"{key} is longer than {MAX_ID_BYTES} bytes")
    return value


def _source_batch(fields: _Fields) -> str | None:
    batch_id = batch_in(_string("sourceBatch", fields))
    # Replacing characters, as in a name, would name a batch that isn't there, or another one.
    return None if batch_id is None else _storable_id("the batch of sourceBatch", batch_id)


def _string(key: str, fields: _Fields) -> str | None:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise _InvalidError(f"{key} is {_type(value)}, not a string")
    return value


def _text(key: str, fields: _Fields) -> str | None:
    return read_name(_string(key, fields))


def _person(key: str, fields: _Fields) -> str | None:
    return person(_text(key, fields)) if key in fields else None


def _count(key: str, fields: _Fields) -> int | None:
    return _whole(key, fields.get(key), MAX_COUNT)


def _whole(key: str, value: object, maximum: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, Decimal):
        raise _InvalidError(f"{key} is {_type(value)}, not a number")
    # Check the range first: 1e999999999 as an integer would not fit into memory.
    if not 0 <= value <= maximum:
        raise _InvalidError(f"{key} is not between 0 and {maximum}")
    if value != value.to_integral_value():
        raise _InvalidError(f"{key} is not a whole number")
    return int(value)


def _timestamp(key: str, fields: _Fields) -> int | None:
    value = fields.get(key)
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _InvalidError(f"{key} is {_type(value)}, not an object")
    seconds = _whole(f"{key}._seconds", value.get("_seconds"), MAX_SECONDS)
    if seconds is None:
        raise _InvalidError(f"{key} has no _seconds")
    nanoseconds = _whole(f"{key}._nanoseconds", value.get("_nanoseconds"), 999_999_999) or 0
    return seconds * 1_000_000 + nanoseconds // 1000


def _type(value: object) -> str:
    names = {bool: "true or false", str: "a string", list: "a list", dict: "an object", Decimal: "a number"}
    return names[type(value)]
