"""Whatever an API may answer, by chance or on purpose, it is read as the contract says or is a ``BadResponse``.

What ``parse`` accepts is compared with a second reader, which is slow, simple and written from the contract alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.api.answers import Answer, _quick, _unique, parse, parse_one, parse_projects
from rfsync.api.failures import describe_error, error_message
from rfsync.errors import BadResponse
from rfsync.records import Batch

CORPUS: Final = Path(__file__).parent / "corpus"
MAX_COUNT: Final = 2**53 - 1
LAST_SECOND: Final = 253_402_300_799  # 9999-12-31T23:59:59Z
#: Brackets with which the nesting may come near what a reader can follow; two readers give up at different depths.
SHALLOW: Final = 300

T = TypeVar("T")


# The second reader


class Written(str):
    """A number as it is written in the answer."""

    __slots__ = ()


class BreaksRuleError(Exception):
    pass


@dataclass(frozen=True)
class Expected:
    """What the contract makes of an answer that is a batch list."""

    batches: list[Batch]
    #: Records in it.
    total: int
    #: Position of each record rejected -> its id, None where it has no usable one.
    rejected: dict[int, str | None]


def _refuse(text: str) -> NoReturn:
    raise ValueError(text)


def expected_json(body: bytes) -> object:
    """Raises ``ValueError`` where the body is not JSON."""
    text = body.decode().removeprefix("\ufeff")
    return json.loads(text, parse_int=Written, parse_float=Written, parse_constant=_refuse)


def expected_whole(value: object, most: int) -> int:
    if not isinstance(value, Written):
        raise BreaksRuleError
    mantissa, _, exponent = value.lower().partition("e")
    before, _, after = mantissa.removeprefix("-").partition(".")
    digits = (before + after).lstrip("0")
    if not digits:
        return 0
    significant = digits.rstrip("0")
    # More than a few digits of an exponent are as good as endless, and are not to be counted out.
    shift = int(exponent.lstrip("+-0")[:7] or "0") * (-1 if exponent.startswith("-") else 1)
    shift += len(digits) - len(significant) - len(after)
    if mantissa.startswith("-") or shift < 0 or len(significant) + shift > len(str(most)):
        raise BreaksRuleError
    number = int(significant + "0" * shift)
    if number > most:
        raise BreaksRuleError
    return number


def expected_uploaded(value: object) -> int:
    if not isinstance(value, dict):
        raise BreaksRuleError
    seconds = expected_whole(value.get("_seconds"), LAST_SECOND)
    nanoseconds = value.get("_nanoseconds")
    return seconds * 10**6 + (0 if nanoseconds is None else expected_whole(nanoseconds, 10**9 - 1) // 1000)


def storable(char: str) -> bool:
    return char != "\0" and not "\ud800" <= char <= "\udfff"


def expected_id(record: object) -> str | None:
    """The id, if the record has a usable one."""
    value = record.get("id") if isinstance(record, dict) else None
    if not isinstance(value, str) or isinstance(value, Written) or not value or not all(map(storable, value)):
        return None
    return value if len(value.encode()) <= 2000 else None


def expected_batch(record: object) -> Batch | None:
    """The batch; None: it breaks the rules."""
    batch_id = expected_id(record)
    if batch_id is None or not isinstance(record, dict):
        return None
    name, uploaded, images, jobs = (record.get(key) for key in ("name", "uploaded", "images", "numJobs"))
    if name is not None and (not isinstance(name, str) or isinstance(name, Written)):
        return None
    try:
        return Batch(
            batch_id,
            None if name is None else "".join(char if storable(char) else "\ufffd" for char in name),
            None if uploaded is None else expected_uploaded(uploaded),
            None if images is None else expected_whole(images, MAX_COUNT),
            None if jobs is None else expected_whole(jobs, MAX_COUNT),
        )
    except BreaksRuleError:
        return None


def expected_answer(body: bytes) -> Expected | None:
    """What the contract makes of the answer; None: a bad response."""
    try:
        decoded = expected_json(body)
    except (ValueError, RecursionError):
        return None
    records = decoded.get("batches") if isinstance(decoded, dict) else decoded
    if not isinstance(records, list):
        return None
    read = [(expected_id(record), expected_batch(record)) for record in records]
    said: dict[str | None, list[Batch | None]] = {}
    for batch_id, batch in read:
        said.setdefault(batch_id, []).append(batch)
    batches: list[Batch] = []
    rejected: dict[int, str | None] = {}
    for position, (batch_id, batch) in enumerate(read):
        if batch is None or any(other != batch for other in said[batch_id]):
            rejected[position] = batch_id
        elif batch not in batches:
            batches.append(batch)
    batches.sort(key=lambda b: b.id)
    return None if 2 * len(rejected) > len(records) else Expected(batches, len(records), rejected)


def expected_one(body: bytes, batch_id: str) -> Batch | None:
    """The one batch of that id; None: a bad response."""
    try:
        decoded = expected_json(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(decoded, dict) and "id" not in decoded and "batch" in decoded:
        decoded = decoded["batch"]
    batch = expected_batch(decoded)
    return batch if batch is not None and batch.id == batch_id else None


# What holds for any bytes


def check(body: bytes) -> None:
    """All that is promised of any body, whichever way it came."""
    answer = or_none(parse, body)
    if answer is not None:
        check_answer(answer)
    asked = answer.batches[0].id if answer is not None and answer.batches else "a"
    one = or_none(lambda b: parse_one(b, asked), body)
    if one is not None:
        check_batch(one)
        assert one.id == asked
    check_projects(body)
    text = error_message(body)
    assert text is None or (text and text.encode() and "\n" not in text)
    assert describe_error(BadResponse("x", body=body), str).isprintable()
    if body.count(b"[") + body.count(b"{") <= SHALLOW:
        check_as_expected(answer, expected_answer(body))
        assert one == expected_one(body, asked)


def or_none(read: Callable[[bytes], T], body: bytes) -> T | None:
    """What is read; None for the one error that is allowed."""
    try:
        return read(body)
    except BadResponse as error:
        check_error(error, body)
        return None


def check_error(error: BadResponse, body: bytes) -> None:
    assert describe_error(error, str).isprintable()
    assert error.body is None or (len(error.body) <= 4096 and error.body in body)


def check_answer(answer: Answer) -> None:
    ids = [batch.id for batch in answer.batches]
    assert ids == sorted(set(ids))
    for batch in answer.batches:
        check_batch(batch)
    positions = [rejected.position for rejected in answer.rejected]
    assert positions == sorted(set(positions))
    assert not answer.rejected_ids & set(ids)
    assert all(rejected.reason for rejected in answer.rejected)


def check_batch(batch: Batch) -> None:
    assert 0 < len(batch.id.encode()) <= 2000
    for text in (batch.id, batch.name):
        assert text is None or (type(text) is str and all(map(storable, text)))
    limits = (
        (batch.uploaded_us, LAST_SECOND * 10**6 + 999_999),
        (batch.images, MAX_COUNT),
        (batch.num_jobs, MAX_COUNT),
    )
    for number, most in limits:
        assert number is None or (type(number) is int and 0 <= number <= most)


def check_as_expected(answer: Answer | None, expected: Expected | None) -> None:
    assert (answer is None) == (expected is None)
    if answer is not None and expected is not None:
        assert list(answer.batches) == expected.batches
        assert {rejected.position: rejected.id for rejected in answer.rejected} == expected.rejected
        assert all(0 <= rejected.position < expected.total for rejected in answer.rejected)
        assert 2 * len(answer.rejected) <= expected.total


def check_projects(body: bytes) -> None:
    read = or_none(parse_projects, body)
    if read is not None:
        projects, skipped = read
        for project, name in projects.items():
            assert project.isprintable()
            assert not set(project) & set("/?#\\ ")
            assert project not in {"", ".", ".."}
            assert name is None or all(map(storable, name))
        assert all(skipped)


# Bodies: JSON as text, since it is the writing that is odd

#: Small whole numbers, in any way they can be written.
SMALL: Final = (
    *("0", "-0", "0.0", "-0.0e0", "0e999999", "0e-999999", "0e99999999999999999999", "-0.0E-99999999999999999999"),
    *("1", "5", "5.0", "5e0", "5E+0", "50e-1", "0.5e1", "0.0005e+0004", "5" + "0" * 500 + "e-500", "5." + "0" * 5000),
)
#: Numbers at the bounds and beyond, whole ones and others.
NUMBERS: Final = (
    *(str(MAX_COUNT), f"{MAX_COUNT}.0", "9.007199254740991e15", str(2**53), f"{MAX_COUNT}.5", "9007199254740990.99999"),
    *(str(LAST_SECOND), str(LAST_SECOND + 1), "999999999", "1e9", "999999999.0", "2147483648", "18446744073709551616"),
    *("-1", "-5e0", "1.5", "0.99999999999999999999", "1e-400", "1e400", "-1e400", "1e999999999999", "5e-1"),
    *("1e99999999999999999999", "1e-99999999999999999999", "9" * 5000, "-" + "9" * 5000, "0." + "0" * 5000 + "1"),
)
#: No JSON at all, although some readers take them.
NO_NUMBERS: Final = ("NaN", "Infinity", "-Infinity", "01", "+1", "1.", ".5", "-", "1e", "0x1", "1_0", "1e1.0", "--1")
STRINGS: Final = (
    *(r'"\ud800"', r'"\udc00"', r'"x\ud800y"', r'"\ud83d\ude00"', r'"\ude00\ud83d"', r'"\uD800\u0000"'),
    *(r'"\u0000"', r'"\\u0000"', r'"\\\u0000"', r'"a\u0000"', '"\ufffd"', '"\ufeff"', '"\U0001f600"', '"\x7f\x85"'),
    *('""', '"a"', '"b"', r'"\u0061"', r'"\"\\\/\b\f\n\r\t"', '"é"', r'"\u00e9"', '"w/a"', '"w/.."', '"a b"', '"5"'),
    *('"' + char * times + '"' for char, times in (("a", 501), ("a", 2000), ("a", 2001), ("é", 1000), ("é", 1001))),
)
NO_STRINGS: Final = (r'"\q"', r'"\u12"', r'"\u12g4"', r'"\ud8"', '"\t"', '"\0"', "'a'", '"', r'"\"', r'"\ud800\u"')
KEYS: Final = ("id", "name", "images", "numJobs", "uploaded", "_seconds", "_nanoseconds", "batches", "batch", "x")
WORKSPACE_KEYS: Final = ("workspace", "projects", "id", "name", "error", "message")
DEEP: Final = ("[" * 100 + "]" * 100, '{"a":' * 100 + "1" + "}" * 100)
TOO_DEEP: Final = ("[" * 100_000 + "]" * 100_000, '{"a":' * 100_000)

Text = st.SearchStrategy[str]
spaces: Text = st.sampled_from(["", "", "", " ", "\n", "\t\r\n "])
numbers: Text = st.sampled_from(SMALL + NUMBERS) | st.integers(-9, 10**20).map(str)
strings: Text = st.sampled_from(STRINGS) | st.text(max_size=4).map(json.dumps)
scalars: Text = numbers | strings | st.sampled_from(["null", "true", "false"])


def mostly(often: Text, seldom: Text) -> Text:
    return st.integers(0, 15).flatmap(lambda n: seldom if n == 9 else often)


def written_list(values: Text, most: int) -> Text:
    return st.tuples(spaces, st.lists(values, max_size=most)).map(lambda t: f"[{t[0]}{(',' + t[0]).join(t[1])}{t[0]}]")


def written_object(*fields: Text) -> Text:
    """An object of some of these fields, in any order, some twice."""
    chosen = st.lists(st.integers(0, len(fields) - 1), max_size=len(fields) + 1)
    some = chosen.flatmap(lambda indices: st.tuples(*(fields[n] for n in indices)))
    return st.tuples(spaces, some).map(lambda t: "{" + t[0] + f"{t[0]},".join(t[1]) + t[0] + "}")


def field(key: str, values: Text) -> Text:
    return values.map(lambda value: f'"{key}":{value}')


anything: Text = st.recursive(
    scalars,
    lambda inner: st.one_of(
        written_list(inner, 4),
        written_object(*(field(key, inner) for key in KEYS)),
        written_object(*(field(key, inner) for key in WORKSPACE_KEYS)),
    ),
    max_leaves=6,
)
ids = mostly(st.sampled_from("abcdefgh").map(json.dumps), strings | scalars)
counts = mostly(st.sampled_from([*SMALL, "null"]), scalars)
timestamps = mostly(st.tuples(field("_seconds", counts), field("_nanoseconds", counts)).map(",".join), st.just('"x":1'))
known = (
    field("name", mostly(strings | st.just("null"), scalars)),
    field("images", counts),
    field("numJobs", counts),
    field("uploaded", mostly(timestamps.map(lambda fields: f"{{{fields}}}"), anything)),
    field("x", mostly(anything, st.sampled_from(DEEP))),
)
records = mostly(
    st.one_of(
        st.sampled_from("abcdefgh").map(lambda batch_id: f'{{"id":"{batch_id}","images":5,"name":"x"}}'),
        st.tuples(field("id", ids), st.one_of(*known)).map(lambda fields: f"{{{','.join(fields)}}}"),
        st.tuples(*known, field("id", ids)).map(lambda fields: f"{{{','.join(fields)}}}"),
    ),
    anything | written_object(field("id", ids), field("id", ids), *known),
)
lists = written_list(records, 8)
projects = written_list(anything | strings.map(lambda value: f'{{"id":{value},"name":{value}}}'), 4)
answers = st.one_of(
    lists,
    lists.map(lambda value: f'{{"batches":{value}}}'),
    st.tuples(anything, lists).map(lambda t: f'{{"batches":{t[0]},"x":{t[0]},"batches":{t[1]}}}'),
)
other_answers = st.one_of(
    records,
    records.map(lambda value: f'{{"batch":{value}}}'),
    projects.map(lambda value: f'{{"workspace":{{"projects":{value}}}}}'),
    st.tuples(strings, anything).map(lambda t: f'{{"x":{t[1]},"error":{{"message":{t[0]},"x":{t[1]}}}}}'),
    anything,
)
bodies = st.booleans().flatmap(lambda other: other_answers if other else answers).map(str.encode)
#: What an answer can be spoilt with, at any place.
SPOILERS: Final = (
    *(b"", b"\xff", b"\xc0\xaf", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xc3", b"\x80"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\x1f", b"\\u0000", b"\\ud800", b"\\", b'"', b",", b"]", b"}", b"[", b"{"),
    *(
        text.encode()
        for text in (*NO_NUMBERS, *NO_STRINGS, *TOO_DEEP, "1e400", "null", "true", '"id":"a",', "[]", "{}")
    ),
)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A body changed at a few places: bytes flipped, a part cut out, repeated, or put in from elsewhere."""
    body = draw(bodies)
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.sampled_from([0, 0, 1, 2, 8, 64, 10_000])))
        part = body[start:end]
        new = draw(
            st.one_of(
                st.sampled_from([*SPOILERS, part * 2, part[::-1], bytes(byte ^ 0x20 for byte in part)]),
                st.binary(max_size=4),
                bodies.map(lambda other: other[:40]),
            )
        )
        body = body[:start] + new + body[end:]
    return body


