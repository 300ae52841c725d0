"""Sums over the changes of one observation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.ledger.changes import Change, ChangeKind, Tally
from rfsync.ledger.record_types import BATCHES
from rfsync.records import Batch

ADDED, CHANGED, REMOVED, RESTORED = ChangeKind


def change(kind: ChangeKind, images: int, jobs: int) -> Change:
    """With these deltas."""
    if kind is CHANGED:
        return Change(kind, Batch("a", None, None, 9 + images, 9 + jobs), Batch("a", None, None, 9, 9))
    return Change(kind, Batch("a", None, None, abs(images), abs(jobs)))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([], Tally(), id="nothing"),
        pytest.param([change(CHANGED, 0, 0)], Tally(changed=1), id="a-rename"),
        pytest.param(
            [change(ADDED, 5, 1), change(RESTORED, 3, 0)],
            Tally(added=1, restored=1, deltas=(8, 1), gained=(8, 1)),
            id="gains",
        ),
        pytest.param(
            [change(REMOVED, -5, -1), change(CHANGED, -3, 0)],
            Tally(changed=1, removed=1, deltas=(-8, -1), lost=(8, 1)),
            id="losses",
        ),
        pytest.param(
            [change(CHANGED, -5, 1), change(CHANGED, 5, -1)],
            Tally(changed=2, gained=(5, 1), lost=(5, 1)),
            id="moved-from-one-to-the-other-is-both-gained-and-lost",
        ),
    ],
)
def test_changes_are_counted_and_summed(changes: list[Change], expected: Tally) -> None:
    assert Tally.of(BATCHES, changes) == expected
    assert expected.total == len(changes)


@settings(max_examples=12)
@given(st.lists(st.builds(change, st.sampled_from(ChangeKind), st.integers(-9, 9), st.integers(-9, 9)), max_size=6))
def test_gained_and_lost_are_never_negative_and_explain_the_delta(changes: list[Change]) -> None:
    tally = Tally.of(BATCHES, changes)
    assert min(*tally.gained, *tally.lost) >= 0
    for place in range(2):
        explained = tally.gained[place] - tally.lost[place]
        assert explained == tally.deltas[place] == sum(c.deltas(BATCHES)[place] for c in changes)
    assert tally.total == len(changes)
