"""When an observation that lacks stored batches is believed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import pytest

from rfsync.batch import Batch
from rfsync.config import RemovalsConfig
from rfsync.sync.removals import Accepted, Refused, judge

LIMIT = 3
ASKED, UNASKED = Accepted(ask=True), Accepted(ask=False)


def lacking(number: int, first: str = "a") -> list[Batch]:
    return [Batch(chr(ord(first) + n), None, None, 1, 0) for n in range(number)]


def look(
    missing: list[Batch],
    *,
    empty: bool = False,
    before: tuple[str | None, int] = (None, 0),
    repeat: int = 2,
    allow: bool = False,
    limit: int = LIMIT,
) -> Accepted | Refused:
    settings = RemovalsConfig(confirm_limit=limit, repeat=repeat)
    return judge(missing, nothing_listed=empty, before=before, settings=settings, allow=allow)


def refused(missing: list[Batch], **known: object) -> Refused:
    verdict = look(missing, **known)  # type: ignore[arg-type]
    assert isinstance(verdict, Refused)
    return verdict


def test_the_limit_and_the_repeats_have_the_documented_defaults() -> None:
    assert RemovalsConfig() == RemovalsConfig(confirm_limit=25, repeat=2)


@dataclass(frozen=True)
class Case:
    missing: int
    expected: Accepted | int  # an int: refused, with this streak
    empty: bool = False
    #: Streak of earlier observations that lacked the same; negative: of other ones.
    streak: int = 0
    repeat: int = 2
    allow: bool = False
    limit: int = LIMIT


SCENARIOS = {
    "nothing-missing": Case(0, ASKED),
    "nothing-missing-from-an-empty-project": Case(0, ASKED, empty=True),
    "nothing-missing-after-a-refusal": Case(0, ASKED, streak=1),
    "one-missing": Case(1, ASKED),
    "as-many-as-the-limit": Case(LIMIT, ASKED),
    "one-more-than-the-limit": Case(LIMIT + 1, 1),
    "over-the-limit-again": Case(LIMIT + 1, UNASKED, streak=1),
    "over-the-limit-but-others-than-before": Case(LIMIT + 1, 1, streak=-1),
    "over-the-limit-where-one-look-is-enough": Case(LIMIT + 1, UNASKED, repeat=1),
    "over-the-limit-for-the-second-of-three": Case(LIMIT + 1, 2, streak=1, repeat=3),
    "over-the-limit-for-the-third-of-three": Case(LIMIT + 1, UNASKED, streak=2, repeat=3),
    "others-just-before-the-third-of-three": Case(LIMIT + 1, 1, streak=-2, repeat=3),
    "over-the-limit-and-allowed": Case(LIMIT + 1, UNASKED, allow=True),
    "suddenly-empty": Case(1, 1, empty=True),
    "suddenly-empty-again": Case(1, ASKED, empty=True, streak=1),
    "suddenly-empty-as-many-as-the-limit-again": Case(LIMIT, ASKED, empty=True, streak=1),
    "suddenly-empty-and-over-the-limit": Case(LIMIT + 1, 1, empty=True),
    "suddenly-empty-and-over-the-limit-again": Case(LIMIT + 1, UNASKED, empty=True, streak=1),
    "suddenly-empty-of-others-than-before": Case(1, 1, empty=True, streak=-1),
    "suddenly-empty-where-one-look-is-enough": Case(1, ASKED, empty=True, repeat=1),
    "suddenly-empty-and-allowed": Case(1, ASKED, empty=True, allow=True),
    "limit-of-nothing": Case(1, 1, limit=0),
    "limit-of-nothing-again": Case(1, UNASKED, limit=0, streak=1),
    "limit-of-nothing-and-allowed": Case(1, UNASKED, limit=0, allow=True),
    "repeat-lowered-after-a-longer-streak": Case(LIMIT + 1, UNASKED, streak=5, repeat=2),
}


@pytest.mark.parametrize("case", SCENARIOS.values(), ids=SCENARIOS)
def test_scenario(case: Case) -> None:
    missing = lacking(case.missing)
    before: tuple[str | None, int] = (None, 0)
    if case.streak:
        earlier = lacking(LIMIT + 1) if case.missing == 0 else missing
        others = lacking(LIMIT + 1, first="m")
        digest = refused(earlier if case.streak > 0 else others, empty=True, repeat=99).digest
        before = (digest, abs(case.streak))
    verdict = look(missing, empty=case.empty, before=before, repeat=case.repeat, allow=case.allow, limit=case.limit)
    assert (verdict.streak if isinstance(verdict, Refused) else verdict) == case.expected


@pytest.mark.parametrize("repeat", [1, 2, 3])
@pytest.mark.parametrize(("number", "empty"), [(LIMIT + 1, False), (1, True), (LIMIT + 1, True)])
def test_as_many_observations_in_a_row_as_configured_have_to_lack_the_same(
    number: int, empty: bool, repeat: int
) -> None:
    before: tuple[str | None, int] = (None, 0)
    for streak in range(1, repeat):
        verdict = refused(lacking(number), empty=empty, before=before, repeat=repeat)
        assert verdict.streak == streak
        before = (verdict.digest, verdict.streak)
    assert look(lacking(number), empty=empty, before=before, repeat=repeat) == Accepted(ask=number <= LIMIT)


def test_what_is_allowed_or_ordinary_is_believed_at_once_whatever_went_before() -> None:
    digest = refused(lacking(LIMIT + 1)).digest
    befores: list[tuple[str | None, int]] = [(None, 0), (digest, 1), ("x", 1)]
    for before, repeat in product(befores, (1, 2, 3)):
        for number, empty in product((0, 1, LIMIT, LIMIT + 1), (False, True)):
            verdict = look(lacking(number), empty=empty, before=before, repeat=repeat, allow=True)
            assert verdict == Accepted(ask=number <= LIMIT)
        for number in range(LIMIT + 1):
            assert look(lacking(number), before=before, repeat=repeat) == ASKED


def test_the_digest_is_that_of_the_missing_ids_alone() -> None:
    one = refused([Batch("a", "x", 1, 1, 1), Batch("b", None, None, 0, 0)], limit=0)
    same = refused([Batch("a", None, None, 9, 9), Batch("b", "y", 2, 0, 0)], limit=1)
    assert one.digest == same.digest
    others = [["a"], ["a", "c"], ["ab"], ["a", "b", "c"], ["a\nb"], ["a,b"]]
    digests = {refused([Batch(i, None, None, 0, 0) for i in ids], limit=0).digest for ids in others}
    assert len({one.digest, *digests}) == len(others) + 1


def test_the_reason_names_what_vanished_why_it_matters_and_the_way_out() -> None:
    reason = refused(lacking(1234), limit=25).reason
    for part in ("1,234 stored batches", "(a, b, c, …)", "confirm_limit = 25", "1 more observation lacks"):
        assert part in reason
    few = refused(lacking(2), empty=True, repeat=4).reason
    for part in ("2 stored batches", "(a, b)", "suddenly empty", "3 more observations lack"):
        assert part in few


def test_the_reason_is_one_line_whatever_the_ids_are() -> None:
    reason = refused([Batch("a\n\x1b[2J\u202e", None, None, 0, 0)], limit=0).reason
    assert reason.isprintable()
    assert "(a\ufffd\ufffd[2J\ufffd)" in reason