@settings(max_examples=100)
@given(bodies)
def test_json_that_is_nearly_an_answer_is_read_as_the_contract_says(body: bytes) -> None:
    check(body)


@settings(max_examples=100)
@given(spoilt() | st.binary(max_size=30))
def test_a_spoilt_answer_is_read_as_the_contract_says(body: bytes) -> None:
    check(body)


@settings(max_examples=20)
@given(bodies, st.sampled_from(["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "latin-1", "utf-7"]))
def test_an_answer_in_another_encoding_is_read_as_the_contract_says(body: bytes, encoding: str) -> None:
    check(body.decode("utf-8", "replace").encode(encoding, "replace"))


@pytest.mark.parametrize(
    "literal", ["null", "true", "[]", "{}", *SMALL, *NUMBERS, *NO_NUMBERS, *STRINGS, *NO_STRINGS, *DEEP, *TOO_DEEP]
)
def test_an_odd_literal_is_read_as_the_contract_says_wherever_it_stands(literal: str) -> None:
    for field_name in ("id", "name", "images", "uploaded", "x"):
        record = f'{{"id":"a","{field_name}":{literal}}}'
        for body in (record, f'[{record},{{"id":"b"}}]', f'{{"x":{literal},"batches":[{record},{{"id":"b"}}]}}'):
            check(body.encode())
    for body in (
        literal,
        f'[{{"id":"a","uploaded":{{"_seconds":{literal}}}}}]',
        f'[{{"id":"a","uploaded":{{"_seconds":1,"_nanoseconds":{literal}}}}}]',
        f'[{{"id":"b"}},{literal}]',
        f'{{"workspace":{{"projects":[{{"id":{literal},"name":{literal}}}]}}}}',
        f'{{"error":{literal},"x":{literal}}}',
    ):
        check(body.encode())


@pytest.mark.parametrize("file", sorted(CORPUS.iterdir()), ids=lambda file: file.name)
def test_a_body_that_was_worth_keeping_is_read_as_the_contract_says(file: Path) -> None:
    check(file.read_bytes())


@pytest.mark.parametrize("written", ["0e99999999999999999999", "-0.0E-99999999999999999999"])
def test_nothing_is_nothing_with_any_exponent(written: str) -> None:
    assert list(parse(f'[{{"id":"a","images":{written}}}]'.encode()).batches) == [Batch("a", None, None, 0, None)]


def test_a_field_of_the_envelope_twice_is_read_as_the_last_of_them() -> None:
    assert list(parse(b'{"batches":null,"batches":[{"id":"a"}]}').batches) == [Batch("a", None, None, None, None)]
    with pytest.raises(BadResponse, match="no batch list"):
        parse(b'{"batches":[{"id":"a"}],"batches":null}')


@pytest.mark.parametrize("body", [b"404 page not found", b'"x" y', b"null]", b'{"batches":5,'])
def test_what_only_begins_as_json_is_not_called_json(body: bytes) -> None:
    with pytest.raises(BadResponse, match="not JSON"):
        parse(body)


def test_a_record_nested_too_deeply_for_the_quick_reader_is_left_to_the_slow_one() -> None:
    assert _quick(msgspec.Raw(b'{"id":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")) is None


class NeverHashed(Batch, frozen=True, gc=False):
    """A batch of which the hash is not to be relied on: many can be made that have the same."""

    def __hash__(self) -> int:
        raise AssertionError


def test_batches_are_told_apart_without_their_hashes() -> None:
    first, again, other, alone = (
        NeverHashed(id_, None, None, n, 0) for id_, n in (("b", 1), ("b", 1), ("c", 1), ("a", 1))
    )
    assert _unique([first, other, again, alone]) == ([first, other, alone], set())
    assert _unique([first, other, NeverHashed("b", None, None, 2, 0)]) == ([other], {"b"})
