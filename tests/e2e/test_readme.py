"""The README's query gives what the README shows."""

from __future__ import annotations

import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rfsync.cli.demo import tour
from rfsync.cli.options import Options

README = Path(__file__).parents[2] / "README.md"
#: The README's numbers are those of a demo that ended at this time.
END = datetime(2026, 3, 2, tzinfo=UTC)


def as_markdown(cursor: sqlite3.Cursor) -> str:
    """The rows of a query as the README shows them."""
    headers = [column[0] for column in cursor.description]
    rows = [headers, ["---"] * len(headers), *([str(value) for value in row] for row in cursor)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def test_the_query_of_the_readme_gives_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tour(Options(), END, seed=1) == 0
    shown = re.findall(r"```sql\n(.*?)\n```\n\n(\|.*?\|)\n\n", README.read_text(), flags=re.DOTALL)
    assert len(shown) == 1
    connection = sqlite3.connect("rfsync-demo.db")
    try:
        assert [as_markdown(connection.execute(query)) for query, _ in shown] == [table for _, table in shown]
    finally:
        connection.close()
