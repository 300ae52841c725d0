"""``rfsync sync``."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from rfsync.cli.options import Options, drop_output, make_command
from rfsync.errors import ConfigError

if TYPE_CHECKING:
    from rfsync.config import Config
    from rfsync.sync.circuit_breaker import CircuitBreaker
    from rfsync.sync.task import Result, SyncContext, SyncTask

_SHOWN_CHANGES = 20
#: Exit code of a sync that was stopped, and when it ends at the latest, in seconds.
_STOPPED = 130
_AT_THE_LATEST = 4.5


@make_command(
    "sync",
    example="""ROBOFLOW_API_KEY=… rfsync sync acme/widgets
rfsync sync                                   all that is configured
rfsync sync acme/widgets --batch dJ3kx8aq     one batch alone
*/5 * * * *  cd /srv/rfsync && rfsync sync    in a crontab""",
)
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("--batch", "batch_ids", metavar="ID", multiple=True, help="Refresh only this batch; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Write nothing, show what would be written.")
@click.option("--allow-removals", is_flag=True, help="Believe the answer, however many batches it lacks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    options: Options,
    targets: tuple[str, ...],
    batch_ids: tuple[str, ...],
    dry_run: bool,
    allow_removals: bool,
    as_json: bool,
) -> int:
    """One run for each project, then exits.

    TARGET is a workspace or workspace/project; none: all that is configured.
    """
    from rfsync.api.client import Client
    from rfsync.parsing import parse_target
    from rfsync.sync import targets as resolving
    from rfsync.sync.circuit_breaker import CircuitBreaker
    from rfsync.sync.task import SyncContext

    if "" in batch_ids:
        raise click.BadParameter("an ID is empty", param_hint="--batch")
    # SIGTERM is a service manager's way to say Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    config = options.load()
    options.start_logging()
    # What is wrong with the configuration is found before anything is opened or asked.
    wanted = resolving.wanted(config, [parse_target(t) for t in targets], os.environ)
    for want in wanted:
        options.redact.add(want.key.reveal())
    if batch_ids and (len(wanted) != 1 or wanted[0].discover or len(wanted[0].projects) != 1):
        raise ConfigError("--batch needs exactly one project: rfsync sync WORKSPACE/PROJECT --batch ID")
    started_at = _now()
    store = options.store(config, dry=dry_run)
    client = Client(config.api, options.redact, _now)
    try:
        if not dry_run:
            store.abandon_dead_runs(_now())
        fetcher = CircuitBreaker(client)
        tasks, failures = resolving.resolve(wanted, fetcher, options.redact, store.known_projects)
        if batch_ids:
            tasks = [replace(tasks[0], batch_ids=tuple(dict.fromkeys(batch_ids)))]
        context = SyncContext(
            fetcher,
            store,
            config.removals,
            _now,
            options.redact,
            allow_removals=allow_removals,
            keep_changes=dry_run and not as_json,
        )
        results = failures + _run(context, tasks, config, fetcher, quiet=as_json)
    finally:
        client.close()
        store.close()
    code = 0 if all(r.ok for r in results) else 1
    try:
        if as_json:
            click.echo(_json(results, started_at, _now()))
        else:
            _print(results, dry_run=dry_run)
    except BrokenPipeError:
        drop_output()  # how the sync went does not depend on who reads of it
    return code


def _stop(*_: object) -> None:
    """What is being written is finished, what is being fetched is given up; and if either hangs, the process ends.

    The database undoes what was not committed, as it does for one that was killed.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(_STOPPED))
    timer = threading.Timer(_AT_THE_LATEST, os._exit, (_STOPPED,))
    timer.daemon = True
    timer.start()
    raise KeyboardInterrupt


def _now() -> datetime:
    return datetime.now(UTC)


