"""The README's query gives what the README shows."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def as_markdown(cursor: sqlite3.Cursor) -> str:
    """The rows of a query as the README shows them."""
    headers = [column[0] for column in cursor.description]
    rows = [headers, ["---"] * len(headers), *([str(value) for value in row] for row in cursor)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def test_the_query_of_the_readme_gives_what_it_shows(demo_database: Path) -> None:
    shown = re.findall(r"```sql\n(.*?)\n```\n\n(\|.*?\|)\n\n", README.read_text(), flags=re.DOTALL)
    assert len(shown) == 1
    with closing(sqlite3.connect(demo_database)) as connection:
        assert [as_markdown(connection.execute(query)) for query, _ in shown] == [table for _, table in shown]
