"""Clocks that are wrong: the order of the ledger, the versions and the days stay right."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from rig import START, Rig, record

from rfsync.database.engine import open_engine
from rfsync.ledger.verify import verify

DAY = 24 * 60
TICK = timedelta(microseconds=1)


def sound(rig: Rig) -> list[tuple[int, datetime]]:
    """The images after each observation, in the order of the ledger; what has to hold for any ledger does."""
    rows = rig.rows("SELECT images, observed_at FROM batch_changes ORDER BY id")
    made = [(int(str(images)), datetime.fromisoformat(str(at)).replace(tzinfo=START.tzinfo)) for images, at in rows]
    assert [at for _, at in made] == sorted({at for _, at in made})
    assert rig.rows("SELECT count(*) FROM batch_history") == [(len(made),)]
    assert rig.rows("SELECT 1 FROM batch_history WHERE valid_to <= valid_from") == []
    assert verify(open_engine(rig.url, read_only=True)).ok
    return made


@pytest.mark.parametrize(
    "jumps",
    [[-DAY, 0, 2 * DAY], [365 * DAY, 0, -365 * DAY, 0, 10], [-10 * 365 * DAY, 0, DAY]],
    ids=["back-by-a-day", "forward-by-a-year-and-back", "back-by-ten-years"],
)
def test_a_clock_that_is_set(rig: Rig, jumps: list[int]) -> None:
    expected: list[tuple[int, datetime]] = []
    for number, minutes in enumerate([0, 0, *jumps], 1):
        rig.listed = [record("a", number, 1)]
        rig.now += timedelta(minutes=minutes)
        assert rig.sync().outcome == "changed"
        # By the clock, but where that has gone backwards just after the last one.
        at = rig.now if not expected or rig.now > expected[-1][1] else expected[-1][1] + TICK
        expected.append((number, at))
    assert sound(rig) == expected
    days = rig.rows("SELECT day, changes, images FROM project_totals_daily ORDER BY day")
    by_day: dict[str, list[int]] = {}
    for number, at in expected:
        by_day.setdefault(str(at.date()), []).append(number)
    assert [(str(day), changes, images) for day, changes, images in days] == [
        (day, len(numbers), numbers[-1]) for day, numbers in by_day.items()
    ]


def test_two_machines_five_minutes_apart(rig: Rig, database_url: str) -> None:
    behind = Rig(database_url)
    for number in range(1, 11):
        machine = rig if number % 2 else behind
        machine.now = START + timedelta(minutes=number + (5 if machine is rig else 0))
        machine.listed = [record("a", number, 1)]
        assert machine.sync(minutes=0).outcome == "changed"
    made = sound(rig)
    assert [number for number, _ in made] == [*range(1, 11)]
    # An odd one by the clock that is ahead, an even one just after it.
    assert [at for number, at in made if number % 2] == [START + timedelta(minutes=n + 5) for n in range(1, 11, 2)]
    behind.close()


@pytest.mark.parametrize("hours", [-25, 25])
def test_of_two_that_overlap_the_one_that_was_asked_later_wins_whatever_the_clocks_say(
    rig: Rig, database_url: str, hours: int
) -> None:
    """It is written first; the other machine's clock is a day ahead, or behind."""
    other = Rig(database_url)
    rig.listed = [record("a", 1, 1)]
    other.listed = [record("a", 2, 1)]
    other.now = rig.now + timedelta(hours=hours)

    def meanwhile() -> None:
        assert other.sync().outcome == "changed"

    rig.meanwhile = meanwhile
    assert rig.sync().outcome == "superseded"
    assert rig.state() == {"a": (2, 1)}
    # The next one is newer, and is applied.
    rig.listed = [record("a", 3, 1)]
    assert rig.sync().outcome == "changed"
    assert [number for number, _ in sound(rig)] == [2, 3]
    other.close()
