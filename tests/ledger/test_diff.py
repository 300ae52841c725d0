"""What an observation shows to differ from the stored state: a table of scenarios, and the rules that always hold."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.api.answers import parse
from rfsync.ledger.changes import Change, ChangeKind, Tally
from rfsync.ledger.diff import Stored, diff
from rfsync.ledger.record_types import BATCHES
from rfsync.records import Batch, Record

ADDED, CHANGED, REMOVED, RESTORED = ChangeKind
State = dict[str, Batch]


def has(
    id_: str, name: str | None = "n", at: int | None = 1, images: int | None = 5, num_jobs: int | None = 2
) -> Batch:
    return Batch(id_, name, at, images, num_jobs)


#: Kind, the batch after it, and the deltas.
Expected = tuple[ChangeKind, Batch, tuple[int, ...]]


def change(kind: ChangeKind, after: Batch, images_delta: int, num_jobs_delta: int) -> Expected:
    return kind, after, (images_delta, num_jobs_delta)


def store(current: Iterable[Record], find_removed: Callable[[str], Record | None] = {}.get) -> Stored:
    return Stored(BATCHES, current, find_removed)


@dataclass(frozen=True)
class Case:
    stored: list[Batch]
    observed: list[Batch]
    changes: list[Expected] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    removed: list[Batch] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)


def silent(id_: str) -> Batch:
    """A batch of which the API reported nothing."""
    return Batch(id_, None, None, None, None)


SCENARIOS = {
    "nothing-on-either-side": Case([], []),
    "the-same-on-both-sides": Case([has("a"), has("b")], [has("a"), has("b")]),
    "the-first-batch-of-all": Case([], [has("a")], [change(ADDED, has("a"), 5, 2)]),
    "added-before-between-and-after": Case(
        [has("b"), has("d")],
        [has("a"), has("b"), has("c"), has("d"), has("e")],
        [change(ADDED, has(i), 5, 2) for i in "ace"],
    ),
    "added-with-counts-not-reported": Case([], [silent("a")], [change(ADDED, has("a", None, None, 0, 0), 0, 0)]),
    "more-images": Case([has("a")], [has("a", images=7)], [change(CHANGED, has("a", images=7), 2, 0)]),
    "no-images-left": Case([has("a")], [has("a", images=0)], [change(CHANGED, has("a", images=0), -5, 0)]),
    "one-more-job": Case([has("a")], [has("a", num_jobs=3)], [change(CHANGED, has("a", num_jobs=3), 0, 1)]),
    "images-handed-out-to-a-job": Case(
        [has("a")], [has("a", images=1, num_jobs=3)], [change(CHANGED, has("a", images=1, num_jobs=3), -4, 1)]
    ),
    "renamed-only": Case([has("a")], [has("a", name="m")], [change(CHANGED, has("a", name="m"), 0, 0)]),
    "renamed-to-the-empty-name": Case([has("a")], [has("a", name="")], [change(CHANGED, has("a", name=""), 0, 0)]),
    "named-for-the-first-time": Case([has("a", name=None)], [has("a")], [change(CHANGED, has("a"), 0, 0)]),
    "uploaded-at-another-time": Case([has("a")], [has("a", at=2)], [change(CHANGED, has("a", at=2), 0, 0)]),
    "uploaded-at-the-first-instant": Case([has("a")], [has("a", at=0)], [change(CHANGED, has("a", at=0), 0, 0)]),
    "nothing-reported-keeps-all": Case([has("a")], [silent("a")]),
    "only-images-reported": Case(
        [has("a")], [Batch("a", None, None, 6, None)], [change(CHANGED, has("a", images=6), 1, 0)]
    ),
    "only-jobs-reported": Case(
        [has("a")], [Batch("a", None, None, None, 0)], [change(CHANGED, has("a", num_jobs=0), 0, -2)]
    ),
    "only-the-name-reported-and-it-is-the-same": Case([has("a")], [Batch("a", "n", None, None, None)]),
    "missing-and-not-known-as-gone": Case([has("a"), has("b"), has("c")], [has("b")], missing=["a", "c"]),
    "missing-while-others-change": Case(
        [has("a"), has("b")],
        [has("b", images=6), has("c")],
        [change(CHANGED, has("b", images=6), 1, 0), change(ADDED, has("c"), 5, 2)],
        missing=["a"],
    ),
    "gone": Case([has("a"), has("b")], [has("b")], [change(REMOVED, has("a"), -5, -2)], gone={"a"}),
    "gone-empty-and-nameless": Case(
        [has("a", None, None, 0, 0)], [], [change(REMOVED, has("a", None, None, 0, 0), 0, 0)], gone={"a"}
    ),
    "all-gone": Case([has("a"), has("b")], [], [change(REMOVED, has(i), -5, -2) for i in "ab"], gone={"a", "b"}),
    "gone-but-listed-all-the-same": Case([has("a")], [has("a")], gone={"a"}),
    "gone-but-never-known": Case([has("a")], [has("a")], gone={"x"}),
    "kept-though-missing": Case([has("a"), has("b")], [has("b")], kept={"a"}),
    "kept-but-listed-after-all": Case(
        [has("a")], [has("a", images=6)], [change(CHANGED, has("a", images=6), 1, 0)], kept={"a"}
    ),
    "gone-missing-and-kept-side-by-side": Case(
        [has("a"), has("b"), has("c")], [], [change(REMOVED, has("a"), -5, -2)], ["b"], gone={"a"}, kept={"c"}
    ),
    "restored-with-its-counts": Case(
        [],
        [has("a", images=9, num_jobs=0)],
        [change(RESTORED, has("a", images=9, num_jobs=0), 9, 0)],
        removed=[has("a")],
    ),
    "restored-as-it-was": Case(
        [has("b")], [has("a"), has("b")], [change(RESTORED, has("a"), 5, 2)], removed=[has("a")]
    ),
    "restored-with-nothing-reported": Case([], [silent("a")], [change(RESTORED, has("a"), 5, 2)], removed=[has("a")]),
    "restored-with-images-alone-reported": Case(
        [], [Batch("a", None, None, 0, None)], [change(RESTORED, has("a", images=0), 0, 2)], removed=[has("a")]
    ),
    "removed-and-still-not-listed": Case([has("b")], [has("b")], removed=[has("a")]),
    "ids-in-the-order-of-code-points": Case(
        [has("B"), has("a"), has("\uffff")],
        [has("B"), has("a"), has("\uffff"), has("\U0001f600")],
        [change(ADDED, has("\U0001f600"), 5, 2)],
    ),
}


@pytest.mark.parametrize("case", SCENARIOS.values(), ids=SCENARIOS)
def test_scenario(case: Case) -> None:
    stored = store(iter(case.stored), {b.id: b for b in case.removed}.get)
    found = diff(stored, iter(case.observed), gone=case.gone, kept=case.kept)
    assert [(c.kind, c.record, c.deltas(BATCHES)) for c in found.changes] == case.changes
    assert [b.id for b in found.missing] == case.missing


# Under Hypothesis

IDS = "abcdef"
NAMES = st.sampled_from(["n", "m", ""])
NUMBERS = st.integers(0, 3)


def batches_of(
    names: st.SearchStrategy[str | None], numbers: st.SearchStrategy[int | None]
) -> st.SearchStrategy[State]:
    values = st.tuples(names, numbers, numbers, numbers)
    return st.dictionaries(st.sampled_from(IDS), values, max_size=len(IDS)).map(
        lambda drawn: {id_: Batch(id_, *drawn[id_]) for id_ in sorted(drawn)}
    )


WHOLE = batches_of(NAMES, NUMBERS)
PARTIAL = batches_of(st.none() | NAMES, st.none() | NUMBERS)


def filled(seen: Batch, known: Batch | None) -> Batch:
    """What is known of a batch once it was seen, by the contract's table."""
    old = known or Batch(seen.id, None, None, 0, 0)
    return Batch(
        seen.id,
        seen.name if seen.name is not None else old.name,
        seen.uploaded_us if seen.uploaded_us is not None else old.uploaded_us,
        seen.images if seen.images is not None else old.images,
        seen.num_jobs if seen.num_jobs is not None else old.num_jobs,
    )


