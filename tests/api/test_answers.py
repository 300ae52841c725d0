"""What is made of an answer: the table of the contract's section 2, line by line, and what holds for any bytes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.api.answers import Answer, _parse_each, parse, parse_one, parse_projects
from rfsync.api.failures import describe_error, error_hint, error_message
from rfsync.api.lenient import Rejected
from rfsync.errors import BadResponse, ErrorKind, FetchError
from rfsync.records import Batch, Kind

MAX_COUNT = 2**53 - 1
LAST_SECOND = 253_402_300_799  # 9999-12-31T23:59:59Z
NEAR_ONE = "0.99999999999999999999"  # a float would make 1 of it
LONE = r"\ud800"  # half of a surrogate pair


def bare(*records: str) -> bytes:
    return f"[{','.join(records)}]".encode()


def enveloped(*records: str) -> bytes:
    return f'{{"batches":[{",".join(records)}]}}'.encode()


def batch(id_: str = "a", **known: Any) -> Batch:
    return Batch(id_, *(known.get(name) for name in ("name", "uploaded_us", "images", "num_jobs")))


# What is accepted


def test_the_documented_answer_is_understood() -> None:
    body = b"""{"batches": [
      {"name": "Uploaded on 11/22/22 at 1:39 pm", "numJobs": 2, "images": 115,
       "uploaded": {"_seconds": 1669146024, "_nanoseconds": 818000000}, "id": "<BATCH_ID 1>"},
      {"numJobs": 0, "images": 11, "uploaded": {"_seconds": 1669236873, "_nanoseconds": 47000000},
       "name": "Upload via API", "id": "<BATCH_ID 2>"}]}"""
    answer = parse(body)
    assert list(answer.records) == [
        Batch("<BATCH_ID 1>", "Uploaded on 11/22/22 at 1:39 pm", 1_669_146_024_818_000, 115, 2),
        Batch("<BATCH_ID 2>", "Upload via API", 1_669_236_873_047_000, 11, 0),
    ]
    assert tuple(answer.rejected) == ()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param('{"id":"a"}', batch(), id="only-an-id"),
        pytest.param('{"id":"a","x":[1.5,{"y":null}],"images":1}', batch(images=1), id="unknown-fields"),
        pytest.param('{"id":"a","x":123456789012345678901234567890e99999}', batch(), id="unknown-huge-number"),
        pytest.param('{"id":"a","images":null,"numJobs":null}', batch(), id="counts-null"),
        pytest.param('{"id":"a","name":null,"uploaded":null}', batch(), id="name-and-uploaded-null"),
        pytest.param('{"id":"a","name":""}', batch(name=""), id="empty-name-is-a-name"),
        pytest.param('{"id":" a\\n/?#"}', batch(" a\n/?#"), id="ids-are-opaque"),
        pytest.param('{"id":"' + "é" * 1000 + '"}', batch("é" * 1000), id="id-of-2000-bytes"),
        pytest.param('{"id":"a","name":"\\ud83d\\ude00"}', batch(name="\U0001f600"), id="whole-surrogate-pair"),
        pytest.param('{"id":"a","name":"\\\\u0000"}', batch(name="\\u0000"), id="escaped-backslash-is-no-nul"),
        pytest.param('{"id":"a","name":"x\\u0000y"}', batch(name="x\ufffdy"), id="nul-in-name-replaced"),
        pytest.param(f'{{"id":"a","name":"x{LONE}y"}}', batch(name="x\ufffdy"), id="lone-surrogate-in-name-replaced"),
        pytest.param(f'{{"id":"a","x":"{LONE}"}}', batch(), id="lone-surrogate-in-unknown-field"),
        pytest.param('{"id":"a","uploaded":{"_seconds":7}}', batch(uploaded_us=7_000_000), id="nanoseconds-absent"),
        pytest.param(
            '{"id":"a","uploaded":{"_seconds":7,"_nanoseconds":1999}}', batch(uploaded_us=7_000_001), id="whole-micros"
        ),
        pytest.param(
            '{"id":"a","uploaded":{"_seconds":7,"_nanoseconds":999999999}}', batch(uploaded_us=7_999_999), id="no-round"
        ),
        pytest.param('{"id":"a","uploaded":{"_seconds":0}}', batch(uploaded_us=0), id="first-second"),
        pytest.param(
            f'{{"id":"a","uploaded":{{"_seconds":{LAST_SECOND}}}}}',
            batch(uploaded_us=LAST_SECOND * 1_000_000),
            id="last-second",
        ),
        pytest.param(
            '{"id":"a","uploaded":{"_seconds":7.0,"_nanoseconds":2e3,"_zone":1}}',
            batch(uploaded_us=7_000_002),
            id="7.0",
        ),
        pytest.param('{"id":"b","id":"a"}', batch(), id="a-field-twice-the-last-counts"),
    ],
)
def test_a_record_is_read(record: str, expected: Batch) -> None:
    for body in (bare(record), enveloped(record), b" " + bare(record) + b"\r\n"):
        for read in (parse, lambda b: _parse_each(b, Kind.BATCH)):
            answer = read(body)
            assert (list(answer.records), list(answer.rejected)) == ([expected], [])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("0", 0),
        ("-0", 0),
        ("-0.0", 0),
        ("5", 5),
        ("5.0", 5),
        ("5e0", 5),
        ("50e-1", 5),
        ("0.5E+1", 5),
        ("0e999999999", 0),
        (str(MAX_COUNT), MAX_COUNT),
        (f"{MAX_COUNT}.0", MAX_COUNT),
        ("9.007199254740991e15", MAX_COUNT),
        ("5" + "0" * 5000 + "e-5000", 5),
    ],
)
def test_a_count_may_be_written_in_any_way_that_means_a_whole_number(written: str, meant: int) -> None:
    (read,) = parse(bare(f'{{"id":"a","images":{written},"numJobs":{written}}}')).records
    assert (read.images, read.num_jobs) == (meant, meant)
    assert type(read.images) is int


@pytest.mark.parametrize("body", [b"[]", b'{"batches":[]}', b"\xef\xbb\xbf[]", b" [ ] "])
def test_an_empty_list_is_a_normal_answer(body: bytes) -> None:
    answer = parse(body)
    assert (list(answer.records), list(answer.rejected)) == ([], [])


def test_a_byte_order_mark_is_skipped() -> None:
    bom = b"\xef\xbb\xbf"
    assert list(parse(bom + bare('{"id":"a"}')).records) == [batch()]
    assert parse_one(bom + b'{"id":"a"}', "a") == batch()
    assert parse_projects(bom + b'{"workspace":{"projects":[{"id":"w/p"}]}}') == ({"p": None}, [])


def test_a_bytearray_is_read_as_bytes_are() -> None:
    body = bare('{"id":"a","images":5.0}', '{"id":"b","name":"\\u0000"}')
    assert parse(bytearray(body)) == parse(body)


def test_batches_come_in_the_order_of_their_ids_by_code_point() -> None:
    ids = ["\U0001f600", "b", "B", "\uffff", "aa", "a", "é", "10", "9"]
    answer = parse(json.dumps([{"id": i} for i in ids]).encode())
    assert [b.id for b in answer.records] == ["10", "9", "B", "a", "aa", "b", "é", "\uffff", "\U0001f600"]


# What is rejected


@pytest.mark.parametrize(
    ("record", "id_", "reason"),
    [
        pytest.param("5", None, "not an object", id="number"),
        pytest.param("null", None, "not an object", id="null"),
        pytest.param('["a"]', None, "not an object", id="list"),
        pytest.param('{"name":"x"}', None, "id is missing", id="id-absent"),
        pytest.param('{"id":null}', None, "id is missing", id="id-null"),
        pytest.param('{"id":""}', None, "id is empty", id="id-empty"),
        pytest.param('{"id":7}', None, "id is a number", id="id-number"),
        pytest.param('{"id":true}', None, "id is true or false", id="id-bool"),
        pytest.param('{"id":{}}', None, "id is an object", id="id-object"),
        pytest.param('{"id":"x\\u0000"}', None, "U+0000", id="id-nul"),
        pytest.param(f'{{"id":"x{LONE}"}}', None, "lone surrogate", id="id-lone-surrogate"),
        pytest.param('{"id":"' + "é" * 1001 + '"}', None, "longer than 2000 bytes", id="id-too-long-for-an-index"),
        pytest.param('{"id":"x","name":5}', "x", "name is a number", id="name-number"),
        pytest.param('{"id":"x","name":true}', "x", "name is true or false", id="name-bool"),
        pytest.param('{"id":"x","name":[]}', "x", "name is a list", id="name-list"),
        pytest.param('{"id":"x","images":true}', "x", "images is true or false", id="count-bool"),
        pytest.param('{"id":"x","images":"5"}', "x", "images is a string", id="count-string"),
        pytest.param('{"id":"x","images":[5]}', "x", "images is a list", id="count-list"),
        pytest.param('{"id":"x","images":-1}', "x", "images is not between 0", id="count-negative"),
        pytest.param('{"id":"x","images":-0.5}', "x", "images is not between 0", id="count-negative-fraction"),
        pytest.param('{"id":"x","numJobs":1.5}', "x", "numJobs is not a whole", id="count-fractional"),
        pytest.param(f'{{"id":"x","numJobs":{NEAR_ONE}}}', "x", "numJobs is not a whole", id="count-nearly-one"),
        pytest.param('{"id":"x","images":1e-400}', "x", "images is not a whole", id="count-nearly-zero"),
        pytest.param(f'{{"id":"x","images":{2**53}}}', "x", "images is not between", id="count-2^53"),
        pytest.param(f'{{"id":"x","images":{MAX_COUNT}.5}}', "x", "images is not between", id="count-past-the-last"),
        pytest.param('{"id":"x","images":1e400}', "x", "images is not between", id="count-1e400"),
        pytest.param('{"id":"x","images":1e999999999999}', "x", "images is not between", id="count-huge-exponent"),
        pytest.param('{"id":"x","images":1e99999999999999999999}', "x", "images is not between", id="beyond-decimal"),
        pytest.param('{"id":"x","images":' + "9" * 5000 + "}", "x", "images is not between", id="5000-digits"),
        pytest.param('{"id":"x","uploaded":7}', "x", "uploaded is a number", id="uploaded-number"),
        pytest.param('{"id":"x","uploaded":"2022"}', "x", "uploaded is a string", id="uploaded-string"),
        pytest.param('{"id":"x","uploaded":{}}', "x", "no _seconds", id="seconds-absent"),
        pytest.param('{"id":"x","uploaded":{"_seconds":null}}', "x", "no _seconds", id="seconds-null"),
        pytest.param('{"id":"x","uploaded":{"_nanoseconds":1}}', "x", "no _seconds", id="nanoseconds-alone"),
        pytest.param('{"id":"x","uploaded":{"_seconds":-1}}', "x", "_seconds is not between", id="year-1969"),
        pytest.param(
            f'{{"id":"x","uploaded":{{"_seconds":{LAST_SECOND + 1}}}}}', "x", "_seconds is not between", id="year-10000"
        ),
        pytest.param('{"id":"x","uploaded":{"_seconds":1.5}}', "x", "_seconds is not a whole", id="seconds-fraction"),
        pytest.param('{"id":"x","uploaded":{"_seconds":"1"}}', "x", "_seconds is a string", id="seconds-string"),
        pytest.param(
            '{"id":"x","uploaded":{"_seconds":1,"_nanoseconds":1000000000}}', "x", "_nanoseconds is not", id="nanos-1e9"
        ),
        pytest.param(
            '{"id":"x","uploaded":{"_seconds":1,"_nanoseconds":-1}}', "x", "_nanoseconds is not", id="nanos-negative"
        ),
        pytest.param(
            '{"id":"x","uploaded":{"_seconds":1,"_nanoseconds":true}}', "x", "_nanoseconds is true", id="nanos-bool"
        ),
    ],
)
def test_a_record_that_breaks_the_rules_is_rejected_alone(record: str, id_: str | None, reason: str) -> None:
    answer = parse(bare('{"id":"z"}', record, '{"id":"b","images":3}'))
    assert list(answer.records) == [batch("b", images=3), batch("z")]
    (rejected,) = answer.rejected
    assert (rejected.position, rejected.id) == (1, id_)
    assert reason in rejected.reason
    assert answer.rejected_ids == (set() if id_ is None else {id_})


@pytest.mark.parametrize(
    ("records", "kept", "positions"),
    [
        pytest.param(['{"id":"a"}', '{"id":"a"}'], ["a"], [], id="same-content"),
        pytest.param(
            ['{"id":"a","images":5}', '{"x":1,"images":5.0,"id":"a","name":null}'], ["a"], [], id="same-as-understood"
        ),
        pytest.param(
            ['{"id":"a","name":"\\u0000"}', '{"id":"a","name":"\ufffd"}'], ["a"], [], id="same-after-replacement"
        ),
        pytest.param(
            ['{"id":"a","images":1}', '{"id":"b"}', '{"id":"a","images":2}', '{"id":"c"}'],
            ["b", "c"],
            [0, 2],
            id="different",
        ),
        pytest.param(
            ['{"id":"a"}', '{"id":"a","images":0}', '{"id":"b"}', '{"id":"c"}'],
            ["b", "c"],
            [0, 1],
            id="not-reported-differs-from-0",
        ),
        pytest.param(
            ['{"id":"a"}', '{"id":"a"}', '{"id":"a","images":1}', '{"id":"b"}', '{"id":"c"}', '{"id":"d"}'],
            ["b", "c", "d"],
            [0, 1, 2],
            id="twice-the-same-and-once-not",
        ),
        pytest.param(
            ['{"id":"b"}', '{"id":"a","images":-1}', '{"id":"c"}', '{"id":"a","images":1}'],
            ["b", "c"],
            [1, 3],
            id="one-of-them-breaks-the-rules",
        ),
        pytest.param(
            ['{"id":"a","images":-1}', *['{"id":"a"}'] * 2, '{"id":"b"}', '{"id":"c"}', '{"id":"d"}'],
            ["b", "c", "d"],
            [0, 1, 2],
            id="one-breaks-the-rules-the-others-agree",
        ),
        pytest.param(
            [*(f'{{"id":"a","images":{n}}}' for n in (1, 2, -3)), '{"id":"b"}', '{"id":"c"}', '{"id":"d"}'],
            ["b", "c", "d"],
            [0, 1, 2],
            id="all-three-differ",
        ),
    ],
)
def test_the_same_id_twice(records: list[str], kept: list[str], positions: list[int]) -> None:
    answer = parse(bare(*records))
    assert [b.id for b in answer.records] == kept
    assert [r.position for r in answer.rejected] == positions
    assert answer.rejected_ids == ({"a"} if positions else set())
    assert all(r.reason for r in answer.rejected)


def test_exactly_half_rejected_is_applied() -> None:
    answer = parse(bare('{"id":"a"}', "1", "2", '{"id":"b"}'))
    assert [b.id for b in answer.records] == ["a", "b"]
    assert [r.position for r in answer.rejected] == [1, 2]


@pytest.mark.parametrize(
    ("records", "rejected", "first"),
    [
        pytest.param(["1"], 1, 0, id="the-only-one"),
        pytest.param(['{"id":"a"}', "1", "2"], 2, 1, id="two-of-three"),
        pytest.param(['{"id":"b"}', '{"id":"a","images":1}', '{"id":"a","images":2}'], 2, 1, id="contradictions"),
    ],
)
def test_more_than_half_rejected_is_a_bad_response(records: list[str], rejected: int, first: int) -> None:
    with pytest.raises(BadResponse, match=f"{rejected} of {len(records)} records .* position {first}: ") as caught:
        parse(bare(*records))
    assert caught.value.kind is ErrorKind.BAD_RESPONSE
    assert caught.value.rejected == rejected


# What is no batch list at all

NOT_JSON = [
    pytest.param(b"", id="empty"),
    pytest.param(b" \n", id="blank"),
    pytest.param(b"<html>Bad gateway</html>", id="html"),
    pytest.param(b'{"batches":[{"id":"a"}', id="cut-short"),
    pytest.param(b'[{"id":"a"}] [', id="more-after-it"),
    pytest.param(b'[{"id":"a"},]', id="trailing-comma"),
    pytest.param(b'[{"id":"a","images":NaN}]', id="nan"),
    pytest.param(b'[{"id":"a","x":Infinity}]', id="infinity-in-unknown-field"),
    pytest.param(b'[{"id":"a","images":01}]', id="leading-zero"),
    pytest.param(b'[{"id":"a\x01"}]', id="bare-control-character"),
    pytest.param(b'[{"id":"\xff"}]', id="invalid-utf8-in-id"),
    pytest.param(b'[{"id":"a","name":"\xed\xa0\x80"}]', id="surrogate-as-utf8"),
    pytest.param(b"\xff\xfe[\x00]\x00", id="utf16"),
    pytest.param(b"\xef\xbb\xbf\xef\xbb\xbf[]", id="two-byte-order-marks"),
    pytest.param(b"\x1f\x8b\x08\x00", id="gzip"),
]


@pytest.mark.parametrize("body", NOT_JSON)
def test_a_body_that_is_not_json_is_a_bad_response(body: bytes) -> None:
    readers: tuple[Callable[[bytes], object], ...] = (parse, lambda b: parse_one(b, "a"), parse_projects)
    for read in readers:
        with pytest.raises(BadResponse, match="not JSON") as caught:
            read(body)
        assert caught.value.kind is ErrorKind.BAD_RESPONSE


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'[{"id":"a","x":"\xff"}]', id="in-order"),
        pytest.param(b'[{"id":"a","x":"\xff","images":5.0}]', id="one-by-one"),
        pytest.param(b'{"\xc3":1,"batches":[]}', id="in-the-name-of-a-field"),
        pytest.param(b'[{"id":"a","x":"\xed\xa0\x80"}]', id="a-surrogate"),
        pytest.param(b'[{"id":"a"}]\xe2\x82', id="cut-in-the-middle-of-a-character"),
        pytest.param(b'[{"id":"' + b"\xc3\xa9" * 600_000 + b'","x":"\xff"}]', id="far-behind"),
    ],
)
def test_invalid_utf8_in_an_unknown_field_is_not_json(body: bytes) -> None:
    with pytest.raises(BadResponse):
        parse(body)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"{}", "{}", id="empty-object"),
        pytest.param(b'{"batches":null}', "null", id="batches-null"),
        pytest.param(b'{"batches":{"0":{"id":"a"}}}', '"0"', id="batches-object"),
        pytest.param(b'{"Batches":[]}', "Batches", id="other-spelling"),
        pytest.param(b'{"batch":{"id":"a"}}', "batch", id="one-batch"),
        pytest.param(b'{"workspace":{"projects":[]}}', "workspace", id="a-workspace"),
        pytest.param(b'{"error":"no credits"}', "no credits", id="error-text"),
        pytest.param(b'{"error":{"message":"no credits"}}', "no credits", id="error-object"),
        pytest.param(b"null", "null", id="null"),
        pytest.param(b"5", "5", id="number"),
        pytest.param(b'"x"', "x", id="string"),
        pytest.param(b'"\\ud800"', "ud800", id="lone-surrogate"),
    ],
)
def test_json_that_is_no_batch_list_is_a_bad_response_that_shows_what_came(body: bytes, said: str) -> None:
    with pytest.raises(BadResponse, match="no batch list") as caught:
        parse(body)
    assert caught.value.body == body
    assert said in describe_error(caught.value, str)


def test_of_a_long_answer_only_the_beginning_is_kept_and_less_of_it_shown() -> None:
    with pytest.raises(BadResponse) as caught:
        parse(b"<" * 100_000)
    assert caught.value.body is not None
    assert len(caught.value.body) < 10_000
    assert len(str(caught.value)) < 100
    assert len(describe_error(caught.value, str)) < 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"", "an empty body", id="empty"),
        pytest.param(b"<html>", "'<html>'", id="short"),
        pytest.param(b"x" * 80, f"'{'x' * 80}'", id="just-short-enough"),
        pytest.param(b"x" * 81, f"'{'x' * 80}…'", id="long"),
        pytest.param(b"\xff\n\x1b[2J\0", r"'\ufffd\n\x1b[2J\x00'".replace(r"\ufffd", "\ufffd"), id="unprintable"),
        pytest.param(b'{"error":"no credits"}', "the API says 'no credits'", id="the-api-s-own-words"),
        pytest.param(b'{"error":"' + b"x" * 999 + b'"}', f"the API says '{'x' * 300}…'", id="many-words"),
        pytest.param(b"<s3cret>", "'<***>'", id="secret"),
        pytest.param(b'{"error":"no s3cret"}', "the API says 'no ***'", id="secret-in-its-words"),
        pytest.param(b"x" * 77 + b"s3cret", f"'{'x' * 77}***'", id="secret-where-it-is-cut"),
        pytest.param(
            b'{"error":"' + b"x" * 298 + b's3cret"}', f"the API says '{'x' * 298}**…'", id="secret-where-words-are-cut"
        ),
    ],
)
def test_what_is_shown_of_an_answer(body: bytes, expected: str) -> None:
    def redact(text: str) -> str:
        return text.replace("s3cret", "***")

    shown = describe_error(BadResponse("s3cret nonsense", body=body), redact)
    assert shown == f"*** nonsense: {expected}"
    assert shown.isprintable()


def test_of_an_error_without_an_answer_its_text_is_shown_without_secrets() -> None:
    for error in (BadResponse("no s3cret"), FetchError(ErrorKind.AUTH, "no s3cret")):
        assert describe_error(error, lambda text: text.replace("s3cret", "***")) == "no ***"


@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"a":', b"1}")], ids=["lists", "objects"])
@pytest.mark.parametrize(
    "shape",
    [b"%s", b'{"batches":%s}', b'[{"id":"a","x":%s}]', b'[{"id":"a","images":5.0,"x":%s},{"id":"b"}]'],
    ids=["alone", "in-the-envelope", "in-a-record", "in-a-record-read-by-itself"],
)
def test_endless_nesting_is_a_bad_response(shape: bytes, opened: bytes, closed: bytes) -> None:
    body = shape % (opened * 50_000 + closed * 50_000)
    for read in (parse, parse_projects, lambda b: parse_one(b, "a")):
        with pytest.raises(BadResponse):
            read(body)
    assert error_message(body) is None


# One batch by its own address


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"id":"a","images":5}', batch(images=5), id="bare"),
        pytest.param(b'{"batch":{"id":"a","images":5e0}}', batch(images=5), id="wrapped"),
        pytest.param(b'{"id":"a","batch":{"id":"b"}}', batch(), id="bare-with-a-field-batch"),
        pytest.param(b'{"batch":{"id":"a","name":"x\\u0000"},"x":1}', batch(name="x\ufffd"), id="replaced"),
    ],
)
def test_one_batch_is_read_bare_or_wrapped(body: bytes, expected: Batch) -> None:
    assert parse_one(body, "a") == expected


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b'{"id":"b"}', "describes 'b'", id="another-one"),
        pytest.param(b'{"batch":{"id":"A"}}', "describes 'A'", id="another-case"),
        pytest.param(b'{"id":"a","images":-1}', "images is not between", id="breaks-the-rules"),
        pytest.param(b'{"batch":null}', "not an object", id="wrapped-null"),
        pytest.param(b"{}", "id is missing", id="empty-object"),
        pytest.param(b'{"error":"x"}', "id is missing", id="error"),
        pytest.param(b'[{"id":"a"}]', "not an object", id="a-list"),
        pytest.param(b"[]", "not an object", id="an-empty-list"),
    ],
)
def test_anything_but_the_batch_asked_for_is_a_bad_response(body: bytes, said: str) -> None:
    with pytest.raises(BadResponse) as caught:
        parse_one(body, "a")
    assert said in str(caught.value)
    assert "'a'" in str(caught.value)


# A workspace


def test_projects_are_named_by_the_last_part_of_their_ids_in_the_order_of_the_answer() -> None:
    body = b"""{"workspace": {"name": "Acme", "url": "acme", "x": 1, "projects": [
        {"id": "acme/widgets", "name": "Widgets", "type": "t", "images": 1.5}, {"id": "gears"},
        {"id": "acme/more/nuts", "name": "\\u0000"}, {"id": "acme/bolts", "name": 5}]}}"""
    projects, skipped = parse_projects(body)
    assert list(projects.items()) == [("widgets", "Widgets"), ("gears", None), ("nuts", "\ufffd"), ("bolts", None)]
    assert skipped == []


def test_a_project_without_a_usable_id_is_left_out_with_its_position() -> None:
    broken = ["5", "null", "{}", '{"id":5}', '{"id":""}', '{"id":"acme/"}', '{"id":"acme/."}', '{"id":"acme/.."}']
    broken += [f'{{"id":"acme/x{c}"}}' for c in ("\\u0000", "\\n", LONE, "\\u202e")]
    for entry in broken:
        projects, skipped = parse_projects(f'{{"workspace":{{"projects":[{{"id":"acme/p"}},{entry}]}}}}'.encode())
        assert projects == {"p": None}
        assert [reason for reason in skipped if "number 1 " in reason] == skipped != []


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b'{"workspace":null}', b'{"workspace":{}}', b'{"workspace":{"projects":{}}}', b'{"projects":[]}'],
)
def test_an_answer_that_describes_no_workspace_is_a_bad_response(body: bytes) -> None:
    with pytest.raises(BadResponse, match="no workspace"):
        parse_projects(body)


# Pages

RECORDS = {
    "quick": '{"id":"a","images":1}',
    "each-by-itself": '{"id":"a","images":5.0},{"id":"b"}',
    "with-nul": '{"id":"a","name":"\\u0000"}',
    "slow": f'{{"id":"a","name":"{LONE}"}}',
    "none": "",
}


@pytest.mark.parametrize("records", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("key", ["continuationToken", "nextPageToken", "next", "nextPage", "hasMore"])
@pytest.mark.parametrize("shape", ['{"batches":[%s],%s}', '{%s,"batches":[%s]}'], ids=["behind", "before"])
def test_a_page_of_a_list_is_refused_as_a_whole(records: str, key: str, shape: str) -> None:
    def written(value: str) -> bytes:
        parts = (records, f'"x":1,"{key}":{value},"y":[]')
        return (shape % (parts if shape.startswith('{"b') else parts[::-1])).encode()

    more = ["true"] if key == "hasMore" else ['"b"', "2", "0", "true", '{"a":1}', '["a"]', '" "', f'"{LONE}"']
    for value in more:
        with pytest.raises(BadResponse, match=key) as caught:
            parse(written(value))
        assert caught.value.body is None
        with pytest.raises(BadResponse, match=key):
            parse(written(f'null,"{key}":{value}'))
    done = ["null", "false", '""', "[]", "{}", *(['"no"', "0"] if key == "hasMore" else [])]
    for value in done:
        assert len(parse(written(value)).rejected) == 0
        assert len(parse(written(f'true,"{key}":{value}')).records) == records.count('"id"')


def test_a_word_for_a_page_inside_a_record_says_nothing() -> None:
    assert list(parse(enveloped('{"id":"a","next":"b","hasMore":true}')).records) == [batch()]
    assert list(parse(bare('{"id":"a","nextPage":2}')).records) == [batch()]


# Errors


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"error":"text"}', "text", id="text"),
        pytest.param(b'{"error":{"message":"text","x":1},"y":2}', "text", id="object"),
        pytest.param(b'{"error":"' + b"x" * 1000 + b'"}', "x" * 1000, id="long"),
        pytest.param(b'{"error":""}', None, id="empty"),
        pytest.param(b'{"error":5}', None, id="number"),
        pytest.param(b'{"error":{"message":null}}', None, id="null"),
        pytest.param(b'{"message":"text"}', None, id="elsewhere"),
        pytest.param(b'["error"]', None, id="list"),
        pytest.param(b"<html>", None, id="html"),
        pytest.param(b"\xff", None, id="invalid-utf8"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_the_text_of_an_error_is_found(body: bytes, expected: str | None) -> None:
    assert error_message(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b'{"error":"text","hint":"do"}', "do", id="beside-a-text"),
        pytest.param(b'{"error":{"message":"text","hint":"do"}}', "do", id="within"),
        pytest.param(b'{"error":{"message":"text"},"hint":"do"}', "do", id="beside-an-object"),
        pytest.param(b'{"error":{"hint":"do"},"hint":"do not"}', "do", id="both"),
        pytest.param(b'{"error":{"hint":5},"hint":"do"}', "do", id="the-inner-one-is-none"),
        pytest.param(b'{"hint":"do"}', "do", id="alone"),
        pytest.param(b'{"error":"text","hint":""}', None, id="empty"),
        pytest.param(b'{"error":"text","hint":["do"]}', None, id="a-list"),
        pytest.param(b'{"error":{"message":{"hint":"do"}}}', None, id="too-deep"),
        pytest.param(b"hint", None, id="no-json"),
    ],
)
def test_the_hint_of_an_error_is_found(body: bytes, expected: str | None) -> None:
    assert error_hint(body) == expected


def test_the_text_of_an_error_is_one_line_that_can_be_stored_and_shown() -> None:
    for read in (error_message, error_hint):
        text = read(json.dumps({"error": "a\n\x1b[2J\0b", "hint": "a\n\x1b[2J\0b"}).encode())
        assert text is not None
        assert text.isprintable()


# Whatever comes

#: Fields as JSON writes them, most of them in order.
IDS = ['"a"', '"b"', '"c"', '"d"', '"e"', '"\U0001f600"', '"a\\u0000"', f'"{LONE}"', '""', "null", "5", "[]"]
NAMES = ["null", '"x"', '"x"', '"\ufffd"', '"\\u0000"', f'"{LONE}"', '""', "5", "true"]
COUNTS = [
    "null",
    "0",
    "5",
    "5",
    "5.0",
    "5e0",
    "-1",
    "1.5",
    "true",
    '"5"',
    str(MAX_COUNT),
    str(2**53),
    NEAR_ONE,
    "1e400",
]
TIMES = [
    *("null", "{}", "5", '{"_seconds":1}', '{"_seconds":1.0,"_nanoseconds":0}', '{"_seconds":1,"_nanoseconds":1e9}'),
    *('{"_seconds":-1}', '{"_seconds":1,"_nanoseconds":null}', f'{{"_seconds":{LAST_SECOND + 1}}}'),
]
FIELDS = {"name": NAMES, "images": COUNTS, "numJobs": COUNTS, "uploaded": TIMES, "x": ["1", f'"{LONE}"', "{}"]}


#: In order, each of its own id.
PLAIN = [f'{{"id":"{id_}","images":{n},"name":"x"}}' for n, id_ in enumerate("edcbazyx")]
#: One of each kind, mostly of the same few ids.
ODD = [
    *(f'{{"id":{id_}}}' for id_ in IDS),
    *(f'{{"id":"{id_}","{name}":{value}}}' for id_ in "ab" for name, values in FIELDS.items() for value in values),
    *(f'{{"uploaded":{time},"images":{count},"id":"c"}}' for time, count in zip(TIMES, COUNTS, strict=False)),
    *("null", "5", "[]", '{"images":5}'),
]
RECORDS = st.lists(st.sampled_from(PLAIN) | st.sampled_from(ODD), max_size=8)


JSON_LIKE = st.lists(
    st.sampled_from(
        [*'[]{}:,"\\', '{"batches":[', '"id":', '"workspace":{"projects":[', "1e9", "-", "nul", "\xe9", " "]
    ),
    max_size=12,
).map(lambda parts: "".join(parts).encode("latin-1"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a/\0\ud800é", max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["batches", "batch", "id", "images", "workspace", "projects"]), inner)
    ),
    max_leaves=8,
)
ANYTHING = st.one_of(
    st.binary(max_size=20),
    JSON_LIKE,
    JSON.map(lambda value: json.dumps(value).encode()),
    st.lists(JSON, max_size=3).map(lambda projects: json.dumps({"workspace": {"projects": projects}}).encode()),
)


def outcome(read: Callable[[bytes], Answer], body: bytes) -> tuple[object, int, list[Rejected]]:
    """Of an answer its batches, of a bad one what is said of it; with the number of rejected records, and these."""
    try:
        answer = read(body)
    except BadResponse as error:
        return f"{error.kind}: {error}", error.rejected, []
    return list(answer.records), len(answer.rejected), list(answer.rejected)


@settings(max_examples=30)
@given(ANYTHING)
def test_whatever_bytes_come_the_only_error_is_a_bad_response(body: bytes) -> None:
    assert outcome(parse, body)[0] is not None
    assert outcome(lambda b: _parse_each(b, Kind.BATCH), body)[0] is not None
    for read in (lambda b: parse_one(b, "a"), parse_projects):
        with suppress(BadResponse):
            assert read(body) is not None
    assert error_message(body) is None or error_message(body)


@settings(max_examples=40)
@given(RECORDS, st.sampled_from([bare, enveloped]))
def test_the_quick_way_and_the_slow_way_read_the_same(records: list[str], wrap: Callable[..., bytes]) -> None:
    body = wrap(*records)
    assert outcome(parse, body) == outcome(lambda b: _parse_each(b, Kind.BATCH), body)


@settings(max_examples=25)
@given(RECORDS, st.randoms(use_true_random=False))
def test_the_order_of_the_records_is_irrelevant(records: list[str], chance: Random) -> None:
    order = chance.sample(range(len(records)), len(records))
    batches, number, rejected = outcome(parse, bare(*records))
    batches_after, number_after, rejected_after = outcome(parse, bare(*(records[n] for n in order)))
    assert number_after == number
    if isinstance(batches, list):
        assert batches_after == batches
        moved = Counter((order[r.position], r.reason, r.id) for r in rejected_after)
        assert moved == Counter((r.position, r.reason, r.id) for r in rejected)


@settings(max_examples=25)
@given(RECORDS)
def test_each_record_is_believed_or_rejected_and_no_batch_both(records: list[str]) -> None:
    batches, number, rejected = outcome(parse, bare(*records))
    assert isinstance(batches, list) == (2 * number <= len(records))
    if isinstance(batches, list):
        ids = [b.id for b in batches]
        positions = {r.position for r in rejected}
        assert ids == sorted({json.loads(r)["id"] for n, r in enumerate(records) if n not in positions})
        assert len(positions) == number
        assert not {r.id for r in rejected} & set(ids)
