"""A project's sync as a function, for orchestrators and scripts."""

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import URL

from rfsync.api.client import Client
from rfsync.config import Config, find_file, load
from rfsync.database.url import parse_url, require_path, sqlite_file, url_secrets
from rfsync.errors import ConfigError
from rfsync.ledger.open_store import open_store
from rfsync.parsing import Target, parse_target
from rfsync.redaction import Redactor, hide_addresses
from rfsync.sync.circuit_breaker import CircuitBreaker
from rfsync.sync.parallel import sync_all
from rfsync.sync.result import SyncError, SyncResult
from rfsync.sync.targets import Selection, make_workspaces, resolve, wanted
from rfsync.sync.task import SyncContext

log = logging.getLogger("rfsync.sync")

#: Loggers of lines that may have a secret: addresses of requests, which have the key with ``api.auth = "query"``, and
#: tracebacks of bugs.
_REDACTED: Final = ("urllib3.connectionpool", "rfsync.sync")


def sync_project(
    workspace: str, project: str, *, config: str | Path | None = None, database: str | None = None
) -> SyncResult:
    """Syncs one project once, as ``rfsync sync WORKSPACE/PROJECT`` does.

    A second call does no harm: what is known already is not written again. Any number of threads and processes may
    call it at once, for the same project, too. All connections are closed at the end.

    Args:
        workspace: its URL id.
        project: its URL id.
        config: the configuration file; None: as the command line finds it. It says where the key is.
        database: URL of the database, before that of ``$RFSYNC_DATABASE_URL`` and the configuration.

    Returns:
        How it went.

    Raises:
        SyncError: the project, or its job list, failed or was refused; ``retryable`` tells whether to try again soon.
        ConfigError: an argument or the configuration is wrong, or there is no key.
        DatabaseError: the database can't be opened, or is not at this version's schema.
    """
    with _context(Target(workspace, project), config, database) as (context, selections, breaker):
        context.store.abandon_dead_runs(_now())
        tasks, _ = resolve(selections, context)
        (result,) = sync_all(context, tasks, 1, breaker)
    if not result.all_ok:
        raise SyncError(result.public())
    return result.public()


def list_projects(workspace: str, *, config: str | Path | None = None, database: str | None = None) -> list[str]:
    """The projects of a workspace that ``rfsync sync WORKSPACE`` would sync, for one task each.

    With ``projects = ["*"]`` these are all that the workspace has, and those that it had before: their sync finds
    that they have gone.

    Args:
        workspace: its URL id.
        config: see ``sync_project``.
        database: see ``sync_project``.

    Returns:
        Their URL ids.

    Raises:
        SyncError: the workspace can't be read.
        ConfigError: see ``sync_project``.
        DatabaseError: see ``sync_project``.
    """
    with _context(Target(workspace, None), config, database) as (context, selections, _):
        tasks, failures = resolve(selections, context)
        # One that has moved to another workspace is found by the id that it had in this one.
        former = {new: old for old, new in context.store.projects.find_renames(workspace).items()}
    if failures:
        raise SyncError(failures[0].public())
    return [task.project if task.workspace == workspace else former.get(task.path, task.project) for task in tasks]


@contextmanager
def _context(
    target: Target, config: str | Path | None, database: str | None
) -> Iterator[tuple[SyncContext, list[Selection], CircuitBreaker]]:
    if parse_target(str(target)) != target:
        raise ConfigError(f"workspace {target.workspace!r} is none: name the project by the argument after it")
    redact = Redactor()
    loaded = _load(config, database)
    url = parse_url(loaded.database.url, "database" if database else "the database's URL")
    for secret in url_secrets(url):
        redact.add(secret)
    require_path(url)
    selections = wanted(loaded, [target], os.environ)
    for selection in selections:
        redact.add(selection.key.reveal())
    with ExitStack() as stack:
        stack.enter_context(_redacted_logs(redact))
        store = open_store(url, people=loaded.jobs.people, on_made=lambda: _warn_of_new(url))
        stack.enter_context(closing(store))
        shared = None if store.rate_limit is None else store.rate_limit.at(loaded.api.requests_per_second)
        client = stack.enter_context(closing(Client(loaded.api, redact, _now, loaded.base_urls, shared)))
        breaker = CircuitBreaker(client, loaded.base_urls)
        workspaces = make_workspaces(selections, breaker, loaded.workspaces)
        context = SyncContext(breaker, workspaces, store, loaded.removals, _now, redact, jobs=loaded.jobs)
        yield context, selections, breaker


def _load(config: str | Path | None, database: str | None) -> Config:
    file = find_file(None if config is None else os.fspath(config), os.environ)
    return load(file, os.environ, database_url=database)


def _now() -> datetime:
    return datetime.now(UTC)


def _warn_of_new(url: URL) -> None:
    """A typing error, or another working directory than before, makes a new database."""
    path = sqlite_file(url)
    log.warning("made a new database, %s", None if path is None else path.absolute())


@contextmanager
def _redacted_logs(redact: Redactor) -> Iterator[None]:
    """In the block, no line has a secret, whoever collects it, and no traceback an address."""

    def hide(record: logging.LogRecord) -> bool:
        record.msg, record.args = redact(record.getMessage()), None
        if record.exc_info:
            record.exc_text = hide_addresses(redact(logging.Formatter().formatException(record.exc_info)))
            record.exc_info = None
        return True

    loggers = [logging.getLogger(name) for name in _REDACTED]
    for logger in loggers:
        logger.addFilter(hide)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(hide)
