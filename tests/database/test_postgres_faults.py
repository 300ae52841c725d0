"""A real PostgreSQL in real trouble: what may pass is waited for, and what does not leaves the state as it was."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import LiteralString

import psycopg
import pytest
from faults import inject
from psycopg import sql
from rig import Rig, expire_leases, record

from rfsync.database.engine import open_database, open_engine
from rfsync.database.url import parse_url
from rfsync.errors import ErrorKind, TransientDatabaseError
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.run_locks import Leases
from rfsync.ledger.runs import RunRow
from rfsync.ledger.store import Store
from rfsync.ledger.verify import verify
from rfsync.redaction import Secret
from rfsync.schema import upgrade as schema
from rfsync.sync.result import Result
from rfsync.sync.run import sync
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces

#: Longer than anything here takes, and no test waits for its end.
LONG = 60.0


@pytest.fixture
def url(new_postgres: Callable[[str | None], str], postgres_template: str) -> str:
    return new_postgres(postgres_template)


@pytest.fixture
def rig(url: str) -> Iterator[Rig]:
    made = Rig(url)
    made.listed = [record("a", 1, 1)]
    assert made.sync().ok
    made.listed = [record("a", 2, 1), record("b", 1, 1)]
    yield made
    made.close()


def configure(rig: Rig, **settings: str) -> None:
    """What an administrator sets for the whole database; it holds for new connections."""
    with psycopg.connect(rig.text, autocommit=True) as admin:
        name = sql.Identifier(admin.info.dbname)
        for key, value in settings.items():
            admin.execute(sql.SQL("ALTER DATABASE {} SET {} = {}").format(name, sql.Identifier(key), value))
    rig.restart()


def applied(rig: Rig, result: Result) -> bool:
    """Whether the second answer is stored, once, and the books balance."""
    assert (result.outcome, result.error) == ("changed", None)
    assert rig.state() == {"a": (2, 1), "b": (1, 1)}
    assert rig.rows("SELECT count(*) FROM batch_changes") == [(3,)]
    return verify(open_engine(rig.url, read_only=True)).ok


def left_alone(rig: Rig, result: Result) -> bool:
    """Whether the state is what the first answer showed."""
    assert (result.outcome, result.error_kind) == ("failed", ErrorKind.DATABASE)
    return rig.state() == {"a": (1, 1)} and verify(open_engine(rig.url, read_only=True)).ok


@contextmanager
def holding(url: str, statement: LiteralString) -> Iterator[psycopg.Connection]:
    """Another session, in the middle of a transaction."""
    with psycopg.connect(url) as other:
        other.execute(statement)
        yield other
        other.rollback()


def terminate_others(admin: psycopg.Connection) -> None:
    """Ends all other sessions of the database; returns when they have ended, which PostgreSQL 13 does not wait for."""
    others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ended = [pid for pid, _ in admin.execute(f"SELECT pid, pg_terminate_backend(pid) {others}")]
    while admin.execute(f"SELECT 1 {others} AND pid = ANY(%s)", (ended,)).fetchone():
        pass


def await_waiting(url: str) -> None:
    """Returns when some session waits for a lock."""
    with psycopg.connect(url, autocommit=True) as watcher:
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while watcher.execute(query).fetchone() is None:
            pass


@pytest.mark.usefixtures("quick_retries")
def test_a_backend_that_is_terminated_at_each_step(rig: Rig, url: str) -> None:

    def terminate() -> None:
        with psycopg.connect(url, autocommit=True) as admin:
            terminate_others(admin)

    for number in range(100):
        rig.project = f"p{number}"
        rig.listed = [record("a", 1, 1), record("b", 1, 1)]
        assert rig.sync().ok
        rig.listed = [record("a", 2, 1), record("c", 1, 1)]
        rig.restart()
        steps = inject(rig)
        steps.begin(lambda n, _, number=number: terminate() if n == number else None)  # type: ignore[misc]
        result = rig.sync()
        if len(steps.taken) <= number:
            break
        assert (result.outcome, result.error) == ("changed", None), steps.taken
        rig.restart()
        query = f"SELECT change, count(*) FROM change_log WHERE project = '{rig.project}' GROUP BY 1"
        assert dict(rig.rows(query)) == {"added": 3, "changed": 1, "removed": 1}
    assert 15 < number < 100
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_a_lock_that_is_released_in_time(rig: Rig, url: str) -> None:
    configure(rig, lock_timeout="100ms")
    results: list[Result] = []
    with holding(url, "SELECT 1 FROM projects FOR UPDATE"):
        thread = threading.Thread(target=lambda: results.append(rig.sync()))
        thread.start()
        await_waiting(url)
        await_waiting(url)
    thread.join(LONG)
    assert applied(rig, results[0])


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
def test_a_lock_that_is_held_for_longer(rig: Rig, url: str, setting: str) -> None:
    configure(rig, **{setting: "100ms"})
    rig.restart(retry_seconds=0.3)
    with holding(url, "SELECT 1 FROM projects FOR UPDATE"):
        assert left_alone(rig, rig.sync())
    assert applied(rig, rig.sync())


def test_a_deadlock(rig: Rig, url: str) -> None:
    """The other one waits for the project, which we have, and has the run, which we want."""
    configure(rig, deadlock_timeout="50ms")
    steps = inject(rig)
    other = psycopg.connect(url)
    other.execute("SET deadlock_timeout = '1h'")  # so that it is us who find it
    waiting = threading.Thread(target=lambda: (other.execute("SELECT 1 FROM projects FOR UPDATE"), other.commit()))

    def meet(_: int, name: str) -> None:
        if name == "append" and not waiting.ident:
            other.execute("SELECT 1 FROM sync_runs FOR UPDATE")
            waiting.start()
            await_waiting(url)

    steps.begin(meet)
    assert applied(rig, rig.sync())
    assert len([name for name in steps.taken if name == "append"]) == 2
    waiting.join(LONG)
    other.close()


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
def test_the_isolation_level_that_the_server_is_set_to_changes_nothing(rig: Rig, url: str, isolation: str) -> None:
    configure(rig, default_transaction_isolation=isolation)
    steps = inject(rig)
    results: list[Result] = []
    with holding(url, "UPDATE projects SET name = 'renamed'") as other:
        thread = threading.Thread(target=lambda: results.append(rig.sync()))
        thread.start()
        await_waiting(url)
        other.commit()
        thread.join(LONG)
    assert applied(rig, results[0])
    # Under the server's level, the one that waited would have failed and been retried.
    assert len([name for name in steps.taken if name.startswith("BEGIN writing")]) == 1


def test_a_serialisation_failure_is_retried(rig: Rig) -> None:
    steps = inject(rig)

    def fail_once(_: int, name: str) -> None:
        if name == "append" and steps.taken.count("append") == 1:
            raise psycopg.errors.SerializationFailure("could not serialize access")

    steps.begin(fail_once)
    assert applied(rig, rig.sync())
    assert steps.taken.count("append") == 2


@contextmanager
def poor(url: str) -> Iterator[tuple[str, psycopg.Connection, sql.Identifier]]:
    """A role of the database with all rights but any number of connections: its URL, an administrator and its name."""
    with psycopg.connect(url, autocommit=True) as admin:
        name = sql.Identifier(admin.info.dbname)
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT 1").format(name))
        admin.execute(sql.SQL("GRANT ALL ON ALL TABLES IN SCHEMA public TO {}").format(name))
        admin.execute(sql.SQL("GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {}").format(name))
        yield url.replace("postgres:@", f"{admin.info.dbname}:@"), admin, name
        admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name))


def test_too_few_connections_for_all_at_once(rig: Rig, url: str) -> None:
    """Two for eight runs at once and for what renews their leases."""
    with poor(url) as (poor_url, admin, name):
        admin.execute(sql.SQL("ALTER ROLE {} CONNECTION LIMIT 2").format(name))
        store = Rig(poor_url)
        store.listed = [record("a", 1, 1)]
        store.projects += (f"p{number}" for number in range(8))
        context = SyncContext(store, Workspaces(store), store.store, store.removals, lambda: store.now, str)
        with ThreadPoolExecutor(8) as pool:
            jobs = [SyncTask("acme", f"p{number}", Secret("key")) for number in range(8)]
            results = list(pool.map(lambda job: sync(context, job), jobs))
        assert [(result.outcome, result.error) for result in results] == [("changed", None)] * 8
        store.close()
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_no_connection_to_be_had_is_told(rig: Rig, url: str) -> None:
    told = pytest.raises(TransientDatabaseError, match="too many connections")
    with (
        poor(url) as (poor_url, _, _),
        psycopg.connect(poor_url),
        closing(open_database(parse_url(poor_url))) as database,
        told,
    ):
        schema.require(database)


def test_a_session_that_was_ended_while_the_api_was_waited_for_is_replaced(rig: Rig, url: str) -> None:
    if not rig.rows("SELECT 1 FROM pg_settings WHERE name = 'idle_session_timeout'"):
        pytest.skip("PostgreSQL 13 ends no idle sessions")
    configure(rig, idle_session_timeout="1s", idle_in_transaction_session_timeout="10s")
    other = Rig(url)

    def meanwhile() -> None:
        with psycopg.connect(url, autocommit=True) as waiting:
            waiting.execute("SET idle_session_timeout = 0")
            waiting.execute("SELECT pg_sleep(1.5)")
        assert other.store.abandon_dead_runs(other.now) == 0  # it lives

    rig.meanwhile = meanwhile
    assert applied(rig, rig.sync())
    other.close()


def test_the_lease_of_a_living_run_is_renewed_also_over_new_connections(rig: Rig, url: str) -> None:
    rig.store.close()
    database = open_database(rig.url)
    leases = Leases(database, lease=30.0, renewal=0.05)
    store = Store(database, leases)
    run = store.begin_run(ProjectPath("acme", "widgets"), None, "cli", rig.now)
    with psycopg.connect(url, autocommit=True) as admin:

        def expires() -> object:
            row = admin.execute("SELECT lease_expires_at FROM sync_runs WHERE id = %s", (run.id,)).fetchone()
            return row and row[0]

        for _ in range(3):
            before = expires()
            assert before is not None
            terminate_others(admin)
            while expires() == before:
                pass
        store.fail_run(run, RunRow("abandoned", error="enough"), rig.now)
        assert expires() is None
    store.close()
    rig.restart()


def test_the_thread_that_renews_leases_is_started_anew_if_it_has_died(rig: Rig) -> None:
    leases = Leases(rig.database)
    died = threading.Thread(target=int)
    died.start()
    died.join()
    leases._thread = died
    leases.hold(1)
    assert leases._thread is not died
    assert leases._thread.is_alive()
    leases.close()


def test_a_run_is_dead_once_its_lease_has_expired_and_not_before(rig: Rig, url: str) -> None:
    """Whatever the clocks of the machines say; and the process that holds the run never takes it for dead."""
    run = rig.store.begin_run(ProjectPath("acme", "widgets"), None, "cli", rig.now)
    assert run.id is not None
    other = Rig(url)
    far = rig.now + timedelta(days=365)
    assert other.store.abandon_dead_runs(far) == 0
    expire_leases(url, [run.id])
    assert rig.store.abandon_dead_runs(far) == 0
    assert other.store.abandon_dead_runs(far) == 1
    assert rig.rows(f"SELECT outcome FROM sync_runs WHERE id = {run.id}") == [("abandoned",)]
    # It was alive after all, and suspended: its own end stands.
    assert rig.store.fail_run(run, RunRow("failed", error_kind="network", error="no answer"), rig.now) is None
    assert rig.rows(f"SELECT outcome FROM sync_runs WHERE id = {run.id}") == [("failed",)]
    other.close()


def test_what_the_url_and_the_role_leave_open_is_set(rig: Rig, url: str) -> None:
    shown = {name: rig.rows(f"SHOW {name}")[0][0] for name in ("lock_timeout", "timezone", "application_name")}
    assert shown == {"lock_timeout": "30s", "timezone": "UTC", "application_name": "rfsync"}
    configure(rig, lock_timeout="7s")
    assert rig.rows("SHOW lock_timeout") == [("7s",)]
    named = Rig(f"{url}&application_name=mine")
    assert named.rows("SHOW application_name") == [("mine",)]
    named.close()


def test_a_run_whose_end_is_being_committed_is_not_made_a_failure(rig: Rig, url: str) -> None:
    """The word of a commit is lost, and the server has not made it yet when the failure is about to be recorded."""
    run = rig.store.begin_run(ProjectPath("acme", "widgets"), None, "cli", rig.now)
    assert run.id is not None
    recorded: list[RunRow | None] = []
    with psycopg.connect(url) as server:
        server.execute("UPDATE sync_runs SET outcome = 'changed', finished_at = now() WHERE id = %s", (run.id,))
        failed = RunRow("failed", error_kind="database", error="connection lost")
        thread = threading.Thread(target=lambda: recorded.append(rig.store.fail_run(run, failed, rig.now)))
        thread.start()
        await_waiting(url)
        server.commit()
        thread.join(LONG)
    assert [row and row.outcome for row in recorded] == ["changed"]
    assert rig.rows(f"SELECT outcome, error FROM sync_runs WHERE id = {run.id}") == [("changed", None)]


def test_a_transaction_with_a_failed_statement_is_never_taken_for_committed(rig: Rig) -> None:
    """PostgreSQL answers its COMMIT with a ROLLBACK, and no error."""
    with (
        pytest.raises(TransientDatabaseError, match="a statement of the transaction had failed"),
        rig.database.begin("testing") as connection,
        contextlib.suppress(psycopg.Error),
    ):
        connection.connection.driver_connection.execute("SELECT nonsense")  # type: ignore[union-attr]
    assert rig.sync().outcome == "changed"


def test_a_server_that_does_not_answer_is_a_reason_to_try_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = parse_url(f"postgresql://nobody@127.0.0.1:{port}/x?connect_timeout=2")
        told = pytest.raises(TransientDatabaseError, match="timeout")
        with closing(open_database(url)) as database, told, database.begin("asking"):
            """Not reached."""
