"""What a sync leaves in a real database."""

from __future__ import annotations

import gc
import inspect
import weakref
from collections.abc import Generator
from dataclasses import replace

import msgspec
import pytest
from rig import START, Rig, record

from rfsync.api.client import Response
from rfsync.config import ApiConfig, Config, RemovalsConfig
from rfsync.daemon.metrics import read_totals
from rfsync.database.engine import open_engine
from rfsync.database.errors import translated
from rfsync.errors import DatabaseError, ErrorKind, FetchError, SchemaError
from rfsync.ledger import bulk_postgres
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.runs import RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.ledger.verify import verify
from rfsync.parsing import Target
from rfsync.records import Kind
from rfsync.redaction import Secret
from rfsync.sync.check import worst_case
from rfsync.sync.run import sync
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces

ODD_NAMES = ["tab\there", "new\nline", "back\\slash", "\\N", "'quote\"", "ünï 🐙", "", "\\.", "a\r\nb", "\ufffd", " "]
ODD_IDS = [
    "B",
    "a",
    "Z9",
    "é",
    "z",
    "🐙",
    "\uffee",
    "-1",
    "a b",
    "\\N",
    "%s",
    ":x",
    "a/b",
    "?",
    "'; DROP TABLE batches",
]


def test_odd_names_and_ids_come_back_as_they_were(rig: Rig) -> None:
    rig.listed = [record(i, 1, 1, n) for i, n in zip(ODD_IDS, [*ODD_NAMES, *ODD_NAMES], strict=False)]
    assert rig.sync().outcome == "changed"
    # As a second answer, in another order and with a byte more, so that it has to be compared.
    rig.listed = [*reversed(rig.listed)]
    second = rig.sync()
    assert (second.outcome, second.changes[Kind.BATCH]) == ("unchanged", [])
    stored = rig.rows("SELECT batch_id, name FROM batches")
    assert sorted(stored) == sorted((r["id"], r["name"]) for r in rig.listed)


@pytest.mark.parametrize("nanoseconds", [0, 999_499_000, 999_500_000, 999_999_999])
@pytest.mark.parametrize("number", [1, 20])
def test_any_fraction_of_a_second_comes_back_as_it_was(rig: Rig, nanoseconds: int, number: int) -> None:
    uploaded = {"_seconds": 1_669_146_024, "_nanoseconds": nanoseconds}
    rig.listed = [record(f"b{i}") | {"uploaded": uploaded} for i in range(number)]
    rig.sync()
    rig.listed.reverse()
    rig.listed.append(record("another, so that the rest is compared"))
    assert [change.kind for change in rig.sync().changes[Kind.BATCH]] == ["added"]


def test_a_failure_while_batches_are_read_leaves_no_cursor_behind(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_postgres, "_ROWS_AT_ONCE", 2)  # then they come through a cursor on the server
    rig.listed = [record(f"b{i}", 1) for i in range(9)]
    rig.sync()
    reading: list[Generator[object]] = []

    def fail(transaction: Transaction, *_: object, **__: object) -> None:
        reading.extend(transaction._current)
        with translated("looking for removed batches"):
            transaction._connection.exec_driver_sql("SELECT nonsense")

    rig.listed.insert(3, record("b2a", 1))
    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "_select", fail)
        assert rig.sync().outcome == "failed"
    assert [inspect.getgeneratorstate(one) for one in reading] == [inspect.GEN_CLOSED]
    assert rig.sync().outcome == "changed"


def test_a_failed_attempt_leaves_nothing_in_memory(rig: Rig) -> None:
    class Large:
        pass

    left: list[weakref.ref[Large]] = []

    def attempt() -> None:
        large = Large()
        left.append(weakref.ref(large))
        with rig.database.begin("testing") as connection:
            connection.exec_driver_sql("SELECT nonsense")

    gc.collect()
    gc.disable()
    try:
        with pytest.raises(DatabaseError, match=r"^testing: "):
            attempt()
        assert [one() for one in left] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize("known", [0, 3], ids=["first load", "into a known project"])
