"""PostgreSQL behind a pooler that hands out connections by the transaction: everything works as it does directly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from pooler import PGBOUNCER, pooler
from rig import Rig, expire_leases, record

from rfsync.database.engine import open_database, open_engine
from rfsync.database.postgres import is_pooled
from rfsync.database.url import parse_url
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.verify import verify
from rfsync.schema import upgrade as schema
from rfsync.simulator import FixedWorld
from tests.e2e.conftest import LONG, MakeCli, batch, cli, make_cli, simulator

pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is missing")

__all__ = ["cli", "make_cli", "simulator"]

#: Fewer than there are clients at once, so that each meets what the others left behind.
CONNECTIONS = 2


@pytest.fixture
def direct(new_postgres: Callable[[str | None], str], postgres_template: str) -> str:
    return new_postgres(postgres_template)


@pytest.fixture
def url(direct: str) -> Iterator[str]:
    with pooler(direct, connections=CONNECTIONS) as through:
        yield through


@pytest.fixture
def world() -> FixedWorld:
    return FixedWorld({f"acme/p{number}": [batch("a", 1), batch("b", 2)] for number in range(6)})


def test_syncs_at_once_from_many_processes(make_cli: MakeCli, url: str, direct: str, world: FixedWorld) -> None:
    command = make_cli(url)
    for images in (1, 5, 9):
        for project in range(6):
            world.set(f"acme/p{project}", [batch("a", images), batch("b", 2)])
        started = [command.fork("sync", f"acme/p{project}", "--json") for project in range(6)]
        for process in started:
            out, err = process.communicate(timeout=LONG)
            assert process.returncode == 0, err
            assert '"outcome": "changed"' in out
    verdict = verify(open_engine(parse_url(direct), read_only=True))
    assert (verdict.ok, verdict.projects, verdict.changes) == (True, 6, 6 * 4)


def test_one_process_with_many_threads(url: str) -> None:
    rigs = [Rig(url) for _ in range(8)]

    def work(number: int) -> list[str]:
        rig = rigs[number]
        rig.projects += (f"p{project}" for project in range(4))
        rig.project = f"p{number % 4}"
        outcomes = []
        for images in range(10):
            rig.listed = [record("a", images, number), record("b", 1, 1)]
            outcomes.append(rig.sync().outcome)
        return outcomes

    with ThreadPoolExecutor(8) as pool:
        outcomes = [outcome for some in pool.map(work, range(8)) for outcome in some]
    assert set(outcomes) <= {"changed", "unchanged", "superseded"}
    assert outcomes.count("changed") >= 4 * 10
    for rig in rigs:
        rig.close()
    assert verify(open_engine(parse_url(url), read_only=True)).ok


def test_nothing_of_a_transaction_is_left_to_the_next_client(url: str, direct: str) -> None:
    rig = Rig(url)
    rig.listed = [record("a", 1, 1)]
    assert rig.sync().ok
    names = ("timezone", "datestyle", "lock_timeout", "work_mem", "jit", "default_transaction_read_only")
    names += ("search_path", "client_encoding", "intervalstyle", "extra_float_digits", "array_nulls")
    with psycopg.connect(direct) as connection:
        wanted = [connection.execute(f"SHOW {name}").fetchone() for name in names]
    with psycopg.connect(url, prepare_threshold=None) as connection:
        assert [connection.execute(f"SHOW {name}").fetchone() for name in names] == wanted
        left = """SELECT (SELECT count(*) FROM pg_prepared_statements),
            (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')"""
        assert connection.execute(left).fetchone() == (0, 0)
    rig.close()


def test_dead_runs_are_told_from_living_ones(url: str) -> None:
    killed, living = Rig(url), Rig(url)
    runs = [rig.store.begin_run(ProjectPath("acme", "widgets"), None, "cli", rig.now) for rig in (killed, living)]
    killed.store.close()
    assert living.store.abandon_dead_runs(living.now) == 0
    expire_leases(url, [run.id for run in runs if run.id is not None])
    assert living.store.abandon_dead_runs(living.now) == 1
    assert living.rows("SELECT outcome FROM sync_runs ORDER BY id") == [("abandoned",), ("running",)]
    living.close()


def test_a_statement_that_takes_long_is_interrupted(url: str) -> None:
    database = open_database(parse_url(url))
    with ThreadPoolExecutor(1) as pool:

        def wait() -> None:
            with database.begin("waiting") as connection:
                connection.exec_driver_sql("SELECT pg_sleep(600)")

        waiting = pool.submit(wait)
        while not waiting.done():
            database.interrupt()
        assert "canceling statement" in str(waiting.exception())
    database.close()


def test_the_schema_is_made_through_it(new_postgres: Callable[[str | None], str]) -> None:
    with pooler(new_postgres(None), connections=1) as through:
        engine = open_engine(parse_url(through), read_only=False)
        schema.upgrade(engine, None)
        assert schema.drift(engine) == []
        engine.dispose()


def test_check_says_through_what_it_is_connected(make_cli: MakeCli, url: str, direct: str) -> None:
    for connected, shown in ((url, "through a connection pooler"), (direct, "directly to the server")):
        checks = make_cli(connected).run("check", "--json").json["checks"]
        assert shown in next(check["found"] for check in checks if check["what"] == "database")
        with open_engine(parse_url(connected), read_only=True).connect() as connection:
            assert is_pooled(connection) == ("pooler" in shown)
