"""The tables of the page: batches, the history of one batch, the longest waiting batches, and syncs."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from dash import html
from dash.development.base_component import Component

from rfsync.charts import FLOW_NAMES
from rfsync.dashboard import job_tables
from rfsync.dashboard.batch_jobs import BatchJobs
from rfsync.dashboard.batch_page import PAGE_SIZE, BatchPage
from rfsync.dashboard.cells import delta_cell, header, make_table, number_cell, time_cell
from rfsync.dashboard.components import UNKNOWN, at_end_text, link, span_text
from rfsync.dashboard.queries import MAX_CHANGES, Overview, full_name
from rfsync.dashboard.view import SORTS, Batch, View
from rfsync.history import BatchRow, ChangeRow, ProjectStatus, WaitingRow
from rfsync.text import printable

#: Maximum rows of the table of syncs.
MAX_PROJECTS: Final = 20

_NUMBERS: Final = {"images", "jobs"}


def batches(
    view: View, page: BatchPage, changes: Sequence[ChangeRow], jobs: BatchJobs | None, *, with_project: bool
) -> list[Component]:
    """The table of batches, with the selected batch's history below its row, or above the table if on another page.

    Args:
        changes: history of the selected batch.
        jobs: of the selected batch; None: not known.
        with_project: show the column of projects.
    """
    columns = [sort for sort in SORTS if sort != "project" or with_project]
    on_page = any(_is_selected(view, line) for line in page.lines)
    above = [] if view.batch is None or on_page else [html.Div(_history(view, changes, jobs), className="apart")]
    if not page.lines:
        text = "No batch has that in its name or id." if view.name else "No batch exists now."
        return [*above, html.P(text, className="empty")]
    rows: list[Component] = []
    for line in page.lines:
        rows.append(_batch_row(view, line, columns))
        if _is_selected(view, line):
            rows.append(html.Tr(html.Td(_history(view, changes, jobs), colSpan=len(columns)), className="history"))
    headers = [_sort_header(view, column) for column in columns]
    return [*above, make_table(headers, rows, "Current batches"), _pager(view, page)]


def _is_selected(view: View, line: BatchRow) -> bool:
    return view.batch == Batch(full_name(line), line.batch_id)


def _batch_cell(view: View, row: BatchRow | WaitingRow, to: Batch | None, title: str, **attributes: Any) -> html.Td:
    """A cell with the name of a batch, which links to the history of ``to``, or closes it if that is None."""
    text, target = printable(row.name or row.batch_id), view.replace(batch=to)
    return html.Td(link(text, target, "project batch", title=title, **attributes), className="name")


def _sort_header(view: View, column: str) -> html.Th:
    current = view.sort == column
    # The first click sorts numbers and times in descending order, names in ascending order.
    descending = not view.descending if current else column not in {"project", "name"}
    order = {"aria-sort": "descending" if view.descending else "ascending"} if current else {}
    text = ("Batch" if column == "name" else column.capitalize()) + (" ▾" if view.descending else " ▴") * current
    to = view.replace(sort=column, descending=descending)
    return header(link(text, to, "sort page"), number=column in _NUMBERS, **order)


def _batch_row(view: View, line: BatchRow, columns: Sequence[str]) -> html.Tr:
    selected = _is_selected(view, line)
    to = None if selected else Batch(full_name(line), line.batch_id)
    title = f"{printable(line.batch_id)}: {'close' if selected else 'show'} its history"
    cells = {
        "project": html.Td(printable(full_name(line))),
        "name": _batch_cell(view, line, to, title, **{"aria-expanded": "true" if selected else "false"}),
        "images": number_cell(line.images),
        "jobs": number_cell(line.num_jobs),
        "uploaded": time_cell(line.uploaded_at, view.tz),
        "changed": time_cell(line.changed_at, view.tz),
    }
    return html.Tr([cells[column] for column in columns], className="on" if selected else "")


def _history(view: View, changes: Sequence[ChangeRow], jobs: BatchJobs | None) -> list[Component]:
    assert view.batch is not None  # noqa: S101 checked by the callers
    shown = changes[:MAX_CHANGES]
    name = next((row.name for row in shown if row.name), None) or view.batch.batch_id
    title = html.H3(["History of ", html.Span(printable(name))])
    subtitle = html.P(f"{printable(view.batch.project)} · id {printable(view.batch.batch_id)}", className="small")
    close = html.P(link("Close", view.replace(batch=None), "project batch"), className="small")
    if not shown:
        return [title, subtitle, html.P("There is no such batch.", className="empty"), close]
    rows = [
        html.Tr(
            [
                time_cell(row.observed_at, view.tz),
                html.Td(row.change, className=row.change),
                number_cell(row.images),
                delta_cell(row.images_delta),
                number_cell(row.num_jobs),
                delta_cell(row.num_jobs_delta),
                html.Td(printable(row.name) if row.name else UNKNOWN),
            ]
        )
        for row in shown
    ]
    counts = [header(text, number=True) for text in ("Images", "±", "Jobs", "±")]
    headers = [header("Observed"), header("Change"), *counts, header("Name")]
    table = make_table(headers, rows, f"Changes of {printable(name)}, newest first")
    more = html.P(f"The latest {MAX_CHANGES} changes; rfsync changes --batch lists them all.", className="small")
    places = [] if jobs is None else job_tables.of_batch(view, jobs)
    return [title, subtitle, *places, table, *([more] if len(changes) > MAX_CHANGES else []), close]


def _pager(view: View, page: BatchPage) -> html.Div:
    first = (page.number - 1) * PAGE_SIZE + 1
    text = f"{first:,} to {first + len(page.lines) - 1:,} of {page.batches:,} batches"
    targets = [
        ("First", 1, page.number > 1),
        ("Previous", page.number - 1, page.number > 1),
        ("Next", page.number + 1, page.number < page.pages),
        ("Last", page.pages, page.number < page.pages),
    ]
    links = [
        link(label, view.replace(page=number), "page") if enabled else html.Span(label, className="off")
        for label, number, enabled in targets
    ]
    return html.Div([html.Span(text), html.Span(links, className="links")], className="pager")


def waiting(view: View, rows: Sequence[WaitingRow], now: datetime) -> list[Component]:
    """The table of the batches that have waited longest for a job."""
    if not rows:
        return [html.P("No batch with images is waiting for a job.", className="empty")]
    lines = []
    for row in rows:
        project = full_name(row)
        name = _batch_cell(view, row, Batch(project, row.batch_id), printable(row.batch_id))
        times = time_cell(row.waiting_since, view.tz, now)
        lines.append(html.Tr([html.Td(printable(project)), name, number_cell(row.images), times]))
    headers = [header("Project"), header("Batch"), header("Images", number=True), header("Waiting since")]
    return [make_table(headers, lines, "Batches with images and no job, longest waiting first")]


def projects(view: View, overview: Overview) -> list[Component]:
    """The table of the projects at the end of the view's time range, those with the most images first."""
    if len(overview.projects) < 2:
        return []
    moved = {full_name(row): row for row in overview.change.projects}
    ordered = sorted(overview.projects, key=lambda p: (-(p.images or 0), full_name(p)))
    lines = []
    for project in ordered[:MAX_PROJECTS]:
        name = full_name(project)
        row = moved.get(name)
        if row is None:  # renamed meanwhile
            continue
        cells = [html.Td(link(printable(name), view.replace(target=name), "target page"), className="name")]
        cells += [number_cell(project.images), delta_cell(row.images_delta)]
        cells += map(number_cell, (row.images_gained, row.images_lost, project.num_jobs, project.batches))
        lines.append(html.Tr(cells))
    names = ("Images", "Change", *map(str.capitalize, FLOW_NAMES["images"]), "Jobs", "Batches")
    headers = [header("Project"), *(header(name, number=True) for name in names)]
    span = span_text(overview.change, view)
    caption = f"Images without a job{at_end_text(overview.change, view)}; change, in and left {span}"
    table = make_table(headers, lines, caption)
    hidden = len(ordered) - MAX_PROJECTS
    return [
        html.P(f"{caption}.", className="small"),
        table,
        *([html.P(f"{hidden:,} more with fewer images.", className="small")] if hidden > 0 else []),
    ]