def test_the_largest_count_fits_everywhere(rig: Rig, known: int) -> None:
    rig.listed = [record(f"known {i}", 1, 1) for i in range(known)]
    rig.sync()
    most = 2**53 - 1
    rig.listed = [*rig.listed, record("big", most, most)]
    assert rig.sync().row.images_delta == most
    assert rig.state()["big"] == (most, most)
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_a_sum_too_large_for_the_database_fails_cleanly(rig: Rig) -> None:
    rig.listed = [record(f"{i:04d}", 2**53 - 1, 0) for i in range(1025)]
    result = rig.sync()
    assert (result.outcome, result.error_kind) == ("failed", ErrorKind.DATABASE)
    assert rig.state() == {}
    assert rig.rows("SELECT outcome, error_kind FROM sync_runs") == [("failed", "database")]


def test_an_unchanged_run_writes_its_own_row_and_the_projects(rig: Rig) -> None:
    rig.listed = [record(f"b{i}", i, 1) for i in range(50)]
    rig.sync()
    tables = ("batches", "batch_changes", "project_daily")
    before = [rig.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]
    written = _row_versions(rig)
    assert rig.sync().outcome == "unchanged"
    assert [rig.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables] == before
    assert _row_versions(rig) == written
    assert rig.rows("SELECT count(*) FROM sync_runs") == [(2,)]


def _row_versions(rig: Rig) -> object:
    """Changes whenever a row of these tables is written, also with the same values."""
    if rig.file is None:
        return rig.rows("SELECT xmin::text, ctid::text FROM batches ORDER BY 2")
    return rig.rows("SELECT count(*) FROM batches")


def test_a_failed_run_leaves_one_row_and_the_state_as_it_was(rig: Rig) -> None:
    rig.listed = [record("a", 5, 1)]
    rig.sync()
    before = rig.rows("SELECT * FROM projects")
    rig.listed = FetchError(ErrorKind.SERVER, "HTTP 503", http_status=503, attempts=5, response_bytes=7)
    assert rig.sync().error_kind == ErrorKind.SERVER
    assert rig.rows("SELECT * FROM projects") == before
    last = rig.rows(
        "SELECT outcome, attempts, http_status, response_bytes, batches, error_kind, error "
        "FROM sync_runs ORDER BY id DESC"
    )[0]
    assert last == ("failed", 5, 503, 7, None, "server", "HTTP 503")


def test_a_project_that_is_none_leaves_nothing_whatever_its_runs_ended_with_before(rig: Rig) -> None:
    rig.listed = FetchError(ErrorKind.AUTH, "HTTP 401", http_status=401, attempts=1)
    assert rig.sync().run_id is not None
    rig.store.projects.rename(Target("acme", "widgets"), Target("acme", "widgts"), rig.now)
    rig.project = "widgts"
    rig.projects = []
    other = rig.store.begin_run(ProjectPath("acme", "widgts"), None, "cli", rig.now)
    assert (rig.sync().error_kind, rig.sync().run_id) == ("not_found", None)
    # Another one still goes on.
    assert rig.rows("SELECT project FROM projects") == [("widgts",)]
    rig.store.fail_run(other, RunRow("failed", error_kind="auth", error="HTTP 401"), rig.now)
    assert rig.sync().error_kind == "not_found"
    assert [rig.rows(f"SELECT * FROM {name}") for name in ("projects", "sync_runs", "project_renames")] == [[]] * 3


def test_what_raises_inside_a_transaction_undoes_all_of_it(rig: Rig) -> None:
    rig.listed = [record("a", 5, 1)]
    rig.sync()
    run = rig.store.begin_run(ProjectPath("acme", "widgets"), None, "cli", rig.now)
    before = rig.rows("SELECT * FROM projects")

    def write_and_fail(transaction: Transaction) -> None:
        transaction.finish(transaction.state, RunRow("unchanged"), rig.now)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rig.store.write(run, write_and_fail)
    assert rig.rows("SELECT * FROM projects") == before
    assert rig.rows(f"SELECT outcome FROM sync_runs WHERE id = {run.id}") == [("running",)]


def test_a_name_learnt_by_discovery_stays(rig: Rig) -> None:
    rig.sync()
    rig.store.begin_run(ProjectPath("acme", "widgets"), "Widgets", "cli", rig.now)
    rig.store.begin_run(ProjectPath("acme", "widgets"), None, "cli", rig.now)
    assert rig.rows("SELECT name FROM projects") == [("Widgets",)]


