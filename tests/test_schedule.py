"""When a poll is due: intervals, and cron's five fields as ``man 5 crontab`` has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rfsync.schedule import Cron, Interval, SharedSchedule, Ticks, gap

BERLIN = ZoneInfo("Europe/Berlin")
#: A Thursday.
START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)


def times(text: str, count: int, start: datetime = START, timezone: tzinfo = UTC) -> list[datetime]:
    """The first so many times after ``start``."""
    cron = Cron(text, timezone)
    found = [start]
    for _ in range(count):
        found.append(cron.after(found[-1]))
    assert all(earlier < later for earlier, later in pairwise(found))
    assert all(time.tzinfo is UTC for time in found[1:])
    return found[1:]


def local(text: str, count: int, start: datetime, timezone: tzinfo = BERLIN) -> list[str]:
    """The same by the clock on the wall, with its offset."""
    return [time.astimezone(timezone).strftime("%d %H:%M%z")[:-2] for time in times(text, count, start, timezone)]


def weekdays(field: str) -> list[int]:
    """On which days of a week, counted from Sunday, it is due at noon."""
    sunday = datetime(2026, 1, 4, tzinfo=UTC)
    cron = Cron(f"0 12 * * {field}", UTC)
    days = [sunday + timedelta(days=number) for number in range(7)]
    return [number for number, day in enumerate(days) if cron.after(day) == day + timedelta(hours=12)]


def values(place: int, field: str) -> list[int]:
    """Which minutes, hours, days or months (places 0, 1, 2, 3) a field stands for."""
    fields = ["0", "0", "1", "1", "*"]
    for other in range(place):
        fields[other] = "0" if other < 2 else "1"
    for other in range(place + 1, 4):
        fields[other] = "*"
    fields[place] = field
    found: list[int] = []
    for time in times(" ".join(fields), 61, START - MINUTE):
        value = (time.minute, time.hour, time.day, time.month)[place]
        if value in found:
            break
        found.append(value)
    return found


# Intervals


def test_an_interval_is_due_that_much_later() -> None:
    assert Interval(timedelta(minutes=5)).after(START) == START + timedelta(minutes=5)


def test_the_gap_is_what_lies_between_the_next_two() -> None:
    assert gap(Interval(timedelta(hours=1)), START) == timedelta(hours=1)
    assert gap(Cron("*/15 * * * *", UTC), START + 3 * MINUTE) == timedelta(minutes=15)
    assert gap(Cron("0 9 * * mon-fri", UTC), datetime(2026, 1, 1, 10, tzinfo=UTC)) == timedelta(days=3)


# The fields


@pytest.mark.parametrize(
    ("place", "field", "expected"),
    [
        (0, "*", [*range(60)]),
        (0, "5", [5]),
        (0, "05", [5]),
        (0, "59,0,30", [0, 30, 59]),
        (0, "0-3", [0, 1, 2, 3]),
        (0, "7-7", [7]),
        (0, "*/20", [0, 20, 40]),
        (0, "10-40/15", [10, 25, 40]),
        (0, "1-3,50-59/4,2", [1, 2, 3, 50, 54, 58]),
        (0, "5/20", [5, 25, 45]),
        (0, "*/60", [0]),
        (0, "7-7/1", [7]),
        (0, "7-7/2,07-7/20,9-9/3", [7, 9]),
        (0, "0-5/10", [0]),
        (1, "*/8", [0, 8, 16]),
        (1, "*/24", [0]),
        (1, "22-23", [22, 23]),
        (2, "*/10", [1, 11, 21, 31]),
        (2, "2-8/3", [2, 5, 8]),
        (3, "*/5", [1, 6, 11]),
        (3, "jan", [1]),
        (3, "DEC,Feb", [2, 12]),
        (3, "nov-dec", [11, 12]),
        (3, "jan-mar/2", [1, 3]),
        (3, "sep/2", [9, 11]),
        (3, "jul-jul/2", [7]),
        (3, "jan-3", [1, 2, 3]),
    ],
)
def test_a_field_stands_for_its_lists_ranges_steps_and_names(place: int, field: str, expected: list[int]) -> None:
    assert values(place, field) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("*", [0, 1, 2, 3, 4, 5, 6]),
        ("0", [0]),
        ("7", [0]),
        ("0,7", [0]),
        ("1", [1]),
        ("6", [6]),
        ("sun", [0]),
        ("Mon,WED,fri", [1, 3, 5]),
        ("1-5", [1, 2, 3, 4, 5]),
        ("mon-fri/2", [1, 3, 5]),
        ("sun-tue", [0, 1, 2]),
        ("5-7", [0, 5, 6]),
        ("fri-sun", [0, 5, 6]),
        ("fri-7", [0, 5, 6]),
        ("0-7", [0, 1, 2, 3, 4, 5, 6]),
        ("1-7/2", [0, 1, 3, 5]),
        ("1/3", [0, 1, 4]),
        ("mon-sun", [0, 1, 2, 3, 4, 5, 6]),
        ("wed-sun/2", [0, 3, 5]),
        ("sun-sun", [0]),
        ("7-7", [0]),
        ("*/2", [0, 2, 4, 6]),
        ("*/3", [0, 3, 6]),
        ("*/7", [0]),
        ("sat,2-3", [2, 3, 6]),
    ],
)
def test_0_and_7_are_sunday_and_ranges_go_on_to_it(field: str, expected: list[int]) -> None:
    assert weekdays(field) == expected


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 0 13 * *", [13]),
        ("0 0 * * fri", [2, 9, 16, 23, 30]),
        # Both are given: either is enough.
        ("0 0 13 * fri", [2, 9, 13, 16, 23, 30]),
        ("0 0 1-7 * mon", [1, 2, 3, 4, 5, 6, 7, 12, 19, 26]),
        ("0 0 30 * 4,5", [1, 2, 8, 9, 15, 16, 22, 23, 29, 30]),
        # One that begins with a star does not count as given: both have to hold.
        ("0 0 */2 * fri", [9, 23]),
        ("0 0 */2,2 * fri", [2, 9, 23]),
        ("0 0 1-7 * */7", [4]),
        ("0 0 1-7 * *", [1, 2, 3, 4, 5, 6, 7]),
        ("0 0 *,1 * mon", [5, 12, 19, 26]),
        ("0 0 */2 * */2", [1, 3, 11, 13, 15, 17, 25, 27, 29, 31]),
    ],
)
def test_where_day_of_month_and_day_of_week_are_both_given_either_is_enough(text: str, days: list[int]) -> None:
    cron = Cron(text, UTC)
    january = [START + timedelta(days=number) for number in range(31)]
    assert [day.day for day in january if cron.after(day - MICROSECOND) == day] == days


def test_a_day_that_no_month_has_leaves_the_day_of_the_week() -> None:
    assert [time.day for time in times("0 0 30 2 mon", 2)] == [2, 9]


def test_a_leap_day_is_waited_for() -> None:
    assert [time.year for time in times("0 0 29 2 *", 3)] == [2028, 2032, 2036]


def test_the_fields_may_be_apart_by_any_white_space() -> None:
    assert times("  0\t12  * * * ", 1) == [START + timedelta(hours=12)]


def test_it_is_due_strictly_after_the_moment() -> None:
    cron = Cron("*/5 * * * *", UTC)
    assert cron.after(START) == START + 5 * MINUTE
    assert cron.after(START - MICROSECOND) == START
    assert cron.after(START + MICROSECOND) == START + 5 * MINUTE
    assert cron.after(START + 5 * MINUTE - MICROSECOND) == START + 5 * MINUTE


def test_a_moment_of_any_zone_gives_a_time_in_utc() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("America/New_York"))
    due = Cron("30 19 * * *", BERLIN).after(moment)
    assert (due, due.tzinfo) == (datetime(2026, 7, 1, 17, 30, tzinfo=UTC), UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * *",
        "@hourly",
        "a b c d e",
        "60 * * * *",
        "0 24 * * *",
        "0 0 0 * *",
        "0 0 32 * *",
        "0 0 1 0 *",
        "0 0 1 13 *",
        "0 0 * * 8",
        "0 0 * * 0-8",
        "99999999999999999999 * * * *",
        "-1 * * * *",
        "1- * * * *",
        "1-2-3 * * * *",
        "1,,2 * * * *",
        "1, * * * *",
        ",1 * * * *",
        "1.5 * * * *",
        "*5 * * * *",
        "*-5 * * * *",
        "** * * * *",
        "*/ * * * *",
        "*/-1 * * * *",
        "*/a * * * *",
        "*/0 * * * *",
        "1-5/0 * * * *",
        "0 */0 * * *",
        "0 0 */0 * *",
        "0 0 1 */0 *",
        "0 0 * * */0",
        "0 0 * * 1-5/0",
        "5-3 * * * *",
        "0 0 9-1 * *",
        "0 0 1 dec-jan *",
        "0 0 * * 5-3",
        "0 0 * * sat-mon",
        "0 0 * * 7-1",
        "0 0 30 2 *",
        "0 0 31 4 *",
        "0 0 1 janx *",
        "0 0 1 january *",
        "0 0 1 jan! *",
        "0 0 1 mon *",
        "0 0 * * jan",
        "0 0 * * sunday",
        "0 0 last * *",
        "0 0 L * *",
        "0 0 LW * *",
        "0 0 1,l * *",
        "0 0 * * 5L",
        "0 0 ? * *",
        "0 0 * * 5#2",
        f"{'1' * 5000} * * * *",
        "7-7/0 * * * *",
        "7-7/2-9 * * * *",
        "jan * * * *",
        "٣ * * * *",
        "0 0 * * ²",
    ],
)
def test_what_is_no_cron_line_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Cron(text, UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * *", "4 fields instead of five"),
        ("60 * * * *", "'60' is not a valid minute: 0 to 59"),
        ("0 0 1 13 *", "'13' is not a valid month: 1 to 12, or jan to dec"),
        ("0 0 * * 8", "'8' is not a valid day of the week: 0 to 7, or sun to sat"),
        ("5-3 * * * *", "'5-3' is not a valid minute"),
        ("0 0 30 2 *", "it never fires"),
    ],
)
def test_an_error_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Cron(text, UTC)


# Summer time, as cron(8) has it. In Berlin 02:00 to 03:00 is skipped on 29 March 2026, and occurs twice on 25 October.

SPRING = datetime(2026, 3, 28, 23, 30, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 22, 30, tzinfo=UTC)


def test_what_is_hourly_stays_hourly_over_both_changes() -> None:
    for start in (SPRING, AUTUMN):
        found = times("0 * * * *", 6, start, BERLIN)
        assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(hours=1)}
        found = times("*/5 * * * *", 60, start, BERLIN)
        assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(minutes=5)}
    assert local("0 * * * *", 4, SPRING) == ["29 01:00+01", "29 03:00+02", "29 04:00+02", "29 05:00+02"]
    assert local("0 * * * *", 4, AUTUMN) == ["25 01:00+02", "25 02:00+02", "25 02:00+01", "25 03:00+01"]


def test_a_time_that_is_skipped_is_due_right_after_the_change() -> None:
    assert local("30 2 * * *", 2, SPRING) == ["29 03:00+02", "30 02:30+02"]
    assert local("30 2,3 * * *", 3, SPRING) == ["29 03:00+02", "29 03:30+02", "30 02:30+02"]
    # Once, however many times were skipped.
    assert local("15,45 2 * * *", 2, SPRING) == ["29 03:00+02", "30 02:15+02"]


def test_a_time_that_occurs_twice_is_due_the_first_time() -> None:
    assert local("30 2 * * *", 2, AUTUMN) == ["25 02:30+02", "26 02:30+01"]
    assert local("30 2,3 * * *", 3, AUTUMN) == ["25 02:30+02", "25 03:30+01", "26 02:30+01"]
    # Asked between the two, and in the hour that comes again.
    for minutes in (45, 60, 75, 90):
        moment = datetime(2026, 10, 25, 0, tzinfo=UTC) + minutes * MINUTE
        assert local("30 2 * * *", 1, moment) == ["26 02:30+01"]


def test_a_line_with_a_star_for_minute_or_hour_follows_the_clock_on_the_wall() -> None:
    assert local("*/30 2 * * *", 2, SPRING) == ["30 02:00+02", "30 02:30+02"]
    assert local("*/30 2 * * *", 4, AUTUMN) == ["25 02:00+02", "25 02:30+02", "25 02:00+01", "25 02:30+01"]


def test_other_times_keep_to_the_clock_on_the_wall() -> None:
    assert local("0 6 * * *", 2, SPRING - timedelta(days=1)) == ["28 06:00+01", "29 06:00+02"]
    assert local("0 6 * * *", 2, AUTUMN - timedelta(days=1)) == ["24 06:00+02", "25 06:00+01"]
    assert local("0 3 * * *", 2, SPRING) == ["29 03:00+02", "30 03:00+02"]


# Any line

_ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu")
_NAMES = (
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    ["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
)  # fmt: skip


@st.composite
def field_texts(draw: st.DrawFn, lowest: int, highest: int, names: tuple[str, ...] = ()) -> str:
    """A field; most begin with a star, since many others would hardly ever hold at once."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.integers(lowest, highest))
        last = draw(st.integers(first, highest))
        step = draw(st.integers(1, highest + 2))
        word = names[(first - lowest) % len(names)] if names and first < 7 and draw(st.booleans()) else str(first)
        parts.append(draw(st.sampled_from(["*", "*", f"*/{step}", word, f"{word}-{last}", f"{first}-{last}/{step}"])))
    return ",".join(parts)


