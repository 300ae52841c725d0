"""Pages of the documentation whose SQL is run: their queries, and their tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
Columns, Rows = list[str], list[tuple[object, ...]]
Ask = Callable[[str], tuple[Columns, Rows]]


def shown(page: str) -> list[tuple[str, str]]:
    """One or two queries of a page as they stand there, and the table that follows."""
    return re.findall(r"((?:```sql\n(?:(?!```).)*\n```\n\n)+)(\|(?:[^\n]*\|\n)+)", page, re.DOTALL)


def queries(page: str, database: str) -> list[tuple[str, str]]:
    """The queries of a page that a database is meant to answer, with the tables shown."""
    found = []
    for blocks, table in shown(page):
        for query in re.findall(r"```sql\n(.*?)\n```", blocks, re.DOTALL):
            mark = re.match(r"-- (PostgreSQL|SQLite)", query)
            if mark is None or mark[1] == database:
                found.append((query, table.strip()))
    return found


def as_markdown(columns: Columns, rows: Rows) -> str:
    """The rows of a query as a page shows them."""
    cells = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return "" if value is None else value.isoformat() if isinstance(value, date) else str(value)