def applied(current: State, removed: State, changes: list[Change]) -> tuple[State, State]:
    """The state after the changes, as a database would have it that knows nothing of how they came about."""
    current, removed = dict(current), dict(removed)
    for c in changes:
        after = c.record
        assert (c.record.id in current) == (c.kind in {CHANGED, REMOVED})
        assert (c.record.id in removed) == (c.kind is RESTORED)
        if c.kind is REMOVED:
            removed[c.record.id] = after
            del current[c.record.id]
        else:
            removed.pop(c.record.id, None)
            current[c.record.id] = after
    return dict(sorted(current.items())), removed


def totals(state: State) -> tuple[int, int]:
    return sum(b.images or 0 for b in state.values()), sum(b.num_jobs or 0 for b in state.values())


@settings(max_examples=15)
@given(WHOLE, st.sets(st.sampled_from(IDS)), st.sets(st.sampled_from(IDS)))
def test_a_state_does_not_differ_from_itself(state: State, gone: set[str], kept: set[str]) -> None:
    found = diff(store(state.values()), state.values(), gone=gone, kept=kept)
    assert (found.changes, found.missing) == ([], [])


@settings(max_examples=15)
@given(WHOLE, WHOLE)
def test_applying_a_diff_gives_the_observed_state(before: State, observed: State) -> None:
    found = diff(store(before.values()), observed.values(), gone=before.keys())
    after, removed = applied(before, {}, found.changes)
    assert after == observed
    assert removed == {i: b for i, b in before.items() if i not in observed}
    assert diff(store(after.values(), removed.get), observed.values()).changes == []


