"""What the commands that ask the history have in common: TARGET, TIME, and the ways to an answer."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from rfsync.cli.options import Options
from rfsync.cli.output import chosen_format, print_table, sink

if TYPE_CHECKING:
    from sqlalchemy import Engine

_F = TypeVar("_F", bound=Callable[..., Any])
_Row = TypeVar("_Row", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True)
class Layout(Generic[_Row]):
    """How rows look as a table for people."""

    headers: Sequence[str]
    #: Headers of the columns that are aligned to the right.
    right: Sequence[str]
    cells: Callable[[_Row], Sequence[str]]
    #: What is said where there is no row.
    nothing: str


def target_argument(function: _F) -> _F:
    """Adds ``TARGET``; left out, it is None."""
    return click.argument("target", metavar="[TARGET]", required=False)(function)


def span_options(function: _F) -> _F:
    """Adds ``--since`` and ``--until``."""
    until = click.option("--until", metavar="TIME", help="Only what was observed before that time.")
    since = click.option("--since", metavar="TIME", help="Only what was observed at that time or later.")
    return since(until(function))


def parse_moment(text: str | None, option: str, now: datetime, tz: tzinfo = UTC) -> datetime | None:
    """A TIME of the command line; None stays None.

    Raises:
        click.BadParameter: it is none.
    """
    from rfsync.parsing import parse_time

    try:
        return None if text is None else parse_time(text, now, tz)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


def parse_span(
    since: str | None, until: str | None, now: datetime, tz: tzinfo = UTC
) -> tuple[datetime | None, datetime | None]:
    """``--since`` and ``--until``.

    Raises:
        click.BadParameter: one of them is no TIME, or nothing lies between them.
    """
    first, end = parse_moment(since, "--since", now, tz), parse_moment(until, "--until", now, tz)
    if first is not None and end is not None and first >= end:
        raise click.BadParameter(f"{since!r} is not before --until {until!r}", param_hint="--since")
    return first, end


def open_history(options: Options, target: str | None) -> Engine:
    """The database, which has the target.

    Raises:
        ConfigError: the configuration is wrong, the target is none, or the database does not have it.
        DatabaseError: it can't be read.
    """
    from rfsync.history import require_known
    from rfsync.parsing import parse_target

    if target is not None:
        parse_target(target)
    config = options.load()
    options.start_logging()
    engine = options.reader(config)
    require_known(engine, target)
    return engine


def show(
    rows: Iterator[_Row],
    kind: type[_Row],
    layout: Layout[_Row],
    *,
    form: str | None,
    as_json: bool,
    output: str | None,
) -> None:
    """Writes the answer where it was asked for, while it comes.

    Raises:
        ConfigError: it can't be written there.
        DatabaseError: the database can't be read.
    """
    # As Ctrl-C does: a file that is half written is taken away again.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    form = chosen_format(form, output, as_json=as_json)
    if form != "table":
        from rfsync.cli.formats import write_rows

        write_rows(rows, kind, form, output)
        return
    with sink(output) as file:
        first = next(rows, None)
        if first is None:
            click.echo(f"rfsync: {layout.nothing}", err=True)
            return
        print_table(layout.headers, map(layout.cells, chain([first], rows)), right=layout.right, file=file)
