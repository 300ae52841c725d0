"""Workers on a real PostgreSQL, against the stand-in over real HTTP."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from workers import Busy

from rfsync.database.engine import open_database
from rfsync.database.url import parse_url
from rfsync.ledger.verify import verify
from rfsync.schema.queue_tables import upgrade_queue_tables
from rfsync.simulator import Simulator

#: Timeout in seconds for what happens in the end; no result depends on it.
LONG = 120.0


class Queue:
    """The database that workers share, seen with plain SQL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: psycopg.Connection[Any]
        self.connect()

    def connect(self) -> None:
        """Connects, anew after ``close``."""
        self._connection = psycopg.connect(self.url, autocommit=True)

    def rows(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql.encode(), values).fetchall()

    def execute(self, sql: str, *values: object) -> None:
        self._connection.execute(sql.encode(), values)

    def one(self, sql: str, *values: object) -> Any:
        ((value,),) = self.rows(sql, *values)
        return value

    def outcomes(self, project: str) -> list[str]:
        """Of a project's runs that have ended."""
        query = """SELECT outcome FROM sync_runs r JOIN projects p ON p.id = r.project_id
            WHERE project = %s AND outcome <> 'running' ORDER BY r.id"""
        return [outcome for (outcome,) in self.rows(query, project)]

    def until(self, condition: Callable[[], object]) -> None:
        """Returns once something is so, which it has to be in the end."""
        deadline = time.monotonic() + LONG
        while not condition():
            assert time.monotonic() < deadline, self.rows("SELECT * FROM procrastinate_jobs")
            threading.Event().wait(0.05)

    def await_runs(self, project: str, count: int) -> list[str]:
        """Waits until so many runs of a project have ended; the outcomes."""
        self.until(lambda: len(self.outcomes(project)) >= count)
        return self.outcomes(project)

    def leave_job(self, project: str, status: str = "doing", worker: int | None = None) -> int:
        """A job as a worker leaves it that does no more work on it; its number."""
        made = self.one(
            """INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, status, worker_id)
            VALUES ('rfsync', 'rfsync.poll', %s, %s, %s, %s::procrastinate_job_status, %s) RETURNING id""",
            f"acme/{project}",
            f"acme/{project}",
            f'{{"workspace": "acme", "project": "{project}", "listed": false, "timestamp": 0}}',
            status,
            worker,
        )
        return int(made)

    def add_worker(self, last_heartbeat: str) -> int:
        """A worker that was last heard of then."""
        query = f"INSERT INTO procrastinate_workers (last_heartbeat) VALUES ({last_heartbeat}) RETURNING id"
        return int(self.one(query))

    def is_empty(self) -> bool:
        return self.one("SELECT count(*) FROM procrastinate_jobs") == 0

    def verify(self) -> None:
        """The books have to balance."""
        with closing(open_database(parse_url(self.url), read_only=True)) as database:
            assert verify(database.engine).findings == ()

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def queue(new_postgres: Callable[[str | None], str], postgres_template: str) -> Iterator[Queue]:
    url = new_postgres(postgres_template)
    with closing(open_database(parse_url(url))) as database:
        upgrade_queue_tables(database)
    with closing(Queue(url)) as queue:
        yield queue


@pytest.fixture
def busy() -> Busy:
    return Busy(["a", "b"])


@pytest.fixture
def api(busy: Busy) -> Iterator[Simulator]:
    with Simulator(busy, compress=False) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def _as_the_command_logs() -> Iterator[None]:
    logger = logging.getLogger("procrastinate")
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(logging.NOTSET)
