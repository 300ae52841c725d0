"""Writes what is written from the code: docs/database.md, docs/commands.md, the help in the README.

``--check`` writes nothing, names what differs and exits with 1.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import click
from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql, sqlite

from rfsync.cli import cli
from rfsync.schema.models import metadata
from rfsync.schema.views import VIEWS

TOP = Path(__file__).parent.parent
WIDTH = 100

DATABASE = """# The database

<!-- Written by `make docs` from rfsync/schema/models.py and rfsync/schema/views.py; change those. -->

SQLite and PostgreSQL 13 or newer, with the same names on both. Timestamps are UTC: `timestamptz` on PostgreSQL, ISO
text `YYYY-MM-DD HH:MM:SS.ffffff` on SQLite, so that text order is time order. The views are the stable face for
reports and dashboards: prefer them to the tables. On SQLite, compare with all six digits of the fraction:
`valid_from <= '2026-02-01 12:00:00.000000'`, since that is how the text is stored.

The books balance: for every batch the sum of its `images_delta` in `batch_changes` is its `images` now (0 once
removed), and the same holds for jobs. So a project's total at any moment is the sum of all deltas observed until then.
`rfsync verify` proves it.

Arrows are references. On PostgreSQL those of `batches` and `batch_changes` are triggers, which check once a statement
what a foreign key checks once a row and raise the same error; all others, and all on SQLite, are foreign keys.
"""


def columns(table: Table) -> list[str]:
    """A row of Markdown for each column."""
    lines = ["| column | SQLite | PostgreSQL | NULL | what it is |", "| --- | --- | --- | --- | --- |"]
    for column in table.columns:
        types = [column.type.compile(dialect=d).lower() for d in (sqlite.dialect(), postgresql.dialect())]
        types = [t.split(" collate")[0].replace("timestamp with time zone", "timestamptz") for t in types]
        lines.append(f"| `{column.name}`{key(column)} | {types[0]} | {types[1]} | {null(column)} | {column.comment} |")
    return lines


def key(column: Column[object]) -> str:
    """What a column is to its table."""
    targets = [f"→ `{foreign.column.table.name}`" for foreign in column.foreign_keys]
    return " " + ", ".join((["key"] if column.primary_key else []) + targets) if column.primary_key or targets else ""


def null(column: Column[object]) -> str:
    """Whether it may be NULL."""
    return "yes" if column.nullable else ""


def database() -> str:
    """docs/database.md."""
    parts = [DATABASE, "## Views\n"]
    for name, (comment, select) in VIEWS.items():
        parts.append(f"### `{name}`\n\n{comment}\n\n```sql\n{select}\n```\n")
    parts.append("## Tables\n")
    parts += [f"### `{t.name}`\n\n{t.comment}\n\n" + "\n".join(columns(t)) + "\n" for t in metadata.sorted_tables]
    return "\n".join(parts)


def commands() -> str:
    """docs/commands.md: the help of every command."""
    parts = ["# Commands\n", "<!-- Written by `make docs` from the commands' own help. -->\n"]
    for path, command in walk(cli, "rfsync"):
        parts.append(f"## `{path}`\n\n```text\n{help_of(command, path)}\n```\n")
    return "\n".join(parts)


def walk(group: click.Command, path: str) -> list[tuple[str, click.Command]]:
    """The command and all below it."""
    found = [(path, group)]
    if isinstance(group, click.Group):
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if command is not None:
                found += walk(command, f"{path} {name}")
    return found


def help_of(command: click.Command, path: str) -> str:
    """As ``--help`` prints it on a terminal of 100 columns."""
    context = command.make_context(path, [], resilient_parsing=True, terminal_width=WIDTH)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines())


def readme() -> str:
    """README.md with the help in it renewed."""
    text = (TOP / "README.md").read_text()
    block = f"<!-- help -->\n```text\n{help_of(cli, 'rfsync')}\n```\n<!-- /help -->"
    return re.sub(r"<!-- help -->.*<!-- /help -->", lambda _: block, text, flags=re.DOTALL)


def main() -> int:
    """Writes, or checks."""
    wanted = {
        TOP / "docs" / "database.md": database(),
        TOP / "docs" / "commands.md": commands(),
        TOP / "README.md": readme(),
    }
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            click.echo(f"{path.relative_to(TOP)} is not as the code would write it: make docs", err=True)
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path])
        click.echo(f"wrote {path.relative_to(TOP)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
