"""The rate limit that processes share through PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime

import psycopg
import pytest
from pooler import PGBOUNCER, pooler
from rig import run_locks

from rfsync.api.client import Client
from rfsync.config import ApiConfig, RemovalsConfig
from rfsync.database.engine import open_database
from rfsync.database.url import parse_url
from rfsync.errors import Cancelled, ErrorKind
from rfsync.ledger.shared_rate_limit import SharedRateLimit
from rfsync.ledger.store import Store
from rfsync.redaction import Redactor, Secret
from rfsync.simulator import FixedWorld, Simulator
from rfsync.sync.run import sync
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces
from tests.conftest import PostgresServer

KEY = Secret("the-key-of-these-tests")
#: Seconds between two turns: no test takes as long, and none waits for a turn.
HOUR = 3600.0


@pytest.fixture
def url(new_postgres: Callable[[str | None], str], postgres_template: str) -> str:
    return new_postgres(postgres_template)


@pytest.fixture
def limit(url: str) -> Iterator[SharedRateLimit]:
    with closing(open_store(url)) as store:
        yield limit_of(store)


def open_store(url: str, **options: float) -> Store:
    database = open_database(parse_url(url))
    return Store(database, run_locks(database), **options)


def limit_of(store: Store) -> SharedRateLimit:
    assert store.rate_limit is not None
    return store.rate_limit


def hours(limit: SharedRateLimit, count: int, key: Secret = KEY) -> list[int]:
    """The waits for the next turns, in whole hours."""
    return [round(limit.reserve(key, HOUR) / HOUR) for _ in range(count)]


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        assert connection.execute(statement.encode()).rowcount == 1


def shift(url: str, interval: str) -> None:
    """As if the server's clock had moved the other way."""
    execute(url, f"UPDATE rate_limits SET next_at = next_at + '{interval}', reserved_at = reserved_at + '{interval}'")


def test_each_key_has_one_queue_and_is_not_kept_itself(url: str, limit: SharedRateLimit) -> None:
    assert hours(limit, 3) == [0, 1, 2]
    with closing(open_store(url)) as other:
        assert hours(limit_of(other), 2) == [3, 4]
        assert hours(limit_of(other), 2, Secret("another")) == [0, 1]
    assert hours(limit, 1) == [5]
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT * FROM rate_limits").fetchall()
        (persistence,) = connection.execute(
            "SELECT relpersistence::text FROM pg_class WHERE relname = 'rate_limits'"
        ).fetchone() or ("",)
    assert len(rows) == 2
    assert KEY.reveal() not in repr(rows)
    assert persistence == "u"


def test_each_process_moves_the_queue_on_by_its_own_interval(limit: SharedRateLimit) -> None:
    assert round(limit.reserve(KEY, HOUR)) == 0
    assert round(limit.reserve(KEY, 2 * HOUR) / HOUR) == 1
    assert round(limit.reserve(KEY, HOUR) / HOUR) == 3


def test_a_turn_that_has_passed_saves_nothing_up(url: str, limit: SharedRateLimit) -> None:
    hours(limit, 1)
    shift(url, "-9 h")
    assert hours(limit, 3) == [0, 1, 2]


def test_threads_of_several_processes_never_share_a_turn(url: str) -> None:
    stores = [open_store(url) for _ in range(3)]
    with ThreadPoolExecutor(12) as pool:
        waits = list(pool.map(lambda n: limit_of(stores[n % 3]).reserve(KEY, HOUR), range(60)))
    assert sorted(round(wait / HOUR) for wait in waits) == list(range(60))
    for store in stores:
        store.close()


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is missing")
def test_it_holds_through_a_pooler(url: str) -> None:
    with pooler(url, connections=2) as through, closing(open_store(through)) as store:
        with ThreadPoolExecutor(6) as pool:
            waits = list(pool.map(lambda _: limit_of(store).reserve(KEY, HOUR), range(30)))
        assert sorted(round(wait / HOUR) for wait in waits) == list(range(30))


