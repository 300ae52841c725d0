"""The tables of annotation jobs: the stuck ones, and those of one batch."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from dash import html
from dash.development.base_component import Component

from rfsync.charts import PLACES, STUCK_DAYS, person
from rfsync.charts.labels import shortened
from rfsync.charts.theme import Place
from rfsync.dashboard.batch_jobs import BatchJobs
from rfsync.dashboard.cells import header, make_table, number_cell, time_cell
from rfsync.dashboard.components import UNKNOWN
from rfsync.dashboard.page import aria_label
from rfsync.dashboard.queries import full_name
from rfsync.dashboard.view import View
from rfsync.history.place_rows import OpenJobRow
from rfsync.text import printable

_NONE_STUCK: Final = (
    f"No open job is known to have stood still for {STUCK_DAYS} days; what was before it was first observed is "
    "not known."
)
#: Maximum length of a name in a cell, in characters; the whole is its tooltip.
_NAME_LENGTH: Final = 60
#: Maximum jobs shown of a batch.
MAX_JOBS: Final = 50


def stuck(view: View, rows: Sequence[OpenJobRow], now: datetime) -> list[Component]:
    """The table of the open jobs on which nothing has changed for longest."""
    if not rows:
        return [html.P(_NONE_STUCK, className="empty")]
    lines = [
        html.Tr(
            [
                _name_cell(row.name or row.job_id, below=full_name(row)),
                _name_cell(person(row.labeler)),
                html.Td(f"{row.unannotated:,} of {row.num_images:,}", className="number"),
                time_cell(row.changed_at, view.tz, now),
            ]
        )
        for row in rows
    ]
    number = header("Not annotated", number=True)
    headers = [header("Job"), header("Labeler"), number, header("Nothing changed since")]
    caption = f"Open jobs on which nothing has changed for {STUCK_DAYS} days, the longest first"
    return [html.P(f"{caption}.", className="small"), make_table(headers, lines, caption)]


def of_batch(view: View, found: BatchJobs) -> list[Component]:
    """Where the images of a batch are, and its jobs, the latest first."""
    shares = [html.Li([_swatch(place), f"{found.places[place.field]:,} {place.name}"]) for place in PLACES]
    places = [
        html.H4("Where its images are now"),
        _bar(found.places, sum(found.places.values())),
        html.Ul(shares, className="shares"),
    ]
    if not found.jobs:
        return [*places, html.P("No job has images of this batch.", className="empty")]
    counts = [header(name, number=True) for name in ("Approved", "Annotated", "Rejected", "Not annotated")]
    texts = map(header, ("Job", "Status", "Labeler"))
    headers = [*texts, header("Images", number=True), header("How far"), *counts, header("Changed")]
    lines = [_job_row(row, view.tz) for row in found.jobs[:MAX_JOBS]]
    table = make_table(headers, lines, "Jobs with images of this batch, the latest first")
    more = html.P(f"The latest {MAX_JOBS} jobs; rfsync jobs lists them all.", className="small")
    return [*places, table, *([more] if len(found.jobs) > MAX_JOBS else [])]


#: From the furthest.
_IN_JOBS: Final = PLACES[:-1]


def _job_row(row: OpenJobRow, tz: str) -> html.Tr:
    counts = {place.field: getattr(row, place.field) for place in _IN_JOBS}
    return html.Tr(
        [
            _name_cell(row.name or row.job_id),
            html.Td(printable(row.status) if row.status else UNKNOWN),
            _name_cell(person(row.labeler)),
            number_cell(row.num_images),
            html.Td(_bar(counts, row.num_images)),
            *map(number_cell, counts.values()),
            time_cell(row.changed_at, tz),
        ]
    )


def _bar(places: Mapping[str, int], total: int) -> html.Div:
    """A bar with a part for each place; its numbers stand beside it, and are its tooltip."""
    shown = [(place, places[place.field]) for place in PLACES if places.get(place.field)]
    parts = [
        html.Span(style={"background": place.colour, "width": f"{100 * number / max(total, 1):.3f}%"})
        for place, number in shown
    ]
    text = ", ".join(f"{number:,} {place.name}" for place, number in shown) or "no images"
    return html.Div(parts, className="bar", title=text, role="img", **aria_label(text))


def _swatch(place: Place) -> html.Span:
    return html.Span(className="swatch", style={"background": place.colour})


def _name_cell(name: str, *, below: str = "") -> html.Td:
    name = printable(name)
    small = [html.Div(printable(below), className="small")] if below else []
    whole: dict[str, Any] = {"title": name} if len(name) > _NAME_LENGTH else {}
    return html.Td([shortened(name, _NAME_LENGTH), *small], className="name", **whole)
