"""Shared parts of the commands that query the history: TARGET, TIME, and the output of rows."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import click

from rfsync.cli.options import Options
from rfsync.cli.output import open_output, print_table, tell, utc_time

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rfsync.config import Config
    from rfsync.history import By
    from rfsync.parsing import Target
    from rfsync.records import Kind

_F = TypeVar("_F", bound=Callable[..., Any])
_Row = TypeVar("_Row", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True)
class Layout(Generic[_Row]):
    """The layout of rows as a table for people."""

    headers: Sequence[str]
    #: Headers of the right-aligned columns.
    right: Sequence[str]
    cells: Callable[[_Row], Sequence[str]]
    #: Message on standard error if a table would have no rows.
    no_rows: str
    #: The reason, if it is that nothing of the kind is known; then the message is written in every format.
    why: Callable[[], str | None] = lambda: None


target_argument = click.argument("target", metavar="[TARGET]", required=False)


#: Most projects that a message lists.
_MAX_PROJECTS: Final = 5
#: The names of the two options of ``span_options``, for messages.
SPAN: Final = ("--since", "--until")


def span_options(function: _F) -> _F:
    """Adds ``--since`` and ``--until``."""
    until = click.option("--until", metavar="TIME", help="Only observations before this time.")
    since = click.option("--since", metavar="TIME", help="Only observations at this time or later.")
    return since(until(function))


def period_options(function: _F) -> _F:
    """Adds ``--by``, ``--sum`` (``summed``) and ``--tz``."""
    by = click.option("--by", type=click.Choice(("hour", "day", "week", "month")), default="day", show_default=True,
                      help="Length of a period; weeks begin on Monday.")  # fmt: skip
    summed = click.option("--sum", "summed", is_flag=True, help="Add up all projects.")
    tz = click.option("--tz", default="UTC", metavar="ZONE", show_default=True,
                      help="Time zone of the periods, and of a TIME without an offset.")  # fmt: skip
    return by(summed(tz(function)))


def labeler_option(what: str) -> Callable[[_F], _F]:
    """Adds ``--labeler``.

    Args:
        what: the beginning of its help.
    """
    return click.option("--labeler", metavar="WHO", help=f"{what}: a mail address, person-7, or nobody.")


def period_label(period: datetime, by: By, time_zone: tzinfo) -> str:
    """``2026-01-31 18:00+01:00`` (in UTC without the offset), ``2026-01-31`` or ``2026-01``."""
    local = period.astimezone(time_zone)
    if by == "hour":
        written = local.isoformat(" ", "minutes")
        return written.removesuffix("+00:00") if str(time_zone) == "UTC" else written
    return f"{local:%Y-%m}" if by == "month" else f"{local:%Y-%m-%d}"


def parse_moment(text: str | None, option: str, now: datetime) -> datetime | None:
    """Parses a TIME argument; None for None.

    Raises:
        ConfigError: the text is not a TIME.
    """
    from rfsync.history.arguments import read_time

    return None if text is None else read_time(text, option, now)


def open_history(options: Options, target: str | None, config: Config | None = None) -> Engine:
    """Opens the database, after checking that it has the target.

    Args:
        config: None: it is read here.

    Raises:
        ConfigError: the configuration is invalid, or the target is malformed or unknown.
        DatabaseError: the database can't be read.
    """
    from rfsync.cli import wiring
    from rfsync.history import require_known
    from rfsync.parsing import parse_target

    if target is not None:
        parse_target(target)
    engine = wiring.open_reader(options, config or options.begin())
    warn_of_renamed(require_known(engine, target))
    return engine


def warn_of_renamed(renamed: Sequence[tuple[Target, Target]]) -> None:
    """Warns of targets that have another id now: (as named, as it is called)."""
    for old, new in renamed:
        tell(f"{old} is now {new}: use the new id")


def note_unobserved(engine: Engine, target: str | None, moment: datetime, kind: Kind) -> bool:
    """Says of which projects nothing is known at a moment, because they were first observed later.

    Returns:
        True if there are any.
    """
    from rfsync.history.span import observed_later

    later = observed_later(engine, target, moment, kind)
    if not later:
        return False
    projects = later[0][0] if len(later) == 1 else f"{len(later):,} projects"
    shown = [f"{name}: {'never' if at is None else utc_time(at)}" for name, at in later[:_MAX_PROJECTS]]
    if len(later) > _MAX_PROJECTS:
        shown.append(f"and {len(later) - _MAX_PROJECTS:,} more")
    tell(
        f"the {kind.value} of {projects} at {utc_time(moment)} are not known: first {kind.one} list observed at", shown
    )
    return True


def note_jobs_off(engine: Engine, target: str | None) -> None:
    """Says since when jobs are not asked for any more, if they ever were."""
    from rfsync.history.no_jobs import job_lists, jobs_off

    lists = job_lists(engine, target)
    if any(row.jobs_observed_at is not None for row in lists):
        tell(jobs_off(lists))


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

        write_rows(_explained(rows, layout), kind, form, output)
        return
    with open_output(output) as file:
        first = next(rows, None)
        if first is None:
            reason = layout.why()
            tell(f"{layout.no_rows}: {reason}" if reason else layout.no_rows)
            return
        print_table(layout.headers, map(layout.cells, chain([first], rows)), right=layout.right, file=file)


def _explained(rows: Iterator[_Row], layout: Layout[Any]) -> Iterator[_Row]:
    """The rows; if there are none, and nothing of the kind is known, a message says so."""
    first = next(rows, None)
    if first is not None:
        yield first
        yield from rows
    elif reason := layout.why():
        tell(f"{layout.no_rows}: {reason}")
