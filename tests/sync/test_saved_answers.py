"""Which answers there are in files: of which kind, and which of them are one observation."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rfsync.errors import ConfigError
from rfsync.records import Kind
from rfsync.sync.saved_answers import BadAnswersError, find_answers

NOW = datetime(2026, 6, 1, tzinfo=UTC)
BATCHES = {"batches": [{"id": "b", "images": 5}]}
JOBS = {"jobs": [{"id": "j", "numImages": 5, "labeler": "ann@example.com"}]}


def save(folder: Path, **files: object) -> None:
    for name, value in files.items():
        (folder / f"{name.replace('__', '-')}.json").write_text(json.dumps(value))


def test_both_lists_of_one_time_are_one_observation(tmp_path: Path) -> None:
    save(tmp_path, jobs__20260101=JOBS, batches__20260101=BATCHES, x__20260102=JOBS, y__20260103=BATCHES)
    save(tmp_path, again__20260101=JOBS)
    moments = find_answers([tmp_path], None, NOW)
    found = [(moment.at.day, {kind: answer.path.name for kind, answer in moment.answers.items()}) for moment in moments]
    assert found == [
        (1, {Kind.BATCH: "batches-20260101.json", Kind.JOB: "again-20260101.json"}),
        (2, {Kind.JOB: "x-20260102.json"}),
        (3, {Kind.BATCH: "y-20260103.json"}),
    ]
    assert [[*moment.answers] for moment in moments] == [[Kind.BATCH, Kind.JOB], [Kind.JOB], [Kind.BATCH]]


def test_two_different_lists_of_one_kind_and_time_are_an_error(tmp_path: Path) -> None:
    save(tmp_path, a__20260101=JOBS, b__20260101={"jobs": []}, c__20260101=BATCHES)
    with pytest.raises(ConfigError, match=r"a-20260101.json and .*b-20260101.json are different job lists of the same"):
        find_answers([tmp_path], None, NOW)


def test_a_time_that_is_given_is_that_of_both_lists(tmp_path: Path) -> None:
    save(tmp_path, b=BATCHES, j=JOBS)
    (moment,) = find_answers([tmp_path], NOW, NOW)
    assert (moment.at, [answer.source for answer in moment.answers.values()]) == (NOW, ["--at", "--at"])


def test_every_file_that_is_no_list_is_named_without_what_is_in_it(tmp_path: Path) -> None:
    wrong = {"jobs": [{"id": "a", "labeler": "ann@example.com", "annotated": -1}]}
    # The official client's command line prints times as text, which have lost their fractions.
    printed = [{"id": "a", "labeler": "ann@example.com", "created": "2022-11-22T20:16:32+00:00"}]
    save(tmp_path, a__20260101=wrong, b__20260102=printed, c__20260103=BATCHES, d__20260104=[{"id": "a"}])
    with pytest.raises(BadAnswersError, match="nothing was imported") as caught:
        find_answers([tmp_path], None, NOW)
    names, reasons = zip(
        *(line.removeprefix(f"{tmp_path}/").split(": ", 1) for line in caught.value.details), strict=True
    )
    assert names == ("a-20260101.json", "b-20260102.json", "d-20260104.json")
    assert "annotated is not between" in reasons[0]
    assert "created is a string" in reasons[1]
    assert "batches or jobs" in reasons[2]
    assert "ann" not in "".join(reasons).replace("annotated", "")
