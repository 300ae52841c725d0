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

from rfsync.api.answers import Answer, Reported, _quick, _unique, parse, parse_one, parse_projects
from rfsync.api.failures import describe_error, error_message
from rfsync.api.list_kind import list_kind
from rfsync.errors import BadResponse
from rfsync.records import Batch, Kind, ReportedJob

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
    """What the contract makes of an answer that is a list of one kind."""

    records: list[Reported]
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


def expected_text(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or isinstance(value, Written):
        raise BreaksRuleError
    return "".join(char if storable(char) else "\ufffd" for char in value)


def expected_count(value: object) -> int | None:
    return None if value is None else expected_whole(value, MAX_COUNT)


def expected_time(value: object) -> int | None:
    return None if value is None else expected_uploaded(value)


def expected_source(value: object) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, Written) or not isinstance(value, str):
        raise BreaksRuleError
    batch_id = value.split("/")[-1]
    if batch_id and expected_id({"id": batch_id}) is None:
        raise BreaksRuleError
    return batch_id or None


def expected_person(record: dict[str, object], key: str) -> str | None:
    return (expected_text(record[key]) or "").strip() if key in record else None


def expected_batch(batch_id: str, record: dict[str, object]) -> Batch:
    return Batch(
        batch_id,
        expected_text(record.get("name")),
        expected_time(record.get("uploaded")),
        expected_count(record.get("images")),
        expected_count(record.get("numJobs")),
    )


def expected_job(job_id: str, record: dict[str, object]) -> ReportedJob:
    created_by = expected_text(record.get("createdBy"))
    return ReportedJob(
        id=job_id,
        batch_id=expected_source(record.get("sourceBatch")),
        name=expected_text(record.get("name")),
        status=expected_text(record.get("status")),
        labeler=expected_person(record, "labeler"),
        reviewer=expected_person(record, "reviewer"),
        created_by=None if created_by is None else created_by.strip(),
        created_us=expected_time(record.get("created")),
        num_images=expected_count(record.get("numImages")),
        annotated=expected_count(record.get("annotated")),
        unannotated=expected_count(record.get("unannotated")),
        approved=expected_count(record.get("approved")),
        rejected=expected_count(record.get("rejected")),
    )


def expected_record(record: object, kind: Kind) -> Reported | None:
    """The record; None: it breaks the rules."""
    record_id = expected_id(record)
    if record_id is None or not isinstance(record, dict):
        return None
    try:
        return {Kind.BATCH: expected_batch, Kind.JOB: expected_job}[kind](record_id, record)
    except BreaksRuleError:
        return None


def expected_answer(body: bytes, kind: Kind) -> Expected | None:
    """What the contract makes of the answer; None: a bad response."""
    try:
        decoded = expected_json(body)
    except (ValueError, RecursionError):
        return None
    listed = decoded.get(kind.value) if isinstance(decoded, dict) else decoded
    if not isinstance(listed, list):
        return None
    read = [(expected_id(record), expected_record(record, kind)) for record in listed]
    said: dict[str | None, list[Reported | None]] = {}
    for record_id, record in read:
        said.setdefault(record_id, []).append(record)
    records: list[Reported] = []
    rejected: dict[int, str | None] = {}
    for position, (record_id, record) in enumerate(read):
        if record is None or any(other != record for other in said[record_id]):
            rejected[position] = record_id
        elif record not in records:
            records.append(record)
    records.sort(key=lambda r: r.id)
    return None if 2 * len(rejected) > len(listed) else Expected(records, len(listed), rejected)


