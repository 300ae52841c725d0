"""A connection that leads to a standby after the name of the server leads to the new primary."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from faults import inject
from rig import Rig, record
from sqlalchemy import make_url

from rfsync.database import postgres as postgres_module
from rfsync.database.engine import open_engine
from rfsync.database.url import parse_url
from rfsync.ledger.verify import verify
from rfsync.schema import upgrade as schema
from tests.conftest import PostgresServer
from tests.e2e.conftest import MakeCli, make_cli, simulator, world

__all__ = ["make_cli", "simulator", "world"]


class Name:
    """What the URL has for a host: the folder of a server's socket, by a link that can be turned to another."""

    def __init__(self, link: Path, primary: str, standby: str) -> None:
        self._link = link
        self._folders = {"primary": primary, "standby": standby}

    def turn_to(self, server: str) -> None:
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(self._folders[server])


@pytest.fixture(scope="module")
def standby() -> Iterator[PostgresServer]:
    """A server in recovery, with a database ``labels`` at this version's schema."""
    folder = Path(tempfile.mkdtemp(prefix="rfsync-pg-"))
    server = PostgresServer(folder)
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE labels")
    engine = open_engine(parse_url(server.url).set(database="labels"), read_only=False)
    schema.upgrade(engine, None)
    engine.dispose()
    server.stop()
    (folder / "data" / "standby.signal").touch()
    server.start()
    yield server
    server.close()
    shutil.rmtree(folder)


@pytest.fixture
def labels(postgres: str, postgres_template: str) -> Iterator[str]:
    """A database of the same name on the server that is the primary now."""
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE labels TEMPLATE {postgres_template}".encode())
        yield make_url(postgres).set(database="labels").render_as_string()
        admin.execute("DROP DATABASE labels WITH (FORCE)")


@pytest.fixture
def name(standby: PostgresServer, labels: str) -> Iterator[Name]:
    folder = Path(tempfile.mkdtemp(prefix="rfsync-name-"))
    folders = [str(make_url(url).query["host"]) for url in (labels, standby.url)]
    yield Name(folder / "db", *folders)
    shutil.rmtree(folder)


@pytest.fixture
def rig(name: Name, labels: str) -> Iterator[Rig]:
    made = Rig(make_url(labels).update_query_dict({"host": str(name._link)}).render_as_string())
    made.listed = [record("a", 1, 1)]
    yield made
    made.close()


def applied(rig: Rig) -> bool:
    return rig.state() == {"a": (1, 1)} and verify(open_engine(rig.url, read_only=True)).ok


class OnRetry(logging.Handler):
    """Does something when a transaction is about to be retried."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act = act
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())
        self._act()


def test_a_transaction_that_a_standby_refuses_is_retried_over_a_new_connection(
    rig: Rig, name: Name, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rfsync.sync")
    name.turn_to("standby")
    on_retry = OnRetry(lambda: name.turn_to("primary"))
    logger = logging.getLogger("rfsync.sync")
    logger.addHandler(on_retry)
    try:
        result = rig.sync()
    finally:
        logger.removeHandler(on_retry)
    assert (result.outcome, result.error) == ("changed", None)
    assert "the server is a standby, which takes no writes" in on_retry.told[0]
    assert applied(rig)


def test_an_idle_connection_to_a_standby_is_replaced_before_it_is_used(
    rig: Rig, name: Name, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "_PING_AFTER", -1.0)
    name.turn_to("primary")
    rig.restart(retry_seconds=0)
    name.turn_to("standby")
    rig.database.engine.raw_connection().close()
    name.turn_to("primary")
    result = rig.sync()
    assert (result.outcome, result.error) == ("changed", None)
    assert applied(rig)


def test_a_transaction_that_became_read_only_on_its_way(rig: Rig, name: Name) -> None:
    """As on servers whose readers begin transactions that say that they write."""
    name.turn_to("primary")
    steps = inject(rig)

    def refuse_once(_: int, step: str) -> None:
        if step == "add" and steps.taken.count("add") == 1:
            raise psycopg.errors.ReadOnlySqlTransaction("cannot execute INSERT in a read-only transaction")

    steps.begin(refuse_once)
    before = rig.rows("SELECT pg_backend_pid()")
    assert rig.sync().outcome == "changed"
    assert steps.taken.count("add") == 2
    assert rig.rows("SELECT pg_backend_pid()") != before
    assert applied(rig)


def test_check_tells_a_standby(make_cli: MakeCli, rig: Rig, name: Name) -> None:
    name.turn_to("standby")
    (check,) = [c for c in make_cli(rig.text).run("check", "--json", code=1).json["checks"] if c["what"] == "database"]
    assert not check["ok"]
    assert "the server is a standby" in check["found"]
