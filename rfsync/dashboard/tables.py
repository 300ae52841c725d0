"""The tables of the page: batches, the history of one, those that wait, and how the syncs have gone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from dash import html
from dash.development.base_component import Component

from rfsync.dashboard.batch_page import ROWS, BatchLine, Page
from rfsync.dashboard.components import age, clock, exact, link
from rfsync.dashboard.page import named as called
from rfsync.dashboard.queries import MOST_CHANGES, Trouble, named
from rfsync.dashboard.view import SORTS, Batch, View
from rfsync.history import ChangeRow, ProjectStatus, WaitingRow
from rfsync.text import printable

#: Projects in the table of syncs.
MOST_PROJECTS: Final = 20

_HEADERS: Final = {
    "project": "Project",
    "name": "Batch",
    "images": "Images",
    "jobs": "Jobs",
    "uploaded": "Uploaded",
    "changed": "Changed",
}
_NUMBERS: Final = {"images", "jobs"}


def _table(headers: Sequence[Any], rows: Sequence[Any], caption: str) -> html.Div:
    table = html.Table([html.Caption(caption), html.Thead(html.Tr(list(headers))), html.Tbody(list(rows))])
    # Too wide for a phone, it is moved sideways, by keyboard too.
    return html.Div(table, className="scroll", tabIndex="0", role="region", **called(caption))


def _head(text: Any, *, number: bool = False, **attributes: Any) -> html.Th:
    return html.Th(text, scope="col", className="number" if number else "", **attributes)


def _moment(instant: datetime | None, tz: str, now: datetime | None = None) -> html.Td:
    """A cell with an instant, which is exact when pointed at, and how long ago it was, where ``now`` says so."""
    if instant is None:
        return html.Td("–")
    said = clock(instant, tz) + (f" ({age(now - instant)} ago)" if now else "")
    return html.Td(said, title=exact(instant), className="moment")


def _number(value: int) -> html.Td:
    return html.Td(f"{value:,}", className="number")


def _signed(value: int) -> html.Td:
    return html.Td(f"{value:+,}" if value else "0", className="number")


def batches(view: View, page: Page, changes: Sequence[ChangeRow], many_projects: bool) -> list[Component]:
    """The table of batches, with the history of the chosen one in its place, or above where it is not on the page."""
    columns = [sort for sort in SORTS if sort != "project" or many_projects]
    there = any(_is(view.batch, line) for line in page.rows)
    above = [] if view.batch is None or there else [html.Div(_history(view, changes), className="apart")]
    rows: list[Component] = []
    for line in page.rows:
        rows.append(_batch(view, line, columns))
        if _is(view.batch, line):
            rows.append(html.Tr(html.Td(_history(view, changes), colSpan=len(columns)), className="history"))
    if not rows:
        said = "No batch has that in its name or id." if view.name else "No batch is there now."
        return [*above, html.P(said, className="empty")]
    headers = [_sorting(view, column) for column in columns]
    return [*above, _table(headers, rows, "Batches that exist now"), _pager(view, page)]


def _is(batch: Batch | None, line: BatchLine) -> bool:
    return batch == Batch(f"{line.workspace}/{line.project}", line.batch_id)


def _sorting(view: View, column: str) -> html.Th:
    on = view.sort == column
    # Numbers and times begin with the largest, names with the first.
    down = not view.descending if on else column not in {"project", "name"}
    way = {"aria-sort": "descending" if view.descending else "ascending"} if on else {}
    text = _HEADERS[column] + (" ▾" if view.descending else " ▴") * on
    return _head(link(text, view.but(sort=column, descending=down), "sort page"), number=column in _NUMBERS, **way)


def _batch(view: View, line: BatchLine, columns: Sequence[str]) -> html.Tr:
    project = f"{line.workspace}/{line.project}"
    on = _is(view.batch, line)
    to = view.but(batch=None if on else Batch(project, line.batch_id))
    cells = {
        "project": html.Td(printable(project)),
        "name": html.Td(
            link(
                printable(line.name or line.batch_id),
                to,
                "project batch",
                title=f"{printable(line.batch_id)}: {'close' if on else 'show'} its history",
                **{"aria-expanded": "true" if on else "false"},
            ),
            className="name",
        ),
        "images": _number(line.images),
        "jobs": _number(line.num_jobs),
        "uploaded": _moment(line.uploaded_at, view.tz),
        "changed": _moment(line.changed_at, view.tz),
    }
    return html.Tr([cells[column] for column in columns], className="on" if on else "")


def _history(view: View, changes: Sequence[ChangeRow]) -> list[Component]:
    assert view.batch is not None  # noqa: S101 the callers look
    shown = changes[:MOST_CHANGES]
    name = next((row.name for row in shown if row.name), None) or view.batch.batch_id
    title = html.H3(["History of ", html.Span(printable(name))])
    about = html.P(f"{printable(view.batch.project)} · id {printable(view.batch.batch_id)}", className="small")
    if not shown:
        return [title, about, html.P("There is no such batch.", className="empty"), _close(view)]
    rows = [
        html.Tr(
            [
                _moment(row.observed_at, view.tz),
                html.Td(row.change, className=row.change),
                _number(row.images),
                _signed(row.images_delta),
                _number(row.num_jobs),
                _signed(row.num_jobs_delta),
                html.Td(printable(row.name) if row.name else "–"),
            ]
        )
        for row in shown
    ]
    headers = [
        _head("Observed"),
        _head("Change"),
        *(_head(text, number=True) for text in ("Images", "±", "Jobs", "±")),
        _head("Name"),
    ]
    more = [html.P(f"The last {MOST_CHANGES} changes; rfsync changes --batch has all.", className="small")]
    caption = f"Changes of {printable(name)}, newest first"
    return [title, about, _table(headers, rows, caption), *more[: len(changes) > MOST_CHANGES], _close(view)]


def _close(view: View) -> html.P:
    return html.P(link("Close", view.but(batch=None), "project batch"), className="small")


def _pager(view: View, page: Page) -> html.Div:
    first = (page.number - 1) * ROWS + 1
    said = f"{first:,} to {first + len(page.rows) - 1:,} of {page.batches:,} batches"
    links = [
        ("First", 1, page.number > 1),
        ("Previous", page.number - 1, page.number > 1),
        ("Next", page.number + 1, page.number < page.pages),
        ("Last", page.pages, page.number < page.pages),
    ]
    made = [
        link(text, view.but(page=number), "page") if there else html.Span(text, className="off")
        for text, number, there in links
    ]
    return html.Div([html.Span(said), html.Span(made, className="links")], className="pager")


def waiting(view: View, rows: Sequence[WaitingRow], now: datetime) -> list[Component]:
    """The batches that have waited longest for a job."""
    if not rows:
        return [html.P("No batch with images waits for a job.", className="empty")]
    made = [
        html.Tr(
            [
                html.Td(printable(f"{row.workspace}/{row.project}")),
                html.Td(
                    link(
                        printable(row.name or row.batch_id),
                        view.but(batch=Batch(f"{row.workspace}/{row.project}", row.batch_id)),
                        "project batch",
                        title=printable(row.batch_id),
                    ),
                    className="name",
                ),
                _number(row.images),
                _moment(row.waiting_since, view.tz, now),
            ]
        )
        for row in rows
    ]
    headers = [_head("Project"), _head("Batch"), _head("Images", number=True), _head("Waiting since")]
    return [_table(headers, made, "Batches that have images and no job, the longest first")]


def syncs(projects: Sequence[ProjectStatus], troubles: Sequence[Trouble], now: datetime, tz: str) -> list[Component]:
    """How the syncs of each project have gone; those in trouble first."""
    if not projects:
        return [html.P("No project was synced yet.", className="empty")]
    bad = {trouble.project for trouble in troubles}
    never = datetime.min.replace(tzinfo=UTC)
    ordered = sorted(projects, key=lambda p: (named(p) not in bad, p.observed_at or never))
    rows = [_sync(p, now, tz, bad=named(p) in bad) for p in ordered[:MOST_PROJECTS]]
    headers = [_head("Project"), _head("Observed"), _head("Last run"), _head("Failed", number=True), _head("Error")]
    table = _table(headers, rows, "Projects, the most in need of a look first")
    if len(projects) <= MOST_PROJECTS:
        return [table]
    return [table, html.P(f"{len(projects) - MOST_PROJECTS:,} more: rfsync status shows all.", className="small")]


def _sync(project: ProjectStatus, now: datetime, tz: str, *, bad: bool) -> html.Tr:
    seen = project.observed_at
    cells = [
        html.Td(printable(named(project))),
        _moment(seen, tz, now) if seen else html.Td("never"),
        html.Td(project.last_outcome or "–", className=project.last_outcome or ""),
        _number(project.consecutive_failures),
        html.Td(printable(project.last_error) if project.last_error and project.consecutive_failures else "–"),
    ]
    return html.Tr(cells, className="bad" if bad else "")
