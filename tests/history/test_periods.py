"""Hours, days, weeks and months in every time zone, also where clocks skip or repeat some of them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from rfsync.history.periods import BY, By, Period, midnight, periods

DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)


def local(period: Period, tz: ZoneInfo) -> str:
    return period.start.astimezone(tz).isoformat(" ")


def check(found: list[Period], since: datetime, until: datetime) -> None:
    """They follow each other without a gap, and none is empty."""
    assert (found[0].since, found[-1].until) == (since, until)
    assert found[0].start <= since
    assert all(before.until == after.since == after.start for before, after in pairwise(found))
    assert all(period.since < period.until for period in found)


@cache
def changes() -> list[tuple[datetime, ZoneInfo]]:
    """One change of each kind (the local time, the offsets before and after it) since most zones exist."""
    kinds: dict[object, tuple[datetime, ZoneInfo]] = {}
    for name in sorted(available_timezones()):
        tz = ZoneInfo(name)
        for day in _days_with_a_change(tz):
            before = _offset(day, tz)
            at = next(day + n * HOUR for n in range(25) if _offset(day + n * HOUR, tz) != before)
            kinds.setdefault(((at + before).time(), before, _offset(at, tz)), (at, tz))
    return list(kinds.values())


def _days_with_a_change(tz: ZoneInfo) -> Iterator[datetime]:
    # Offsets are compared every 16 days, and then by halves: a shorter change and back is not found.
    at, step = datetime(1880, 1, 1, tzinfo=UTC), 16 * DAY
    offset = _offset(at, tz)
    while at.year < 2030:
        before, offset = offset, _offset(at + step, tz)
        if before != offset:
            after, width = at, step
            while width > DAY:
                width /= 2
                if _offset(after + width, tz) == before:
                    after += width
            yield after
        at += step


def _offset(at: datetime, tz: ZoneInfo) -> timedelta:
    return at.astimezone(tz).utcoffset() or timedelta()


def test_every_kind_of_change_leaves_days_and_hours_that_follow_each_other() -> None:
    assert len(changes()) > 500
    for at, tz in changes():
        since, until = at - 2 * DAY + 7 * SECOND, at + 2 * DAY
        days = periods("day", since, until, tz)
        check(days, since, until)
        dates = [period.start.astimezone(tz).date() for period in days]
        assert dates == sorted(set(dates)), (tz, at)
        for period in days[1:]:  # each begins with the first moment of its date
            assert (period.start - SECOND).astimezone(tz).date() != period.start.astimezone(tz).date(), (tz, at)
        since, until = at - 4 * HOUR + 7 * SECOND, at + 4 * HOUR
        hours = periods("hour", since, until, tz)
        check(hours, since, until)
        labels = [local(period, tz) for period in hours]
        assert len(set(labels)) == len(labels), (tz, at)
        for period in hours:  # each is an hour of the clock, or the part of one before or after the change
            first, last = period.start.astimezone(tz), (period.until - SECOND).astimezone(tz)
            assert (first.date(), first.hour, first.utcoffset()) == (last.date(), last.hour, last.utcoffset()), (tz, at)


@pytest.mark.parametrize("by", BY)
def test_periods_that_begin_anywhere_in_a_change_contain_it(by: By) -> None:
    """Also where midnight came already, and comes again."""
    for at, tz in changes():
        for minutes in (-31, -1, 0, 29, 59):
            since = at + timedelta(minutes=minutes)
            until = since + 40 * DAY if by in {"week", "month"} else since + 2 * DAY
            check(periods(by, since, until, tz), since, until)


@pytest.mark.parametrize(
    ("zone", "since", "days"),
    [
        ("Pacific/Apia", date(2011, 12, 29), ["29", "31", "01"]),
        ("Pacific/Kwajalein", date(1993, 8, 20), ["20", "22", "23"]),
        ("Pacific/Enderbury", date(1994, 12, 30), ["30", "01", "02"]),
        ("Pacific/Kiritimati", date(1994, 12, 30), ["30", "01", "02"]),
        ("Asia/Manila", date(1844, 12, 30), ["30", "01", "02"]),
        ("America/Juneau", date(1867, 10, 17), ["17", "18", "19"]),
    ],
)
def test_a_day_that_the_date_line_skipped_is_no_period(zone: str, since: date, days: list[str]) -> None:
    tz = ZoneInfo(zone)
    start = midnight(since, tz)
    found = periods("day", start, start + 3 * DAY, tz)
    labels = [f"{period.start.astimezone(tz):%d}" for period in found]
    assert labels[:3] == days
    assert labels == sorted(set(labels), key=labels.index)


def test_a_day_that_does_not_exist_begins_with_the_next_one() -> None:
    tz = ZoneInfo("Pacific/Apia")
    assert (
        midnight(date(2011, 12, 30), tz) == midnight(date(2011, 12, 31), tz) == datetime(2011, 12, 30, 10, tzinfo=UTC)
    )
    assert periods("day", midnight(date(2011, 12, 30), tz), midnight(date(2011, 12, 31), tz), tz) == []


@pytest.mark.parametrize(
    ("zone", "day", "starts"),
    [
        # Midnight is skipped, or comes twice.
        ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04 01:00:00-02:00"),
        ("Asia/Beirut", date(2024, 3, 31), "2024-03-31 01:00:00+03:00"),
        ("Africa/Cairo", date(2024, 4, 26), "2024-04-26 01:00:00+03:00"),
        ("America/Toronto", date(1946, 4, 28), "1946-04-28 00:00:00-05:00"),
        ("America/St_Johns", date(2010, 11, 7), "2010-11-07 00:00:00-02:30"),
        ("America/Havana", date(2024, 11, 3), "2024-11-03 00:00:00-04:00"),
    ],
)
def test_a_day_begins_with_its_first_moment(zone: str, day: date, starts: str) -> None:
    tz = ZoneInfo(zone)
    assert midnight(day, tz).astimezone(tz).isoformat(" ") == starts


def test_a_change_by_half_an_hour_makes_half_an_hour() -> None:
    tz = ZoneInfo("Australia/Lord_Howe")
    forward = datetime(2024, 10, 6, 0, tzinfo=tz)
    assert [local(one, tz)[11:] for one in periods("hour", forward, forward + 4 * HOUR, tz)] == [
        "00:00:00+10:30", "01:00:00+10:30", "02:30:00+11:00", "03:00:00+11:00"
    ]  # fmt: skip
    back = datetime(2024, 4, 7, 0, tzinfo=tz)
    assert [local(one, tz)[11:] for one in periods("hour", back, back + 4 * HOUR, tz)] == [
        "00:00:00+11:00", "01:00:00+11:00", "01:30:00+10:30", "02:00:00+10:30", "03:00:00+10:30"
    ]  # fmt: skip
