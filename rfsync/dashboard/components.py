"""Building blocks of the page. Dash renders all strings as text, never as markup."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import reduce
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from dash import html
from dash.development.base_component import Component

from rfsync.charts import FLOW_NAMES, plus
from rfsync.dashboard.queries import Jobs, Overview
from rfsync.dashboard.view import PERIODS, View
from rfsync.history import ProjectStatus
from rfsync.history.net_change import NetChange
from rfsync.history.periods import BY
from rfsync.text import age, local_time, printable

#: Problems listed individually.
MAX_PROBLEMS: Final = 5
#: Targets offered instead of an unknown one.
MAX_TARGETS: Final = 20
_DATES: Final = re.compile(r"(\d{4}-\d\d-\d\d(?: \d\d:\d\d)?)")
#: What is not known.
UNKNOWN: Final = "–"


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


def headline(overview: Overview, view: View) -> list[Component]:
    """Images, jobs and batches at the end of the view's time range, and what changed in it."""
    change, projects = overview.change, overview.projects
    at_end = at_end_text(change, view)
    figures = [
        ("Images without a job", _total(p.images for p in projects), change.images),
        ("Jobs", _total(p.num_jobs for p in projects), change.jobs),
        ("Batches", _total(p.batches for p in projects), change.batches),
    ]
    span = span_text(change, view)
    images_in, images_left = (name.capitalize() for name in FLOW_NAMES["images"])
    cards = [_card(f"{label}{at_end}", total, f"{delta:+,} {span}") for label, total, delta in figures]
    cards += [
        _card(images_in, change.images_gained, span),
        _card(images_left, change.images_lost, f"{span}; mostly assigned to jobs"),
    ]
    return cards


def _total(counts: Iterable[int | None]) -> int | None:
    """The sum of what is known; None if nothing is."""
    return reduce(plus, counts, None)


def _card(label: str, number: int | None, below: str) -> Component:
    value = UNKNOWN if number is None else f"{number:,}"
    texts = {"label": unbroken(label), "value": value, "small": unbroken(below)}
    return html.Div([html.Span(text, className=name) for name, text in texts.items()], className="figure")


def unbroken(text: str) -> list[Any]:
    """A text whose dates and times are not broken but between the two."""
    return [html.Span(part, className="date") if n % 2 else part for n, part in enumerate(_DATES.split(text))]


def span_text(change: NetChange | Jobs, view: View) -> str:
    """The time range of what a view shows: ``since 2026-01-31 18:00``."""
    days = f"from {view.first_day} to {view.last_day}" if view.first_day else f"since {moment(change.since, view.tz)}"
    return f"{days}{', so far' if view.first_day and change.until is None else ''}"


def at_end_text(change: NetChange, view: View) -> str:
    """The end of a time range in the past: `` at the end of 2026-01-31``; empty for now."""
    return "" if change.until is None else f" at the end of {view.last_day}"


def first_observed_note(change: NetChange) -> str:
    """A sentence about what the change leaves out; empty if nothing."""
    if not change.first_observed:
        return ""
    projects = "1 project" if change.first_observed == 1 else f"{change.first_observed:,} projects"
    return f"Not counted as in or added: what {projects} had when first observed in this time."


def unknown_target(target: str, targets: Sequence[str], view: View) -> Component:
    """A message about a target that the database does not have, with links to those that it has."""
    links = [link(printable(one), view.replace(target=one), "target page project batch") for one in targets]
    separated = [part for one in links[:MAX_TARGETS] for part in (", ", one)][1:]
    more = f", and {len(targets) - MAX_TARGETS:,} more: see Project" if len(targets) > MAX_TARGETS else ""
    there_is = ["There is: ", *separated, more, "."] if targets else ["It has no project yet."]
    return alert([html.B(f"The database has no {printable(target)[:100]}. "), *there_is], "bad unknown")