def test_a_run_without_its_process_is_found_abandoned_and_a_living_one_is_not(rig: Rig, database_url: str) -> None:
    other = Rig(database_url)
    killed = other.store.begin_run(ProjectPath("acme", "widgets"), None, "cli", START)
    living = rig.store.begin_run(ProjectPath("acme", "widgets"), None, "cli", START)
    assert rig.store.abandon_dead_runs(START) == 0
    other.die()
    assert rig.store.abandon_dead_runs(START) == 1
    outcomes = dict(rig.rows("SELECT id, outcome FROM sync_runs"))
    assert outcomes == {killed.id: "abandoned", living.id: "running"}
    rig.store.fail_run(living, RunRow("failed", error_kind="server"), START)
    assert rig.store.abandon_dead_runs(START) == 0


def test_a_dry_store_writes_nothing_at_all(rig: Rig) -> None:
    from rfsync.ledger.run_locks import NoRunLocks
    from rfsync.ledger.store import Store

    rig.listed = [record("a", 5, 1)]
    rig.sync()
    rig.listed = [record("a", 6, 1), record("b", 1, 0)]
    tables = ("projects", "batches", "batch_changes", "project_daily", "sync_runs")
    before = [rig.rows(f"SELECT * FROM {table}") for table in tables]
    dry = Store(rig.database, NoRunLocks(), dry=True)
    context = SyncContext(rig, Workspaces(rig), dry, rig.removals, lambda: rig.now, str, keep_changes=True)
    result = sync(context, SyncTask("acme", "widgets", Secret("key")))
    assert (result.outcome, result.run_id, result.row.images_delta) == ("changed", None, 2)
    assert [c.record.id for c in result.changes[Kind.BATCH]] == ["a", "b"]
    assert [rig.rows(f"SELECT * FROM {table}") for table in tables] == before


def test_times_are_written_in_the_documented_form(rig: Rig) -> None:
    rig.listed = [{"id": "a", "uploaded": {"_seconds": 253402300799, "_nanoseconds": 999_999_999}}]
    rig.sync()
    uploaded, seen = rig.rows("SELECT uploaded_at, first_seen_at FROM batches")[0]
    if rig.file is not None:
        assert (uploaded, seen) == ("9999-12-31 23:59:59.999999", "2026-01-01 00:05:00.000000")
    else:
        assert (uploaded.isoformat(), seen) == ("9999-12-31T23:59:59.999999+00:00", rig.now)  # type: ignore[attr-defined]
    rig.listed = [{"id": "a", "uploaded": {"_seconds": 253402300799, "_nanoseconds": 999_999_000}}]
    assert rig.sync().outcome == "unchanged"
    rig.listed = [{"id": "a", "uploaded": {"_seconds": 0}}]
    assert rig.sync().tally.changed == 1
    rig.listed = [{"id": "a", "uploaded": {"_seconds": 0, "_nanoseconds": 999}}]
    assert rig.sync().outcome == "unchanged"


def test_driver_errors_are_translated_without_their_context(rig: Rig) -> None:
    with pytest.raises(DatabaseError) as caught, translated("asking"):
        rig.rows("SELECT nonsense FROM nowhere")
    assert caught.value.__context__ is None
    assert "asking" not in str(caught.value)
    assert str(caught.value).startswith("testing: ")


def test_an_unlisted_batch_is_asked_for_again_once_a_day(rig: Rig) -> None:
    rig.listed = [record("a", 1, 1), record("e", 10, 1)]
    rig.sync()
    rig.listed = [record("a", 1, 1)]
    rig.by_id = {"e": record("e", 10, 1)}
    assert rig.sync().outcome == "unchanged"
    since = rig.rows("SELECT unlisted_at FROM batches WHERE batch_id = 'e'")
    assert since != [(None,)]
    rig.by_id = {"e": record("e", 2, 1)}
    runs = [rig.sync() for _ in range(3)]
    assert ([run.outcome for run in runs], rig.asked) == (["unchanged"] * 3, ["e"])
    assert rig.rows("SELECT fingerprint IS NULL FROM projects") in ([(0,)], [(False,)])
    assert rig.sync(minutes=24 * 60).row.images_delta == -8
    assert rig.rows("SELECT unlisted_at FROM batches WHERE batch_id = 'e'") == since
    rig.by_id = {"e": FetchError(ErrorKind.SERVER, "HTTP 500", attempts=1)}
    doubtful = rig.sync(minutes=24 * 60)
    assert doubtful.outcome == "unchanged"
    assert doubtful.error is not None
    assert "e: HTTP 500" in doubtful.error
    assert rig.rows("SELECT fingerprint FROM projects") == [(None,)]
    rig.by_id = {}
    assert rig.sync().tally.removed == 1
    assert rig.asked == ["e"] * 4
    assert rig.state() == {"a": (1, 1)}
    assert rig.rows("SELECT count(*) FROM missing_batches") == [(0,)]
    assert rig.rows("SELECT unlisted_at FROM batches WHERE batch_id = 'e'") == [(None,)]
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_a_look_at_a_departed_project_that_fails_is_still_one_at_a_departed_project(rig: Rig) -> None:
    rig.listed = [record("a", 1)]
    rig.sync()
    rig.listed, rig.projects = FetchError(ErrorKind.NOT_FOUND, "HTTP 404", http_status=404, attempts=1), ["others"]
    assert rig.sync().departed
    rig.listed, rig.projects = FetchError(ErrorKind.SERVER, "HTTP 500", http_status=500, attempts=1), ["widgets"]
    look = rig.sync(insist=True)
    assert (look.outcome, look.departed) == ("failed", True)


