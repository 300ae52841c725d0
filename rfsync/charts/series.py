"""Rows of many projects, brought into the form that a figure draws: a few series, and moments on a local clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from itertools import pairwise
from typing import Final

from rfsync.charts.labels import SHORT, safe
from rfsync.history.rows import ThroughputRow, TotalRow

#: Projects with a line of their own; the rest is one line.
TOP: Final = 6

_Key = tuple[str | None, str | None]


@dataclass
class Series:
    """A line: a project, or several as one."""

    #: As Plotly shows it.
    name: str
    is_rest: bool = False
    #: By period: images, jobs, and whether any of its projects was observed.
    points: dict[datetime, tuple[int, int, bool]] = field(default_factory=dict)

    def add(self, row: TotalRow) -> None:
        images, jobs, observed = self.points.get(row.period, (0, 0, False))
        self.points[row.period] = (images + row.images, jobs + row.num_jobs, observed or row.observed)


def totals_series(rows: Sequence[TotalRow]) -> list[Series]:
    """A series for each of the ``TOP`` projects with the most images and jobs at their peak, and one for the rest."""
    peaks: dict[_Key, int] = {}
    for row in rows:
        key = (row.workspace, row.project)
        peaks[key] = max(peaks.get(key, 0), row.images + row.num_jobs)
    by_size = sorted(peaks, key=lambda key: (-peaks[key], key[0] or "", key[1] or ""))
    # A rest of one would be as long a legend as the one itself.
    top = by_size if len(by_size) <= TOP + 1 else by_size[:TOP]
    several = len({workspace for workspace, _ in by_size}) > 1
    series = {key: Series(safe(project_name(*key, several=several), SHORT)) for key in top}
    rest = Series(f"{len(by_size) - len(top):,} others", is_rest=True)
    for row in rows:
        series.get((row.workspace, row.project), rest).add(row)
    return [*series.values(), *([rest] if rest.points else [])]


def project_name(workspace: str | None, project: str | None, *, several: bool) -> str:
    """What a project is called among others; with its workspace where there are several."""
    if project is None:
        return workspace or "all projects"
    return f"{workspace}/{project}" if several else project


@dataclass
class Flow:
    """What moved in a period, of all projects."""

    gained: int = 0
    lost: int = 0
    observed: bool = False


def flows(rows: Iterable[TotalRow | ThroughputRow], of: str) -> dict[datetime, Flow]:
    """Sums over all projects, by period; ``of`` images or jobs."""
    found: dict[datetime, Flow] = {}
    for row in rows:
        flow = found.setdefault(row.period, Flow())
        flow.gained += row.images_gained if of == "images" else row.jobs_gained
        flow.lost += row.images_lost if of == "images" else row.jobs_lost
        flow.observed = flow.observed or bool(row.observed)
    return dict(sorted(found.items()))


@dataclass(frozen=True, eq=False)
class Axis:
    """Periods on a clock on the wall, as plotly.js wants them: it knows no time zones."""

    periods: tuple[datetime, ...]
    zone: tzinfo = UTC

    def at(self, period: datetime) -> datetime:
        return period.astimezone(self.zone).replace(tzinfo=None)

    @cached_property
    def walls(self) -> list[datetime]:
        return [self.at(period) for period in self.periods]

    @cached_property
    def unit(self) -> str:
        """hour, day, week or month."""
        walls = self.walls
        step = min((b - a for a, b in pairwise(walls)), default=timedelta())
        if not step:
            return "day" if all(wall.hour == 0 for wall in walls) else "hour"
        limits = (("hour", timedelta(hours=3)), ("day", timedelta(days=3)), ("week", timedelta(days=10)))
        return next((unit for unit, limit in limits if step < limit), "month")

    @property
    def hover_format(self) -> str:
        """Of a period's start, for d3."""
        return {"hour": "%a %-d %b %Y, %H:%M", "month": "%B %Y", "week": "week of %-d %b %Y"}.get(
            self.unit, "%a %-d %b %Y"
        )

    @property
    def half(self) -> timedelta:
        """Half a period, about."""
        return _HALVES[self.unit]

    @property
    def range(self) -> tuple[datetime, datetime]:
        """What is to be seen: all periods, and a few more around where there is hardly one."""
        walls = self.walls
        room = max(_FEW - len(walls), 1) * self.half
        return walls[0] - room, walls[-1] + room

    def stretches(self, observed: Sequence[bool]) -> list[tuple[datetime, datetime]]:
        """From and to of the stretches in which nothing was observed, half a period around what is drawn there."""
        found: list[tuple[datetime, datetime]] = []
        before = True
        for wall, seen in zip(self.walls, observed, strict=True):
            if not seen:
                start = wall - self.half if before else found.pop()[0]
                found.append((start, wall + self.half))
            before = seen
        return found


#: Fewer periods than these don't fill a figure.
_FEW: Final = 12
_HALVES: Final = {
    "hour": timedelta(minutes=30),
    "day": timedelta(hours=12),
    "week": timedelta(days=3.5),
    "month": timedelta(days=15),
}
