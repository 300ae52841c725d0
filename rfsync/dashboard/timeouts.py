"""No question may keep the database busy for long, however much there is, and whoever asks."""

from __future__ import annotations

import time
from typing import Any, Final

from sqlalchemy import Engine, event

#: Of a statement on PostgreSQL, and of a connection, which serves one question, on SQLite; in seconds.
LONGEST: Final = 30.0

#: SQLite's virtual machine takes so many steps between two looks at the clock: well under a millisecond.
_STEPS: Final = 20_000


def bounded(engine: Engine) -> Engine:
    """The engine, whose questions from now on fail when they take longer than ``LONGEST``."""
    is_sqlite = engine.dialect.name == "sqlite"

    @event.listens_for(engine, "connect")
    def connected(driver: Any, _: Any) -> None:
        if is_sqlite:
            until = time.monotonic() + LONGEST
            driver.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
            return
        with driver.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {int(LONGEST * 1000)}")
        driver.commit()  # what a transaction sets is undone with it

    return engine
