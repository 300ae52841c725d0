"""A time limit for the dashboard's queries."""

import time
from typing import Any, Final

from sqlalchemy import Connection, Engine, event

#: Limit for a statement on PostgreSQL, and for a connection (which serves one query) on SQLite; in seconds.
QUERY_TIMEOUT: Final = 30.0

#: Instructions of SQLite's virtual machine between two checks of the clock; they take well under a millisecond.
_CHECK_INTERVAL: Final = 20_000


def limit_query_time(engine: Engine) -> Engine:
    """Makes the engine's queries fail when they take longer than ``QUERY_TIMEOUT``; returns the engine."""
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def limit_connection(driver: Any, _: Any) -> None:
            deadline = time.monotonic() + QUERY_TIMEOUT
            driver.set_progress_handler(lambda: time.monotonic() > deadline, _CHECK_INTERVAL)
    else:
        # Local to the transaction: behind a pooler, a setting of the session would affect other clients.
        @event.listens_for(engine, "begin")
        def limit_statements(connection: Connection) -> None:
            limit = f"SET LOCAL statement_timeout = {int(QUERY_TIMEOUT * 1000)}"
            connection.exec_driver_sql(limit, execution_options={"stream_results": False})

    return engine
