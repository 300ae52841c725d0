"""``rfsync copy``."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from rfsync.cli.options import Options, make_command

if TYPE_CHECKING:
    from sqlalchemy import URL

_MOVED: Final = "Equal, table by table, and the books of both balance. Now give the new URL to what syncs and reads"
_ROLES: Final = (
    "Roles and the queue of workers are not copied: where you have them, run rfsync db upgrade, then "
    "deploy/postgres/writer.sql and reader.sql"
)


@make_command("""rfsync copy --from sqlite:///rfsync.db --to postgresql://rfsync@db/labels
rfsync copy --from postgresql://rfsync@db/labels --to sqlite:///rfsync.db""")
@click.option("--from", "source", metavar="URL", required=True, help="The database to copy; it is only read.")
@click.option("--to", "target", metavar="URL", required=True, help="An empty database, or a file that does not exist.")
def command(options: Options, source: str, target: str) -> int:
    """Moves everything from one database to another: SQLite to PostgreSQL, or back.

    Stop the syncs first. Killed at any moment, the same command goes on where it was. At the end it compares all tables
    and verifies both databases; until then every other command refuses the new one. If the old one was written
    meanwhile, or anything differs, it exits with 1, and the copy does not count.
    """
    from rfsync.cli.bar import progress_bar
    from rfsync.copy.run import copy
    from rfsync.copy.source import Source
    from rfsync.copy.target import Target
    from rfsync.database.engine import open_database
    from rfsync.database.url import sqlite_file
    from rfsync.errors import DatabaseError
    from rfsync.logs import is_json

    if options.database:
        raise click.UsageError("copy names its two databases by --from and --to: leave out --database")
    options.start_logging()
    urls = [_parse(options, text, option) for text, option in ((source, "--from"), (target, "--to"))]
    (from_url, from_name), (to_url, to_name) = urls
    path = sqlite_file(from_url)
    if path is not None and not path.exists():
        raise DatabaseError(f"there is no database {from_name}, which --from names")
    if from_name == to_name or _is_same_file(path, sqlite_file(to_url)):
        raise click.UsageError("--from and --to name the same database")
    with (
        closing(open_database(from_url, read_only=True)) as read,
        closing(open_database(to_url)) as written,
        progress_bar("looking", total=None, delay=1, shown=sys.stderr.isatty() and not is_json()) as show,
    ):
        rows = copy(
            Source(read, from_name),
            Target(written, to_name),
            lambda doing, done, of: show(doing, completed=done, total=of),
        )
    click.echo(f"Copied {rows:,} rows from {from_name} to {to_name}.\n{_MOVED}.")
    if sqlite_file(to_url) is None:
        click.echo(f"{_ROLES}.")
    return 0


def _parse(options: Options, text: str, option: str) -> tuple[URL, str]:
    """The URL, whose password is hidden from here on, and what people call the database.

    Raises:
        ConfigError: it is none of the two databases'.
        DatabaseError: its path leads nowhere.
    """
    from rfsync.cli import wiring
    from rfsync.database.url import parse_url, require_path, url_secrets

    url = parse_url(text, option)
    for secret in url_secrets(url):
        options.redact.add(secret)
    require_path(url)
    return url, wiring.shown_database(url)


def _is_same_file(one: Path | None, other: Path | None) -> bool:
    return one is not None and other is not None and other.exists() and one.samefile(other)
