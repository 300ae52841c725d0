"""Whether a database is at this version's schema, and how it gets there.

A new SQLite file is made from ``models`` and ``views`` in one go, since that takes milliseconds and the migrations
take half a second; a test holds the two equal. Everything else goes through alembic.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from rfsync.engine import begin_immediate, translated
from rfsync.errors import SchemaError
from rfsync.models import HEAD, metadata
from rfsync.views import create_view_statements

if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig


def migrations_path() -> Path:
    """The folder of the migrations: inside an installed package, else at the top of the source tree."""
    inside = Path(__file__).parent / "migrations"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "migrations"


def current(connection: Connection) -> str | None:
    """The revision that the database says it is at; None: rfsync was never here."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def require(engine: Engine) -> None:
    """Passes if the database is at this version's schema.

    Raises:
        SchemaError: it is not; the message says how to mend that.
        DatabaseError: it can't be reached.
    """
    with translated("opening the database"), engine.connect() as connection:
        revision = current(connection)
    if revision != HEAD:
        raise SchemaError(_how_to_mend(revision))


def ensure_sqlite(engine: Engine) -> None:
    """Makes or upgrades the schema of an SQLite database; two processes at once are no problem.

    Raises:
        SchemaError: it was made by a newer version.
        DatabaseError: it can't be opened or written.
    """
    with translated("opening the database"), engine.connect() as connection:
        if connection.exec_driver_sql("PRAGMA schema_version").scalar():
            revision = current(connection)
            if revision == HEAD:
                return
    with translated("creating the schema"), begin_immediate(engine).begin() as connection:
        revision = current(connection)
        if revision is None:
            _create(connection)
            return
    upgrade(engine)


def empty() -> Engine:
    """A database in memory with nothing in it but the schema; one thread at a time may use it."""
    from sqlalchemy import create_engine
    from sqlalchemy.pool import StaticPool

    engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
    with engine.begin() as connection:
        _create(connection)
    return engine


def _create(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    for statement in create_view_statements():
        connection.exec_driver_sql(statement)
    # What alembic would leave behind.
    connection.exec_driver_sql(
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
        "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    connection.execute(text("INSERT INTO alembic_version VALUES (:revision)"), {"revision": HEAD})


def _how_to_mend(revision: str | None) -> str:
    if revision is None:
        return "the database has no schema yet: rfsync db upgrade makes it"
    if is_known(revision):
        return f"the database is at schema {revision}, this version needs {HEAD}: rfsync db upgrade brings it there"
    return f"the database is at schema {revision}, which this version does not know: install the newer rfsync"


def is_known(revision: str) -> bool:
    """Whether a revision is one of this version's migrations."""
    return any(migrations_path().glob(f"versions/{revision}_*.py")) if revision.isalnum() else False


def upgrade(engine: Engine) -> None:
    """Runs the migrations up to this version's schema; does nothing if it is there already.

    Raises:
        SchemaError: the database was made by a newer version.
        DatabaseError: it can't be reached, or a migration failed; then it is as it was.
    """
    from alembic import command

    with translated("upgrading the schema"), begin_immediate(engine).connect() as connection:
        revision = current(connection)
        connection.rollback()
        if revision is not None and not is_known(revision):
            raise SchemaError(_how_to_mend(revision))
        command.upgrade(alembic_config(connection), "head")
        connection.commit()


def drift(engine: Engine) -> list[str]:
    """What the database's tables differ in from the models, by alembic's comparison; empty: nothing."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with translated("reading the schema"), engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [str(difference) for difference in compare_metadata(context, metadata)]


def alembic_config(connection: Connection) -> AlembicConfig:
    """What alembic's commands take, for a connection that is open already."""
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(migrations_path()).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
