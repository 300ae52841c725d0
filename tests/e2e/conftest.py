"""The real command as a subprocess, against the stand-in over real HTTP, and the database seen with plain SQL."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import trustme
from forked import Forked

from rfsync.simulator import DOCUMENTED_JOB, FixedWorld, Request, Simulator

if TYPE_CHECKING:
    from tests.e2e.daemons import Daemon

COMMAND = [sys.executable, "-m", "rfsync"]
KEY = "key-of-the-tests-7Gq2"
#: Of servers with TLS.
HOST = "127.0.0.1"
#: As ``sync --json`` prints a project of which nothing is to be said.
NOTHING: dict[str, Any] = {
    "batches": None,
    "added": 0,
    "changed": 0,
    "removed": 0,
    "restored": 0,
    "rejected": 0,
    "images_delta": 0,
    "num_jobs_delta": 0,
    "attempts": 1,
    "error_kind": None,
    "error": None,
    "jobs": None,
    "jobs_changed": 0,
    "jobs_error_kind": None,
    "jobs_error": None,
}
#: For the end of what must have happened long before; nothing is decided by it.
LONG = 60.0
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
Process = subprocess.Popen[str] | Forked
STORED_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}")


def batch(batch_id: str, images: object = 0, jobs: object = 0, **fields: object) -> dict[str, object]:
    """A record of the API's list, as it is documented; ``fields`` replace or add some."""
    record = {"id": batch_id, "name": f"name of {batch_id}", "images": images, "numJobs": jobs}
    return {**record, "uploaded": {"_seconds": 1_669_146_024, "_nanoseconds": 818_000_000}, **fields}


def job(job_id: str, images: object = 0, **fields: object) -> dict[str, object]:
    """A record of the API's job list, as it is documented; ``fields`` replace or add some."""
    return {**DOCUMENTED_JOB, "id": job_id, "name": f"name of {job_id}", "numImages": images, **fields}


def without_jobs(requests: Iterable[Request]) -> list[Request]:
    """The requests that are not about annotation jobs."""
    return [request for request in requests if request.path.split("/")[3:4] != ["jobs"]]


def count_lists(requests: Iterable[Request]) -> int:
    """How many of the requests are for batch lists."""
    return sum(request.path.endswith("/batches") for request in requests)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def warnings(self) -> str:
        """What it said, but that it made the database."""
        return re.sub(r"(?m)^rfsync: made a new database, .*\n", "", self.err)

    @property
    def projects(self) -> dict[str, dict[str, Any]]:
        """The projects that ``sync --json`` printed, by their id."""
        return {one["project"]: one for one in self.json["projects"]}


