"""The slow, exact reader of one record: accepts all that the contract accepts, and says why it rejects the rest.

The quick decoder refuses a count written ``5.0`` and a name with half of a surrogate pair, which are both fine; it
also can't say of a record that it refuses what its id was. This reader is asked only for such records.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final, NoReturn

from rfsync.batch import MAX_COUNT, MAX_ID_BYTES, MAX_SECONDS

# PostgreSQL can store neither.
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Record:
    """A valid record; units and None as in ``batch.Batch``."""

    id: str
    name: str | None
    uploaded_us: int | None
    images: int | None
    num_jobs: int | None


@dataclass(frozen=True, slots=True)
class Broken:
    """A record that breaks the rules; ``id`` is None where it has no usable one."""

    reason: str
    id: str | None


class _BrokenRuleError(ValueError):
    pass


def read_json(raw: bytes | bytearray) -> object:
    """Any JSON, with its numbers as Decimal and halves of surrogate pairs as they stand.

    Raises:
        ValueError: not JSON.
        RecursionError: nested too deeply.
    """
    # Decimal keeps what a float rounds away: 0.99999999999999999999 is no 1.
    return json.loads(raw.decode(), parse_float=_number, parse_int=_number, parse_constant=_no_constant)


def read_record(decoded: object) -> Record | Broken:
    """Reads one record of an answer from what ``read_json`` made of it."""
    if not isinstance(decoded, dict):
        return Broken("not an object", None)
    try:
        batch_id = _id(decoded.get("id"))
    except _BrokenRuleError as error:
        return Broken(str(error), None)
    try:
        return Record(
            batch_id,
            _name(decoded.get("name")),
            _uploaded(decoded.get("uploaded")),
            _count("images", decoded.get("images")),
            _count("numJobs", decoded.get("numJobs")),
        )
    except _BrokenRuleError as error:
        return Broken(str(error), batch_id)


def read_name(value: object) -> str | None:
    """A name as both databases can store it; None: there is none."""
    return _UNSTORABLE.sub("\ufffd", value) if isinstance(value, str) else None


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all reason: of nothing still nothing, else out of any range
        return Decimal("Infinity" if text.lower().partition("e")[0].strip("-0.") else 0)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _id(value: object) -> str:
    if value is None:
        raise _BrokenRuleError("id is missing")
    if not isinstance(value, str):
        raise _BrokenRuleError(f"id is {_kind(value)}, not a string")
    if not value:
        raise _BrokenRuleError("id is empty")
    if _UNSTORABLE.search(value):
        raise _BrokenRuleError("id contains U+0000 or a lone surrogate")
    if len(value.encode()) > MAX_ID_BYTES:
        raise _BrokenRuleError(f"id is longer than {MAX_ID_BYTES} bytes")
    return value


def _name(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise _BrokenRuleError(f"name is {_kind(value)}, not a string")
    return _UNSTORABLE.sub("\ufffd", value)


def _count(key: str, value: object) -> int | None:
    return None if value is None else _whole(key, value, MAX_COUNT)


def _whole(key: str, value: object, most: int) -> int:
    if not isinstance(value, Decimal):
        raise _BrokenRuleError(f"{key} is {_kind(value)}, not a number")
    # The bounds come first: a whole number from 1e999999999 would not fit into memory.
    if not 0 <= value <= most:
        raise _BrokenRuleError(f"{key} is not between 0 and {most}")
    if value != value.to_integral_value():
        raise _BrokenRuleError(f"{key} is not a whole number")
    return int(value)


def _uploaded(value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _BrokenRuleError(f"uploaded is {_kind(value)}, not an object")
    if value.get("_seconds") is None:
        raise _BrokenRuleError("uploaded has no _seconds")
    seconds = _whole("uploaded._seconds", value["_seconds"], MAX_SECONDS)
    nanoseconds = value.get("_nanoseconds")
    if nanoseconds is None:
        return seconds * 1_000_000
    return seconds * 1_000_000 + _whole("uploaded._nanoseconds", nanoseconds, 999_999_999) // 1000


def _kind(value: object) -> str:
    kinds = {bool: "true or false", str: "a string", list: "a list", dict: "an object", Decimal: "a number"}
    return kinds[type(value)]
