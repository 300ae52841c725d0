"""The page's requests to the server: one set per address, repeated with each refresh; each is answered on its own.

Nothing that comes from the browser is trusted: ``view.parse`` accepts any address.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from dash import Dash, Input, Output, no_update
from dash.development.base_component import Component
from plotly.graph_objects import Figure
from sqlalchemy import Engine

from rfsync import charts, history
from rfsync.dashboard import components, job_tables, queries, tables
from rfsync.dashboard.batch_jobs import batch_jobs
from rfsync.dashboard.batch_page import read_page
from rfsync.dashboard.page import ALL_PROJECTS, JOB_CHARTS, REFRESH_SECONDS, graph
from rfsync.dashboard.queries import find_renamed, in_scope, read_projects, selectable_targets
from rfsync.dashboard.view import UnknownTargetError, View, parse
from rfsync.errors import ConfigError, DatabaseError, RfsyncError
from rfsync.history.no_jobs import job_lists, missing_jobs
from rfsync.history.problems import StaleFrom, problems
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
    #: Jobs are not asked for any more, as ``[jobs] sync`` says.
    jobs_off: bool = False


#: The requested figures, None for those that stay as they are; and the values of the callback's other outputs.
_Answer = tuple[tuple[Figure, ...] | None, tuple[Any, ...]]


def add_callbacks(app: Dash, context: DashboardContext) -> None:
    """Adds all callbacks that the server answers."""

    @app.callback(Output("periods", "children"), Output("buckets", "children"), Input("address", "data"))
    def links(search: Any) -> tuple[Any, Any]:
        view = parse(search, None)[0]
        return components.period_links(view), components.bucket_links(view)

    def add(
        answer: Callable[[DashboardContext, Any, datetime], _Answer],
        figures: tuple[str, ...],
        *outputs: Output,
        source: str = "charted",
        answered: Sequence[Output] = (),
    ) -> None:
        """Adds a callback for a part of the address.

        Args:
            answer: called with that part of the address and the current time.
            figures: the charts that it draws.
            outputs: its other outputs; if the database can't be read, the first one shows why.
            source: the store with that part of the address; by default the part that charts depend on.
            answered: outputs that are told the time of each response.
        """

        @app.callback(
            *(Output(f"{figure}-chart", "data") for figure in figures),
            *outputs,
            *answered,
            Input(source, "data"),
            Input("tick", "n_intervals"),
        )
        def respond(search: Any, _: Any) -> tuple[Any, ...]:
            now = context.clock()
            times = [now.isoformat() for _ in answered]
            try:
                drawn, others = answer(context, search, now)
            except UnknownTargetError as error:
                shown = _unknown_target(context, search, error.target)
                return *[no_update] * len(figures), *(shown.get(str(one.component_id), []) for one in outputs), *times
            except (DatabaseError, ConfigError) as error:
                # Keep what is shown; the next refresh tries again. A project may have gone between two questions.
                kept = [no_update] * (len(outputs) - 1)
                return *[no_update] * len(figures), [_unreadable(context, error)], *kept, *times
            if drawn is None:
                return *[no_update] * len(figures), *others, *times
            view = parse(search, None)[0]
            return *(graph(*one, view=view) for one in zip(figures, drawn, strict=True)), *others, *times

    shown = [Output(name, "children") for name in ("notes", "headline", "first-observed", "projects")]
    add(
        _overview,
        ("totals", "images", "jobs"),
        *shown,
        Output("targets", "data"),
        answered=[Output("answered", "data")],
    )
    add(_health, (), Output("alerts", "children"), Output("freshness", "children"), Output("syncs", "children"))
    add(_jobs, JOB_CHARTS, *(Output(name, "children") for name in ("jobs-alert", "job-lists", "removed-jobs", "stuck")))
    details = (Output("details-alert", "children"), Output("waiting", "children"))
    add(_details, ("throughput", "movers", "backlog"), *details)
    add(_first_jobs, ("first-jobs",), Output("first-jobs-summary", "children"))
    add(_batches, (), Output("batches-alert", "children"), Output("batches", "children"), source="address")


def _parse(context: DashboardContext, search: Any, targets: list[str]) -> tuple[View, list[str]]:
    return parse(search, targets, partial(find_renamed, context.engine))


def _overview(context: DashboardContext, search: Any, now: datetime) -> _Answer:
    """Headline, projects, totals, what came in and left."""
    projects = read_projects(context.engine)
    targets = selectable_targets(projects)
    view, notes = _parse(context, search, targets)
    overview = queries.overview(context.engine, view, in_scope(projects, view.target), now)
    if overview.by != view.by:
        notes.append(f"Too many points for a chart by {view.by}: shown by {overview.by} instead.")
    zone = ZoneInfo(view.tz)
    drawn = (
        charts.totals_figure(overview.totals, zone=zone),
        charts.flow_figure(overview.totals, of="images", zone=zone),
        charts.flow_figure(overview.totals, of="jobs", zone=zone),
    )
    alerts = [components.alert(note, "note") for note in notes]
    first_observed = components.first_observed_note(overview.change)
    headline = components.headline(overview, view)
    return drawn, (alerts, headline, first_observed, tables.projects(view, overview), _options(targets))


def _options(targets: Sequence[str]) -> list[dict[str, str]]:
    """The options of the project selection."""
    return [ALL_PROJECTS, *({"label": printable(target), "value": target} for target in targets)]


def _unknown_target(context: DashboardContext, search: Any, target: str) -> dict[str, Any]:
    """What is shown for an unknown target, by the output's id; all other outputs are empty, and the page hides them."""
    try:
        targets = selectable_targets(read_projects(context.engine))
    except DatabaseError as error:
        return {"notes": [_unreadable(context, error)], "targets": no_update}
    view = parse(search, None)[0]
    return {"notes": [components.unknown_target(target, targets, view)], "targets": _options(targets)}


