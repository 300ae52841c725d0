"""Processes that sync without pause, or copy, until they are killed; and a project that never rests."""

from __future__ import annotations

import itertools
import json
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.connection import Connection

import psycopg
from rig import run_locks

from rfsync.api.client import Client
from rfsync.config import ApiConfig, RemovalsConfig
from rfsync.copy.run import copy
from rfsync.copy.source import Source
from rfsync.copy.target import Target
from rfsync.database.engine import open_database
from rfsync.database.url import parse_url
from rfsync.ledger.store import Store
from rfsync.redaction import Redactor, Secret
from rfsync.simulator import Answer, FixedWorld
from rfsync.sync.run import sync
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces

#: Loaded once for all of them, and not by each when it connects.
assert psycopg


class Restless(FixedWorld):
    """At the n-th request every batch or job has n images; some are new, and so is who labels."""

    def __init__(self) -> None:
        super().__init__({"acme/widgets": []})
        self._requests = itertools.count(1)

    def batches(self, workspace: str, project: str) -> Answer:
        number = next(self._requests)
        return Answer(200, json.dumps([{"id": i, "images": number, "numJobs": 1} for i in ids(number)]).encode())

    def jobs(self, workspace: str, project: str) -> Answer:
        number = next(self._requests)
        labeler = f"{number % 50}@example.com"
        records = [
            {"id": i, "numImages": number, "annotated": number % 7, "labeler": labeler, "status": "annotating"}
            for i in ids(number)
        ]
        return Answer(200, json.dumps({"jobs": records}).encode())


def ids(number: int) -> list[str]:
    """The batches, or jobs, of the n-th answer."""
    return [*(f"always-{i:02}" for i in range(40)), *(f"only-{number % 3}-{i}" for i in range(3))]


def keep_syncing(url: str, base_url: str, pipe: Connection) -> None:
    """Sends the id and the outcome of each run that has ended."""
    database = open_database(parse_url(url))
    store = Store(database, run_locks(database))
    client = Client(ApiConfig(base_url=base_url, requests_per_second=100_000.0), Redactor(), _now)
    context = SyncContext(client, Workspaces(client), store, RemovalsConfig(), _now, str)
    while True:
        result = sync(context, SyncTask("acme", "widgets", Secret("a-key")))
        pipe.send((result.run_id, result.outcome, result.error))


def copy_in_pieces(from_url: str, to_url: str) -> None:
    """Copies one database to another, in many small transactions."""
    with (
        closing(open_database(parse_url(from_url), read_only=True)) as source,
        closing(open_database(parse_url(to_url))) as target,
    ):
        copy(Source(source, from_url), Target(target, to_url), rows_at_once=5)


def _now() -> datetime:
    return datetime.now(UTC)
