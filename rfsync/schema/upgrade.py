"""Whether a database is at this version's schema, and how it gets there.

A new SQLite file is made from ``sqlite.sql`` in one go, which takes milliseconds where the migrations take half a
second. That script is written from the models (``make schema``); tests hold models, script and migrations equal.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rfsync.database.drivers import Connection, Database, SqliteDatabase
from rfsync.database.errors import translated
from rfsync.errors import DatabaseError, SchemaError

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig
    from sqlalchemy import Engine

#: The revision in ``migrations/`` that creates what ``models`` and ``views`` describe.
HEAD: Final = "0003"


def migrations_path() -> Path:
    """The folder of the migrations: inside an installed package, else at the top of the source tree."""
    package = Path(__file__).parents[1]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def script_path() -> Path:
    """The script that makes a new SQLite database."""
    return Path(__file__).with_name("sqlite.sql")


def current(connection: Connection) -> str | None:
    """The revision that the database says it is at; None: rfsync was never here."""
    there = {
        "sqlite": "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'",
        "postgresql": "SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL",
    }[connection.dialect]
    if not connection.execute(there):
        return None
    rows = connection.execute("SELECT version_num FROM alembic_version")
    return str(rows[0][0]) if rows else None


def require(database: Database) -> None:
    """Passes if the database is at this version's schema.

    Raises:
        SchemaError: it is not; the message says how to mend that.
        DatabaseError: it can't be reached.
    """
    with database.begin("opening the database") as connection:
        revision = current(connection)
    if revision != HEAD:
        raise SchemaError(_how_to_mend(revision))


def ensure_sqlite(path: Path) -> SqliteDatabase:
    """Opens an SQLite database, and makes or upgrades its schema; two processes at once are no problem.

    Raises:
        SchemaError: it was made by a newer version.
        DatabaseError: it can't be opened or written.
    """
    require_folder(path)
    if path.exists() and not os.access(path, os.W_OK):
        # SQLite would open it all the same, and fail with each project anew.
        raise DatabaseError(f"the database {path} can't be written: the file is read-only, or not yours")
    database = SqliteDatabase(path)
    try:
        with database.begin(f"opening {path}") as connection:
            revision = current(connection)
            if revision is None:
                _create(connection)
        if revision not in {None, HEAD}:
            from rfsync.database.engine import open_engine
            from rfsync.database.url import DatabaseUrl

            upgrade(open_engine(DatabaseUrl("sqlite", "", path), read_only=False), revision)
    except BaseException:
        database.close()
        raise
    return database


def require_folder(path: Path) -> None:
    """Passes if an SQLite database can be made at ``path``, as far as its folder goes.

    Raises:
        DatabaseError: it can't.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise DatabaseError(f"the database {path} can't be made: its folder does not exist")
    if not path.exists() and not os.access(folder, os.W_OK):
        raise DatabaseError(f"the database {path} can't be made: its folder is not yours to write")


def empty_sqlite() -> SqliteDatabase:
    """A database in memory with nothing in it but the schema."""
    database = SqliteDatabase(None)
    with database.begin("making a database in memory") as connection:
        _create(connection)
    return database


def _create(connection: Connection) -> None:
    for statement in script_path().read_text().split(";\n"):
        if statement.strip():
            connection.execute(statement)


def _how_to_mend(revision: str | None) -> str:
    if revision is None:
        return "the database has no schema yet: rfsync db upgrade makes it"
    if is_known(revision):
        return f"the database is at schema {revision}, this version needs {HEAD}: rfsync db upgrade brings it there"
    return f"the database is at schema {revision}, which this version does not know: install the newer rfsync"


def is_known(revision: str) -> bool:
    """Whether a revision is one of this version's migrations."""
    return revision.isalnum() and any(migrations_path().glob(f"versions/{revision}_*.py"))


def upgrade(engine: Engine, revision: str | None, *, to: str = HEAD) -> None:
    """Runs the migrations up to this version's schema; does nothing if it is there already.

    Args:
        revision: where the database is now; None: nowhere.
        to: an older one, to stop there.

    Raises:
        SchemaError: the database was made by a newer version.
        DatabaseError: it can't be reached, or a migration failed; then it is as it was.
    """
    from alembic import command

    if revision is not None and not is_known(revision):
        raise SchemaError(_how_to_mend(revision))
    with translated("upgrading the schema"), engine.connect() as connection:
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, to)
        connection.commit()


def drift(engine: Engine) -> list[str]:
    """What the database's tables differ in from the models, by alembic's comparison; empty: nothing."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    from rfsync.schema.models import metadata

    with translated("reading the schema"), engine.connect() as connection:
        options = {"compare_type": True, "include_object": compared(connection.dialect.name)}
        context = MigrationContext.configure(connection, opts=options)
        return [str(difference) for difference in compare_metadata(context, metadata)]


def compared(dialect: str) -> Callable[..., bool]:
    """For alembic's ``include_object``: PostgreSQL has triggers for some foreign keys, and lacks an index."""
    from rfsync.schema.references import CHECKED_BY_TRIGGER, ONLY_ON_SQLITE

    def compare(thing: Any, name: object, kind: str, _reflected: bool, _other: object) -> bool:
        by_trigger = kind == "foreign_key_constraint" and thing.table.name in CHECKED_BY_TRIGGER
        return dialect == "sqlite" or not (by_trigger or name in ONLY_ON_SQLITE)

    return compare


def _alembic_config() -> AlembicConfig:
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    return config


def sqlite_script() -> str:
    """What ``sqlite.sql`` has to say, by the models: to be written there when they change."""
    from sqlalchemy.dialects import sqlite
    from sqlalchemy.schema import CreateIndex, CreateTable

    from rfsync.schema.models import metadata
    from rfsync.schema.triggers import create_trigger_statements
    from rfsync.schema.views import create_view_statements

    dialect = sqlite.dialect()
    statements: list[str] = []
    for table in metadata.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    statements += create_view_statements() + create_trigger_statements("sqlite")
    statements.append(
        "CREATE TABLE alembic_version (\n\tversion_num VARCHAR(32) NOT NULL, \n"
        "\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)"
    )
    statements.append(f"INSERT INTO alembic_version (version_num) VALUES ('{HEAD}')")  # noqa: S608
    lines = [line.rstrip() for statement in statements for line in f"{statement.strip()};".splitlines()]
    return (
        "-- Written from models.py, views.py and triggers.py by `make schema`; change those.\n"
        + "\n".join(lines)
        + "\n"
    )
