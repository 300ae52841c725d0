"""The page's requests to the server: one set per address, repeated with each refresh; each is answered on its own.

Nothing that comes from the browser is trusted: ``view.parse`` accepts any address.
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
from rfsync.dashboard import components, queries, tables
from rfsync.dashboard.batch_page import read_page
from rfsync.dashboard.page import ALL_PROJECTS, REFRESH_SECONDS, graph
from rfsync.dashboard.queries import StaleFrom, in_scope, read_projects, selectable_targets
from rfsync.dashboard.view import parse
from rfsync.errors import DatabaseError
from rfsync.text import printable


@dataclass(frozen=True, slots=True)
class DashboardContext:
    """Everything that the dashboard depends on."""

    #: Read-only.
    engine: Engine
    stale_from: StaleFrom
    #: Removes secrets from a text.
    redact: Callable[[str], str]
    #: Returns the current time, aware.
    clock: Callable[[], datetime]


#: The requested figures, None if the database can't be read; and the values of the callback's other outputs.
_Answer = tuple[tuple[Figure, ...] | None, tuple[Any, ...]]


def add_callbacks(app: Dash, context: DashboardContext) -> None:
    """Adds all callbacks that the server answers."""

    @app.callback(Output("periods", "children"), Output("buckets", "children"), Input("address", "data"))
    def links(search: Any) -> tuple[Any, Any]:
        view = parse(search, None)[0]
        return components.period_links(view), components.bucket_links(view)

    _add_overview(app, context)
    _add_health(app, context)
    _add_details(app, context)
    _add_first_jobs(app, context)
    _add_batches(app, context)


def _add(
    app: Dash, figures: tuple[str, ...], outputs: tuple[tuple[str, str], ...], answer: Callable[[Any], _Answer]
) -> None:
    """Adds a callback for the part of the address that charts depend on.

    Args:
        figures: the charts that it draws.
        outputs: its other outputs.
        answer: called with that part of the address.
    """

    @app.callback(
        *(Output(f"{figure}-chart", "data") for figure in figures),
        *(Output(*output) for output in outputs),
        Input("charted", "data"),
        Input("tick", "n_intervals"),
    )
    def respond(search: Any, _: Any) -> tuple[Any, ...]:
        drawn, others = answer(search)
        if drawn is None:
            return *[no_update] * len(figures), *others
        view = parse(search, None)[0]
        return *(graph(*one, view=view) for one in zip(figures, drawn, strict=True)), *others


def _add_overview(app: Dash, context: DashboardContext) -> None:
    """Headline, totals, gains and losses."""

    def answer(search: Any) -> _Answer:
        now = context.clock()
        try:
            projects = read_projects(context.engine)
            targets = selectable_targets(projects)
            view, notes = parse(search, targets)
            projects = in_scope(projects, view.target)
            overview = queries.overview(context.engine, view, len(projects), now)
        except DatabaseError as error:
            # Keep what is shown; the next refresh tries again.
            return None, ([_unreadable(context, error)], no_update, no_update, now.isoformat())
        by = overview.time_range.by
        if by != view.by:
            notes.append(f"Too many points for a chart by {view.by}: shown by {by} instead.")
        zone = ZoneInfo(view.tz)
        drawn = (
            charts.totals_figure(overview.totals, zone=zone),
            charts.flow_figure(overview.totals, of="images", zone=zone),
            charts.flow_figure(overview.totals, of="jobs", zone=zone),
        )
        alerts = [components.alert(note, "note") for note in notes]
        options = [ALL_PROJECTS, *({"label": printable(target), "value": target} for target in targets)]
        return drawn, (alerts, components.headline(projects, overview.totals, view), options, now.isoformat())

    outputs = (("notes", "children"), ("headline", "children"), ("targets", "data"), ("answered", "data"))
    _add(app, ("totals", "images", "jobs"), outputs, answer)


def _add_health(app: Dash, context: DashboardContext) -> None:
    """Problems, freshness, and the table of syncs."""

    def answer(search: Any) -> _Answer:
        now = context.clock()
        try:
            view = parse(search, selectable_targets(read_projects(context.engine)))[0]
            projects = history.status(context.engine, view.target)
        except DatabaseError as error:
            return None, ([_unreadable(context, error)], no_update, no_update)
        problems = queries.problems(projects, now, context.stale_from)
        alerts = components.problem_alert(problems, len(projects))
        syncs = tables.syncs(projects, problems, now, view.tz)
        return (), (alerts, components.freshness(projects, now, view.tz), syncs)

    _add(app, (), (("alerts", "children"), ("freshness", "children"), ("syncs", "children")), answer)


def _add_details(app: Dash, context: DashboardContext) -> None:
    """Throughput, backlog, top movers and longest waiting batches."""

    def answer(search: Any) -> _Answer:
        now = context.clock()
        try:
            projects = read_projects(context.engine)
            view = parse(search, selectable_targets(projects))[0]
            details = queries.details(context.engine, view, len(in_scope(projects, view.target)), now)
        except DatabaseError as error:
            return None, ([_unreadable(context, error)], no_update)
        drawn = (
            charts.throughput_figure(details.throughput, details.window, zone=ZoneInfo(view.tz)),
            charts.backlog_figure(details.backlog),
            charts.movers_figure(details.movers),
        )
        return drawn, ([], tables.waiting(view, details.waiting, now))

    outputs = (("details-alert", "children"), ("waiting", "children"))
    _add(app, ("throughput", "backlog", "movers"), outputs, answer)


def _add_first_jobs(app: Dash, context: DashboardContext) -> None:
    """Age of batches at their first job; separate, because it is the most expensive query."""

    def answer(search: Any) -> _Answer:
        try:
            view = parse(search, selectable_targets(read_projects(context.engine)))[0]
            rows = queries.first_jobs(context.engine, view, context.clock())
        except DatabaseError as error:
            return None, ([_unreadable(context, error)],)
        return (charts.first_jobs_figure(rows),), (charts.first_jobs_summary(rows),)

    _add(app, ("first-jobs",), (("first-jobs-summary", "children"),), answer)


def _add_batches(app: Dash, context: DashboardContext) -> None:
    """The table of batches, with the history of the selected one."""

    @app.callback(
        Output("batches-alert", "children"),
        Output("batches", "children"),
        Input("address", "data"),
        Input("tick", "n_intervals"),
    )
    def respond(search: Any, _: Any) -> tuple[Any, Any]:
        try:
            projects = read_projects(context.engine)
            view, notes = parse(search, selectable_targets(projects))
            page = read_page(context.engine, view)
            changes = queries.batch_changes(context.engine, view.batch) if view.batch else []
        except DatabaseError as error:
            return [_unreadable(context, error)], no_update
        own_notes = [note for note in notes if note.startswith(("sort=", "page=", "batch="))]
        with_project = len(in_scope(projects, view.target)) > 1
        table = tables.batches(view, page, changes, with_project=with_project)
        return [components.alert(note, "note") for note in own_notes], table


def _unreadable(context: DashboardContext, error: DatabaseError) -> Component:
    reason = printable(context.redact(str(error)))
    text = f"The database can't be read: {reason}. This page tries again every {REFRESH_SECONDS} seconds."
    return components.alert(text, "bad unreadable")