@settings(max_examples=15)
@given(WHOLE, PARTIAL, st.sets(st.sampled_from(IDS)), st.sets(st.sampled_from(IDS)))
def test_each_batch_ends_as_observed_and_known_or_stays_as_it_was(
    before: State, observed: State, gone: set[str], kept: set[str]
) -> None:
    found = diff(store(before.values()), observed.values(), gone=gone, kept=kept)
    after, _ = applied(before, {}, found.changes)
    expected = {i: b for i, b in before.items() if i not in gone} | {
        i: filled(b, before.get(i)) for i, b in observed.items()
    }
    assert after == dict(sorted(expected.items()))
    assert [b.id for b in found.missing] == [i for i in before if i not in {*observed, *gone, *kept}]


@settings(max_examples=15)
@given(WHOLE, PARTIAL, st.sets(st.sampled_from(IDS)))
def test_deltas_add_up_to_the_difference_of_the_totals(before: State, observed: State, gone: set[str]) -> None:
    changes = diff(store(before.values()), observed.values(), gone=gone).changes
    after, _ = applied(before, {}, changes)
    tally = Tally.of(BATCHES, changes)
    moved = tuple(new - old for new, old in zip(totals(after), totals(before), strict=True))
    assert tally.deltas == moved
    assert tally.added + tally.restored - tally.removed == len(after) - len(before)


@settings(max_examples=15)
@given(WHOLE, PARTIAL, st.randoms(use_true_random=False))
def test_the_order_of_the_answer_is_irrelevant(before: State, observed: State, chance: Random) -> None:
    records = [{"id": b.id, "name": b.name, "images": b.images, "numJobs": b.num_jobs} for b in observed.values()]
    shuffled = chance.sample(records, len(records))
    first, second = (parse(json.dumps({"batches": listed}).encode()).records for listed in (records, shuffled))
    assert diff(store(before.values()), first) == diff(store(before.values()), second)


LOOK = st.tuples(PARTIAL, st.sets(st.sampled_from(IDS), max_size=4))


@settings(max_examples=15)
@given(st.lists(LOOK, max_size=6))
def test_the_books_balance_after_any_sequence_of_observations(looks: list[tuple[State, set[str]]]) -> None:
    current: State = {}
    removed: State = {}
    ledger: dict[str, list[Change]] = defaultdict(list)
    for observed, gone in looks:
        changes = diff(store(current.values(), removed.get), observed.values(), gone=gone).changes
        current, removed = applied(current, removed, changes)
        for c in changes:
            ledger[c.record.id].append(c)
    for id_ in IDS:
        now = current.get(id_, Batch(id_, None, None, 0, 0))
        sums = [sum(deltas) for deltas in zip(*(c.deltas(BATCHES) for c in ledger[id_]), strict=True)]
        assert sums in ([], [now.images, now.num_jobs])
        words = [c.kind for c in ledger[id_]]
        assert words[:1] in ([], [ADDED])
        assert words.count(ADDED) <= 1
        assert words.count(REMOVED) - words.count(RESTORED) == (id_ in removed)
