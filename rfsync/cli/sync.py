"""``rfsync sync``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

import click

from rfsync.cli.bar import progress_bar
from rfsync.cli.options import Options, drop_output, make_command, utc_now
from rfsync.errors import ConfigError
from rfsync.threads import exit_after

if TYPE_CHECKING:
    from rfsync.config import Config
    from rfsync.ledger.changes import Change
    from rfsync.ledger.runs import RunRow
    from rfsync.records import Kind
    from rfsync.sync.result import Result
    from rfsync.sync.targets import Selection

_SHOWN_CHANGES = 20
_JOB_COUNTS = ("IMAGES", "ANNOTATED", "UNANNOTATED", "APPROVED", "REJECTED")
#: Exit code after a signal.
_STOPPED = 130
#: Seconds after which a process that was asked to stop exits in any case.
_STOP_TIMEOUT = 4.5


@make_command("""ROBOFLOW_API_KEY=… rfsync sync acme/widgets
rfsync sync                                   all that is configured
rfsync sync acme/widgets --batch dJ3kx8aq     one batch alone
*/5 * * * *  /opt/rfsync/bin/rfsync sync --config /etc/rfsync/rfsync.toml    in a crontab""")
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("--batch", "batch_ids", metavar="ID", multiple=True, help="Refresh only this batch; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Write nothing; show what would be written.")
@click.option("--allow-removals", is_flag=True, help="Accept the answer, however many batches it lacks.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def command(
    options: Options,
    targets: tuple[str, ...],
    batch_ids: tuple[str, ...],
    dry_run: bool,
    allow_removals: bool,
    as_json: bool,
) -> int:
    """Syncs each project once, then exits.

    TARGET is a workspace or workspace/project; without any, all that is configured is synced.
    """
    if "" in batch_ids:
        raise click.BadParameter("an ID is empty", param_hint="--batch")
    # A service manager sends SIGTERM where a person types Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    config = options.begin()
    from rfsync.cli import wiring  # only here: a signal during this slow import is handled already

    # Errors in the configuration are found before the database is opened.
    selections = wiring.select(options, config, targets)
    if batch_ids and (len(selections) != 1 or selections[0].discover or len(selections[0].projects) != 1):
        raise ConfigError(f"--batch needs exactly one project: rfsync sync WORKSPACE/PROJECT --batch {batch_ids[0]}")
    started_at = utc_now()
    results = _sync(
        options, config, selections, batch_ids, dry_run=dry_run, allow_removals=allow_removals, quiet=as_json
    )
    try:
        if as_json:
            click.echo(_json(results, started_at, utc_now()))
        else:
            _print(results)
            if dry_run:
                _print_changes(results)
    except BrokenPipeError:
        drop_output()  # the exit code says how the sync went, even if nobody reads the output
    return 0 if all(result.all_ok for result in results) else 1


def _sync(
    options: Options,
    config: Config,
    selections: list[Selection],
    batch_ids: tuple[str, ...],
    *,
    dry_run: bool,
    allow_removals: bool,
    quiet: bool,
) -> list[Result]:
    """Syncs all selections; returns failed workspaces, then the projects in the order of their tasks."""
    from rfsync.cli import wiring
    from rfsync.sync.circuit_breaker import CircuitBreaker
    from rfsync.sync.parallel import sync_all
    from rfsync.sync.targets import make_workspaces, resolve
    from rfsync.sync.task import SyncContext

    keep_changes = dry_run and not quiet
    with (
        closing(wiring.open_store(options, config, make=True, dry=dry_run)) as store,
        closing(wiring.open_client(options, config, store)) as client,
    ):
        if not dry_run:
            store.abandon_dead_runs(utc_now())
        breaker = CircuitBreaker(client, config.base_urls)
        context = SyncContext(
            breaker, make_workspaces(selections, breaker, config.workspaces), store, config.removals, utc_now,
            options.redact, jobs=config.jobs, allow_removals=allow_removals, keep_changes=keep_changes,
        )  # fmt: skip
        tasks, failures = resolve(selections, context)
        if batch_ids:
            tasks = [replace(tasks[0], batch_ids=tuple(dict.fromkeys(batch_ids)))]
        results: dict[str, Result] = {}
        with progress_bar(
            "syncing", total=len(tasks), delay=0 if len(tasks) > 1 else 2, shown=not quiet and sys.stderr.isatty()
        ) as show:
            for result in sync_all(context, tasks, config.api.concurrency, breaker):
                if not result.skipped:
                    results[str(result)] = result
                show(str(result), advance=1)
    # One that was renamed has its result under the new id.
    return failures + [results[str(task)] for task in tasks if str(task) in results]


def _stop(*_: object) -> None:
    """Stops the sync: open transactions are committed, requests are given up.

    If that takes too long, or at a second signal, the process exits, and the database rolls back what is open.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(_STOPPED))
    exit_after(_STOP_TIMEOUT, _STOPPED)
    raise KeyboardInterrupt


