"""A worker with short limits, in this process or in one to be killed, and what it polls."""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Self

from rfsync.api.client import Client
from rfsync.config import ApiConfig, RemovalsConfig, WorkspaceConfig
from rfsync.daemon.daemon import Daemon
from rfsync.daemon.plan import Plan
from rfsync.database.engine import open_database
from rfsync.database.url import parse_url
from rfsync.ledger.run_locks import Leases
from rfsync.ledger.store import Store
from rfsync.redaction import Redactor, Secret
from rfsync.schedule import Cron, Interval, Schedule
from rfsync.simulator import Answer, FixedWorld
from rfsync.sync.result import Result
from rfsync.sync.targets import Selection, make_workspaces
from rfsync.sync.task import SyncContext
from rfsync.worker.polls import THREADS, SharedPolls

#: Seconds without a sign of life after which a worker of the tests is gone, and between two of them.
GONE_AFTER = 2.0
HEARTBEAT = 0.2
#: After the first poll, none is due during a test.
RARELY = Cron("0 0 1 1 *", UTC)
EACH_SECOND = Interval(timedelta(seconds=1))


class Busy(FixedWorld):
    """At the n-th request for a project each of its batches has n images.

    Attributes:
        before: called with workspace/project before a batch list is answered, and after it was made.
    """

    def __init__(self, projects: Sequence[str]) -> None:
        super().__init__({f"acme/{project}": [] for project in projects})
        self._numbers: defaultdict[str, itertools.count[int]] = defaultdict(lambda: itertools.count(1))
        self.before: Callable[[str], None] = lambda _: None

    def batches(self, workspace: str, project: str) -> Answer:
        number = next(self._numbers[project])
        self.before(f"{workspace}/{project}")
        records = [{"id": f"{project}{i}", "images": number, "numJobs": number % 3} for i in range(3)]
        return Answer(200, json.dumps(records).encode())


class Worker:
    """One worker, until the end of the block.

    Args:
        url: of a PostgreSQL database with all tables.
        base_url: of the API.
        projects: of the workspace ``acme``; none: all that it lists.
    """

    def __init__(
        self, url: str, base_url: str, projects: Sequence[str], schedule: Schedule = RARELY, *, concurrency: int = 4
    ) -> None:
        database = open_database(parse_url(url))
        self.store = Store(database, Leases(database, lease=GONE_AFTER, renewal=HEARTBEAT))
        self.client = Client(ApiConfig(base_url=base_url, requests_per_second=100_000.0, attempts=1), Redactor(), _now)
        self.selection = Selection(WorkspaceConfig(id="acme"), Secret("a-key"), tuple(projects), discover=not projects)
        self.results: list[Result] = []
        self.plan = self.make_plan(schedule, concurrency)
        make_poller = partial(SharedPolls, gone_after=timedelta(seconds=GONE_AFTER), heartbeat=HEARTBEAT)
        self.daemon = Daemon(self.plan, _now, time.monotonic, self.results.append, make_poller)

    def make_plan(self, schedule: Schedule, concurrency: int) -> Plan:
        workspaces = make_workspaces([self.selection], self.client)
        context = SyncContext(self.client, workspaces, self.store, RemovalsConfig(), _now, str, trigger="worker")
        return Plan(
            *(context, [self.selection], lambda _: schedule, timedelta(0), concurrency, timedelta(days=30)), THREADS
        )

    def __enter__(self) -> Self:
        self.daemon.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        self.daemon.stop()
        self.store.close()
        self.client.close()


def work(url: str, base_url: str, projects: Sequence[str], schedule: Schedule) -> None:
    """Works until the process is killed."""
    logging.getLogger("procrastinate").setLevel(logging.CRITICAL)
    with Worker(url, base_url, projects, schedule) as worker:
        while True:
            worker.daemon.tick()
            threading.Event().wait(1.0)


def _now() -> datetime:
    return datetime.now(UTC)
