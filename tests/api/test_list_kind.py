"""Lists of batches and of jobs are told apart by what is in them, or are not guessed."""

from __future__ import annotations

import json

import pytest

from rfsync.api.answers import parse
from rfsync.api.list_kind import list_kind
from rfsync.errors import BadResponse
from rfsync.records import Kind

#: As the official client's ``get_annotation_jobs`` and ``get_batches`` return them, and as its command line prints them
#: with ``--json``: without the envelope.
JOB = {
    "id": "q8Zt0mB1sVw3kXc5dYe7", "name": "week 12", "status": "assigned", "numImages": 25, "annotated": 12,
    "unannotated": 2, "approved": 0, "rejected": 0, "labeler": "ann@example.com", "reviewer": "bob@example.com",
    "sourceBatch": "PBq0projectInternalId/6VNbatchId", "project": "PBq0projectInternalId", "owner": "ownerUid",
    "createdBy": "API", "instructionsText": "boxes", "created": {"_seconds": 1669148192, "_nanoseconds": 651000000},
}  # fmt: skip
BATCH = {
    "name": "Upload via API", "numJobs": 0, "images": 11, "id": "6VNbatchId", "status": "x", "created": "y",
    "uploaded": {"_seconds": 1669236873, "_nanoseconds": 47000000},
}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"batches": [BATCH]}, Kind.BATCH),
        ({"jobs": [JOB]}, Kind.JOB),
        ([BATCH], Kind.BATCH),
        ([JOB], Kind.JOB),
        ({"batches": [], "x": {"jobs": []}}, Kind.BATCH),
        ({"jobs": [], "job": 5}, Kind.JOB),
        ([{"id": "a"}, {"id": "b", "labeler": None}], Kind.JOB),
        ([None, {"id": "a"}, 5, {"uploaded": None}], Kind.BATCH),
        ([{"id": "a", "name": "\ud800", "sourceBatch": "b"}], Kind.JOB),
        ({"x": "\ud800", "jobs": []}, Kind.JOB),
    ],
)
def test_a_list_is_told_by_its_envelope_or_by_the_fields_of_its_records(value: object, kind: Kind) -> None:
    for body in (json.dumps(value).encode(), b"\xef\xbb\xbf" + json.dumps(value, indent=4).encode()):
        assert list_kind(body) is kind


def test_what_the_official_client_returns_is_read_whole() -> None:
    for value in ({"jobs": [JOB]}, [JOB]):
        (job,) = parse(json.dumps(value, indent=2).encode(), Kind.JOB).records
        assert (job.id, job.batch_id, job.labeler, job.num_images) == (JOB["id"], "6VNbatchId", "ann@example.com", 25)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"[]", "an empty list may be one of batches or of jobs"),
        (b'[{"id":"a","name":"b","status":"c","created":null}]', "don't tell whether they are batches or jobs: write"),
        (b"[1,2]", "don't tell whether they are batches or jobs: write"),
        (b'[{"id":"a","images":1},{"id":"b","labeler":""}]', r"of batches \(images\) and of jobs \(labeler\): write"),
        (b'{"jobs":[],"batches":[]}', "save each in a file of its own"),
        (b"{}", "neither a batch list nor a job list"),
        (b'{"error":"x"}', "neither a batch list nor a job list"),
        (b'"jobs"', "neither a batch list nor a job list"),
        (b'[{"id":"a","images":NaN}]', "not JSON"),
        (b"", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"jobs":[]', "not JSON"),
    ],
)
def test_what_can_not_be_told_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(BadResponse, match=reason):
        list_kind(body)