def _json(results: Sequence[Result], started_at: datetime, finished_at: datetime) -> str:
    from rfsync.cli.output import as_json
    from rfsync.text import rfc3339

    ok, projects = all(r.all_ok for r in results), [r.public()._asdict() for r in results]
    started, finished = rfc3339(started_at), rfc3339(finished_at)
    return as_json({"started_at": started, "finished_at": finished, "ok": ok, "projects": projects})


#: Columns of a run's numbers.
NUMBERS = ("BATCHES", "ADDED", "CHANGED", "REMOVED", "RESTORED", "REJECTED", "IMAGES", "JOBS", "JOB CHANGES")


def numbers(row: RunRow) -> tuple[str, ...]:
    """The cells of ``NUMBERS``."""
    from rfsync.cli.output import count, signed

    tally = row.tally
    counts = (row.batches, tally.added, tally.changed, tally.removed, tally.restored, row.rejected)
    jobs_changed = "-" if row.jobs is None and not row.jobs_changed else count(row.jobs_changed)
    return (*map(count, counts), signed(row.images_delta), signed(row.num_jobs_delta), jobs_changed)


def _print(results: Sequence[Result]) -> None:
    from rfsync.cli.output import print_table

    rows = [(str(r), r.outcome, *numbers(r.row), _errors(r)) for r in results]
    print_table(("PROJECT", "OUTCOME", *NUMBERS, "ERROR"), rows, right=NUMBERS)


def _errors(result: Result) -> str:
    jobs = f"jobs: {result.row.jobs_error_kind}" if result.jobs_failed else ""
    return ", ".join(filter(None, (result.error_kind, jobs)))


def _print_changes(results: Sequence[Result]) -> None:
    from rfsync.records import Kind

    changes = {kind: [(str(r), c) for r in results for c in r.changes.get(kind, ())] for kind in Kind}
    click.echo()
    number = sum(map(len, changes.values()))
    if not number:
        done = all(result.all_ok for result in results)
        click.echo("Dry run: there is nothing to write." if done else "Dry run: nothing would be written.")
        return
    click.echo(f"Dry run: {number:,} change{'s' if number > 1 else ''} would be written.")
    for kind, of_kind in changes.items():
        if of_kind:
            _print_changes_of(kind, of_kind)


def _print_changes_of(kind: Kind, changes: Sequence[tuple[str, Change]]) -> None:
    from rfsync.cli.output import count, print_table, signed
    from rfsync.ledger.record_types import RECORD_TYPES
    from rfsync.records import Kind

    type_ = RECORD_TYPES[kind]
    is_job = kind is Kind.JOB
    rows = []
    for project, c in changes[:_SHOWN_CHANGES]:
        pairs = zip(c.counts(type_), c.deltas(type_), strict=True)
        cells = [cell for after, delta in pairs for cell in (count(after), signed(delta))]
        status = (c.record.status or "-",) if is_job else ()
        rows.append((project, c.kind.value, c.record.id, c.record.name or "-", *status, *cells))
    names = _JOB_COUNTS if is_job else ("IMAGES", "JOBS")
    # Each ± is a header of its own.
    numbers = [header for n, name in enumerate(names) for header in (name, "±" + " " * n)]
    headers = ("PROJECT", "CHANGE", kind.one.upper(), "NAME", *(("STATUS",) if is_job else ()), *numbers)
    print_table(headers, rows, right=numbers)
    if len(changes) > _SHOWN_CHANGES:
        click.echo(f"… and {len(changes) - _SHOWN_CHANGES:,} more.")
