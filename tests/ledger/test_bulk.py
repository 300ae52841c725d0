"""Instants as the databases take them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.database.sqlite import instant, sqlite_text
from rfsync.ledger.bulk import bulk_for, microseconds, text_of
from rfsync.ledger.bulk_postgres import _offset_text
from rfsync.ledger.bulk_sqlite import SqliteBulk
from rfsync.ledger.changes import Change, ChangeKind
from rfsync.ledger.record_types import BATCHES
from rfsync.records import Batch

LAST = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
MICROSECONDS = st.integers(0, LAST)


@pytest.mark.parametrize(
    ("us", "expected"),
    [
        (0, "1970-01-01 00:00:00.000000"),
        (1, "1970-01-01 00:00:00.000001"),
        (1_669_146_024_818_000, "2022-11-22 19:40:24.818000"),
        (LAST, "9999-12-31 23:59:59.999999"),
    ],
)
def test_an_instant_is_utc_text_with_all_its_microseconds(us: int, expected: str) -> None:
    assert text_of(us) == expected
    assert _offset_text(us) == f"{expected}+00"


def test_what_is_not_known_stays_unknown() -> None:
    assert text_of(None) is None
    assert _offset_text(None) is None
    assert instant(None) is None
    assert microseconds(None) is None


@settings(max_examples=12)
@given(MICROSECONDS, st.integers(-23, 23))
def test_text_and_microseconds_are_the_same_instant(us: int, hours: int) -> None:
    text = text_of(us)
    known = instant(text)
    assert microseconds(known) == us
    assert known is not None
    assert sqlite_text(known) == text
    if timedelta(days=1) < known - datetime(1970, 1, 1, tzinfo=UTC) and known.year < 9999:
        assert sqlite_text(known.astimezone(timezone(timedelta(hours=hours)))) == text


@settings(max_examples=12)
@given(MICROSECONDS, MICROSECONDS)
def test_the_order_of_texts_is_that_of_time(one: int, other: int) -> None:
    texts = (text_of(one), text_of(other))
    assert None not in texts
    assert (str(texts[0]) < str(texts[1])) == (one < other)


@pytest.mark.parametrize("kind", ChangeKind)
def test_the_ledger_says_0_of_a_removed_batch_and_its_counts_of_any_other(kind: ChangeKind) -> None:
    counts = Change(kind, Batch("a", None, None, 5, 2)).counts(BATCHES)
    assert counts == ((0, 0) if kind is ChangeKind.REMOVED else (5, 2))


def test_each_database_has_its_own_way() -> None:
    assert isinstance(bulk_for("sqlite"), SqliteBulk)
    assert type(bulk_for("sqlite")) is not type(bulk_for("postgresql"))
