"""A time limit for the dashboard's queries."""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import Engine, event

#: Limit for a statement on PostgreSQL, and for a connection (which serves one query) on SQLite; in seconds.
QUERY_TIMEOUT: Final = 30.0

#: Instructions of SQLite's virtual machine between two checks of the clock; they take well under a millisecond.
_CHECK_INTERVAL: Final = 20_000


def limit_query_time(engine: Engine) -> Engine:
    """Makes the engine's queries fail when they take longer than ``QUERY_TIMEOUT``; returns the engine."""
    is_sqlite = engine.dialect.name == "sqlite"

    @event.listens_for(engine, "connect")
    def connected(driver: Any, _: Any) -> None:
        if is_sqlite:
            deadline = time.monotonic() + QUERY_TIMEOUT
            driver.set_progress_handler(lambda: time.monotonic() > deadline, _CHECK_INTERVAL)
            return
        with driver.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {int(QUERY_TIMEOUT * 1000)}")
        driver.commit()  # otherwise the setting would be rolled back

    return engine
