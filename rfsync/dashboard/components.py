"""Building blocks of the page. Dash renders all strings as text, never as markup."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from dash import html
from dash.development.base_component import Component

from rfsync.dashboard.queries import ProjectTotals
from rfsync.dashboard.view import PERIODS, View
from rfsync.history import ProjectStatus, TotalRow
from rfsync.history.periods import BY
from rfsync.text import age, local_time, printable

#: Problems listed individually.
MAX_PROBLEMS: Final = 5


def link(text: str, view: View, sets: str, **attributes: Any) -> html.A:
    """A link to a view, which the page follows without reloading (``assets/dashboard.js``).

    Args:
        sets: names of the address parameters that the link changes; all others keep their current values.
    """
    classes = f"view {attributes.pop('className', '')}".strip()
    attributes["data-sets"] = sets
    return html.A(text, href=f"/{view.search}", className=classes, **attributes)


def link_group(label: str, sets: str, options: Iterable[tuple[str, View, bool]]) -> list[Component]:
    """A row of links, one of which is the current one."""
    links = [link(text, view, sets, **({"aria-current": "true"} if current else {})) for text, view, current in options]
    return [html.Span(label, className="label"), html.Span(links, className="segments")]


def period_links(view: View) -> list[Component]:
    """Links to the periods."""
    no_days = view.first_day is None
    base = view.replace(first_day=None, last_day=None)
    options = [(p, base.replace(period=p), no_days and view.period == p) for p in PERIODS]
    return link_group("Period", "period from to", options)


def bucket_links(view: View) -> list[Component]:
    """Links to the lengths that charts can count by."""
    return link_group("By", "by", [(by, view.replace(by=by), view.by == by) for by in BY])


def moment(instant: datetime, tz: str) -> str:
    """An instant in a time zone, to the minute."""
    return f"{local_time(instant, ZoneInfo(tz)):%Y-%m-%d %H:%M}"


def freshness(projects: Sequence[ProjectStatus], now: datetime, tz: str) -> str:
    """A text that says when the shown data was observed."""
    observed = [p.observed_at for p in projects if p.observed_at is not None]
    if not observed:
        return "Nothing was observed yet."
    latest, oldest = max(observed), min(observed)
    text = f"Last observed {moment(latest, tz)} ({age(now - latest)} ago)"
    if age(now - oldest) != age(now - latest):
        text += f", the oldest project {moment(oldest, tz)} ({age(now - oldest)} ago)"
    return f"{text} · {tz}"


def alert(text: Any, kind: str) -> html.Div:
    """A conspicuous message; ``kind`` is ``bad`` or ``note``."""
    return html.Div(text, className=f"alert {kind}")


def problem_alert(problems: Mapping[str, str], projects: int) -> list[Component]:
    """A warning about failing syncs and stale data; empty if there is none."""
    if not projects:
        return [alert("No project yet. Next: rfsync sync WORKSPACE/PROJECT", "note")]
    if not problems:
        return []
    subject = f"{len(problems):,} of {projects:,} projects" if projects > 1 else "The project"
    listed = islice(problems.items(), MAX_PROBLEMS)
    items = [html.Li([html.B(printable(project)), f": {printable(text)}"]) for project, text in listed]
    if len(problems) > MAX_PROBLEMS:
        items.append(html.Li(f"and {len(problems) - MAX_PROBLEMS:,} more: rfsync status lists them all"))
    return [alert([html.B(f"{subject} may be out of date."), html.Ul(items)], "bad")]


def headline(projects: Sequence[ProjectTotals], moved: Sequence[TotalRow], view: View) -> list[Component]:
    """Current batches, images and jobs, and gains and losses in the view's time range."""
    range_text = f"{view.first_day} to {view.last_day}" if view.first_day else _PERIOD_TEXTS[view.period]
    images, jobs = sum(row.images_delta for row in moved), sum(row.num_jobs_delta for row in moved)
    figures = [
        ("Images without a job", sum(p.images for p in projects), f"{images:+,} {range_text}"),
        ("Jobs", sum(p.num_jobs for p in projects), f"{jobs:+,} {range_text}"),
        ("Batches", sum(p.batches for p in projects), "now"),
        ("Images gained", sum(row.images_gained for row in moved), range_text),
        ("Images lost", sum(row.images_lost for row in moved), range_text),
    ]
    cards: list[Component] = []
    for label, number, below in figures:
        texts = {"label": label, "value": f"{number:,}", "small": below}
        cards.append(html.Div([html.Span(text, className=name) for name, text in texts.items()], className="figure"))
    return cards


_PERIOD_TEXTS: Final = {"7d": "in 7 days", "30d": "in 30 days", "90d": "in 90 days", "1y": "in a year", "all": "in all"}
