"""A sync without HTTP: the API is a dictionary, the clock a number, the database is real."""

from __future__ import annotations

import hashlib
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import psycopg
from sqlalchemy import Engine, text

from rfsync.api.client import Response
from rfsync.config import JobsConfig, RemovalsConfig
from rfsync.database.engine import LOCK_TIMEOUT, Database, open_database
from rfsync.database.url import parse_url, sqlite_file
from rfsync.errors import ErrorKind, FetchError
from rfsync.ledger.people import PeopleMode
from rfsync.ledger.run_locks import FileLocks, Leases, RunLocks
from rfsync.ledger.store import Store
from rfsync.redaction import Secret
from rfsync.sync.result import Result
from rfsync.sync.run import sync
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces

START = datetime(2026, 1, 1, tzinfo=UTC)


def record(batch_id: str, images: int | None = 0, jobs: int | None = 0, name: str | None = None) -> dict[str, object]:
    """A batch as the API writes it."""
    return {"id": batch_id, "images": images, "numJobs": jobs, "name": name}


def job(job_id: str, num_images: int | None = 0, annotated: int | None = 0, **fields: object) -> dict[str, object]:
    """A job as the API writes it."""
    return {"id": job_id, "numImages": num_images, "annotated": annotated, **fields}


class Rig:
    """One project of a fake API, a clock that is set by hand, and a real database.

    Args:
        engine: of an earlier rig that was closed; it has compiled most statements already.
    """

    def __init__(self, url: str, engine: Engine | None = None) -> None:
        self.text = url
        self.url = parse_url(url)
        #: None: the database is PostgreSQL's.
        self.file = sqlite_file(self.url)
        self.database = Database(engine) if engine is not None else open_database(self.url)
        self.run_locks = run_locks(self.database)
        self.people: PeopleMode = "address"
        self.store = Store(self.database, self.run_locks)
        self.now = START
        self.workspace = "acme"
        #: What the workspace lists.
        self.projects = ["others"]
        self.project = "widgets"
        #: Those that would be synced, too.
        self.covered: list[str] = []
        #: What the list answers: records, bytes, or an error.
        self.listed: list[dict[str, object]] | bytes | FetchError = []
        #: What the job list answers, as ``listed``.
        self.jobs: list[dict[str, object]] | bytes | FetchError = []
        #: ``[jobs] sync``; most tests are about batches alone.
        self.sync_jobs: bool | Literal["auto"] = False
        self.key = "key"
        self.trigger = "cli"
        #: What a batch's or job's own address answers, where that is not what the list has: by the id, or by "jobs/" or
        #: "batches/" and the id.
        self.by_id: dict[str, dict[str, object] | FetchError] = {}
        self.asked: list[str] = []
        #: Whether the lists have ETags.
        self.etags = False
        #: How far the monotonic clock is ahead, in microseconds; and for requests whose address ends so, as well.
        self.ahead_us = 0
        self.shift_us: dict[str, int] = {}
        self.removals = RemovalsConfig()
        #: What happens while a list is on its way; once.
        self.meanwhile: Callable[[], None] | None = None
        #: The last part of the address of that list.
        self.meanwhile_at = "batches"

    @property
    def project(self) -> str:
        """The project that is synced; its workspace lists it, and those before it."""
        return self._project

    @project.setter
    def project(self, project: str) -> None:
        self._project = project
        self.projects.append(project)

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        """As ``client.Client.get``."""
        is_jobs = segments[2:3] == ("jobs",)
        listed = self.jobs if is_jobs else self.listed
        answer: object = listed
        if len(segments) == 1:
            answer = {"workspace": {"projects": [{"id": f"{segments[0]}/{project}"} for project in self.projects]}}
        elif segments[1] not in self.projects:
            answer = FetchError(ErrorKind.NOT_FOUND, "no such project", http_status=404, attempts=1)
        elif len(segments) == 4:
            self.asked.append(segments[3])
            records = listed if isinstance(listed, list) else []
            missing = FetchError(ErrorKind.NOT_FOUND, "no such batch", http_status=404, attempts=1)
            listed_record = next((r for r in records if r["id"] == segments[3]), missing)
            answer = self.by_id.get("/".join(segments[2:]), self.by_id.get(segments[3], listed_record))
        elif isinstance(answer, list):
            answer = {segments[2]: answer}
        sent_us = time.monotonic_ns() // 1000 + self.ahead_us + self.shift_us.get(segments[-1], 0)
        if isinstance(answer, FetchError):
            answer.sent_at, answer.sent_us = self.now, sent_us
            raise answer
        body = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        tag = f'"{zlib.crc32(body)}"' if self.etags and len(segments) == 3 else None
        status, body = (304, b"") if tag is not None and tag == etag else (200, body)
        digest = hashlib.sha256(body).hexdigest()
        response = Response(status, bytearray(body), tag, digest, self.now, 1, len(body), sent_us)
        if self.meanwhile is not None and segments[2:] == (self.meanwhile_at,):
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return response

    def cancel(self) -> None:
        """As ``client.Client.cancel``."""

    def sync(
        self,
        *,
        allow_removals: bool = False,
        batch_ids: tuple[str, ...] = (),
        insist: bool = False,
        minutes: float = 5,
    ) -> Result:
        """Lets time go by, and runs once."""
        self.now += timedelta(minutes=minutes)
        workspaces = Workspaces(self, covers=lambda _, project: project in self.covered)
        context = SyncContext(
            self, workspaces, self.store, self.removals, lambda: self.now, str, jobs=JobsConfig(sync=self.sync_jobs),
            trigger=self.trigger, allow_removals=allow_removals, keep_changes=True,
        )  # fmt: skip
        task = SyncTask(self.workspace, self.project, Secret(self.key), batch_ids=batch_ids, insist=insist)
        return sync(context, task)

    def rows(self, sql: str, **values: object) -> list[tuple[object, ...]]:
        """What the database has."""
        with self.database.begin("testing") as connection:
            result = connection.execute(text(sql), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def value(self, sql: str) -> Any:
        """One value of the project; None: there is no row."""
        rows = self.rows(sql, project=self.project)
        return rows[0][0] if rows else None

    def jump(self, minutes: int) -> None:
        """Sets the clock forward or back, within the years that it can show."""
        self.now = min(max(self.now + timedelta(minutes=minutes), START), START.replace(year=2500))

    def die(self) -> None:
        """Ends the process, as far as the database can tell; the time of its leases has passed."""
        self.store.close()
        if isinstance(self.run_locks, RecordedLeases):
            expire_leases(self.text, self.run_locks.begun)

    def restart(self, retry_seconds: float = LOCK_TIMEOUT) -> None:
        """Ends the process, as far as the database can tell, and begins another."""
        self.die()
        # The engine has no connection any more, but what it has compiled, which took longer than most runs.
        self.database = Database(self.database.engine)
        self.run_locks = run_locks(self.database)
        self.store = Store(self.database, self.run_locks, people=self.people, retry_seconds=retry_seconds)

    def state(self) -> dict[str, tuple[object, ...]]:
        """The batches that exist: id -> images, jobs."""
        return {str(i): (n, j) for i, n, j in self.rows("SELECT batch_id, images, num_jobs FROM current_batches")}

    def close(self) -> None:
        """Gives everything back."""
        self.store.close()


class RecordedLeases(Leases):
    """Leases that know all runs that they were ever for."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.begun: list[int] = []

    def hold(self, run_id: int) -> bool:
        self.begun.append(run_id)
        return super().hold(run_id)


def run_locks(database: Database) -> RunLocks:
    """The ones that the database needs."""
    file = sqlite_file(database.engine.url)
    return RecordedLeases(database) if file is None else FileLocks(file)


def expire_leases(url: str, run_ids: list[int]) -> None:
    """Lets others find these runs dead now and not within a minute; PostgreSQL only."""
    with psycopg.connect(url) as connection:
        expired = "UPDATE sync_runs SET lease_expires_at = now() - interval '1 s' WHERE id = ANY(%s)"
        connection.execute(expired, (run_ids,))