def test_more_unlisted_batches_than_are_asked_for_in_a_run_are_all_asked_in_turn(rig: Rig) -> None:
    rig.removals = RemovalsConfig(confirm_limit=2)
    names = [f"b{number}" for number in range(5)]
    rig.listed = [record(name, 1) for name in names]
    rig.sync()
    rig.listed = []
    rig.by_id = {name: record(name, 0) for name in names}
    while rig.sync().error is not None or len(set(rig.asked)) < 5:
        pass
    # Once a day there is one run, which asks two of them.
    rig.by_id = {}
    for _ in range(3):
        rig.sync(minutes=2 * 24 * 60)
    assert rig.state() == {}
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_a_batch_that_an_older_answer_brings_meanwhile_is_asked_for_too(rig: Rig, database_url: str) -> None:
    rig.listed = [record("a", 1, 1), record("b", 1, 1)]
    rig.sync()
    older = Rig(database_url)
    older.listed = [record("a", 1, 1), record("b", 1, 1), record("late", 7, 7)]

    class AskedEarlier:
        """Answers what was asked for before the other's request, and is written after it was answered."""

        def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
            return replace(older.get(*segments, key=key), sent_us=1)

        def cancel(self) -> None:
            """Never called."""

    class Overtaken:
        """Answers that ``b`` is gone, and meanwhile the older answer is written."""

        def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
            if segments[-1] == "b":
                context = SyncContext(
                    AskedEarlier(), Workspaces(AskedEarlier()), older.store, older.removals, lambda: older.now, str
                )
                assert sync(context, SyncTask("acme", "widgets", Secret("key"))).tally.added == 1
            return rig.get(*segments, key=key)

        def cancel(self) -> None:
            """Never called."""

    rig.listed = [record("a", 2, 1)]
    context = SyncContext(Overtaken(), Workspaces(Overtaken()), rig.store, rig.removals, lambda: rig.now, str)
    result = sync(context, SyncTask("acme", "widgets", Secret("key")))
    assert (result.outcome, result.tally.removed, result.tally.changed, result.error) == ("changed", 2, 1, None)
    assert rig.asked == ["b", "late"]
    assert rig.state() == {"a": (2, 1)}
    assert verify(open_engine(rig.url, read_only=True)).ok
    older.close()


def test_a_run_that_had_ended_is_not_made_a_failure(rig: Rig) -> None:
    """Whatever happens after the commit: the ledger has the run's changes, and its row has to say so."""
    rig.listed = [record("a", 5, 1)]
    assert rig.sync().outcome == "changed"
    run = replace(rig.store.begin_run(ProjectPath("acme", "widgets"), None, "cli", rig.now), id=1)
    ended = rig.store.fail_run(run, RunRow("abandoned", error="asked to stop"), rig.now)
    assert ended is not None
    assert (ended.outcome, ended.tally.added, ended.error) == ("changed", 1, None)
    assert rig.rows("SELECT outcome, added, error FROM sync_runs WHERE id = 1") == [("changed", 1, None)]
    assert verify(open_engine(rig.url, read_only=True)).ok


