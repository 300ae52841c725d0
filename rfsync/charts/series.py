"""Preparation of history rows for drawing: a few series from many projects, and periods as local times."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cached_property
from itertools import pairwise
from typing import Final

from rfsync.charts.labels import LEGEND_LENGTH, escape
from rfsync.charts.theme import PLACES
from rfsync.history.job_rows import WorkRow
from rfsync.history.place_rows import PlacesRow
from rfsync.history.rows import ThroughputRow, TotalRow

#: Projects with a line of their own; all others share one.
TOP: Final = 6

#: Images and jobs at the end of a period, and whether it was observed.
Point = tuple[int | None, int | None, bool]
UNKNOWN: Final[Point] = (None, None, False)

_Key = tuple[str | None, str | None]


@dataclass
class Series:
    """A line: one project, or several added up."""

    #: Escaped for Plotly.
    name: str
    #: Several projects, which have no colour together.
    is_others: bool = False
    #: Period -> images, jobs, and whether any of its projects was observed; None: none had been observed by then.
    points: dict[datetime, Point] = field(default_factory=dict)

    def add(self, row: TotalRow) -> None:
        images, jobs, observed = self.points.get(row.period, UNKNOWN)
        self.points[row.period] = (plus(images, row.images), plus(jobs, row.num_jobs), observed or row.observed)


def plus(sum_: int | None, value: int | None) -> int | None:
    """The sum of what is known; None if nothing is."""
    return sum_ if value is None else (sum_ or 0) + value


def totals_series(rows: Sequence[TotalRow]) -> list[Series]:
    """A series for each of the ``TOP`` projects with the highest peak of images and jobs, and one for all others."""
    peaks: dict[_Key, int] = {}
    for row in rows:
        key = (row.workspace, row.project)
        peaks[key] = max(peaks.get(key, 0), (row.images or 0) + (row.num_jobs or 0))
    by_size = sorted(peaks, key=lambda key: (-peaks[key], key[0] or "", key[1] or ""))
    # "1 other" would take as much room in the legend as the project itself.
    top = by_size if len(by_size) <= TOP + 1 else by_size[:TOP]
    with_workspace = len({workspace for workspace, _ in by_size}) > 1
    series = {
        key: Series(escape(project_name(*key, with_workspace=with_workspace), LEGEND_LENGTH), key[1] is None)
        for key in top
    }
    others = Series(f"{len(by_size) - len(top):,} others", is_others=True)
    for row in rows:
        series.get((row.workspace, row.project), others).add(row)
    return [*series.values(), *([others] if others.points else [])]


def project_name(workspace: str | None, project: str | None, *, with_workspace: bool) -> str:
    """The display name of a project, or of a total where ``project`` is None."""
    if project is None:
        return workspace or "all projects"
    return f"{workspace}/{project}" if with_workspace else project


@dataclass
class Flow:
    """Gains and losses in one period, over all projects."""

    gained: int = 0
    lost: int = 0
    observed: bool = False
    #: False: it is not over, or only a part of it is counted.
    complete: bool = False


def flows(rows: Iterable[TotalRow | ThroughputRow | WorkRow], of: str) -> dict[datetime, Flow]:
    """Sums over all projects by period, in order; ``of`` is a key of ``FLOW_NAMES`` that the rows count."""
    sums: dict[datetime, Flow] = {}
    for row in rows:
        flow = sums.setdefault(row.period, Flow())
        flow.gained += getattr(row, f"{of}_gained")
        flow.lost += getattr(row, f"{of}_lost")
        flow.observed = flow.observed or bool(row.observed)
        flow.complete = flow.complete or row.complete
    return dict(sorted(sums.items()))


def places(rows: Iterable[PlacesRow]) -> dict[datetime, dict[str, int] | None]:
    """Period -> images by the fields of ``PLACES``, over all projects, in order; None: not observed."""
    sums: dict[datetime, dict[str, int] | None] = {}
    for row in rows:
        counts = sums.setdefault(row.period, None)
        if row.observed:
            known = sums[row.period] = counts or dict.fromkeys((place.field for place in PLACES), 0)
            for field_ in known:
                known[field_] += getattr(row, field_) or 0
    return dict(sorted(sums.items()))


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """Periods as naive local times: plotly.js knows no time zones."""

    periods: tuple[datetime, ...]
    zone: tzinfo = UTC

    def local(self, period: datetime) -> datetime:
        return period.astimezone(self.zone).replace(tzinfo=None)

    @cached_property
    def local_times(self) -> list[datetime]:
        return [self.local(period) for period in self.periods]

    @cached_property
    def unit(self) -> str:
        """hour, day, week or month, from the smallest distance between two periods."""
        times = self.local_times
        step = min((b - a for a, b in pairwise(times)), default=timedelta())
        if not step:
            return "day" if all(time.hour == 0 for time in times) else "hour"
        limits = (("hour", timedelta(hours=3)), ("day", timedelta(days=3)), ("week", timedelta(days=10)))
        return next((unit for unit, limit in limits if step < limit), "month")

    @property
    def part(self) -> str:
        """What a hatched bar is: ``part of a day``."""
        return f"part of {'an' if self.unit == 'hour' else 'a'} {self.unit}"

    @property
    def hover_format(self) -> str:
        """The d3 format of a period's start."""
        day = "%a %-d %b %Y"
        return {"hour": f"{day}, %H:%M", "day": day, "week": "week of %-d %b %Y", "month": "%B %Y"}[self.unit]

    @property
    def tick_format(self) -> str:
        """The d3 format of a label below a period."""
        day = "%-d %b %Y"
        return {"hour": "%H:%M\n%-d %b %Y", "day": day, "week": f"week of\n{day}", "month": "%b %Y"}[self.unit]

    @property
    def half_period(self) -> timedelta:
        """Approximately half the length of a period."""
        return timedelta(days=_HALF_PERIODS[self.unit])

    @property
    def range(self) -> tuple[datetime, datetime]:
        """The visible range: the periods and nothing else; each is drawn at its start."""
        return self.local_times[0] - self.half_period, self.local_times[-1] + self.half_period

    @property
    def bar_width(self) -> float:
        """Width of a bar in milliseconds: most of a period, but less where a few periods fill the chart."""
        filled = min(len(self.periods), MIN_PERIODS) / MIN_PERIODS
        return 2 * self.half_period / timedelta(milliseconds=1) * (0.15 + 0.65 * filled)

    def gaps(self, observed: Sequence[bool]) -> list[tuple[datetime, datetime]]:
        """Start and end of each run of unobserved periods, including half a period on either side."""
        gaps: list[tuple[datetime, datetime]] = []
        previous = True
        for time, seen in zip(self.local_times, observed, strict=True):
            if not seen:
                start = time - self.half_period if previous else gaps.pop()[0]
                gaps.append((start, time + self.half_period))
            previous = seen
        return gaps


#: Bars are narrower below this number.
MIN_PERIODS: Final = 12
#: In days.
_HALF_PERIODS: Final = {"hour": 0.5 / 24, "day": 0.5, "week": 3.5, "month": 15}
