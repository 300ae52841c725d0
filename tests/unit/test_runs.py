"""The rules about time: which observation is out of date, and at what instant one was made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.client import Response
from rfsync.runs import Result, is_superseded, observed_at, response_bytes
from rfsync.store import ProjectState, Run

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def at(seconds: float | None) -> datetime | None:
    """An instant that many seconds after noon; None: none."""
    return None if seconds is None else NOON + timedelta(seconds=seconds)


def superseded(seen: float | None, sent: float, written: float | None) -> bool:
    run = Run(1, 1, "acme", "widgets", at(seen), None, None)
    return is_superseded(run, ProjectState(id=1, written_at=at(written)), NOON + timedelta(seconds=sent))


@pytest.mark.parametrize(
    ("seen", "sent", "written", "expected"),
    [
        pytest.param(None, 10, None, False, id="nothing-was-ever-written"),
        pytest.param(0, 10, 0, False, id="nothing-was-written-since-the-run-began"),
        pytest.param(None, 10, 5, False, id="the-first-was-written-but-asked-for-earlier"),
        pytest.param(0, 10, 5, False, id="another-was-written-but-asked-for-earlier"),
        pytest.param(0, 10, 10, True, id="another-was-asked-for-at-the-same-instant"),
        pytest.param(0, 10, 11, True, id="another-was-asked-for-later"),
        pytest.param(None, 10, 11, True, id="the-first-was-asked-for-later"),
        pytest.param(100, 10, 100, False, id="the-clock-went-backwards-and-nothing-new-was-written"),
        pytest.param(100, 10, 100.000001, True, id="the-clock-went-backwards-and-another-was-written"),
        pytest.param(0, 1000, 5, False, id="the-clock-jumped-ahead-after-another-was-written"),
    ],
)
def test_an_observation_is_superseded_by_what_was_written_and_asked_for_since(
    seen: float | None, sent: float, written: float | None, expected: bool
) -> None:
    assert superseded(seen, sent, written) is expected


@pytest.mark.parametrize(
    ("written", "sent", "expected"),
    [
        pytest.param(None, 10, 10, id="the-first-one"),
        pytest.param(0, 10, 10, id="time-goes-on"),
        pytest.param(0, 0.000001, 0.000001, id="by-the-least-step"),
        pytest.param(10, 10, 10.000001, id="the-clock-stands-still"),
        pytest.param(10, 0, 10.000001, id="the-clock-went-backwards"),
        pytest.param(10, -86_400 * 365, 10.000001, id="the-clock-went-back-by-a-year"),
    ],
)
def test_an_observation_is_made_when_its_request_was_sent_but_never_before_the_last_one(
    written: float | None, sent: float, expected: float
) -> None:
    assert observed_at(ProjectState(id=1, written_at=at(written)), NOON + timedelta(seconds=sent)) == at(expected)


@settings(max_examples=12)
@given(st.lists(st.integers(-5, 5), max_size=8))
def test_instants_of_observations_only_ever_rise_whatever_the_clock_does(clock: list[int]) -> None:
    state = ProjectState(id=1)
    made = []
    for seconds in clock:
        sent = NOON + timedelta(seconds=seconds)
        instant = observed_at(state, sent)
        assert instant >= sent
        state = ProjectState(id=1, written_at=instant)
        made.append(instant)
    assert all(later - earlier >= MICROSECOND for earlier, later in pairwise(made))


def test_a_project_is_in_sync_after_its_own_run_or_a_newer_one() -> None:
    outcomes = ["changed", "unchanged", "superseded", "refused", "failed", "abandoned", "running"]
    assert [o for o in outcomes if Result("acme", "widgets", o).ok] == outcomes[:3]


def test_a_304_has_no_body_and_so_no_bytes() -> None:
    assert response_bytes(Response(304, bytearray(), None, "", NOON, 1)) is None
    assert response_bytes(Response(200, bytearray(), None, "", NOON, 1)) == 0
    assert response_bytes(Response(200, bytearray(), None, "", NOON, 1, size=5)) == 5
