"""Shared parts of the commands that query the history: TARGET, TIME, and the output of rows."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import click

from rfsync.cli.options import Options
from rfsync.cli.output import open_output, print_table, tell

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rfsync.parsing import Target

_F = TypeVar("_F", bound=Callable[..., Any])
_Row = TypeVar("_Row", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True)
class Layout(Generic[_Row]):
    """The layout of rows as a table for people."""

    headers: Sequence[str]
    #: Headers of the right-aligned columns.
    right: Sequence[str]
    cells: Callable[[_Row], Sequence[str]]
    #: Message on standard error if there are no rows.
    no_rows: str


target_argument = click.argument("target", metavar="[TARGET]", required=False)


#: The names of the two options of ``span_options``, for messages.
SPAN: Final = ("--since", "--until")


def span_options(function: _F) -> _F:
    """Adds ``--since`` and ``--until``."""
    until = click.option("--until", metavar="TIME", help="Only observations before this time.")
    since = click.option("--since", metavar="TIME", help="Only observations at this time or later.")
    return since(until(function))


def parse_moment(text: str | None, option: str, now: datetime) -> datetime | None:
    """Parses a TIME argument; None for None.

    Raises:
        ConfigError: the text is not a TIME.
    """
    from rfsync.history.arguments import read_time

    return None if text is None else read_time(text, option, now)


def open_history(options: Options, target: str | None) -> Engine:
    """Opens the database, after checking that it has the target.

    Raises:
        ConfigError: the configuration is invalid, or the target is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    from rfsync.cli import wiring
    from rfsync.history import require_known
    from rfsync.parsing import parse_target

    if target is not None:
        parse_target(target)
    engine = wiring.open_reader(options, options.begin())
    warn_of_renamed(require_known(engine, target))
    return engine


def warn_of_renamed(renamed: Sequence[tuple[Target, Target]]) -> None:
    """Warns of targets that have another id now: (as named, as it is called)."""
    for old, new in renamed:
        tell(f"{old} is now {new}: use the new id")


def show(rows: Iterator[_Row], kind: type[_Row], layout: Layout[_Row], form: str, output: str | None) -> None:
    """Streams rows to standard output or a file, in the requested format.

    Raises:
        ConfigError: the output can't be written.
        DatabaseError: the database can't be read.
    """
    # Like Ctrl-C: an incomplete file is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if form != "table":
        from rfsync.cli.formats import write_rows

        write_rows(rows, kind, form, output)
        return
    with open_output(output) as file:
        first = next(rows, None)
        if first is None:
            tell(layout.no_rows)
            return
        print_table(layout.headers, map(layout.cells, chain([first], rows)), right=layout.right, file=file)
