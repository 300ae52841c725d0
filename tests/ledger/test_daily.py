"""Sums over the changes of one observation."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.ledger.changes import Change, ChangeKind, Tally

ADDED, CHANGED, REMOVED, RESTORED = ChangeKind


def change(kind: ChangeKind, images: int, jobs: int) -> Change:
    return Change(kind, "a", None, None, 0, 0, images, jobs)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param([], Tally(), id="nothing"),
        pytest.param([change(CHANGED, 0, 0)], Tally(changed=1), id="a-rename"),
        pytest.param(
            [change(ADDED, 5, 1), change(RESTORED, 3, 0)],
            Tally(added=1, restored=1, images_delta=8, num_jobs_delta=1, images_gained=8, jobs_gained=1),
            id="gains",
        ),
        pytest.param(
            [change(REMOVED, -5, -1), change(CHANGED, -3, 0)],
            Tally(changed=1, removed=1, images_delta=-8, num_jobs_delta=-1, images_lost=8, jobs_lost=1),
            id="losses",
        ),
        pytest.param(
            [change(CHANGED, -5, 1), change(CHANGED, 5, -1)],
            Tally(changed=2, images_gained=5, images_lost=5, jobs_gained=1, jobs_lost=1),
            id="moved-from-one-to-the-other-is-both-gained-and-lost",
        ),
    ],
)
def test_changes_are_counted_and_summed(changes: list[Change], expected: Tally) -> None:
    assert Tally.of(iter(changes)) == expected
    assert expected.total == len(changes)


@settings(max_examples=12)
@given(st.lists(st.builds(change, st.sampled_from(ChangeKind), st.integers(-9, 9), st.integers(-9, 9)), max_size=6))
def test_gained_and_lost_are_never_negative_and_explain_the_delta(changes: list[Change]) -> None:
    tally = Tally.of(changes)
    assert min(tally.images_gained, tally.images_lost, tally.jobs_gained, tally.jobs_lost) >= 0
    assert tally.images_gained - tally.images_lost == tally.images_delta == sum(c.images_delta for c in changes)
    assert tally.jobs_gained - tally.jobs_lost == tally.num_jobs_delta == sum(c.num_jobs_delta for c in changes)
    assert tally.total == len(changes)
