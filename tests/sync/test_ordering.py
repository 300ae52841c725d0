"""The rules about time: which observation is out of date, and at what instant one was made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.api.client import Response
from rfsync.ledger.projects import ProjectPath, ProjectState
from rfsync.ledger.runs import Run, RunRow
from rfsync.records import Kind
from rfsync.sync.ordering import is_superseded, observed_at, warn_of_clock
from rfsync.sync.result import Result

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def at(seconds: float | None) -> datetime | None:
    """An instant that many seconds after noon; None: none."""
    return None if seconds is None else NOON + timedelta(seconds=seconds)


def answered(sent: float, shared_clock: float = 0) -> Response:
    """An answer to a request that was sent so long after noon, by this machine's clock and by the shared one."""
    sent_at = NOON + timedelta(seconds=sent)
    return Response(200, bytearray(), None, "", sent_at, 1, sent_us=int(shared_clock * 1_000_000))


def run(seen: float | None = None, ahead: float = 0) -> Run:
    path = ProjectPath("acme", "widgets")
    return Run(1, 1, path, at(seen), True, False, None, None, int(ahead * 1_000_000))


@pytest.mark.parametrize(
    ("seen", "written", "stored", "sent", "expected"),
    [
        pytest.param(None, None, None, 10, False, id="nothing-was-ever-written"),
        pytest.param(0, 0, 99, 10, False, id="nothing-was-written-since-the-run-began"),
        pytest.param(None, 5, 5, 10, False, id="the-first-was-written-but-asked-for-earlier"),
        pytest.param(0, 5, 5, 10, False, id="another-was-written-but-asked-for-earlier"),
        pytest.param(0, 10, 10, 10, True, id="another-was-asked-for-at-the-same-instant"),
        pytest.param(0, 11, 11, 10, True, id="another-was-asked-for-later"),
        pytest.param(None, 11, 11, 10, True, id="the-first-was-asked-for-later"),
        pytest.param(0, 900, 5, 10, False, id="by-a-machine-whose-clock-is-ahead-but-asked-for-earlier"),
        pytest.param(900, 900.000001, 11, 10, True, id="by-a-machine-whose-clock-is-behind-but-asked-for-later"),
        pytest.param(0, 5, None, 10, False, id="written-before-the-column-was-there"),
    ],
)
def test_an_observation_is_superseded_by_what_was_written_and_asked_for_since(
    seen: float | None, written: float | None, stored: float | None, sent: float, expected: bool
) -> None:
    sent_us = None if stored is None else int(stored * 1_000_000)
    state = ProjectState(id=1, written_at=at(written)).with_list(Kind.BATCH, sent_us=sent_us)
    # The shared clock is two seconds ahead of the one that the answer was stamped by.
    assert is_superseded(run(seen, ahead=2), state, answered(-300, sent - 2)) is expected


@pytest.mark.parametrize(
    ("written", "sent", "expected", "warned"),
    [
        pytest.param(None, 10, 10, False, id="the-first-one"),
        pytest.param(0, 10, 10, False, id="time-goes-on"),
        pytest.param(0, 0.000001, 0.000001, False, id="by-the-least-step"),
        pytest.param(10, 10, 10.000001, False, id="the-clock-stands-still"),
        pytest.param(10, 1, 10.000001, False, id="the-clock-went-backwards"),
        pytest.param(10, -86_400 * 365, 10.000001, True, id="the-clock-went-back-by-a-year"),
    ],
)
def test_an_observation_is_made_when_its_request_was_sent_but_never_before_the_last_one(
    written: float | None, sent: float, expected: float, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    state = ProjectState(id=1, written_at=at(written))
    assert observed_at(state, answered(sent)) == at(expected)
    warn_of_clock(run(), state, answered(sent))
    assert ["the clock is 365 days" in message for message in caplog.messages] == [True] * warned


@settings(max_examples=12)
@given(st.lists(st.integers(-5, 5), max_size=8))
def test_instants_of_observations_only_ever_rise_whatever_the_clock_does(clock: list[int]) -> None:
    state = ProjectState(id=1)
    made = []
    for seconds in clock:
        instant = observed_at(state, answered(seconds))
        assert instant >= NOON + timedelta(seconds=seconds)
        state = ProjectState(id=1, written_at=instant)
        made.append(instant)
    assert all(later - earlier >= MICROSECOND for earlier, later in pairwise(made))


def test_a_project_is_in_sync_after_its_own_run_or_a_newer_one() -> None:
    outcomes = ["changed", "unchanged", "superseded", "refused", "failed", "abandoned", "running"]
    assert [o for o in outcomes if Result("acme", "widgets", RunRow(o)).ok] == outcomes[:3]
