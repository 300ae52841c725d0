"""Builds what the commands work with, from what was said on the command line and in the configuration."""

from __future__ import annotations

import logging
import os
from collections.abc import Container, Iterable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Engine

from rfsync.cli.options import Options, utc_now
from rfsync.cli.output import tell
from rfsync.config import Config
from rfsync.database.engine import Database, open_database
from rfsync.database.url import parse_url, require_path, shown_url, sqlite_file, url_secrets
from rfsync.errors import OPENING, DatabaseError
from rfsync.ledger.open_store import open_store as open_existing_store
from rfsync.ledger.open_store import require_current_schema
from rfsync.ledger.run_locks import NoRunLocks
from rfsync.ledger.store import Store
from rfsync.parsing import parse_target
from rfsync.redaction import Secret
from rfsync.schema import upgrade as schema

if TYPE_CHECKING:
    from rfsync.api.client import Client
    from rfsync.api.rate_limit import ReserveTurn
    from rfsync.sync.targets import Selection

log = logging.getLogger("rfsync.database")


def database_url(options: Options, config: Config) -> URL:
    """As ``parsed_database_url``, and a path that can be looked for.

    Raises:
        ConfigError: it is none of the two databases'.
        DatabaseError: its path leads nowhere.
    """
    url = parsed_database_url(options, config)
    require_path(url)
    return url


def parsed_database_url(options: Options, config: Config) -> URL:
    """The database's URL, whose password is hidden from here on.

    Raises:
        ConfigError: it is none of the two databases'.
    """
    url = parse_url(config.database.url, options.database_source)
    for secret in url_secrets(url):
        options.redact.add(secret)
    return url


def shown_database(url: URL) -> str:
    """The database for people: the absolute path of a file, or the URL without its secrets."""
    path = sqlite_file(url)
    if path is None:
        return shown_url(url)
    with suppress(FileNotFoundError):  # the working directory does not exist any more
        return absolute(path)
    return str(path)


def absolute(path: Path) -> str:
    """The absolute path of a file, without the way through other folders to its own."""
    return str(path.parent.resolve() / path.name if ".." in path.parts else path.absolute())


def database_source(options: Options) -> str:
    """Where the database is named: a path that is not the expected one is explained by that."""
    file = options.file()
    if options.database_source != "[database] url":
        return f"set by {options.database_source}"
    return f"set by {absolute(file)}" if file is not None else "the default, as there is no configuration"


def existing_database_url(options: Options, config: Config) -> URL:
    """As ``database_url``, of a database that is there, as far as that shows without connecting.

    Raises:
        ConfigError: it is none of the two databases'.
        DatabaseError: there is no such file.
    """
    url = database_url(options, config)
    path = sqlite_file(url)
    if path is not None and not path.exists():
        raise DatabaseError(
            f"there is no database {absolute(path)} ({database_source(options)}): rfsync sync makes it; "
            "name another one with --database or --config"
        )
    return url


def current_revision(options: Options, config: Config) -> str | None:
    """The schema that the database is at; None: none yet.

    Raises:
        DatabaseError: there is no such database, or it can't be reached.
    """
    return _revision(open_database(existing_database_url(options, config), read_only=True))


def _revision(database: Database) -> str | None:
    with closing(database), database.begin(OPENING) as connection:
        return schema.current(connection)


def select(options: Options, config: Config, targets: Iterable[str]) -> list[Selection]:
    """The workspaces and projects to sync, whose keys are hidden from here on.

    Raises:
        ConfigError: a target is malformed or not configured, or a workspace has no key.
    """
    from rfsync.sync.targets import wanted

    selections = wanted(config, [parse_target(target) for target in targets], os.environ)
    for selection in selections:
        options.redact.add(selection.key.reveal())
    return selections


def open_reader(options: Options, config: Config) -> Engine:
    """An engine for questions to a database that is at this version's schema; it can't write.

    Raises:
        DatabaseError: there is no such database.
        SchemaError: it is at another schema.
    """
    # Here, since a sync would wait for all of the history to be imported.
    from rfsync.history.connect import open_reader as open_reader_engine

    return open_reader_engine(existing_database_url(options, config))


def open_store(
    options: Options, config: Config, *, make: bool = False, dry: bool = False, had: Container[URL] = ()
) -> Store:
    """The store; an SQLite database is upgraded if need be.

    Args:
        make: an SQLite database that is not there is made, and that is said.
        dry: nothing is written, and a missing SQLite file counts as an empty database.
        had: databases that this process has had before, and does not make anew.

    Raises:
        DatabaseError: the database can't be opened.
        SchemaError: it is at another schema, and not ours to upgrade.
    """
    url = database_url(options, config) if make or dry else existing_database_url(options, config)
    path, people = sqlite_file(url), config.jobs.people
    if dry:
        return Store(_dry_database(url, path), NoRunLocks(), people=people, dry=True)
    is_new = path is not None and not path.exists()
    if is_new and url in had:
        raise DatabaseError(f"the database {path} was removed or renamed: put it back, or restart rfsync")
    on_made = (lambda: None) if path is None else partial(_announce_new, options, path, is_new=is_new)
    return open_existing_store(url, people=people, on_made=on_made)


def open_client(options: Options, config: Config, store: Store | None, *, instead: ReserveTurn | None = None) -> Client:
    """A client for the API.

    Args:
        store: has the rate limit that all processes share; one that has none, or None: the client has its own.
        instead: the rate limit where the database fails to give a turn; None: then the request fails.
    """
    from rfsync.api.client import Client

    shared: ReserveTurn | None = None
    if store is not None and store.rate_limit is not None:
        shared = store.rate_limit.at(config.api.requests_per_second)
        if instead is not None:
            shared = partial(_reserve_or, shared, instead)
    return Client(config.api, options.redact, utc_now, config.base_urls, shared or instead)


def _reserve_or(shared: ReserveTurn, instead: ReserveTurn, key: Secret) -> float:
    try:
        return shared(key)
    except DatabaseError:
        return instead(key)


def _announce_new(options: Options, path: Path, *, is_new: bool) -> None:
    """Says once that a database was made, and where: it may be in another place or file than expected."""
    what = "made a new database," if is_new else "made the tables in a file that was there without them,"
    text = f"{what} {absolute(path)} ({database_source(options)})"
    if log.isEnabledFor(logging.INFO):
        log.info("%s", text)
    else:
        tell(text)


def _dry_database(url: URL, path: Path | None) -> Database:
    """What a sync would begin with; where it would make the schema, an empty database in memory."""
    if path is not None and not path.exists():
        schema.require_folder(path)
        return schema.empty_sqlite()
    if path is not None and _revision(open_database(url, read_only=True)) is None:
        return schema.empty_sqlite()
    return require_current_schema(open_database(url, read_only=True))
