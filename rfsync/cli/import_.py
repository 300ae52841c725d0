"""``rfsync import``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

import click

from rfsync.cli import wiring
from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import print_table, tell, utc_time
from rfsync.cli.queries import parse_moment, warn_of_renamed
from rfsync.cli.sync import NUMBERS, numbers
from rfsync.config import Config
from rfsync.ledger.projects import ProjectPath
from rfsync.parsing import Target, parse_target
from rfsync.redaction import Secret
from rfsync.sync.importer import OfflineFetcher, Skipped, import_moment, reason_to_skip
from rfsync.sync.result import Result
from rfsync.sync.saved_answers import Moment, SavedAnswer, find_answers, first_lines
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces
from rfsync.text import printable

#: Why an answer would not be imported -> what ``--dry-run`` says of it.
_FORETOLD: Final = {
    None: "",
    Skipped.KNOWN: " (known: would be skipped)",
    Skipped.TOO_OLD: " (older than the project's last observation: would be refused)",
    Skipped.REFUSED: " (refused before, as it lacks too much: would be again)",
}


@make_command("""rfsync import acme/widgets saved/                      a folder of answers, each named by its time
rfsync import acme/widgets batches-2026-01-31T18:00:00Z.json --dry-run
rfsync import acme/widgets batches.json jobs.json --at 2026-01-31T18:00:00Z""")
@click.argument("target", metavar="WORKSPACE/PROJECT")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(readable=False, path_type=Path))
@click.option("--at", metavar="TIME", help="The time of the only FILE, or of a batch list and a job list.")
@click.option("--mtime", is_flag=True, help="Where a name has no time, take that of the FILE's last change.")
@click.option("--dry-run", is_flag=True, help="Import nothing: check the files, and say what would become of each.")
@click.option("--allow-removals", is_flag=True, help="Accept every answer, however much it lacks.")
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

    A FILE is an answer of GET /WORKSPACE/PROJECT/batches or /jobs, or a folder of them. Its time stands in its name,
    between separators, such as batches-2026-01-31T18:00:00Z.json; a batch list and a job list of the same time are one
    observation. Answers older than the project's last observation are refused, so import before the first sync; those
    that the history has already are skipped. If a file is not a valid answer or has no time, nothing is imported.
    """
    named = parse_target(target)
    if named.project is None:
        raise click.BadParameter(f"{target!r} is a workspace: name one project of it", param_hint="WORKSPACE/PROJECT")
    if mtime and at is not None:
        raise click.UsageError("--at and --mtime can't be used together")
    now = utc_now()
    config = options.begin()
    moments = find_answers(files, parse_moment(at, "--at", now), now, by_mtime=mtime)
    if not dry_run:
        _announce(moments)
    with closing(wiring.open_store(options, config, make=True, dry=dry_run)) as store:
        offline = OfflineFetcher()
        context = SyncContext(
            offline, Workspaces(offline), store, config.removals, lambda: now, options.redact,
            jobs=config.jobs, allow_removals=allow_removals,
        )  # fmt: skip
        task = _task(context, named)
        if dry_run:
            return _foretell(options, config, context, task, moments)
        store.abandon_dead_runs(now)
        reader = wiring.open_reader(options, config)
        return _print([(moment, import_moment(context, task, moment, reader)) for moment in moments])


def _task(context: SyncContext, named: Target) -> SyncTask:
    """The project, under its new id if it was renamed."""
    path = ProjectPath(named.workspace, named.project or "")
    renamed = context.store.projects.find_renames(path.workspace).get(path.project)
    if renamed is not None:
        warn_of_renamed([(named, Target(*renamed))])
    return SyncTask(*(renamed or path), Secret(""))


def _announce(moments: list[Moment]) -> None:
    """Says which time each answer has, and where that is from, before anything is written."""
    lines = [_described(answer) for moment in moments for answer in moment.answers.values()]
    tell(f"{_answers(len(lines))} to import, with their times in UTC:", first_lines(lines))


def _described(answer: SavedAnswer) -> str:
    return f"{utc_time(answer.at)} by {answer.source}: {answer.kind.one} list {answer.path}"


def _answers(number: int) -> str:
    return "1 answer" if number == 1 else f"{number:,} answers"


def _foretell(options: Options, config: Config, context: SyncContext, task: SyncTask, moments: list[Moment]) -> int:
    """Says of each answer whether it would be imported; returns 1 if the ledger would not have all of them."""
    if context.store.projects.snapshot(task.path).seen is None:
        reasons: list[Skipped | None] = [None] * len(moments)
    else:
        reader = wiring.open_reader(options, config)
        reasons = [reason_to_skip(context, task, moment, reader) for moment in moments]
    number = sum(len(moment.answers) for moment, reason in zip(moments, reasons, strict=True) if reason is None)
    click.echo(f"rfsync: {_answers(number)} would be imported into {task}, with these times in UTC:")
    for moment, reason in zip(moments, reasons, strict=True):
        for answer in moment.answers.values():
            click.echo(printable(f"  {_described(answer)}{_FORETOLD[reason]}"))
    return 1 if Skipped.TOO_OLD in reasons or Skipped.REFUSED in reasons else 0


def _print(imported: list[tuple[Moment, Result | Skipped]]) -> int:
    """Prints the outcome of each observation; returns 1 if the ledger has not all of them."""
    rows: list[tuple[str, ...]] = []
    for moment, result in imported:
        answers = moment.answers.values()
        cells = numbers(result.row) if isinstance(result, Result) else ("-",) * len(NUMBERS)
        sources = ", ".join(dict.fromkeys(answer.source for answer in answers))
        names = ", ".join(answer.path.name for answer in answers)
        rows.append((utc_time(moment.at), sources, _outcome(result), *cells, names))
    print_table(("TIME", "BY", "OUTCOME", *NUMBERS, "FILE"), rows, right=NUMBERS)
    outcomes = [_outcome(result) for _, result in imported]
    files = sum(len(moment.answers) for moment, _ in imported)
    too_old = [m for (m, _), outcome in zip(imported, outcomes, strict=True) if outcome in {"too old", "superseded"}]
    if too_old:
        tell(
            f"{_refused(too_old, files)}: older than the project's last observation, and what is in the ledger stays. "
            "Import into a database that has not seen the project yet, and sync into that one from then on"
        )
    again = [moment for moment, result in imported if result is Skipped.REFUSED]
    if again:
        tell(f"{_refused(again, files)}: as before, it lacks too much; the next one that lacks the same is applied")
    return 1 if too_old or any("refused" in outcome for outcome in outcomes) else 0


def _refused(moments: list[Moment], files: int) -> str:
    answers = [answer for moment in moments for answer in moment.answers.values()]
    return f"{len(answers):,} of {files:,} files refused, the first {answers[0].path}"


def _outcome(result: Result | Skipped) -> str:
    if isinstance(result, Skipped):
        return result.value
    return f"{result.outcome}, jobs {result.row.jobs_error_kind}" if result.row.jobs_error_kind else result.outcome