def _run(
    context: SyncContext, tasks: Sequence[SyncTask], config: Config, circuit: CircuitBreaker, *, quiet: bool
) -> list[Result]:
    """The results in the order of the tasks."""
    from rfsync.sync.run import sync_all

    order = {(task.workspace, task.project): number for number, task in enumerate(tasks)}
    results: list[Result] = []
    with _progress(len(tasks), shown=not quiet and sys.stderr.isatty()) as advance:
        for result in sync_all(context, tasks, config.api.concurrency, circuit):
            results.append(result)
            advance(f"{result.workspace}/{result.project}")
    return sorted(results, key=lambda r: order[r.workspace, r.project])


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Any]:
    """A bar on the terminal, at once where there is more than one project, else when 2 s have gone by."""
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from rfsync.text import printable

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("syncing", total=total)
    timer = threading.Timer(0 if total > 1 else 2, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda text: bar.update(task, advance=1, description=printable(text))
    finally:
        timer.cancel()
        timer.join()
        bar.stop()


def _json(results: Sequence[Result], started_at: datetime, finished_at: datetime) -> str:
    from rfsync.cli.output import as_json
    from rfsync.text import rfc3339

    return as_json(
        {
            "started_at": rfc3339(started_at),
            "finished_at": rfc3339(finished_at),
            "ok": all(r.ok for r in results),
            "projects": [
                {
                    "workspace": r.workspace,
                    "project": r.project,
                    "outcome": r.outcome,
                    "run_id": r.run_id,
                    "batches": r.batches,
                    "added": r.tally.added,
                    "changed": r.tally.changed,
                    "removed": r.tally.removed,
                    "restored": r.tally.restored,
                    "rejected": r.rejected,
                    "images_delta": r.tally.images_delta,
                    "num_jobs_delta": r.tally.num_jobs_delta,
                    "attempts": r.attempts,
                    "error_kind": r.error_kind,
                    "error": r.error,
                }
                for r in results
            ],
        }
    )


_NUMBERS = ("BATCHES", "ADDED", "CHANGED", "REMOVED", "RESTORED", "REJECTED", "IMAGES", "JOBS")


def _print(results: Sequence[Result], *, dry_run: bool) -> None:
    from rfsync.cli.output import count, print_table, signed

    rows = [
        (
            f"{r.workspace}/{r.project}",
            r.outcome,
            count(r.batches),
            count(r.tally.added),
            count(r.tally.changed),
            count(r.tally.removed),
            count(r.tally.restored),
            count(r.rejected),
            signed(r.tally.images_delta),
            signed(r.tally.num_jobs_delta),
            r.error_kind or "",
        )
        for r in results
    ]
    print_table(("PROJECT", "OUTCOME", *_NUMBERS, "ERROR"), rows, right=_NUMBERS)
    if dry_run:
        _print_changes(results)


def _print_changes(results: Sequence[Result]) -> None:
    from rfsync.cli.output import count, print_table, signed

    changes = [(r, c) for r in results for c in r.changes]
    click.echo()
    if not changes:
        done = all(r.ok for r in results)
        click.echo("Dry run: there is nothing to write." if done else "Dry run: nothing would be written.")
        return
    click.echo(f"Dry run: {len(changes):,} change{'s' if len(changes) > 1 else ''} would be written.")
    rows = [
        (
            f"{r.workspace}/{r.project}",
            c.kind.value,
            c.batch_id,
            c.name or "-",
            count(0 if c.kind.value == "removed" else c.images),
            signed(c.images_delta),
            count(0 if c.kind.value == "removed" else c.num_jobs),
            signed(c.num_jobs_delta),
        )
        for r, c in changes[:_SHOWN_CHANGES]
    ]
    headers = ("PROJECT", "CHANGE", "BATCH", "NAME", "IMAGES", "±", "JOBS", "± ")
    print_table(headers, rows, right=headers[4:])
    if len(changes) > _SHOWN_CHANGES:
        click.echo(f"… and {len(changes) - _SHOWN_CHANGES:,} more.")
