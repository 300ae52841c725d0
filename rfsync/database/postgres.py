"""PostgreSQL: its connections, directly or through a pooler, and the settings of each transaction.

A pooler that hands out connections by the transaction (PgBouncer, Supabase, Neon, RDS Proxy) gives a session to another
client after each. So nothing outlives a transaction: settings are local to it, no statement is prepared on the server,
and no lock is the session's.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event, text
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from rfsync.database.errors import READ_ONLY_STATE, driver_error
from rfsync.database.session import Session
from rfsync.errors import ConfigError

# What the URL leaves open. A server that vanished without a word is noticed within two minutes: a sync that waits for
# it for ever would be a silent failure.
_DEFAULTS: Final = {
    "connect_timeout": "10",
    "application_name": "rfsync",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
# Each write locks the project first, and reads what it compares after that: the level that lets it see the newest rows.
_BEGIN_WRITING: Final = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
# One state of the database for all statements. Compiling a query takes longer than any of the history's takes to run.
_BEGIN_READING: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL jit = off"
_FULL_NAME: Final = text(
    "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) FROM pg_catalog.pg_class c "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(:table)"
)
#: The execution option that has the engine's ``Session``.
_SESSION: Final = "rfsync_session"
#: A connection that was idle for longer is pinged before use, in seconds.
_PING_AFTER: Final = 1.0


def create(url: URL, *, read_only: bool, lock_timeout: float) -> Engine:
    """An engine for a server.

    Raises:
        ConfigError: the driver is not installed.
    """
    require_psycopg()
    # Here too, since SQLAlchemy asks the server for its version before any transaction.
    options = {**_DEFAULTS, **url.query, "client_encoding": "UTF8"}
    pool: dict[str, Any] = {"poolclass": NullPool}
    if not read_only:
        # As many connections as there are transactions at once; the most recently used is the first to be used again.
        pool = {"poolclass": QueuePool, "pool_size": 0, "pool_use_lifo": True}
    session = Session(url.query)
    engine = create_engine(
        url.set(query=options),
        connect_args={"prepare_threshold": None, "autocommit": True},
        hide_parameters=True,
        use_native_hstore=False,
        execution_options={_SESSION: session},
        **pool,
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        wanted = connection.get_execution_options().get("lock_timeout", lock_timeout)
        # psycopg is in its autocommit mode, so that our BEGIN can share a round trip with the settings. SQLAlchemy's
        # part in it would take longer than the server's.
        driver: Any = connection.connection.driver_connection
        begin = _BEGIN_READING if read_only else _BEGIN_WRITING
        with _told_from_a_standby():
            session.begin(driver, begin, wanted, unless_set=wanted >= lock_timeout)

    event.listen(engine, "commit", _require_sound)
    if not read_only:
        _ping_after_a_pause(engine)
    return engine


def run(connection: Connection, statement: str, lock_timeout: float) -> tuple[Any, ...]:
    """See ``engine.Database.run``."""
    session: Session = connection.get_execution_options()[_SESSION]
    with _told_from_a_standby():
        return session.run(connection.connection.driver_connection, _BEGIN_WRITING, lock_timeout, statement)


@contextlib.contextmanager
def _told_from_a_standby() -> Iterator[None]:
    import psycopg

    try:
        yield
    except psycopg.errors.FeatureNotSupported:
        # A standby refuses to begin a transaction that writes, by the state of a feature that PostgreSQL lacks.
        raise psycopg.errors.ReadOnlySqlTransaction("the server is a standby, which takes no writes") from None


def _require_sound(connection: Connection) -> None:
    import psycopg

    # The server answers the COMMIT of a transaction in which a statement failed with a ROLLBACK, and no error.
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status == psycopg.pq.TransactionStatus.INERROR:
        raise psycopg.OperationalError("a statement of the transaction had failed")


def _ping_after_a_pause(engine: Engine) -> None:
    """As ``pool_pre_ping``, but not for a recently used connection, and with a question: a standby is of no use.

    A busy sync begins a transaction every few milliseconds, and one whose connection is lost is retried anyway.
    """

    @event.listens_for(engine, "checkin")
    def _note(_driver: object, record: ConnectionPoolEntry) -> None:
        record.info["returned_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _ping(driver: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
        import psycopg

        if time.monotonic() - record.info.get("returned_at", math.inf) > _PING_AFTER:
            try:
                (is_standby,) = driver.execute("SELECT pg_is_in_recovery()").fetchone()
            except psycopg.Error as error:
                raise InvalidatePoolError from error  # the pool connects anew, and discards the other idle ones
            if is_standby:
                raise InvalidatePoolError


def require_psycopg() -> None:
    """Passes if PostgreSQL's driver is installed.

    Raises:
        ConfigError: it is not.
    """
    try:
        import psycopg  # noqa: F401 asked for whether it is there
    except ImportError:
        raise ConfigError("PostgreSQL needs its driver: pip install 'psycopg[binary]'") from None


def erase(engine: Engine, table: str) -> str | None:
    """See ``engine.Database.erase``: the dead rows, and the statistics, which have some of the values."""
    notices: list[str] = []
    with engine.connect() as connection:
        with connection.begin():
            name = connection.execute(_FULL_NAME, {"table": table}).scalar_one()
        driver: Any = connection.connection.driver_connection

        def note(notice: Any) -> None:
            notices.append(notice.message_primary or "")

        driver.add_notice_handler(note)
        try:
            driver.execute(f"VACUUM (ANALYZE) {name}")  # in no transaction
        finally:
            driver.remove_notice_handler(note)
    if not notices:
        return None
    # A role without the right to is told so by a notice alone.
    return (
        f"the server may still have what was deleted, in dead rows of {name} and in its statistics ({notices[0]}): "
        f"let its owner run VACUUM (ANALYZE) {name}"
    )


def interrupt(driver: Any) -> None:
    """Makes the statement under way fail."""
    import psycopg

    with contextlib.suppress(psycopg.Error):  # it has ended meanwhile, or its server has
        driver.cancel_safe(timeout=1.0)


def is_broken(driver: Any, error: BaseException) -> bool:
    """Tells whether the connection is lost, or leads to a server that takes no writes any more."""
    return bool(driver.closed) or getattr(driver_error(error), "sqlstate", None) == READ_ONLY_STATE


def is_pooled(connection: Connection) -> bool:
    """Tells whether a pooler stands between this connection and the server.

    A server gives its process id when a connection starts; a pooler that hands out its own connections can't know which
    server process will serve it, and gives a number of its own.
    """
    driver: Any = connection.connection.driver_connection
    return bool(driver.info.backend_pid != connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
