"""``rfsync check``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import closing
from dataclasses import asdict
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Final

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import as_json as to_json
from rfsync.errors import DatabaseError, RightsError
from rfsync.text import printable

if TYPE_CHECKING:
    from rfsync.config import Config
    from rfsync.sync.check import Check


#: Missing rights that one line shows.
_MAX_RIGHTS: Final = 4


@make_command("rfsync check\nrfsync check --config /etc/rfsync/rfsync.toml --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(options: Options, as_json: bool) -> int:
    """Checks the configuration, the database and its schema, each key and each project.

    Says how to fix what is wrong, and which command to run next. Writes nothing.
    """
    from rfsync.api.client import Client
    from rfsync.cli import wiring
    from rfsync.database.url import url_secrets
    from rfsync.sync.check import diagnose, look_at_exposure

    config = options.begin()
    url = wiring.parsed_database_url(options, config)
    in_file = options.database_source == "[database] url"
    exposure = look_at_exposure(config, options.file(), has_password=in_file and bool(url_secrets(url)))
    name = wiring.shown_database(url)
    database = partial(_database, options, config)
    with closing(Client(config.api, options.redact, utc_now, config.base_urls)) as client:
        checks = diagnose(
            config, options.file(), client, options.redact, database=database, database_name=name, env=os.environ
        )
        checks = chain(exposure, checks)
        shown = list(checks if as_json else _shown(checks))
    ok = all(check.ok for check in shown)
    if as_json:
        click.echo(to_json({"ok": ok, "checks": [asdict(check) for check in shown]}))
    else:
        click.echo(f"\n{_next(config, options, ok=ok)}")
    return 0 if ok else 1


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