def expected_one(body: bytes, record_id: str, kind: Kind) -> Reported | None:
    """The one record of that id; None: a bad response."""
    try:
        decoded = expected_json(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(decoded, dict) and "id" not in decoded and kind.one in decoded:
        decoded = decoded[kind.one]
    record = expected_record(decoded, kind)
    return record if record is not None and record.id == record_id else None


# What holds for any bytes


def check(body: bytes) -> None:
    """All that is promised of any body, whichever way it came."""
    for kind in Kind:
        check_records(body, kind)
    assert or_none(list_kind, body) in {None, *Kind}
    check_projects(body)
    text = error_message(body)
    assert text is None or (text and text.encode() and "\n" not in text)
    assert describe_error(BadResponse("x", body=body), str).isprintable()


def check_records(body: bytes, kind: Kind) -> None:
    answer = or_none(lambda b: parse(b, kind), body)
    if answer is not None:
        check_answer(answer)
    asked = answer.records[0].id if answer is not None and answer.records else "a"
    one = or_none(lambda b: parse_one(b, asked, kind), body)
    if one is not None:
        check_record(one)
        assert one.id == asked
    if body.count(b"[") + body.count(b"{") <= SHALLOW:
        check_as_expected(answer, expected_answer(body, kind))
        assert one == expected_one(body, asked, kind)


def or_none(read: Callable[[bytes], T], body: bytes) -> T | None:
    """What is read; None for the one error that is allowed."""
    try:
        return read(body)
    except BadResponse as error:
        check_error(error, body)
        return None


def check_error(error: BadResponse, body: bytes) -> None:
    shown = describe_error(error, str)
    assert shown.isprintable()
    assert "@" not in shown
    assert error.body is None or (len(error.body) <= 4096 and error.body in body)


def check_answer(answer: Answer[Reported]) -> None:
    ids = [record.id for record in answer.records]
    assert ids == sorted(set(ids))
    for record in answer.records:
        check_record(record)
    positions = [rejected.position for rejected in answer.rejected]
    assert positions == sorted(set(positions))
    assert not answer.rejected_ids & set(ids)
    assert all(rejected.reason for rejected in answer.rejected)


def check_record(record: Reported) -> None:
    """Each field is none, a text that can be stored, or a number within its limits."""
    for field_name, value in msgspec.structs.asdict(record).items():
        if field_name in {"id", "batch_id"}:
            assert value is None or 0 < len(value.encode()) <= 2000
        if type(value) is str:
            assert all(map(storable, value))
        else:
            most = LAST_SECOND * 10**6 + 999_999 if field_name.endswith("_us") else MAX_COUNT
            assert value is None or (type(value) is int and 0 <= value <= most)


def check_as_expected(answer: Answer[Reported] | None, expected: Expected | None) -> None:
    assert (answer is None) == (expected is None)
    if answer is not None and expected is not None:
        assert list(answer.records) == expected.records
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
KEYS: Final = (
    *("id", "name", "images", "numJobs", "uploaded", "_seconds", "_nanoseconds", "batches", "batch", "x"),
    *("jobs", "job", "numImages", "annotated", "sourceBatch", "labeler", "createdBy", "created"),
)
WORKSPACE_KEYS: Final = ("workspace", "projects", "id", "name", "error", "message")
SOURCES: Final = (
    *("b", "p/b", "p/q/b", "p/", "/", "", "\0/b", "p/b\0", "p/\ud800", "\ud800/b", "p/" + "b" * 2000, "p" * 2001),
)
PEOPLE: Final = (
    *("null", '""', '" "', '"ann@example.com"', r'" ann@example.com\n"', r'"\u0000"', r'"\ud800 "', r'"\u2028"'),
)
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
texts = mostly(strings | st.just("null"), scalars)
moments = mostly(timestamps.map(lambda fields: f"{{{fields}}}"), anything)
beside = field("x", mostly(anything, st.sampled_from(DEEP)))
known = {
    Kind.BATCH: (
        field("name", texts),
        field("images", counts),
        field("numJobs", counts),
        field("uploaded", moments),
        beside,
    ),
    Kind.JOB: (
        field("sourceBatch", mostly(st.sampled_from(SOURCES).map(json.dumps), texts)),
        st.one_of(*(field(key, texts) for key in ("name", "status", "createdBy"))),
        st.one_of(*(field(key, mostly(st.sampled_from(PEOPLE), texts)) for key in ("labeler", "reviewer"))),
        st.one_of(*(field(key, counts) for key in ("numImages", "annotated", "unannotated", "approved", "rejected"))),
        field("created", moments),
        beside,
    ),
}


def written_records(kind: Kind) -> Text:
    count = "images" if kind is Kind.BATCH else "numImages"
    return mostly(
        st.one_of(
            st.sampled_from("abcdefgh").map(lambda record_id: f'{{"id":"{record_id}","{count}":5,"name":"x"}}'),
            st.tuples(field("id", ids), st.one_of(*known[kind])).map(lambda fields: f"{{{','.join(fields)}}}"),
            st.tuples(*known[kind], field("id", ids)).map(lambda fields: f"{{{','.join(fields)}}}"),
        ),
        anything | written_object(field("id", ids), field("id", ids), *known[kind]),
    )


def written_answers(kind: Kind) -> Text:
    lists = written_list(written_records(kind), 8)
    return st.one_of(
        lists,
        lists.map(lambda value: f'{{"{kind}":{value}}}'),
        st.tuples(anything, lists).map(lambda t: f'{{"{kind}":{t[0]},"x":{t[0]},"{kind}":{t[1]}}}'),
    )


projects = written_list(anything | strings.map(lambda value: f'{{"id":{value},"name":{value}}}'), 4)
answers = st.sampled_from(Kind).flatmap(written_answers)
records = st.sampled_from(Kind).flatmap(written_records)
other_answers = st.one_of(
    records,
    records.map(lambda value: f'{{"batch":{value}}}'),
    records.map(lambda value: f'{{"job":{value}}}'),
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
    for field_name in ("id", "name", "images", "uploaded", "x", "labeler", "sourceBatch", "approved", "createdBy"):
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
    assert list(parse(f'[{{"id":"a","images":{written}}}]'.encode()).records) == [Batch("a", None, None, 0, None)]


def test_a_field_of_the_envelope_twice_is_read_as_the_last_of_them() -> None:
    assert list(parse(b'{"batches":null,"batches":[{"id":"a"}]}').records) == [Batch("a", None, None, None, None)]
    with pytest.raises(BadResponse, match="no batch list"):
        parse(b'{"batches":[{"id":"a"}],"batches":null}')


@pytest.mark.parametrize("body", [b"404 page not found", b'"x" y', b"null]", b'{"batches":5,'])
def test_what_only_begins_as_json_is_not_called_json(body: bytes) -> None:
    with pytest.raises(BadResponse, match="not JSON"):
        parse(body)


def test_a_record_nested_too_deeply_for_the_quick_reader_is_left_to_the_slow_one() -> None:
    assert _quick(msgspec.Raw(b'{"id":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), Kind.BATCH) is None


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
