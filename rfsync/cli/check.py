"""``rfsync check``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final

import click

from rfsync.cli.options import Options, make_command
from rfsync.cli.output import as_json as to_json
from rfsync.errors import ConfigError, DatabaseError, RightsError
from rfsync.text import printable

if TYPE_CHECKING:
    from rfsync.api.client import Client
    from rfsync.config import Config
    from rfsync.ledger.store import Store
    from rfsync.sync.check import Check


#: Missing rights that one line shows.
_MAX_RIGHTS: Final = 4


@make_command("rfsync check\nrfsync check --config /etc/rfsync/rfsync.toml --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(options: Options, as_json: bool) -> int:
    """Checks the configuration, the database and its schema, each key and each project.

    Says how to fix what is wrong, and which command to run next. Writes nothing but its turns of a shared rate limit.
    """
    from rfsync.cli import wiring
    from rfsync.database.url import url_secrets
    from rfsync.sync.check import diagnose, look_at_exposure

    config = options.begin()
    url = wiring.parsed_database_url(options, config)
    in_file = options.database_source == "[database] url"
    exposure = look_at_exposure(config, options.file(), has_password=in_file and bool(url_secrets(url)))
    name = wiring.shown_database(url)
    database = partial(_database, options, config)
    with _open_client(options, config) as client:
        checks = diagnose(
            config, options.file(), client, options.redact, database=database, database_name=name, env=os.environ
        )
        checks = chain(exposure, checks, _people(options, config, name))
        shown = list(checks if as_json else _shown(checks))
    ok = all(check.ok for check in shown)
    if as_json:
        click.echo(to_json({"ok": ok, "checks": [asdict(check) for check in shown]}))
    else:
        click.echo(f"\n{_next(config, options, ok=ok)}")
    return 0 if ok else 1


@contextmanager
def _open_client(options: Options, config: Config) -> Iterator[Client]:
    """A client with the rate limit of all processes, or with its own where the database does not give that."""
    from rfsync.api.rate_limit import of_process
    from rfsync.cli import wiring
    from rfsync.database.url import sqlite_file

    with ExitStack() as stack:
        store: Store | None = None
        with suppress(ConfigError, DatabaseError):  # which is what a check of its own is about
            if sqlite_file(wiring.database_url(options, config)) is None:
                store = stack.enter_context(closing(wiring.open_store(options, config)))
        own = of_process(config.api.requests_per_second)
        yield stack.enter_context(closing(wiring.open_client(options, config, store, instead=own)))


def _database(options: Options, config: Config) -> str:
    from rfsync.cli import wiring

    return f"{_state(options, config)} ({wiring.database_source(options)})"


def _state(options: Options, config: Config) -> str:
    from rfsync.cli import wiring
    from rfsync.database.engine import Database
    from rfsync.database.postgres import is_pooled
    from rfsync.database.rights import missing_rights
    from rfsync.database.url import sqlite_file
    from rfsync.schema import upgrade as schema
    from rfsync.schema.models import metadata
    from rfsync.schema.queue_tables import is_installed, read_queue_tables

    path = sqlite_file(wiring.database_url(options, config))
    if path is not None and not path.exists():
        schema.require_folder(path)
        return "not there yet; the first sync makes it"
    if path is not None and wiring.current_revision(options, config) is None:
        return "no schema yet; the first sync makes it"
    engine = wiring.open_reader(options, config)
    found = f"at schema {schema.HEAD}, as needed"
    if path is not None:
        writable = os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK)
        return found if writable else f"{found}; you have no permission to write to it or its folder, as a sync has to"
    with Database(engine).begin("opening the database") as connection:
        pooled = is_pooled(connection)
        found += f"; connected {'through a connection pooler' if pooled else 'directly to the server'}"
        asked = connection.exec_driver_sql("SELECT current_setting('server_encoding'), pg_is_in_recovery()")
        encoding, is_standby = asked.one()
        role = connection.exec_driver_sql("SELECT current_user").scalar_one()
        missing = missing_rights(connection, sorted(metadata.tables))
        if is_installed():
            found += _queue_state(read_queue_tables(connection).problem, pooled=pooled)
    if is_standby:
        raise DatabaseError("the server is a standby, which takes no writes: name the primary server")
    if missing:
        more = f" and {len(missing) - _MAX_RIGHTS} more" if len(missing) > _MAX_RIGHTS else ""
        raise RightsError(f"the role {role} lacks rights that a sync needs: {', '.join(missing[:_MAX_RIGHTS])}{more}")
    if encoding != "UTF8":
        found += f"; its encoding is {encoding}, which lacks characters that names may have: UTF8 is needed"
    return found


def _people(options: Options, config: Config, database_name: str) -> Iterator[Check]:
    """What the next sync does to stored mail addresses, if ``[jobs] people`` was switched since the last one."""
    from rfsync.cli import wiring
    from rfsync.database.errors import translated
    from rfsync.database.url import sqlite_file
    from rfsync.sync.check import Check

    sql = """SELECT (SELECT mode FROM people_key), count(address),
        count(CASE WHEN address IS NULL AND forgotten_at IS NULL THEN 1 END) FROM people"""
    try:
        with translated("counting the people"), wiring.open_reader(options, config).connect() as connection:
            mode, stored, numbered = connection.exec_driver_sql(sql).one()
    except DatabaseError:
        return  # there is no database yet, or its own check has said what is wrong with it
    if config.jobs.people == "pseudonym" and stored:
        path = sqlite_file(wiring.database_url(options, config))
        backup = "pg_dump" if path is None else f"sqlite3 {shlex.quote(str(path))} \"VACUUM INTO 'backup.db'\""
        found = (
            f'[jobs] people is "pseudonym": the next sync takes all mail addresses ({stored:,}) out of it for good; '
            "switched back, only those who are seen again get theirs"
        )
        remedy = f'to keep them: people = "address"; to be able to go back: {backup}, which has them, too'
        yield Check("people", database_name, True, found, remedy, warning=True)
    elif config.jobs.people == "address" and mode == "pseudonym" and numbered:
        found = (
            f'[jobs] people is "address" again: those without a mail address ({numbered:,}) who are seen again get '
            "theirs from the next sync on"
        )
        yield Check("people", database_name, True, found, 'people = "pseudonym" stores none')


def _queue_state(problem: str | None, *, pooled: bool) -> str:
    """What there is to say of workers."""
    if problem is not None:
        return f"; for rfsync worker, {problem}"
    return "; workers ask the queue each second, since a pooler does not pass notifications on" if pooled else ""


def _shown(checks: Iterable[Check]) -> Iterable[Check]:
    """Prints each check as it comes, since those at the end are slow."""
    for check in checks:
        mark = click.style("ok   ", fg="green") if check.ok else click.style("wrong", fg="red", bold=True)
        if check.ok and check.warning:
            mark = click.style("warn ", fg="yellow")
        click.echo(f"{mark}  {check.what:<13} {printable(check.subject)}: {printable(check.found)}")
        if check.remedy:
            click.echo(f"       {'':<13} → {printable(check.remedy)}")
        yield check


def _next(config: Config, options: Options, *, ok: bool) -> str:
    flag = options.flags()
    if not ok:
        return f"Fix what is wrong, then run again: rfsync check{flag}"
    return f"Next: rfsync sync{flag}" if config.workspaces else f"Next: rfsync sync{flag} WORKSPACE/PROJECT"