@pytest.mark.parametrize(("attempts", "limit"), [(1, 0), (1, 3), (5, 1), (5, 25)])
def test_no_run_takes_longer_than_the_worst_case_that_check_prints(rig: Rig, attempts: int, limit: int) -> None:
    """An API at whose every answer the last attempt and the last second are spent, and three wait for their turn."""
    api = ApiConfig(
        attempts=attempts, deadline_seconds=59.0, max_wait_seconds=7.0, requests_per_second=1.0, concurrency=3
    )
    config = Config(api=api)
    spent: list[float] = []

    class Slow:
        def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
            tries = attempts or config.api.attempts
            spent.append(tries * (59.0 + 3.0) + (tries - 1) * 7.0)
            return replace(rig.get(*segments, key=key), attempts=tries)

        def cancel(self) -> None:
            """Never called."""

    rig.removals = RemovalsConfig(confirm_limit=limit)
    rig.listed = [record(f"b{number:02}", 1, 1) for number in range(limit + 1)]
    rig.sync()
    rig.by_id = {f"b{number:02}": record(f"b{number:02}", 2, 1) for number in range(limit)}
    rig.listed = rig.listed[limit:]
    context = SyncContext(Slow(), Workspaces(Slow()), rig.store, rig.removals, lambda: rig.now, str)
    result = sync(context, SyncTask("acme", "widgets", Secret("key")))
    assert (result.ok, len(spent)) == (True, 2 + limit)
    printed = worst_case(msgspec.structs.replace(config, removals=rig.removals))
    assert seconds(printed.partition("after ")[2].partition(" at the latest")[0]) == spent[0]
    # The two more are the lists, where each is asked for once more.
    assert seconds(printed.rpartition("after ")[2]) == sum(spent) + 2 * 62.0


def seconds(span: str) -> float:
    """Of a span such as "1 h 2 min 3 s"."""
    words = span.split()
    return sum(int(n) * {"h": 3600, "min": 60, "s": 1}[unit] for n, unit in zip(words[::2], words[1::2], strict=True))


def test_pruning_deletes_old_runs_that_changed_nothing_and_changes_nothing_else(rig: Rig) -> None:
    answers: list[object] = [1, 1, "failed", 1, 2, "failed", 2, 2, "failed", "failed"]
    for answer in answers:
        no = FetchError(ErrorKind.SERVER, "no")
        rig.listed = no if answer == "failed" else [record("a", int(str(answer)), 1)]
        rig.sync()
    rig.store.begin_run(ProjectPath("acme", "widgets"), None, "cli", rig.now)
    tables = ("SELECT * FROM batch_changes", "SELECT * FROM projects", "SELECT * FROM sync_health")
    before = [rig.rows(table) for table in tables]
    assert rig.store.prune(START) == 0
    cut = START.replace(minute=5 * 5 + 1)  # after the fifth run
    assert rig.store.prune(cut) == 3
    kept = [(number, str(outcome)) for number, outcome in rig.rows("SELECT id, outcome FROM sync_runs ORDER BY id")]
    assert kept == [
        *((1, "changed"), (5, "changed"), (6, "failed"), (7, "unchanged"), (8, "unchanged")),
        *((9, "failed"), (10, "failed"), (11, "running")),
    ]
    # However old: what the view of its health looks at stays.
    assert rig.store.prune(START.replace(year=2100)) == 2
    assert [row[0] for row in rig.rows("SELECT id FROM sync_runs ORDER BY id")] == [1, 5, 8, 9, 10, 11]
    assert [rig.rows(table) for table in tables] == before
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_a_schema_that_was_upgraded_meanwhile_is_not_written(rig: Rig) -> None:
    rig.listed = [record("a", 1)]
    rig.sync()
    rig.rows("UPDATE rfsync_version SET version_num = '9999'")
    before = rig.rows("SELECT id FROM sync_runs"), rig.rows("SELECT * FROM projects")
    rig.listed = [record("a", 2)]
    result = rig.sync()
    assert (result.outcome, result.error_kind, result.run_id) == ("failed", "database", None)
    said = "the database is at schema 9999, which this version does not know: install the newer rfsync"
    assert result.error == said
    assert (rig.rows("SELECT id FROM sync_runs"), rig.rows("SELECT * FROM projects")) == before
    engine = open_engine(rig.url, read_only=True)
    with pytest.raises(SchemaError, match="9999"):
        read_totals(engine)
    engine.dispose()