class Database:
    """A database of either kind, asked with plain SQL; rows are equal on both, with times as text in UTC."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")

    @property
    def path(self) -> Path:
        """The file; SQLite only."""
        return Path(self.url.removeprefix("sqlite:///"))

    @property
    def name(self) -> str:
        """As the server knows it; PostgreSQL only."""
        return self.url.rpartition("/")[2].partition("?")[0]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return self._run(sql)[1]

    def dicts(self, sql: str) -> list[dict[str, Any]]:
        names, rows = self._run(sql)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def one(self, sql: str) -> Any:
        """The only value of the only row."""
        ((value,),) = self.rows(sql)
        return value

    def column(self, sql: str) -> list[Any]:
        return [value for (value,) in self.rows(sql)]

    def columns(self, table: str) -> list[str]:
        return self._run(f"SELECT * FROM {table} LIMIT 0")[0]

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that is stored."""
        tables = ("projects", "batches", "batch_changes", "project_daily", "sync_runs")
        tables += ("workspace_daily", "project_observed", "missing_batches", "project_renames", "rfsync_version")
        tables += ("jobs", "job_changes", "missing_jobs", "labeler_daily", "people", "people_key")
        tables += ("workspace_labeler_daily", "workspace_quarter_hours")
        return {table: sorted(self.rows(f"SELECT * FROM {table}"), key=repr) for table in tables}

    def execute(self, *statements: str) -> None:
        """Changes the database behind rfsync's back; SQLite's foreign keys don't hold here."""
        if self.is_sqlite:
            with contextlib.closing(sqlite3.connect(self.path)) as connection:
                for statement in statements:
                    connection.execute(statement)
                connection.commit()
        else:
            with psycopg.connect(self.url) as connection:
                for statement in statements:
                    connection.execute(statement.encode())

    def expire_leases(self, project: str = "widgets") -> None:
        """Makes the leases of the project's running runs expire now, and not within a minute; SQLite has none."""
        if not self.is_sqlite:
            of_project = f"project_id = (SELECT id FROM projects WHERE project = '{project}')"
            self.execute(f"UPDATE sync_runs SET lease_expires_at = now() WHERE outcome = 'running' AND {of_project}")

    def refuses(self, statement: str) -> bool:
        """Whether the database sees that a statement would leave a row without the one that it refers to."""
        if self.is_sqlite:
            with contextlib.closing(sqlite3.connect(self.path)) as connection:
                connection.execute("PRAGMA foreign_keys = ON")
                try:
                    connection.execute(statement)  # undone when the connection is closed
                except sqlite3.IntegrityError as error:
                    return "FOREIGN KEY" in str(error)
                return False
        with psycopg.connect(self.url, autocommit=True) as connection:
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(statement.encode())
            except psycopg.errors.ForeignKeyViolation:
                return True
            return False

    def forbid(self, operation: str, table: str) -> None:
        """Lets every INSERT, UPDATE or DELETE of a row of the table fail from now on."""
        name = f"forbid_{operation}_{table}".lower()
        if self.is_sqlite:
            self.execute(
                f"CREATE TRIGGER {name} BEFORE {operation} ON {table} BEGIN SELECT RAISE(ABORT, 'forbidden'); END"
            )
        else:
            self.execute(
                "CREATE OR REPLACE FUNCTION forbidden() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'forbidden'; END $$",
                f"CREATE TRIGGER {name} BEFORE {operation} ON {table} FOR EACH ROW EXECUTE FUNCTION forbidden()",
            )

    def allow(self, operation: str, table: str) -> None:
        """Takes ``forbid`` back."""
        name = f"forbid_{operation}_{table}".lower()
        self.execute(f"DROP TRIGGER {name}" + ("" if self.is_sqlite else f" ON {table}"))

    def _run(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        if self.is_sqlite:
            with contextlib.closing(sqlite3.connect(self.path)) as connection:
                cursor = connection.execute(sql)
                return [column[0] for column in cursor.description], cursor.fetchall()
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET timezone = 'UTC'")
            asked = connection.execute(sql.encode())
            names = [column.name for column in asked.description or ()]
            return names, [tuple(map(_plain, row)) for row in asked.fetchall()]


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, date):
        return value.isoformat()
    return value


