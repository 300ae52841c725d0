"""``rfsync import``."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import utc_time
from rfsync.cli.queries import parse_moment, warn_of_renamed
from rfsync.cli.sync import NUMBERS, numbers
from rfsync.text import printable

if TYPE_CHECKING:
    from rfsync.config import Config
    from rfsync.parsing import Target
    from rfsync.sync.importer import Skipped
    from rfsync.sync.result import Result
    from rfsync.sync.saved_answers import SavedAnswer


@make_command("""rfsync import acme/widgets saved/                      a folder of answers, each named by its time
rfsync import acme/widgets batches-2026-01-31T18:00:00Z.json --dry-run
rfsync import acme/widgets answer.json --at 2026-01-31T18:00:00Z""")
@click.argument("target", metavar="WORKSPACE/PROJECT")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(readable=False, path_type=Path))
@click.option("--at", metavar="TIME", help="The time of the only FILE, whatever its name says.")
@click.option("--mtime", is_flag=True, help="Where a name has no time, take that of the FILE's last change.")
@click.option("--dry-run", is_flag=True, help="Read and check the files, show their times, and import nothing.")
@click.option("--allow-removals", is_flag=True, help="Accept every answer, however many batches it lacks.")
def command(
    options: Options,
    target: str,
    files: tuple[Path, ...],
    at: str | None,
    mtime: bool,
    dry_run: bool,
    allow_removals: bool,
) -> int:
    """Imports saved answers of the API as observations of the past, oldest first.

    A FILE is an answer of GET /WORKSPACE/PROJECT/batches, or a folder of them. Its time stands in its name, between
    separators, such as batches-2026-01-31T18:00:00Z.json. Answers older than the project's last observation are
    refused, so import before the first sync; those that the history has already are skipped. If a file is not a valid
    answer or has no time, nothing is imported.
    """
    from rfsync.parsing import parse_target
    from rfsync.sync.saved_answers import find_answers, require_valid

    named = parse_target(target)
    if named.project is None:
        raise click.BadParameter(f"{target!r} is a workspace: name one project of it", param_hint="WORKSPACE/PROJECT")
    if mtime and at is not None:
        raise click.UsageError("--at and --mtime can't be used together")
    now = utc_now()
    config = options.begin()
    answers = find_answers(files, parse_moment(at, "--at", now), now, by_mtime=mtime)
    require_valid(answers)
    _announce(answers, dry_run=dry_run)
    return 0 if dry_run else _print(_import(options, config, named, answers, now, allow_removals=allow_removals))


def _import(
    options: Options, config: Config, target: Target, answers: list[SavedAnswer], now: datetime, *, allow_removals: bool
) -> list[tuple[SavedAnswer, Result | Skipped]]:
    from rfsync.cli import wiring
    from rfsync.ledger.projects import ProjectPath
    from rfsync.parsing import Target
    from rfsync.redaction import Secret
    from rfsync.sync.importer import OfflineFetcher, import_answer
    from rfsync.sync.task import SyncContext, SyncTask
    from rfsync.sync.workspaces import Workspaces

    with closing(wiring.open_store(options, config, make=True)) as store:
        store.abandon_dead_runs(now)
        offline = OfflineFetcher()
        context = SyncContext(
            offline, Workspaces(offline), store, config.removals, lambda: now, options.redact,
            allow_removals=allow_removals,
        )  # fmt: skip
        path = ProjectPath(target.workspace, target.project or "")
        renamed = store.projects.find_renames(path.workspace).get(path.project)
        if renamed is not None:
            warn_of_renamed([(target, Target(*renamed))])
        task = SyncTask(*(renamed or path), Secret(""))
        reader = wiring.open_reader(options, config)
        return [(answer, import_answer(context, task, answer, reader)) for answer in answers]


def _announce(answers: list[SavedAnswer], *, dry_run: bool) -> None:
    """Says which time each answer has, and where that is from, before anything is written."""
    from rfsync.sync.saved_answers import first_lines

    times = [f"{utc_time(answer.at)} by {answer.source}: {answer.path}" for answer in answers]
    lines = times if dry_run else first_lines(times)
    number = "1 answer" if len(answers) == 1 else f"{len(answers):,} answers"
    click.echo(
        f"rfsync: {number} {'would be imported' if dry_run else 'to import'}, with their times in UTC:", err=not dry_run
    )
    for line in lines:
        click.echo(printable(f"  {line}"), err=not dry_run)


def _print(imported: list[tuple[SavedAnswer, Result | Skipped]]) -> int:
    """Prints the outcome of each file; returns 1 if the ledger has not all of them."""
    from rfsync.cli.output import print_table
    from rfsync.sync.result import Result

    rows: list[tuple[str, ...]] = []
    too_old: list[SavedAnswer] = []
    refused = False
    for answer, result in imported:
        outcome = result.outcome if isinstance(result, Result) else result.value
        if outcome in {"too old", "superseded"}:
            too_old.append(answer)
        refused |= outcome == "refused"
        cells = numbers(result.row) if isinstance(result, Result) else ("-",) * len(NUMBERS)
        rows.append((utc_time(answer.at), answer.source, outcome, *cells, answer.path.name))
    print_table(("TIME", "BY", "OUTCOME", *NUMBERS, "FILE"), rows, right=NUMBERS)
    if too_old:
        text = (
            f"rfsync: {len(too_old):,} of {len(imported):,} files refused, the first {too_old[0].path}: older than the "
            "project's last observation, and what is in the ledger stays. Import into a database that has not seen "
            "the project yet, and sync into that one from then on"
        )
        click.echo(printable(text), err=True)
    return 1 if too_old or refused else 0
