"""The pieces that the page is made of. All text in them is text: Dash has no way to take it for markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from dash import html
from dash.development.base_component import Component

from rfsync.dashboard.queries import ProjectNow, Trouble
from rfsync.dashboard.view import PERIODS, View
from rfsync.history import ProjectStatus, TotalRow
from rfsync.history.periods import BY
from rfsync.text import printable

#: Troubles that are shown one by one.
MOST_TROUBLES: Final = 5


def link(text: str, view: View, sets: str, **attributes: Any) -> html.A:
    """A link to a view, which the page follows without being loaded anew (``assets/dashboard.js``).

    Args:
        sets: the parts of an address that a click is to change, by name; all others stay as they have become since.
    """
    classes = f"view {attributes.pop('className', '')}".strip()
    attributes["data-sets"] = sets
    return html.A(text, href=f"/{view.search}", className=classes, **attributes)


def choice(label: str, sets: str, options: Iterable[tuple[str, View, bool]]) -> list[Component]:
    """A row of links of which one is in force."""
    return [
        html.Span(label, className="label"),
        html.Span(
            [link(text, view, sets, **({"aria-current": "true"} if on else {})) for text, view, on in options],
            className="segments",
        ),
    ]


def periods(view: View) -> list[Component]:
    """The periods to choose from."""
    free = view.first_day is None
    to = view.but(first_day=None, last_day=None)
    return choice("Period", "period from to", [(p, to.but(period=p), free and view.period == p) for p in PERIODS])


def buckets(view: View) -> list[Component]:
    """What the charts can count by."""
    return choice("By", "by", [(by, view.but(by=by), view.by == by) for by in BY])


def age(since: timedelta) -> str:
    """About how long, in one unit: ``40s``, ``5m``, ``3h``, ``12d``."""
    seconds = max(int(since.total_seconds()), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def clock(instant: datetime, tz: str) -> str:
    """An instant in a time zone, to the minute."""
    return f"{instant.astimezone(ZoneInfo(tz)):%Y-%m-%d %H:%M}"


def exact(instant: datetime) -> str:
    """An instant in UTC, to the microsecond."""
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def freshness(projects: Sequence[ProjectStatus], now: datetime, tz: str) -> str:
    """When what is shown was observed."""
    seen = [p.observed_at for p in projects if p.observed_at is not None]
    if not seen:
        return "Nothing was observed yet."
    latest, oldest = max(seen), min(seen)
    said = f"Last observed {clock(latest, tz)} ({age(now - latest)} ago)"
    if age(now - oldest) != age(now - latest):
        said += f", the oldest project {clock(oldest, tz)} ({age(now - oldest)} ago)"
    return f"{said} · {tz}"


def alert(text: Any, kind: str) -> html.Div:
    """A line that nobody is to miss; ``kind`` is ``bad`` or ``note``."""
    return html.Div(text, className=f"alert {kind}")


def trouble_alert(troubles: Sequence[Trouble], projects: int) -> list[Component]:
    """What is wrong with the sync, loudly; empty: nothing is."""
    if not projects:
        return [alert("No project yet. Next: rfsync sync WORKSPACE/PROJECT", "note")]
    if not troubles:
        return []
    many = f"{len(troubles):,} of {projects:,} projects" if projects > 1 else "The project"
    shown = [html.Li([html.B(printable(t.project)), f": {printable(t.text)}"]) for t in troubles[:MOST_TROUBLES]]
    if len(troubles) > MOST_TROUBLES:
        shown.append(html.Li(f"and {len(troubles) - MOST_TROUBLES:,} more: rfsync status shows all"))
    said = [html.B(f"{many} can't be relied on to be up to date."), html.Ul(shown)]
    return [alert(said, "bad")]


def headline(projects: Sequence[ProjectNow], moved: Sequence[TotalRow], view: View) -> list[Component]:
    """Batches, images and jobs now, and what moved in the time that the view is about."""
    said = f"{view.first_day} to {view.last_day}" if view.first_day else _IN[view.period]
    images, jobs = sum(row.images_delta for row in moved), sum(row.num_jobs_delta for row in moved)
    figures = [
        ("Images without a job", sum(p.images for p in projects), f"{images:+,} {said}"),
        ("Jobs", sum(p.num_jobs for p in projects), f"{jobs:+,} {said}"),
        ("Batches", sum(p.batches for p in projects), "now"),
        ("Images gained", sum(row.images_gained for row in moved), said),
        ("Images lost", sum(row.images_lost for row in moved), said),
    ]
    return [
        html.Div(
            [
                html.Span(label, className="label"),
                html.Span(f"{number:,}", className="value"),
                html.Span(below, className="small"),
            ],
            className="figure",
        )
        for label, number, below in figures
    ]


_IN: Final = {"7d": "in 7 days", "30d": "in 30 days", "90d": "in 90 days", "1y": "in a year", "all": "in all"}