def tls(certificate: trustme.LeafCert, shaken: list[object] | None = None) -> ssl.SSLContext:
    """Of a server with this certificate; ``shaken`` gets an item with every handshake that begins."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)

    def shake(*_: object) -> None:
        if shaken is not None:
            shaken.append(None)

    context.sni_callback = shake
    return context


class Cli:
    """A folder with an ``rfsync.toml``, and the command that runs in it with an environment of its own.

    Commands are forked where a test is about what they do, and a new Python is started for each where it is about the
    process as well: by ``start``, and by all methods in tests that are marked ``new_python``.
    """

    def __init__(
        self, folder: Path, world: FixedWorld, simulator: Simulator, database: Database, *, new_python: bool = False
    ) -> None:
        self.folder = folder
        self.world = world
        self.simulator = simulator
        self.database = database
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder / "nobody"), "ROBOFLOW_API_KEY": KEY}
        self._new_python = new_python
        self._started: list[Process] = []
        self.configure()

    def configure(
        self,
        *,
        api: Mapping[str, object] | None = None,
        removals: Mapping[str, object] | None = None,
        workspaces: Sequence[Mapping[str, object]] = (),
        more: str = "",
    ) -> None:
        """Writes the file: this test's database and stand-in, one attempt and hardly a wait, unless told otherwise."""
        settings = {"base_url": self.simulator.url, "requests_per_second": 100_000.0, "attempts": 1}
        settings |= {"deadline_seconds": 30.0, "max_wait_seconds": 0.01, **(api or {})}
        text = _table("[database]", {"url": self.database.url}) + _table("[api]", settings)
        text += _table("[removals]", removals or {}) + more
        text += "".join(_table("[[workspaces]]", {"id": "acme", **workspace}) for workspace in workspaces)
        (self.folder / "rfsync.toml").write_text(text)

    def start(
        self, *arguments: str, env: Mapping[str, str] | None = None, under: Sequence[str] = ()
    ) -> subprocess.Popen[str]:
        """Starts a command in a new Python, ``under`` another one if need be; it ends with the test at the latest."""
        process = subprocess.Popen(
            [*under, *COMMAND, *arguments],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def fork(self, *arguments: str, env: Mapping[str, str] | None = None, by_the_mode: bool = False) -> Process:
        """Starts a command without starting Python; it ends with the test at the latest.

        Args:
            by_the_mode: see ``Forked``; not in tests that are marked ``new_python``.
        """
        if self._new_python:
            assert not by_the_mode
            return self.start(*arguments, env=env)
        process = Forked(arguments, self.folder, {**self.env, **(env or {})}, by_the_mode=by_the_mode)
        self._started.append(process)
        return process

    def finish(self, process: Process, code: int = 0, timeout: float = LONG) -> Done:
        """Waits for a command's end, which has to be this one."""
        out, err = process.communicate(timeout=timeout)
        assert (process.returncode, "Traceback" in err) == (code, False), f"{process.args!r}\n{out}\n{err}"
        return Done(process.returncode, out, err)

    def run(self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> Done:
        return self.finish(self.fork(*arguments, env=env), code)

    def run_all(self, commands: Collection[Sequence[str]], code: int = 0) -> list[Done]:
        """Runs commands that have nothing to do with each other, side by side."""
        started = [self.fork(*arguments) for arguments in commands]
        return [self.finish(process, code) for process in started]

    def sync(self, *arguments: str, code: int = 0, target: str = "acme/widgets") -> dict[str, Any]:
        """Syncs one project and gives its part of the JSON."""
        (project,) = self.run("sync", "--json", target, *arguments, code=code).json["projects"]
        return dict(project)

    def list(self, *records: object, project: str = "widgets") -> None:
        """Sets what the project's list answers."""
        self.world.set(f"acme/{project}", [*records])

    def await_lists(self, count: int) -> None:
        """Waits until batch lists have been requested so many times in all."""
        while count_lists(requests := self.simulator.requests) < count:
            self.simulator.await_requests(len(requests) + 1, LONG)

    def verify(self) -> None:
        """The books have to balance, by rfsync's own word and by ours."""
        self.run("verify")
        self.balance()

    def balance(self) -> None:
        """The books have to balance, by two sums of our own: cheaper than to start a command."""
        stored = """SELECT project_id, batch_id, CASE WHEN removed_at IS NULL THEN images ELSE 0 END,
            CASE WHEN removed_at IS NULL THEN num_jobs ELSE 0 END FROM batches ORDER BY 1, 2"""
        ledger = """SELECT project_id, batch_id, CAST(sum(images_delta) AS bigint), CAST(sum(num_jobs_delta) AS bigint)
            FROM batch_changes GROUP BY project_id, batch_id ORDER BY 1, 2"""
        assert self.database.rows(stored) == self.database.rows(ledger)
        totals = "SELECT id, batches, images, num_jobs FROM projects WHERE batches > 0 ORDER BY 1"
        current = """SELECT project_id, count(*), CAST(sum(images) AS bigint), CAST(sum(num_jobs) AS bigint)
            FROM batches WHERE removed_at IS NULL GROUP BY project_id ORDER BY 1"""
        assert self.database.rows(totals) == self.database.rows(current)

    def close(self) -> None:
        for process in self._started:
            with process:  # closes its pipes
                if process.poll() is None:
                    process.kill()


def _table(name: str, values: Mapping[str, object]) -> str:
    # What JSON and TOML write alike: strings, numbers, booleans and lists of them.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join([name, *lines, "", ""])


MakeCli = Callable[[str], Cli]


@pytest.fixture
def world() -> FixedWorld:
    return FixedWorld()


@pytest.fixture
def simulator(world: FixedWorld) -> Iterator[Simulator]:
    with Simulator(world) as simulator:
        yield simulator


@pytest.fixture
def make_cli(
    request: pytest.FixtureRequest, tmp_path: Path, world: FixedWorld, simulator: Simulator
) -> Iterator[MakeCli]:
    """Makes a ``Cli`` for a database's URL."""
    new_python = request.node.get_closest_marker("new_python") is not None
    made: list[Cli] = []

    def make(url: str) -> Cli:
        folder = tmp_path / f"cli{len(made)}"
        folder.mkdir()
        made.append(Cli(folder, world, simulator, Database(url), new_python=new_python))
        return made[-1]

    yield make
    for cli in made:
        cli.close()


@pytest.fixture
def cli(make_cli: MakeCli, database_url: str) -> Cli:
    """With an empty database at this version's schema; each test that asks for it runs on both kinds."""
    return make_cli(database_url)


@pytest.fixture
def fresh(make_cli: MakeCli, tmp_path: Path) -> Cli:
    """With an SQLite database that does not exist yet."""
    return make_cli(f"sqlite:///{tmp_path / 'fresh.db'}")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who trusts the authority, and nobody else."""
    bundle = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(bundle)
    return {"REQUESTS_CA_BUNDLE": str(bundle)}


@pytest.fixture
def start() -> Iterator[Callable[..., Daemon]]:
    """Starts daemons, which end with the test at the latest."""
    from tests.e2e.daemons import Daemon

    with contextlib.ExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> Daemon:
            daemon = Daemon(*arguments, **options)
            stack.callback(daemon.process.kill)
            return daemon

        yield make
