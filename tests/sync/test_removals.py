"""What is decided about batches that an observation lacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from rfsync.config import RemovalsConfig
from rfsync.ledger.missing import Missing
from rfsync.records import Batch, Kind
from rfsync.sync.removals import Confirmation, Refused, describe_doubtful, judge, rows_of_refused, settle, to_ask

LIMIT = 3
NOW = datetime(2026, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def ids(number: int, first: str = "a") -> list[str]:
    return [chr(ord(first) + n) for n in range(number)]


def known(number: int, first: str = "a", *, refusal: int = 0, unlisted: bool = False) -> dict[str, Missing]:
    """Batches that the observation before lacked."""
    return {i: Missing(NOW, refusal, NOW if unlisted else None, unlisted) for i in ids(number, first)}


def test_the_limits_have_the_documented_defaults() -> None:
    assert RemovalsConfig() == RemovalsConfig(confirm_limit=25, repeat=2, recheck=DAY)


@dataclass(frozen=True)
class Case:
    missing: int
    #: None: it counts; else how many more have to lack the same.
    more: int | None
    known: dict[str, Missing] = field(default_factory=dict)
    streak: int = 0
    repeat: int = 2
    limit: int = LIMIT


SCENARIOS = {
    "nothing-missing": Case(0, None),
    "nothing-missing-after-a-refusal": Case(0, None, known(LIMIT + 1, refusal=1), streak=1),
    "as-many-as-the-limit": Case(LIMIT, None),
    "one-more-than-the-limit": Case(LIMIT + 1, 1),
    "one-more-than-the-limit-again": Case(LIMIT + 1, None, known(LIMIT + 1, refusal=1), streak=1),
    "others-than-the-refused-one-lacked": Case(LIMIT + 1, 1, known(LIMIT + 1, "m", refusal=1), streak=1),
    "the-same-and-as-many-others-as-the-limit": Case(LIMIT + 1 + LIMIT, None, known(LIMIT + 1, refusal=1), streak=1),
    "the-same-and-more-others": Case(2 * LIMIT + 2, 1, known(LIMIT + 1, refusal=1), streak=1),
    "the-second-of-three": Case(LIMIT + 1, 1, known(LIMIT + 1, refusal=1), streak=1, repeat=3),
    "the-third-of-three": Case(LIMIT + 1, None, known(LIMIT + 1, refusal=1), streak=2, repeat=3),
    "the-second-of-three-after-others-were-refused": Case(
        LIMIT + 1, 1, known(LIMIT + 1, refusal=2), streak=2, repeat=3
    ),
    "some-of-those-refused-are-back": Case(LIMIT, None, known(LIMIT + 1, refusal=1), streak=1, repeat=3),
    "where-one-is-enough": Case(LIMIT + 1, None, repeat=1),
    "known-from-an-applied-one": Case(LIMIT + 1, None, known(LIMIT + 1)),
    "unlisted": Case(9, None, known(9, unlisted=True)),
    "unlisted-and-some-that-vanish": Case(9, None, known(9 - LIMIT, unlisted=True)),
    "unlisted-and-too-many-that-vanish": Case(9, 1, known(9 - LIMIT - 1, unlisted=True)),
    "limit-of-nothing": Case(1, 1, limit=0),
    "limit-of-nothing-again": Case(1, None, known(1, refusal=1), streak=1, limit=0),
    "repeat-lowered-after-a-longer-streak": Case(LIMIT + 1, None, known(LIMIT + 1, refusal=1), streak=5),
}


@pytest.mark.parametrize("case", SCENARIOS.values(), ids=SCENARIOS)
def test_scenario(case: Case) -> None:
    verdict = judge(Kind.BATCH, ids(case.missing), case.known, case.streak, RemovalsConfig(case.limit, case.repeat))
    if case.more is None:
        assert verdict is None
    else:
        assert verdict is not None
        assert verdict.streak == case.streak + 1
        assert f"until {case.more} more observation{'s lack' if case.more > 1 else ' lacks'} them" in verdict.reason


@pytest.mark.parametrize("repeat", [1, 2, 3, 5])
def test_as_many_observations_in_a_row_as_configured_have_to_lack_the_same(repeat: int) -> None:
    settings = RemovalsConfig(LIMIT, repeat)
    rows: dict[str, Missing] = {}
    refused = 0
    while isinstance(verdict := judge(Kind.BATCH, ids(LIMIT + 1), rows, refused, settings), Refused):
        refused += 1
        rows = rows_of_refused(ids(LIMIT + 1), rows, verdict.streak, NOW + refused * DAY)
    assert refused == repeat - 1
    assert {row.missing_at for row in rows.values()} == ({NOW + DAY} if refused else set())


def test_a_refused_observation_keeps_what_was_settled_and_forgets_what_is_back() -> None:
    before = known(2, "a", unlisted=True) | known(1, "c") | known(2, "d", refusal=1)
    rows = rows_of_refused(["a", "c", "d", "x"], before, 2, NOW + DAY)
    assert rows == {
        **{i: before[i] for i in "abcd"},
        "x": Missing(NOW + DAY, refusal=2),
    }


def test_the_reason_names_what_vanished_why_it_matters_and_the_way_out() -> None:
    verdict = judge(Kind.BATCH, ["a", "b", "c", *(f"d{n}" for n in range(1231))], {}, 0, RemovalsConfig())
    assert verdict is not None
    for part in ("1,234 stored batches", "(a, b, c, …)", "confirm_limit = 25", "1 more observation lacks them"):
        assert part in verdict.reason


def test_the_reason_is_one_line_whatever_the_ids_are() -> None:
    verdict = judge(Kind.BATCH, ["a\n\x1b[2J\u202e"], {}, 0, RemovalsConfig(0))
    assert verdict is not None
    assert verdict.reason.isprintable()
    assert "(a\ufffd\ufffd[2J\ufffd)" in verdict.reason


def test_those_that_may_be_gone_are_asked_for_before_unlisted_ones_and_those_missing_longest_first() -> None:
    rows = {
        "new-unlisted": Missing(NOW - 2 * DAY, asked_at=NOW - DAY, unlisted=True),
        "old-unlisted": Missing(NOW - 9 * DAY, asked_at=NOW - 3 * DAY, unlisted=True),
        "oldest-but-asked-in-between": Missing(NOW - 10 * DAY, asked_at=NOW - 2 * DAY, unlisted=True),
        "not-due": Missing(NOW - 9 * DAY, asked_at=NOW - DAY + timedelta(microseconds=1), unlisted=True),
        "in-doubt": Missing(NOW - DAY, asked_at=NOW - timedelta(minutes=5)),
        "in-doubt-and-never-asked": Missing(NOW - DAY),
        "in-doubt-for-long": Missing(NOW - 3 * DAY, asked_at=NOW),
        "departed": Missing(NOW - 2 * DAY, removed=True),
    }
    questions = to_ask(Kind.BATCH, ["vanished", *rows], rows, NOW, RemovalsConfig())
    assert [question.record_id for question in sorted(questions)] == [
        *("in-doubt-for-long", "departed", "in-doubt-and-never-asked", "in-doubt", "vanished"),
        *("old-unlisted", "oldest-but-asked-in-between", "new-unlisted"),
    ]


def test_what_the_api_answered_settles_what_is_known() -> None:
    hour = NOW + timedelta(hours=1)
    rows = {
        "exists": Missing(NOW, refusal=1),
        "due": Missing(NOW, asked_at=NOW, unlisted=True),
        "due-no-answer": Missing(NOW, asked_at=NOW, unlisted=True),
        "not-due": Missing(NOW, asked_at=NOW, unlisted=True),
        "gone": Missing(NOW, asked_at=NOW, unlisted=True),
        "back": Missing(NOW, removed=True),
    }
    exist = tuple(Batch(i, None, None, 1, 1) for i in ("exists", "due", "back"))
    answered = Confirmation(frozenset({"gone"}), exist, {"no-answer": "HTTP 500", "due-no-answer": "HTTP 502"})
    settled = settle([*rows, "no-answer", "not-its-turn"], rows, answered, hour)
    assert settled.rows == {
        **{i: Missing(NOW, asked_at=hour, unlisted=True) for i in ("exists", "due", "back")},
        "due-no-answer": rows["due-no-answer"],
        "not-due": rows["not-due"],
        "no-answer": Missing(hour, asked_at=hour),
        "not-its-turn": Missing(hour),
    }
    assert settled.doubtful == {
        "no-answer": "HTTP 500",
        "due-no-answer": "HTTP 502",
        "not-its-turn": "not asked for yet",
    }


def test_a_doubt_names_the_first_three_and_why() -> None:
    assert describe_doubtful(Kind.BATCH, {"a\n": "HTTP 500"}).startswith("1 batch is no longer listed")
    text = describe_doubtful(Kind.BATCH, {i: f"why {i}" for i in "abcde"})
    assert text.startswith("5 batches are no longer listed")
    assert text.endswith("a: why a; b: why b; c: why c; and 2 more")
