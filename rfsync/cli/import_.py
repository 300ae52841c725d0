"""``rfsync import``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command
from rfsync.cli.queries import parse_moment
from rfsync.text import printable

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rfsync.sync.importer import Saved
    from rfsync.sync.task import Result, SyncContext, SyncTask


@make_command(
    "import",
    example="""rfsync import acme/widgets saved/                      a folder of answers, each named by its time
rfsync import acme/widgets batches-2026-01-31T18:00:00Z.json
rfsync import acme/widgets answer.json --at 2026-01-31T18:00:00Z""",
)
@click.argument("target", metavar="WORKSPACE/PROJECT")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--at", metavar="TIME", help="When the only FILE was answered.  [default: by its name, else its mtime]")
@click.option("--allow-removals", is_flag=True, help="Believe every answer in what it lacks.")
def command(options: Options, target: str, files: tuple[Path, ...], at: str | None, allow_removals: bool) -> int:
    """Takes saved answers of the API as observations of the past, oldest first.

    A FILE is what GET /WORKSPACE/PROJECT/batches answered; of a folder every file counts. What is older than the
    project's last observation is refused, so import before the first sync; what is there already is passed over. A file
    that is no answer is named, and then nothing is imported.
    """
    from rfsync.parsing import parse_target
    from rfsync.redaction import Secret
    from rfsync.sync.importer import OfflineFetcher, find, require_answers
    from rfsync.sync.task import SyncContext, SyncTask

    named = parse_target(target)
    if named.project is None:
        raise click.BadParameter(f"{target!r} is a workspace: name one project of it", param_hint="WORKSPACE/PROJECT")
    now = datetime.now(UTC)
    config = options.load()
    options.start_logging()
    saved = find(files, parse_moment(at, "--at", now), now)
    require_answers(saved)
    store = options.store(config)
    try:
        store.abandon_dead_runs(now)
        context = SyncContext(
            OfflineFetcher(), store, config.removals, lambda: now, options.redact, allow_removals=allow_removals
        )
        task = SyncTask(named.workspace, named.project, Secret(""))
        return _print([(one, _take(context, task, one, options.reader(config))) for one in saved])
    finally:
        store.close()


def _take(context: SyncContext, task: SyncTask, saved: Saved, engine: Engine) -> Result | str:
    """The run that applied it, or in a word why there was none."""
    from rfsync.sync.importer import apply, is_known

    known = context.store.known(task.workspace, task.project)
    if known.seen is None or saved.at > known.seen:
        # The same answer a second time is no second answer that lacks the same.
        if not context.allow_removals and context.store.was_refused(task.workspace, task.project, saved.at):
            return "refused"
        return apply(context, task, saved)
    return "known" if is_known(context.store, engine, task, saved) else "too old"


_NUMBERS = ("BATCHES", "ADDED", "CHANGED", "REMOVED", "RESTORED", "REJECTED", "IMAGES", "JOBS")


def _print(taken: list[tuple[Saved, Result | str]]) -> int:
    """What became of each file; 1 where one of them was not taken."""
    from rfsync.cli.output import count, print_table, signed

    rows = []
    for saved, result in taken:
        cells = [f"{saved.at:%Y-%m-%d %H:%M:%S}", saved.source]
        if isinstance(result, str):
            rows.append((*cells, result, *("-" for _ in _NUMBERS), saved.path.name))
            continue
        tally = result.tally
        counts = (result.batches, tally.added, tally.changed, tally.removed, tally.restored, result.rejected)
        signs = (signed(tally.images_delta), signed(tally.num_jobs_delta))
        rows.append((*cells, result.outcome, *map(count, counts), *signs, saved.path.name))
    print_table(("TIME", "BY", "OUTCOME", *_NUMBERS, "FILE"), rows, right=_NUMBERS)
    return _tell([(saved, result if isinstance(result, str) else result.outcome) for saved, result in taken])


def _tell(outcomes: list[tuple[Saved, str]]) -> int:
    refused = [saved.path for saved, outcome in outcomes if outcome in {"too old", "superseded", "refused"}]
    old = [saved.path for saved, outcome in outcomes if outcome in {"too old", "superseded"}]
    if old:
        text = (
            f"rfsync: {len(old):,} of {len(outcomes):,} files refused, the first {old[0]}: older than the "
            "project's last observation, and what is in the ledger stays. Import into a database that has not seen "
            "the project yet, and sync into that one from then on"
        )
        click.echo(printable(text), err=True)
    return 1 if refused else 0