CRON_LINES = st.tuples(
    field_texts(0, 59),
    field_texts(0, 23),
    field_texts(1, 31),
    field_texts(1, 12, tuple(_NAMES[0])),
    field_texts(0, 7, tuple(_NAMES[1])),
).map(" ".join)
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 see timezones


def _meaning(field: str, lowest: int, highest: int, names: list[str] | None = None) -> set[int]:
    """What a field stands for, read another way."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{lowest}-{highest}" if span == "*" else span).partition("-")
        for number, name in enumerate(names or (), lowest):
            first, last = first.replace(name, str(number)), last.replace(name, str(number))
        found |= {n for n in range(int(first), int(last or first) + 1) if (n - int(first)) % int(step or 1) == 0}
    return found


class Model:
    """Looks at one minute after the other."""

    def __init__(self, text: str) -> None:
        minute, hour, day, month, weekday = text.split()
        self.minutes, self.hours = _meaning(minute, 0, 59), _meaning(hour, 0, 23)
        self.days, self.months = _meaning(day, 1, 31), _meaning(month, 1, 12, _NAMES[0])
        self.weekdays = {n % 7 for n in _meaning(weekday, 0, 7, _NAMES[1])}
        self.either = not (day.startswith("*") or weekday.startswith("*"))

    def has(self, time: datetime) -> bool:
        day, weekday = time.day in self.days, time.isoweekday() % 7 in self.weekdays
        on_the_day = (day or weekday) if self.either else (day and weekday)
        return time.minute in self.minutes and time.hour in self.hours and time.month in self.months and on_the_day

    def after(self, moment: datetime, days: int) -> datetime | None:
        """None: not within so many days."""
        first = moment.replace(second=0, microsecond=0) + MINUTE
        return next((t for t in (first + n * MINUTE for n in range(days * 1440)) if self.has(t)), None)


def cron(text: str, timezone: tzinfo = UTC) -> Cron:
    try:
        return Cron(text, timezone)
    except ValueError as error:
        assume("never fires" not in str(error))
        raise


@settings(max_examples=60)
@given(CRON_LINES, MOMENTS)
def test_a_walk_over_all_minutes_finds_the_same(text: str, moment: datetime) -> None:
    days = 3
    due = cron(text).after(moment)
    expected = Model(text).after(moment, days)
    if expected is None:
        assert due > moment + timedelta(days=days)
        assert Model(text).has(due)
    else:
        assert due == expected


@settings(max_examples=60)
@given(CRON_LINES, st.sampled_from(_ZONES), MOMENTS, st.timedeltas(timedelta(0), timedelta(days=3)))
def test_it_is_due_later_and_never_earlier_for_a_later_moment(
    text: str, zone: str, moment: datetime, later: timedelta
) -> None:
    schedule = cron(text, ZoneInfo(zone))
    due = schedule.after(moment)
    assert moment < due <= schedule.after(moment + later)
    assert (due.second, due.microsecond, due.tzinfo) == (0, 0, UTC)


@settings(max_examples=60)
@given(CRON_LINES, st.sampled_from(_ZONES), MOMENTS, st.integers(0, 59_999_999))
def test_seconds_make_no_difference(text: str, zone: str, moment: datetime, microseconds: int) -> None:
    schedule = cron(text, ZoneInfo(zone))
    minute = moment.replace(second=0, microsecond=0)
    assert schedule.after(minute + timedelta(microseconds=microseconds)) == schedule.after(minute)


@settings(max_examples=200)
@given(
    st.sampled_from(
        [
            Ticks(timedelta(seconds=1), timedelta(0)),
            Ticks(timedelta(minutes=5), timedelta(seconds=299)),
            Ticks(timedelta(days=30), timedelta(days=7)),
            *(Cron(text, zone) for text in ("* * * * *", "30 2 * * *", "0 9 * * mon-fri") for zone in (UTC, BERLIN)),
            Cron("0 0 29 2 *", UTC),
        ]
    ),
    st.integers(-(10**11), 10**11).map(lambda milliseconds: START + timedelta(milliseconds=milliseconds)),
)
def test_the_latest_time_is_the_one_that_nothing_follows(schedule: SharedSchedule, moment: datetime) -> None:
    latest = schedule.latest(moment)
    assert latest <= moment < schedule.after(latest)
    assert schedule.after(latest - MICROSECOND) == latest == schedule.latest(latest)
    assert latest < schedule.after(moment)
