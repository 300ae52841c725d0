"""The tables of the workers' queue: procrastinate's own, beside rfsync's, made and upgraded by its own statements.

Which of its migrations they have is kept in a comment on one of them.
"""

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, text

from rfsync.database.engine import Database
from rfsync.errors import SchemaError

#: What the names of all of procrastinate's tables, types and functions begin with.
PREFIX: Final = "procrastinate_"
#: The table that has the comment.
_TABLE: Final = "procrastinate_jobs"
_COMMENT: Final = "Jobs of procrastinate, for rfsync worker; made by rfsync db upgrade, with its migrations up to "
_MIGRATION: Final = re.compile(r"[\w.]+")
_FOUND: Final = text(
    "SELECT to_regclass(:table) IS NOT NULL, obj_description(to_regclass(:table), 'pg_class'), "
    "ARRAY(SELECT proname::text FROM pg_catalog.pg_proc WHERE proname LIKE 'procrastinate\\_%' "
    "AND pg_catalog.pg_function_is_visible(oid))"
)
#: Any number, as long as nobody else uses it in the same database: the first digits of sha256("rfsync queue tables").
_LOCK: Final = 0x982B_D3E6


@dataclass(frozen=True, slots=True)
class QueueTables:
    """What a database has of procrastinate's tables."""

    exist: bool
    #: The last of procrastinate's migrations that they have; None: another application has made them, or nobody.
    migration: str | None
    #: Functions that the installed procrastinate calls and that are not there.
    missing: tuple[str, ...]

    @property
    def problem(self) -> str | None:
        """Why the installed procrastinate can't work with them; None: it can."""
        needed = migrations()[-1]
        if not self.exist:
            return "the tables of the workers' queue are missing: rfsync db upgrade makes them"
        if self.migration is None and self.missing:
            return (
                f"procrastinate's tables were made by another application, and lack {', '.join(self.missing)}: apply "
                "procrastinate's migrations to them, or give rfsync a database or a schema of its own"
            )
        if self.migration is not None and self.migration < needed:
            return (
                f"the tables of the workers' queue are at procrastinate's {self.migration}, the installed one needs "
                f"{needed}: rfsync db upgrade brings them there"
            )
        return None


def is_installed() -> bool:
    """Tells whether procrastinate is installed."""
    return find_spec("procrastinate") is not None


def migrations() -> list[str]:
    """The names of the migrations of the installed procrastinate, in their order."""
    return sorted(path.stem for path in _migrations_path().glob("*.sql"))


def read_queue_tables(connection: Connection) -> QueueTables:
    """What a PostgreSQL database has of procrastinate's tables; procrastinate has to be installed."""
    from procrastinate.schema import SchemaManager

    exist, comment, functions = connection.execute(_FOUND, {"table": _TABLE}).one()
    ours = (comment or "").startswith(_COMMENT)
    migration = _MIGRATION.fullmatch(comment.removeprefix(_COMMENT)) if ours else None
    needed = re.findall(r"CREATE FUNCTION (procrastinate_\w+)", SchemaManager.get_schema())
    return QueueTables(exist, migration[0] if migration else None, tuple(sorted(set(needed) - set(functions))))


def require_queue_tables(database: Database) -> None:
    """Passes if the installed procrastinate can work with the tables of a PostgreSQL database.

    Raises:
        SchemaError: it can't; the message says how to fix that.
        DatabaseError: the database can't be reached.
    """
    with database.begin("looking for the tables of the workers' queue") as connection:
        problem = read_queue_tables(connection).problem
    if problem is not None:
        raise SchemaError(problem)


def upgrade_queue_tables(database: Database) -> QueueTables:
    """Makes the tables, or applies the migrations that they lack; two processes at once are no problem.

    Those that another application has made are left as they are. Each migration is a transaction of its own.

    Returns:
        What there is then.

    Raises:
        DatabaseError: the database can't be reached, or refused a statement.
    """
    while True:
        with database.begin("upgrading the tables of the workers' queue", lock_timeout=15.0) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            found = read_queue_tables(connection)
            later = [name for name in migrations() if found.migration is not None and name > found.migration]
            if not found.exist:
                _make(connection)
            elif later:
                _apply(connection, (_migrations_path() / f"{later[0]}.sql").read_text(encoding="utf-8"), later[0])
            else:
                return found


def _make(connection: Connection) -> None:
    from procrastinate.schema import SchemaManager

    _apply(connection, SchemaManager.get_schema(), migrations()[-1])


def _apply(connection: Connection, script: str, migration: str) -> None:
    # Many statements in one, which SQLAlchemy does not pass on without parameters.
    driver: Any = connection.connection.driver_connection
    # What is not ASCII stands in comments, and some databases have no such characters.
    driver.execute(script.encode("ascii", "replace"))
    driver.execute(f"COMMENT ON TABLE {_TABLE} IS '{_COMMENT}{migration}'")


def _migrations_path() -> Path:
    from procrastinate.schema import SchemaManager

    return Path(SchemaManager.get_migrations_path())
