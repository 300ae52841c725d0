"""What the page asks the server: for an address, and again with each tick. Each question is answered by itself.

Nothing that comes from the browser is believed: an address is read by ``view.parse``, whatever it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from dash import Dash, Input, Output, no_update
from dash.development.base_component import Component
from plotly.graph_objects import Figure
from sqlalchemy import Engine

from rfsync import charts, history
from rfsync.dashboard import components, tables
from rfsync.dashboard.batch_page import page_of
from rfsync.dashboard.page import EVERYTHING, REFRESH, graph
from rfsync.dashboard.queries import (
    Patience,
    details,
    first_jobs,
    history_of,
    in_scope,
    overview,
    projects_of,
    targets_of,
    troubles,
)  # fmt: skip
from rfsync.dashboard.view import parse
from rfsync.errors import DatabaseError
from rfsync.text import printable


@dataclass(frozen=True, slots=True)
class Source:
    """Where what the page shows comes from."""

    #: Can't write.
    engine: Engine
    #: When data is too old.
    patience: Patience
    #: Takes secrets out of a text.
    redact: Callable[[str], str]
    #: The time now, aware.
    clock: Callable[[], datetime]


#: The figures that were asked for, None: they can't be had; and what there is for the callback's other outputs.
_Answer = tuple[tuple[Figure, ...] | None, tuple[Any, ...]]


def add_callbacks(app: Dash, source: Source) -> None:
    """All that the server answers."""

    @app.callback(Output("periods", "children"), Output("buckets", "children"), Input("address", "data"))
    def link(search: Any) -> tuple[Any, Any]:
        view = parse(search, None)[0]
        return components.periods(view), components.buckets(view)

    _add_overview(app, source)
    _add_health(app, source)
    _add_details(app, source)
    _add_first_jobs(app, source)
    _add_batches(app, source)


def _add(
    app: Dash, figures: tuple[str, ...], outputs: tuple[tuple[str, str], ...], draw: Callable[[Any], _Answer]
) -> None:
    """A callback for what of an address the charts show.

    Args:
        figures: the charts that it draws.
        outputs: what it gives besides.
        draw: is given of the address what the charts show.
    """

    @app.callback(
        *(Output(f"{figure}-chart", "data") for figure in figures),
        *(Output(*output) for output in outputs),
        Input("charted", "data"),
        Input("tick", "n_intervals"),
    )
    def answer(search: Any, _: Any) -> tuple[Any, ...]:
        drawn, others = draw(search)
        if drawn is None:
            return *[no_update] * len(figures), *others
        view = parse(search, None)[0]
        return *(graph(*one, view=view) for one in zip(figures, drawn, strict=True)), *others


def _add_overview(app: Dash, source: Source) -> None:
    """What has been there and what has moved."""

    def draw(search: Any) -> _Answer:
        now = source.clock()
        try:
            projects = projects_of(source.engine)
            targets = targets_of(projects)
            view, notes = parse(search, targets)
            projects = in_scope(projects, view.target)
            seen = overview(source.engine, view, len(projects), now)
        except DatabaseError as error:
            # What is shown stays, and the next tick tries again.
            return None, ([_unreadable(source, error)], no_update, no_update, now.isoformat())
        if seen.span.by != view.by:
            notes.append(f"By {view.by} that is too much for a chart: it is shown by {seen.span.by}.")
        zone = ZoneInfo(view.tz)
        drawn = (
            charts.totals_figure(seen.totals, zone=zone),
            charts.flow_figure(seen.totals, of="images", zone=zone),
            charts.flow_figure(seen.totals, of="jobs", zone=zone),
        )
        alerts = [components.alert(note, "note") for note in notes]
        options = [EVERYTHING, *({"label": printable(target), "value": target} for target in targets)]
        return drawn, (alerts, components.headline(projects, seen.totals, view), options, now.isoformat())

    outputs = (("notes", "children"), ("headline", "children"), ("targets", "data"), ("answered", "data"))
    _add(app, ("totals", "images", "jobs"), outputs, draw)


def _add_health(app: Dash, source: Source) -> None:
    """Whether all that can be relied on."""

    def draw(search: Any) -> _Answer:
        now = source.clock()
        try:
            view = parse(search, targets_of(projects_of(source.engine)))[0]
            projects = history.status(source.engine, view.target)
        except DatabaseError as error:
            return None, ([_unreadable(source, error)], no_update, no_update)
        bad = troubles(projects, now, source.patience)
        alerts = components.trouble_alert(bad, len(projects))
        return (), (alerts, components.freshness(projects, now, view.tz), tables.syncs(projects, bad, now, view.tz))

    _add(app, (), (("alerts", "children"), ("freshness", "children"), ("syncs", "children")), draw)


def _add_details(app: Dash, source: Source) -> None:
    """What it comes from."""

    def draw(search: Any) -> _Answer:
        now = source.clock()
        try:
            projects = projects_of(source.engine)
            view = parse(search, targets_of(projects))[0]
            seen = details(source.engine, view, len(in_scope(projects, view.target)), now)
        except DatabaseError as error:
            return None, ([_unreadable(source, error)], no_update)
        drawn = (
            charts.throughput_figure(seen.throughput, seen.window, zone=ZoneInfo(view.tz)),
            charts.backlog_figure(seen.backlog),
            charts.movers_figure(seen.movers),
        )
        return drawn, ([], tables.waiting(view, seen.waiting, now))

    outputs = (("details-alert", "children"), ("waiting", "children"))
    _add(app, ("throughput", "backlog", "movers"), outputs, draw)


def _add_first_jobs(app: Dash, source: Source) -> None:
    """How old batches get; the most to be read, and last on the page."""

    def draw(search: Any) -> _Answer:
        try:
            view = parse(search, targets_of(projects_of(source.engine)))[0]
            rows = first_jobs(source.engine, view, source.clock())
        except DatabaseError as error:
            return None, ([_unreadable(source, error)],)
        return (charts.first_jobs_figure(rows),), (charts.first_jobs_summary(rows),)

    _add(app, ("first-jobs",), (("first-jobs-summary", "children"),), draw)


def _add_batches(app: Dash, source: Source) -> None:
    """The table of batches, and the history of one."""

    @app.callback(
        Output("batches-alert", "children"),
        Output("batches", "children"),
        Input("address", "data"),
        Input("tick", "n_intervals"),
    )
    def draw(search: Any, _: Any) -> tuple[Any, Any]:
        try:
            projects = projects_of(source.engine)
            view, notes = parse(search, targets_of(projects))
            page = page_of(source.engine, view)
            changes = history_of(source.engine, view.batch) if view.batch else []
        except DatabaseError as error:
            return [_unreadable(source, error)], no_update
        own = [note for note in notes if note.startswith(("sort=", "page=", "batch="))]
        shown = tables.batches(view, page, changes, many_projects=len(in_scope(projects, view.target)) > 1)
        return [components.alert(note, "note") for note in own], shown


def _unreadable(source: Source, error: DatabaseError) -> Component:
    why = printable(source.redact(str(error)))
    said = f"The database can't be read: {why}. This page tries again every {REFRESH} seconds."
    return components.alert(said, "bad unreadable")
