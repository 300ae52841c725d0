"""What is made of a list of jobs, beyond what lists of both kinds have in common."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rfsync.api.answers import Reported, _parse_each, parse, parse_one
from rfsync.api.failures import describe_error
from rfsync.errors import BadResponse
from rfsync.records import MAX_COUNT, Batch, Kind, ReportedJob

LONE = r"\ud800"  # half of a surrogate pair
NOTHING = {field: None for field in ReportedJob.__struct_fields__ if field != "id"}
#: The documented answer, with values made up.
DOCUMENTED = b"""{"jobs": [{"id": "q8Zt0mB1sVw3kXc5dYe7", "name": "week 12", "status": "assigned", "numImages": 25,
  "annotated": 12, "unannotated": 2, "approved": 0, "rejected": 0, "labeler": "ann@example.com",
  "reviewer": "bob@example.com", "sourceBatch": "PBq0projectInternalId/6VNbatchId", "project": "PBq0projectInternalId",
  "owner": "ownerUid", "createdBy": "API", "instructionsText": "boxes only",
  "created": {"_seconds": 1669148192, "_nanoseconds": 651000000}}]}"""


def job(id_: str = "a", **reported: Any) -> ReportedJob:
    return ReportedJob(id_, **{**NOTHING, **reported})


def bare(*records: str) -> bytes:
    return f"[{','.join(records)}]".encode()


def test_the_documented_answer_is_understood() -> None:
    answer = parse(DOCUMENTED, Kind.JOB)
    assert list(answer.records) == [
        ReportedJob(
            id="q8Zt0mB1sVw3kXc5dYe7", batch_id="6VNbatchId", name="week 12", status="assigned",
            labeler="ann@example.com", reviewer="bob@example.com", created_by="API", created_us=1_669_148_192_651_000,
            num_images=25, annotated=12, unannotated=2, approved=0, rejected=0,
        )
    ]  # fmt: skip
    assert tuple(answer.rejected) == ()


def test_counts_that_add_up_to_more_than_the_database_can_store_are_a_bad_response() -> None:
    records = [json.dumps({"id": f"{n:04}", "rejected": MAX_COUNT}) for n in range(129)]
    assert len(parse(bare(*records[1:]), Kind.JOB).records) == 128
    with pytest.raises(BadResponse, match="rejected add up to 1,161,928,703,861,587,839, more than"):
        parse(bare(*records), Kind.JOB)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param('"name":"x"', job(name="x"), id="what-is-absent-is-not-reported"),
        pytest.param('"labeler":null,"reviewer":""', job(labeler="", reviewer=""), id="nobody"),
        pytest.param('"labeler":" \\n","reviewer":"\\u3000"', job(labeler="", reviewer=""), id="space-is-nobody"),
        pytest.param(
            '"labeler":" Ann@Example.com ","createdBy":"ann@example.com\\t"',
            job(labeler="Ann@Example.com", created_by="ann@example.com"),
            id="space-around-an-address",
        ),
        pytest.param('"labeler":"Ann Lee"', job(labeler="Ann Lee"), id="any-text-is-a-labeler"),
        pytest.param('"name":null,"status":null,"createdBy":null', job(), id="null-elsewhere-is-not-reported"),
        pytest.param('"name":"","status":""', job(name="", status=""), id="empty-is-a-text"),
        pytest.param('"status":"a new word"', job(status="a new word"), id="any-status"),
        pytest.param('"sourceBatch":"p/b"', job(batch_id="b"), id="source"),
        pytest.param('"sourceBatch":"b"', job(batch_id="b"), id="source-without-a-project"),
        pytest.param('"sourceBatch":"p/q/b"', job(batch_id="b"), id="source-of-many-slashes"),
        pytest.param('"sourceBatch":null', job(), id="source-null"),
        pytest.param('"sourceBatch":""', job(), id="source-empty"),
        pytest.param('"sourceBatch":"p/"', job(), id="source-without-a-batch"),
        pytest.param('"sourceBatch":"\\u0000/b"', job(batch_id="b"), id="source-nul-in-the-project"),
        pytest.param(
            '"sourceBatch":"' + "p" * 3000 + "/" + "b" * 2000 + '"', job(batch_id="b" * 2000), id="source-long"
        ),
        pytest.param(
            '"annotated":5.0,"approved":5e0,"numImages":3', job(annotated=5, approved=5, num_images=3), id="counts"
        ),
        pytest.param('"annotated":null,"unannotated":0', job(unannotated=0), id="count-null-is-not-reported"),
        pytest.param('"created":{"_seconds":7}', job(created_us=7_000_000), id="created"),
        pytest.param(
            '"labeler":"x\\u0000","reviewer":"' + LONE + '","status":"\\u0000"',
            job(labeler="x\ufffd", reviewer="\ufffd", status="\ufffd"),
            id="unstorable-characters-replaced",
        ),
        pytest.param('"images":-1,"numJobs":"x","uploaded":5', job(), id="fields-of-batches-are-unknown-ones"),
    ],
)
def test_a_job_is_read(fields: str, expected: ReportedJob) -> None:
    record = f'{{"id":"a",{fields}}}'
    for body in (bare(record), f'{{"jobs":[{record}]}}'.encode()):
        for answer in (parse(body, Kind.JOB), _parse_each(body, Kind.JOB)):
            assert (list(answer.records), list(answer.rejected)) == ([expected], [])
    for body in (record, f'{{"job":{record}}}'):
        assert parse_one(body.encode(), "a", Kind.JOB) == expected


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ('"labeler":5', "labeler is a number, not a string"),
        ('"reviewer":{"email":"ann@example.com"}', "reviewer is an object, not a string"),
        ('"createdBy":true', "createdBy is true or false, not a string"),
        ('"status":["x"]', "status is a list, not a string"),
        ('"name":5', "name is a number, not a string"),
        ('"sourceBatch":5', "sourceBatch is a number, not a string"),
        ('"sourceBatch":"p/b\\u0000"', "the batch of sourceBatch contains U+0000 or a lone surrogate"),
        (f'"sourceBatch":"p/{LONE}"', "the batch of sourceBatch contains U+0000 or a lone surrogate"),
        ('"sourceBatch":"p/' + "b" * 2001 + '"', "the batch of sourceBatch is longer than 2000 bytes"),
        ('"numImages":-1', f"numImages is not between 0 and {2**53 - 1}"),
        ('"annotated":1.5', "annotated is not a whole number"),
        ('"unannotated":true', "unannotated is true or false, not a number"),
        ('"approved":"5"', "approved is a string, not a number"),
        (f'"rejected":{2**53}', f"rejected is not between 0 and {2**53 - 1}"),
        ('"created":{}', "created has no _seconds"),
    ],
)
def test_a_job_that_breaks_the_rules_is_rejected_alone(fields: str, reason: str) -> None:
    answer = parse(bare('{"id":"z"}', f'{{"id":"x","labeler":"ann@example.com",{fields}}}', '{"id":"b"}'), Kind.JOB)
    assert list(answer.records) == [job("b"), job("z")]
    assert [(r.position, r.reason, r.id) for r in answer.rejected] == [(1, reason, "x")]


def test_nobody_and_not_reported_contradict_each_other() -> None:
    records = ('{"id":"a","labeler":null}', '{"id":"a"}', '{"id":"b","labeler":null}', '{"id":"b","labeler":" "}')
    answer = parse(bare(*records), Kind.JOB)
    assert list(answer.records) == [job("b", labeler="")]
    assert [r.position for r in answer.rejected] == [0, 1]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"batches":[]}', Kind.JOB),
        (b'{"jobs":[]}', Kind.BATCH),
        (b'{"jobs":null,"batches":[]}', Kind.JOB),
        (b'{"job":{"id":"a"}}', Kind.JOB),
        (b"{}", Kind.JOB),
    ],
)
def test_a_list_of_the_other_kind_is_a_bad_response(body: bytes, kind: Kind) -> None:
    with pytest.raises(BadResponse, match=f"no {kind.one} list"):
        parse(body, kind)


def test_a_page_of_a_job_list_is_refused_as_a_whole() -> None:
    for body in (b'{"jobs":[{"id":"a"}],"next":"b"}', b'{"jobs":[{"id":"a","annotated":5.0}],"hasMore":true}'):
        with pytest.raises(BadResponse, match="only a page"):
            parse(body, Kind.JOB)


def test_a_list_in_both_envelopes_is_read_by_the_kind_that_was_asked_for() -> None:
    body = b'{"jobs":[{"id":"j"}],"batches":[{"id":"b"}]}'
    read: list[Reported] = [*parse(body, Kind.JOB).records, *parse(body).records]
    assert read == [job("j"), Batch("b", None, None, None, None)]


ADDRESSES = (
    "ann@example.com",
    r"ann\u0040example.com",
    "ann%40example.com",
    "Ann.Lee+x@sub.example.com",
    "é@example.com",
)


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_error_shows_an_address(address: str) -> None:
    record = f'{{"id":"a","labeler":"{address}","numImages":-1,"images":"x","name":"{address}"}}'
    shapes = ("[%s]", '{"jobs":{"0":%s}}', '{"x":[%s]}', "%s", "<%s>", '{"error":"mailto:%s is none of it"}', "[%s")
    bodies = [shape % part for shape in shapes for part in (address, record)]
    bodies += [f'{" " * (4096 - n)}"{address}"' for n in range(2, 30)]  # cut in the middle
    for body in bodies:
        for kind in Kind:
            for read in (parse, lambda b, k: parse_one(b, "a", k)):
                with pytest.raises(BadResponse) as caught:
                    read(body.encode(), kind)
                shown = describe_error(caught.value, str)
                assert not any(part in shown for part in ("@", "example", "ann", "Lee", "é")), shown


def test_order_and_space_of_an_answer_change_nothing() -> None:
    decoded = json.loads(DOCUMENTED)
    shuffled = json.dumps({"x": 1, "jobs": [dict(reversed(decoded["jobs"][0].items()))]}, indent=2).encode()
    assert parse(shuffled, Kind.JOB) == parse(DOCUMENTED, Kind.JOB)