def _health(context: DashboardContext, search: Any, now: datetime) -> _Answer:
    """Problems, freshness, and the table of syncs."""
    view = _parse(context, search, selectable_targets(read_projects(context.engine)))[0]
    projects = history.status(context.engine, view.target)
    found = {f"{row.workspace}/{row.project}": row.reason for row in problems(projects, now, context.stale_from)}
    alerts = components.problem_alert(found, len(projects))
    syncs = tables.syncs(projects, found, now, view.tz)
    return (), (alerts, components.freshness(projects, now, view.tz), syncs)


def _jobs(context: DashboardContext, search: Any, now: datetime) -> _Answer:
    """Where the images are, what was done and by whom, open and stuck jobs; nothing where no jobs are known."""
    view = _parse(context, search, selectable_targets(read_projects(context.engine)))[0]
    lists = job_lists(context.engine, view.target)
    if all(row.jobs_observed_at is None for row in lists):
        return None, ([], missing_jobs(lists, is_off=context.jobs_off), "", [])
    jobs = queries.jobs(context.engine, view, now)
    zone = ZoneInfo(view.tz)
    drawn = (
        charts.places_figure(jobs.places, zone=zone),
        charts.work_figure(jobs.work, zone=zone),
        charts.labelers_figure(charts.top_labelers(jobs.labelers)),
        charts.open_jobs_figure(jobs.open),
    )
    removed = charts.removed_summary(jobs.removed, components.span_text(jobs, view))
    return drawn, ([], missing_jobs(lists, is_off=context.jobs_off), removed, job_tables.stuck(view, jobs.stuck, now))


def _details(context: DashboardContext, search: Any, now: datetime) -> _Answer:
    """Throughput, backlog, top movers and longest waiting batches."""
    projects = read_projects(context.engine)
    view = _parse(context, search, selectable_targets(projects))[0]
    details = queries.details(context.engine, view, len(in_scope(projects, view.target)), now)
    drawn = (
        charts.throughput_figure(details.throughput, details.window, zone=ZoneInfo(view.tz)),
        charts.movers_figure(details.movers),
        charts.backlog_figure(details.backlog),
    )
    return drawn, ([], tables.waiting(view, details.waiting, now))


def _first_jobs(context: DashboardContext, search: Any, now: datetime) -> _Answer:
    """Age of batches at their first job; separate, because it is the most expensive query."""
    view = _parse(context, search, selectable_targets(read_projects(context.engine)))[0]
    rows = queries.first_jobs(context.engine, view, now)
    return (charts.first_jobs_figure(rows),), (charts.first_jobs_summary(rows),)


def _batches(context: DashboardContext, search: Any, _: datetime) -> _Answer:
    """The table of batches, with the history of the selected one."""
    projects = read_projects(context.engine)
    view, notes = _parse(context, search, selectable_targets(projects))
    page = read_page(context.engine, view)
    changes = queries.batch_changes(context.engine, view.batch) if view.batch else []
    jobs = batch_jobs(context.engine, view.batch) if view.batch else None
    own_notes = [note for note in notes if note.startswith(("sort=", "page=", "batch="))]
    with_project = len(in_scope(projects, view.target)) > 1
    table = tables.batches(view, page, changes, jobs, with_project=with_project)
    return (), ([components.alert(note, "note") for note in own_notes], table)


def _unreadable(context: DashboardContext, error: RfsyncError) -> Component:
    reason = printable(context.redact(str(error)))
    text = f"The database can't be read: {reason}. This page tries again every {REFRESH_SECONDS} seconds."
    return components.alert(text, "bad unreadable")
