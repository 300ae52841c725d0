"""TIME, as it is written on a command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rfsync.errors import ConfigError
from rfsync.parsing import parse_target, parse_time

NOW = datetime(2026, 3, 10, 12, 30, 0, 5, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", utc(2026, 1, 31)),
        ("2024-02-29", utc(2024, 2, 29)),
        ("2026-01-31T18:00", utc(2026, 1, 31, 18)),
        ("2026-01-31 18:00", utc(2026, 1, 31, 18)),
        ("2026-01-31T18:00:07", utc(2026, 1, 31, 18, 0, 7)),
        ("2026-01-31T18:00:07Z", utc(2026, 1, 31, 18, 0, 7)),
        ("2026-01-31t18:00z", utc(2026, 1, 31, 18)),
        ("2026-01-31 18:00:07+02:00", utc(2026, 1, 31, 16, 0, 7)),
        ("2026-01-31T18:00-0530", utc(2026, 1, 31, 23, 30)),
        ("2026-01-31T00:30+02", utc(2026, 1, 30, 22, 30)),
        ("2026-01-31T18:00:07.5", utc(2026, 1, 31, 18, 0, 7, 500_000)),
        ("2026-01-31T18:00:07.000001Z", utc(2026, 1, 31, 18, 0, 7, 1)),
        ("2026-01-31T18:00:07.123456999+00:00", utc(2026, 1, 31, 18, 0, 7, 123_456)),
        ("2026-01-31T18:00:07,5", utc(2026, 1, 31, 18, 0, 7, 500_000)),
        ("  2026-01-31 ", utc(2026, 1, 31)),
        ("7d", NOW - timedelta(days=7)),
        ("90s", NOW - timedelta(seconds=90)),
        ("0s", NOW),
        ("1900-01-01", utc(1900, 1, 1)),
        ("9998-12-31T23:59:59.999999Z", utc(9998, 12, 31, 23, 59, 59, 999_999)),
    ],
)
def test_every_form_is_an_instant_in_utc(text: str, expected: datetime) -> None:
    parsed = parse_time(text, NOW)
    assert parsed == expected
    assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-01-31", utc(2026, 1, 30, 23), id="a-date-in-winter"),
        pytest.param("2026-07-31", utc(2026, 7, 30, 22), id="a-date-in-summer"),
        pytest.param("2026-01-31 18:00", utc(2026, 1, 31, 17), id="a-time"),
        pytest.param("2026-01-31T18:00Z", utc(2026, 1, 31, 18), id="it-says-otherwise"),
        pytest.param("2026-01-31T18:00-05:00", utc(2026, 1, 31, 23), id="with-an-offset"),
        pytest.param("2026-10-25 02:30", utc(2026, 10, 25, 0, 30), id="twice-the-first"),
        pytest.param("2026-03-29 02:30", utc(2026, 3, 29, 1, 30), id="leaped-over"),
        pytest.param("7d", NOW - timedelta(days=7), id="an-age"),
    ],
)
def test_a_time_without_an_offset_is_of_the_zone(text: str, expected: datetime) -> None:
    assert parse_time(text, NOW, BERLIN) == expected


def test_a_day_without_a_midnight_begins_where_the_clock_lands() -> None:
    # In Beirut the clock went from 00:00 to 01:00.
    assert parse_time("2024-03-31", NOW, ZoneInfo("Asia/Beirut")) == utc(2024, 3, 30, 22)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "now", "yesterday", "2026", "2026-01", "20260131", "31.01.2026", "01/31/2026", "1769817600"),
        *("2026-02-30", "2026-13-01", "2026-00-01", "2026-1-31", "26-01-31", "2026-01-31T", "2026-01-31Z"),
        *("2026-01-31T18", "2026-01-31T24:00", "2026-01-31T18:60", "2026-01-31T18:00:60", "2026-01-31T18:00:07."),
        *("2026-01-31T18:00:07.1234567890", "2026-01-31T18:00.5", "2026-01-31T18:00+24:00", "2026-01-31T18:00+02:60"),
        *("2026-01-31T18:00 Europe/Berlin", "2026-01-31T18:00++02:00", "2026-01-31  18:00", "２026-01-31"),
        *("7", "7w", "-7d", "7 d", "7d ago", "1d12h", "36501d", "2026-01-31\x0018:00"),
    ],
)
def test_anything_else_is_an_error_that_shows_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time: write .*2026-01-31T18:00:00Z.*\+02:00.* 7d") as raised:
        parse_time(text, NOW)
    assert str(raised.value).startswith(repr(text))


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01",
        "0001-01-01T00:00+14:00",
        "1899-12-31",
        "1900-01-01T00:00+01:00",
        "9999-01-01",
        "9999-12-31T23:59-14:00",
    ],
)
def test_a_time_at_the_end_of_the_calendar_is_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match="out of range: years are from 1900 to 9998"):
        parse_time(text, NOW)


OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
INSTANTS = st.datetimes(datetime(1901, 1, 1), datetime(9998, 1, 1), timezones=OFFSETS)  # noqa: DTZ001 made aware


@given(INSTANTS)
def test_what_isoformat_writes_comes_back(instant: datetime) -> None:
    assert parse_time(instant.isoformat(), NOW) == instant
    assert parse_time(instant.isoformat(" ", "microseconds"), NOW) == instant
    assert parse_time(instant.isoformat(timespec="minutes"), NOW) == instant.replace(second=0, microsecond=0)


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_a_clear_error(text: str) -> None:
    try:
        parsed = parse_time(text, NOW)
    except ValueError as error:
        assert repr(text) in str(error)  # noqa: PT017 most texts are none
    else:
        assert parsed.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("https://app.roboflow.com/acme/widgets/batches", "write acme/widgets"),
        ("app.roboflow.com/acme", "write acme"),
        ("https://api.roboflow.eu/acme/widgets?api_key=secret-1", "write acme/widgets"),
        ("a/b/c", "use the ids as in the address app.roboflow.com/WORKSPACE/PROJECT"),
    ],
)
def test_an_address_in_place_of_a_target_is_told_with_the_ids_in_it(text: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=f": {meant}$") as raised:
        parse_target(text)
    assert "secret-1" not in str(raised.value)
