"""A page of the batches that exist: found, sorted and cut by the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Engine

from rfsync.dashboard.view import View
from rfsync.history.query import Query

#: Rows of a page.
ROWS: Final = 25

_COLUMNS: Final[Mapping[str, str]] = {
    "name": "b.name",
    "images": "b.images",
    "jobs": "b.num_jobs",
    "uploaded": "b.uploaded_at",
    "changed": "b.changed_at",
}


class BatchLine(NamedTuple):
    """A batch as the table shows it."""

    workspace: str
    project: str
    batch_id: str
    name: str | None
    images: int
    num_jobs: int
    uploaded_at: datetime | None
    changed_at: datetime


class Page(NamedTuple):
    """Some of the batches."""

    rows: list[BatchLine]
    #: From 1; the last one where fewer are left than were asked for.
    number: int
    #: At least 1.
    pages: int
    #: Batches on all of them.
    batches: int


def page_of(engine: Engine, view: View) -> Page:
    """The page of the table that a view shows.

    Raises:
        DatabaseError: the database can't be read.
    """
    query = Query(engine, view.target)
    found = "FROM scope p JOIN batches b ON b.project_id = p.id WHERE b.removed_at IS NULL"
    if view.name:
        query.values["part"] = f"%{_literal(view.name)}%"
        like = "LIKE lower(:part) ESCAPE '!'"
        found += f" AND (lower(b.name) {like} OR lower(b.batch_id) {like})"
    counted = query.rows("counting the batches", f"WITH {query.scope} SELECT count(*) {found}", tuple)
    ((batches,),) = counted
    pages = max(-(-batches // ROWS), 1)
    number = min(view.page, pages)
    query.values["skipped"] = (number - 1) * ROWS
    sql = f"""WITH {query.scope}
SELECT p.workspace, p.project, b.batch_id, b.name, b.images, b.num_jobs, b.uploaded_at, b.changed_at {found}
ORDER BY {_order(view)} LIMIT {ROWS} OFFSET :skipped"""
    lines = query.rows("reading the batches", sql, BatchLine._make, times=(6, 7))
    return Page(list(lines), number, pages, batches)


def _literal(text: str) -> str:
    """For LIKE, with nothing in it that stands for anything else."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _order(view: View) -> str:
    down = " DESC" if view.descending else ""
    if view.sort == "project":
        return f"p.workspace{down}, p.project{down}, b.batch_id"
    column = _COLUMNS[view.sort]
    # What has no value comes last either way, in words that every version of both databases knows.
    return f"{column} IS NULL, {column}{down}, p.workspace, p.project, b.batch_id"