@pytest.mark.parametrize("set_back", ["2 h", "3 years"])
def test_a_clock_that_was_set_back_leaves_the_queue_as_it_was(url: str, limit: SharedRateLimit, set_back: str) -> None:
    hours(limit, 3)
    shift(url, set_back)
    assert hours(limit, 2) == [3, 4]


def test_nobody_waits_for_more_than_a_thousand_turns_or_a_minute(limit: SharedRateLimit) -> None:
    """One of the longest intervals was configured by mistake, and a process with it was killed."""
    limit.reserve(KEY, 1e300)
    # From there on, there are turns again.
    assert [90 < wait <= 101 for wait in (limit.reserve(KEY, 0.1), limit.reserve(KEY, 0.1))] == [True, True]
    limit.reserve(KEY, 1e300)
    assert 50 < limit.reserve(KEY, 0.001) <= 60
    assert 50 < limit.reserve(KEY, 0.001) <= 61


def test_settings_of_the_role_change_nothing(url: str) -> None:
    settings = ("default_transaction_isolation = 'serializable'", "default_transaction_read_only = on")
    settings += ("extra_float_digits = -15", "intervalstyle = 'sql_standard'", "search_path = pg_catalog")
    with psycopg.connect(url, autocommit=True) as admin:
        for setting in settings:
            admin.execute(f'ALTER DATABASE "{admin.info.dbname}" SET {setting}'.encode())
    with closing(open_store(url)) as store, ThreadPoolExecutor(4) as pool:
        waits = list(pool.map(lambda _: limit_of(store).reserve(KEY, HOUR), range(12)))
    assert sorted(round(wait / HOUR) for wait in waits) == list(range(12))


def test_a_stop_ends_the_wait_for_the_row(url: str) -> None:
    with closing(open_store(url)) as store, psycopg.connect(url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("LOCK TABLE rate_limits")
        waiting = pool.submit(limit_of(store).reserve, KEY, HOUR)
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'rate_limits'::regclass"
        while holder.execute(blocked).fetchone() == (0,):
            assert not waiting.done()
        store.stop()
        while not waiting.done():
            store.interrupt()
        assert isinstance(waiting.exception(), Cancelled)
        with pytest.raises(Cancelled):
            limit_of(store).reserve(KEY, HOUR)


def test_a_database_that_is_away_fails_the_run_and_no_request_is_sent(
    url: str, postgres_server: PostgresServer
) -> None:
    """The run could not be written either. What it left behind is forgotten in the crash."""
    with Simulator(FixedWorld({"acme/widgets": []})) as simulator, closing(open_store(url, retry_seconds=0.0)) as store:
        limit = limit_of(store)
        # The database vanishes between the beginning of the run and the request.
        reserve = Switch(limit, postgres_server)
        client = Client(ApiConfig(base_url=simulator.url), Redactor(), lambda: datetime.now(UTC), reserve_turn=reserve)
        context = SyncContext(
            client, Workspaces(client), store, RemovalsConfig(), lambda: datetime.now(UTC), Redactor()
        )
        with closing(client):
            task = SyncTask("acme", "widgets", KEY)
            try:
                failed = sync(context, task)
            finally:
                postgres_server.start()
            assert (failed.outcome, failed.error_kind) == ("failed", ErrorKind.DATABASE)
            assert "rate limit" in (failed.error or "")
            assert simulator.requests == []
            assert sync(context, task).ok
            assert hours(limit, 1) == [0]


class Switch:
    """A rate limit whose server has stopped when it is asked first."""

    def __init__(self, limit: SharedRateLimit, server: PostgresServer) -> None:
        self._limit = limit
        self._server = server
        self._asked = False

    def __call__(self, key: Secret) -> float:
        if not self._asked:
            self._asked = True
            self._server.stop()
        return self._limit.reserve(key, 0.001)
