"""Whether a database is at this version's schema, and how it gets there.

A new SQLite file is made from models, views and triggers, and stamped; tests hold that equal to the migrations.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    Column,
    Connection,
    Engine,
    Inspector,
    MetaData,
    String,
    Table,
    column,
    event,
    insert,
    inspect,
    select,
    table,
)

from rfsync.database.engine import Database, open_database
from rfsync.database.errors import translated
from rfsync.errors import OPENING, DatabaseError, SchemaError
from rfsync.schema.models import metadata
from rfsync.schema.queue_tables import PREFIX
from rfsync.schema.triggers import CHECKED_BY_TRIGGER, ONLY_ON_SQLITE, create_trigger_statements
from rfsync.schema.views import VIEWS, create_view_statements

#: The revision in ``migrations/`` that creates what models, views and triggers describe.
HEAD: Final = "0009"

#: Not alembic's own name for it, which other applications in the same database have, too.
VERSION_TABLE: Final = "rfsync_version"
#: Before the revision while a copy into the database has not ended: to everything but that copy, it is at no schema.
COPYING: Final = "copying-"
_FORMER_VERSION_TABLE: Final = "alembic_version"

# As alembic makes it.
_NAMES: Final = MetaData(naming_convention={"pk": "%(table_name)s_pkc"})
VERSION: Final = Table(VERSION_TABLE, _NAMES, Column("version_num", String(32), primary_key=True))
#: Columns of the ledger by which a database is known as rfsync's: of the first schema, and unlike any other's.
_LEDGER_COLUMNS: Final = frozenset({"run_id", "project_id", "batch_id", "images_delta", "num_jobs_delta"})


def migrations_path() -> Path:
    """The folder of the migrations: inside an installed package, else at the top of the source tree."""
    package = Path(__file__).parents[1]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def current(connection: Connection) -> str | None:
    """The revision that the database says it is at; None: rfsync was never here.

    Raises:
        SchemaError: there are tables of another application with names that rfsync needs, or a copy into the database
            has not ended.
    """
    revision = recorded(connection)
    if revision is not None and revision.startswith(COPYING):
        raise SchemaError(_remedy(revision))
    return revision


def recorded(connection: Connection) -> str | None:
    """As ``current``; of a database with an unfinished copy, ``COPYING`` and the revision.

    Raises:
        SchemaError: there are tables of another application with names that rfsync needs.
    """
    inspector = inspect(connection)
    if inspector.has_table(VERSION_TABLE):
        return connection.scalar(select(VERSION.c.version_num))
    return _former_revision(connection, inspector)


def _former_revision(connection: Connection, inspector: Inspector) -> str | None:
    """The revision as the versions of rfsync kept it that had no name of their own for its table."""
    existing = {*inspector.get_table_names(), *inspector.get_view_names()}
    ledger = inspector.get_columns("batch_changes") if "batch_changes" in existing else ()
    if _FORMER_VERSION_TABLE in existing and {found["name"] for found in ledger} >= _LEDGER_COLUMNS:
        former = table(_FORMER_VERSION_TABLE, column("version_num", String))
        return connection.scalar(select(former.c.version_num))
    taken = sorted(existing & {*metadata.tables, *VIEWS})
    if taken:
        raise SchemaError(
            f"the database has tables of another application with names that rfsync needs ({', '.join(taken)}): give "
            "rfsync a database of its own, or on PostgreSQL a schema, ?options=-csearch_path%3DNAME in the URL"
        )
    return None


def take_over(connection: Connection) -> str | None:
    """As ``current``, for a transaction that writes: gives the table of the version its name, if it has the former one.

    Raises:
        SchemaError: it was made by a newer version, there are tables of another application with names of ours, or a
            copy into it has not ended.
    """
    revision = current(connection)
    if revision is not None and not is_known(revision):
        raise SchemaError(_remedy(revision))
    if revision is None or inspect(connection).has_table(VERSION_TABLE):
        return revision
    connection.exec_driver_sql(f"ALTER TABLE {_FORMER_VERSION_TABLE} RENAME TO {VERSION_TABLE}")
    if connection.dialect.name == "postgresql":
        # Another application's alembic may want the name.
        connection.exec_driver_sql(f"ALTER INDEX IF EXISTS {_FORMER_VERSION_TABLE}_pkc RENAME TO {VERSION_TABLE}_pkc")
    return revision


def require(database: Database) -> None:
    """Passes if the database is at this version's schema.

    Raises:
        SchemaError: it is not; the message says how to fix that.
        DatabaseError: it can't be reached.
    """
    with database.begin(OPENING) as connection:
        require_revision(current(connection))


def require_revision(revision: str | None) -> None:
    """Passes if a database that is at this revision is at this version's schema.

    Raises:
        SchemaError: it is not; the message says how to fix that.
    """
    if revision != HEAD:
        raise SchemaError(_remedy(revision))


def ensure_sqlite(path: Path, on_made: Callable[[], None] = lambda: None) -> Database:
    """Opens an SQLite database, and makes or upgrades its schema; two processes at once are no problem.

    Args:
        on_made: called once the schema was made.

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
            revision = take_over(connection)
            if revision is None:
                _create_sqlite(connection)
        if revision is None:
            on_made()
        elif revision != HEAD:
            upgrade(database.engine, revision)
        event.listen(database.engine, "begin", _require_head)
    except BaseException:
        database.close()
        raise
    return database


def _require_head(connection: Connection) -> None:
    """In the first transaction of each connection: a file that took the place of another may be at another schema."""
    if "schema" not in connection.info:
        require_revision(current(connection))
        connection.info["schema"] = HEAD


def require_folder(path: Path) -> None:
    """Passes if an SQLite database can be made at ``path``, as far as its folder goes.

    Raises:
        DatabaseError: it can't.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise DatabaseError(f"the database {path} can't be made: its folder does not exist; make it: mkdir -p {folder}")
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
    VERSION.create(connection, checkfirst=False)
    connection.execute(insert(VERSION), {"version_num": HEAD})


def _remedy(revision: str | None) -> str:
    if revision is None:
        return "the database has no schema yet: rfsync db upgrade makes it"
    if revision.startswith(COPYING):
        return (
            "a copy into the database has not ended, and until then nothing else can use it: run the same rfsync copy "
            "again, which goes on where it was"
        )
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
        options = {
            "version_table": VERSION_TABLE, "compare_type": True, "include_object": compared(connection.dialect.name)
        }  # fmt: skip
        context = MigrationContext.configure(connection, opts=options)
        return [str(difference) for difference in compare_metadata(context, metadata)]


def compared(dialect: str) -> Callable[..., bool]:
    """For alembic's ``include_object``: PostgreSQL has triggers for some foreign keys, and lacks an index.

    A column that a migration has dropped stays where SQLite is older than 3.35, and can't. The tables of the workers'
    queue are procrastinate's.
    """

    def compare(thing: Any, name: object, kind: str, _reflected: bool, _other: object) -> bool:
        if kind == "table" and str(name).startswith(PREFIX):
            return False
        by_trigger = kind == "foreign_key_constraint" and thing.table.name in CHECKED_BY_TRIGGER
        if dialect == "sqlite":
            return not (kind == "column" and name == "missing_digest")
        return not (by_trigger or name in ONLY_ON_SQLITE)

    return compare
