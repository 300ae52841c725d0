"""Whether a database is at this version's schema, and how it gets there.

A new SQLite file is made from models, views and triggers, and stamped; tests hold that equal to the migrations.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Column, Connection, Engine, MetaData, String, Table, insert, inspect, select

from rfsync.database.engine import Database, open_database
from rfsync.database.errors import translated
from rfsync.errors import DatabaseError, SchemaError
from rfsync.schema.models import metadata
from rfsync.schema.triggers import CHECKED_BY_TRIGGER, ONLY_ON_SQLITE, create_trigger_statements
from rfsync.schema.views import create_view_statements

#: The revision in ``migrations/`` that creates what models, views and triggers describe.
HEAD: Final = "0006"

# As alembic makes it.
_NAMES: Final = MetaData(naming_convention={"pk": "%(table_name)s_pkc"})
_VERSION: Final = Table("alembic_version", _NAMES, Column("version_num", String(32), primary_key=True))


def migrations_path() -> Path:
    """The folder of the migrations: inside an installed package, else at the top of the source tree."""
    package = Path(__file__).parents[1]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def current(connection: Connection) -> str | None:
    """The revision that the database says it is at; None: rfsync was never here."""
    here = inspect(connection).has_table(_VERSION.name)
    return connection.scalar(select(_VERSION.c.version_num)) if here else None


def require(database: Database) -> None:
    """Passes if the database is at this version's schema.

    Raises:
        SchemaError: it is not; the message says how to fix that.
        DatabaseError: it can't be reached.
    """
    with database.begin("opening the database") as connection:
        revision = current(connection)
    if revision != HEAD:
        raise SchemaError(_remedy(revision))


def ensure_sqlite(path: Path) -> Database:
    """Opens an SQLite database, and makes or upgrades its schema; two processes at once are no problem.

    Raises:
        SchemaError: it was made by a newer version.
        DatabaseError: it can't be opened or written.
    """
    require_folder(path)
    if path.exists() and not os.access(path, os.W_OK):
        # SQLite would open it all the same, and fail with each project anew.
        raise DatabaseError(f"the database {path} can't be written: the file is read-only, or not yours")
    database = open_database(URL.create("sqlite", database=str(path)))
    try:
        with database.begin(f"opening {path}") as connection:
            revision = current(connection)
            if revision is None:
                _create_sqlite(connection)
        if revision not in {None, HEAD}:
            upgrade(database.engine, revision)
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
        raise DatabaseError(f"the database {path} can't be made: you have no write permission for its folder")


def empty_sqlite() -> Database:
    """A database in memory with nothing in it but the schema."""
    database = open_database(URL.create("sqlite"))
    with database.begin("making a database in memory") as connection:
        _create_sqlite(connection)
    return database


def _create_sqlite(connection: Connection) -> None:
    """Makes this version's schema in one go: migrating through all versions takes much longer."""
    metadata.create_all(connection, checkfirst=False)
    for statement in [*create_view_statements(), *create_trigger_statements("sqlite")]:
        connection.exec_driver_sql(statement)
    _VERSION.create(connection, checkfirst=False)
    connection.execute(insert(_VERSION), {"version_num": HEAD})


def _remedy(revision: str | None) -> str:
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
    from alembic.config import Config as AlembicConfig

    if revision is not None and not is_known(revision):
        raise SchemaError(_remedy(revision))
    with translated("upgrading the schema"), engine.connect() as connection:
        config = AlembicConfig()
        config.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, to)
        connection.commit()


def drift(engine: Engine) -> list[str]:
    """What the database's tables differ in from the models, by alembic's comparison; empty: nothing."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with translated("reading the schema"), engine.connect() as connection:
        options = {"compare_type": True, "include_object": compared(connection.dialect.name)}
        context = MigrationContext.configure(connection, opts=options)
        return [str(difference) for difference in compare_metadata(context, metadata)]


def compared(dialect: str) -> Callable[..., bool]:
    """For alembic's ``include_object``: PostgreSQL has triggers for some foreign keys, and lacks an index.

    A column that a migration has dropped stays where SQLite is older than 3.35, and can't.
    """

    def compare(thing: Any, name: object, kind: str, _reflected: bool, _other: object) -> bool:
        by_trigger = kind == "foreign_key_constraint" and thing.table.name in CHECKED_BY_TRIGGER
        if dialect == "sqlite":
            return not (kind == "column" and name == "missing_digest")
        return not (by_trigger or name in ONLY_ON_SQLITE)

    return compare
