"""When a project was looked at, kept in a quarter of an hour's detail where the runs that did it are deleted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

from rfsync.database.drivers import Connection, instant

QUARTER: Final = timedelta(minutes=15)
#: Quarters of an hour in half a day: an integer of the database has 63 usable bits.
NOON: Final = 48

_KEEP: Final = """INSERT INTO project_observed (project_id, day, am, pm) VALUES (:project_id, :day, :am, :pm)
ON CONFLICT (project_id, day) DO UPDATE SET
    am = project_observed.am | excluded.am, pm = project_observed.pm | excluded.pm"""


def halves(quarters: int) -> tuple[int, int]:
    """A day's quarters of an hour, bit n the n-th, as what is before noon and what is after it."""
    return quarters & (1 << NOON) - 1, quarters >> NOON


_OBSERVED: Final = """SELECT 1
WHERE EXISTS (SELECT 1 FROM batch_changes WHERE project_id = :project_id AND observed_at = :at)
    OR EXISTS (SELECT 1 FROM sync_runs WHERE project_id = :project_id AND outcome = 'unchanged' AND started_at = :at)
    OR EXISTS (SELECT 1 FROM project_observed WHERE project_id = :project_id AND day = :day
        AND ((am & :am) <> 0 OR (pm & :pm) <> 0))"""


def was_observed(connection: Connection, project_id: int, at: datetime) -> bool:
    """Whether the project was observed at that instant, or in its quarter of an hour where the run is deleted."""
    day, quarter = _quarter(at)
    am, pm = halves(1 << quarter)
    values = {"project_id": project_id, "at": at, "day": day.isoformat(), "am": am, "pm": pm}
    return bool(connection.execute(_OBSERVED, values))


def _quarter(at: datetime) -> tuple[date, int]:
    """The UTC day of an instant, and which quarter of an hour of it."""
    at = at.astimezone(UTC)
    return at.date(), timedelta(hours=at.hour, minutes=at.minute) // QUARTER


def keep_observed(connection: Connection, project_id: int, instants: Iterable[str | datetime]) -> None:
    """Notes that the project was observed at these instants, as the database has them."""
    days: defaultdict[date, int] = defaultdict(int)
    for stored in instants:
        at = instant(stored)
        if at is not None:
            day, quarter = _quarter(at)
            days[day] |= 1 << quarter
    for day, quarters in days.items():
        am, pm = halves(quarters)
        connection.execute(_KEEP, {"project_id": project_id, "day": day.isoformat(), "am": am, "pm": pm})
