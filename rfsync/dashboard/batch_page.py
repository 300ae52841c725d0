"""One page of the table of current batches; the database filters, sorts and paginates."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy import Engine

from rfsync.dashboard.view import View
from rfsync.history.query import Query
from rfsync.history.rows import BatchRow

PAGE_SIZE: Final = 25

_COLUMNS: Final[Mapping[str, str]] = {
    "name": "b.name",
    "images": "b.images",
    "jobs": "b.num_jobs",
    "uploaded": "b.uploaded_at",
    "changed": "b.changed_at",
}


class BatchPage(NamedTuple):
    """A page of the table."""

    lines: list[BatchRow]
    #: From 1; the last page if the requested one does not exist.
    number: int
    #: At least 1.
    pages: int
    #: Total on all pages.
    batches: int


def read_page(engine: Engine, view: View) -> BatchPage:
    """Reads the page of the table that a view shows.

    Raises:
        DatabaseError: the database can't be read.
    """
    query = Query(engine, view.target)
    source = "FROM scope p JOIN batches b ON b.project_id = p.id WHERE b.removed_at IS NULL"
    if view.name:
        part = view.name.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        query.values["part"] = f"%{part}%"
        like = "LIKE lower(:part) ESCAPE '!'"
        source += f" AND (lower(b.name) {like} OR lower(b.batch_id) {like})"
    ((batches,),) = query.rows("counting the batches", f"SELECT count(*) {source}", tuple)
    pages = max(-(-batches // PAGE_SIZE), 1)
    number = min(view.page, pages)
    query.values["skipped"] = (number - 1) * PAGE_SIZE
    sql = f"""
SELECT p.workspace, p.project, b.batch_id, b.name, b.uploaded_at, b.images, b.num_jobs, b.first_seen_at, b.changed_at
{source}
ORDER BY {_order(view)} LIMIT {PAGE_SIZE} OFFSET :skipped"""
    lines = query.rows("reading the batches", sql, BatchRow._make, times=(4, 7, 8))
    return BatchPage(list(lines), number, pages, batches)


def _order(view: View) -> str:
    direction = " DESC" if view.descending else ""
    if view.sort == "project":
        return f"p.workspace{direction}, p.project{direction}, b.batch_id"
    column = _COLUMNS[view.sort]
    # NULL sorts last either way; older SQLite versions don't know NULLS LAST.
    return f"{column} IS NULL, {column}{direction}, p.workspace, p.project, b.batch_id"