def syncs(projects: Sequence[ProjectStatus], problems: Collection[str], now: datetime, tz: str) -> list[Component]:
    """The table of each project's last run, those with problems first."""
    if not projects:
        return [html.P("No project was synced yet.", className="empty")]
    never = datetime.min.replace(tzinfo=UTC)
    ordered = sorted(projects, key=lambda p: (full_name(p) not in problems, p.observed_at or never))
    rows = [_sync_row(p, now, tz, bad=full_name(p) in problems) for p in ordered[:MAX_PROJECTS]]
    headers = [
        header("Project"), header("Observed"), header("Last run"), header("Failed", number=True), header("Error"),
    ]  # fmt: skip
    table = make_table(headers, rows, "Projects, those with problems first")
    if len(projects) <= MAX_PROJECTS:
        return [table]
    return [table, html.P(f"{len(projects) - MAX_PROJECTS:,} more: rfsync status lists them all.", className="small")]


def _sync_row(project: ProjectStatus, now: datetime, tz: str, *, bad: bool) -> html.Tr:
    cells = [
        html.Td(printable(full_name(project))),
        time_cell(project.observed_at, tz, now) if project.observed_at else html.Td("never"),
        html.Td(project.last_outcome or UNKNOWN, className=project.last_outcome or ""),
        number_cell(project.consecutive_failures),
        html.Td(printable(project.last_error) if project.last_error and project.consecutive_failures else UNKNOWN),
    ]
    return html.Tr(cells, className="bad" if bad else "")
