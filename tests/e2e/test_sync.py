"""``rfsync sync`` when all is well: what it writes, and what it says."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import pytest

from rfsync.simulator import DOCUMENTED_JOB
from tests.e2e.conftest import NOTHING, RFC3339, STORED_TIME, Cli, Database, batch, job

# The columns of section 4 of the contract, in its order.
JOB_COUNTS = ["num_images", "annotated", "unannotated", "approved", "rejected"]
FLOWS = [
    *["jobs_opened", "images_assigned", "annotated_gained", "annotated_lost"],
    *["approved_gained", "approved_lost", "rejected_gained", "rejected_lost"],
]
COLUMNS = {
    "projects": ["id", "workspace", "project", "name", "batches", "images", "num_jobs", "observed_at"],
    "batches": [
        *["project_id", "batch_id", "name", "uploaded_at", "images", "num_jobs"],
        *["first_seen_at", "changed_at", "removed_at", "unlisted_at"],
    ],
    "batch_changes": [
        *["id", "run_id", "project_id", "batch_id", "observed_after", "observed_at", "change"],
        *["images", "num_jobs", "images_delta", "num_jobs_delta", "name"],
    ],
    "project_daily": [
        *["project_id", "day", "changes", "batches_added", "batches_removed", "images_gained", "images_lost"],
        *["jobs_gained", "jobs_lost", "batches", "images", "num_jobs"],
    ],
    "project_renames": ["project_id", "workspace", "project", "renamed_at"],
    "jobs": [
        *["project_id", "job_id", "batch_id", "name", "status", "labeler_id", "reviewer_id", "created_by"],
        *["created_at", *JOB_COUNTS, "first_seen_at", "changed_at", "removed_at", "unlisted_at"],
    ],
    "people": ["id", "address"],
    "job_changes": [
        *["id", "run_id", "project_id", "job_id", "batch_id", "observed_after", "observed_at", "change", "status"],
        *["labeler_id", "reviewer_id", "name", *JOB_COUNTS, *(f"{name}_delta" for name in JOB_COUNTS)],
    ],
    "labeler_daily": ["project_id", "day", "labeler_id", *FLOWS],
    "sync_runs": [
        *["id", "project_id", "trigger", "started_at", "finished_at", "outcome", "attempts", "http_status"],
        *["response_bytes", "batches", "added", "changed", "removed", "restored", "rejected"],
        *["images_delta", "num_jobs_delta", "error_kind", "error"],
        *["jobs", "jobs_changed", "jobs_error_kind", "jobs_error"],
    ],
}
# What the sync keeps for itself beside them; of ``projects`` it is too much to tell.
KEPT = {"people": {"digest", "forgotten_at"}, "sync_runs": {"lease_expires_at"}}
_NAMED = {"workspace", "project"}
VIEWS = {
    "current_batches": {*_NAMED, *COLUMNS["batches"]} - {"project_id", "removed_at", "unlisted_at"},
    "batch_history": {*_NAMED, "batch_id", "valid_from", "valid_to", "name", "images", "num_jobs", "change"},
    "change_log": {*_NAMED, *COLUMNS["batch_changes"]},
    "project_totals_daily": {*_NAMED, *COLUMNS["project_daily"]} - {"project_id"},
    "current_jobs": {
        *[*_NAMED, "job_id", "batch_id", "name", "status", "labeler", "reviewer", *JOB_COUNTS],
        *["created_at", "first_seen_at", "changed_at"],
    },
    "job_history": {
        *[*_NAMED, "job_id", "batch_id", "valid_from", "valid_to", "name", "status", "labeler", "reviewer"],
        *[*JOB_COUNTS, "change"],
    },
    "job_log": {*_NAMED, *COLUMNS["job_changes"], "labeler", "reviewer"},
    "batch_progress": {*_NAMED, "batch_id", "images", "in_jobs", "annotated", "approved", "rejected", "total"},
    "labeler_totals_daily": {*_NAMED, *COLUMNS["labeler_daily"], "labeler"},
    "sync_health": {
        *_NAMED,
        *["last_run_at", "last_outcome", "last_success_at", "consecutive_failures", "last_error_kind", "last_error"],
    },
}
UPLOADED = "2022-11-22 19:40:24.818000"


@pytest.mark.new_python
def test_the_first_sync_writes_every_table_and_view(cli: Cli) -> None:
    cli.world.set("acme/widgets", {"batches": [batch("b2", 11, name="Upload via API"), batch("b1", 115, 2)]})
    cli.world.set_jobs("acme/widgets", [DOCUMENTED_JOB | {"sourceBatch": "internal/b1"}])
    done = cli.run("sync", "acme/widgets", "--json")
    assert done.err == ""
    printed = done.json
    (run_id,) = cli.database.column("SELECT id FROM sync_runs")
    assert list(printed) == ["started_at", "finished_at", "ok", "projects"]
    assert all(RFC3339.fullmatch(printed[key]) for key in ("started_at", "finished_at"))
    assert printed["started_at"] <= printed["finished_at"]
    assert printed["ok"] is True
    project = {"workspace": "acme", "project": "widgets", "outcome": "changed", "run_id": run_id, **NOTHING}
    project |= {"batches": 2, "added": 2, "images_delta": 126, "num_jobs_delta": 2, "jobs": 1, "jobs_changed": 1}
    assert printed["projects"] == [project]
    assert list(printed["projects"][0]) == list(project)

    database = cli.database
    (stored,) = database.dicts("SELECT * FROM projects")
    at, key = stored["observed_at"], stored["id"]
    assert STORED_TIME.fullmatch(at)
    assert printed["started_at"] <= at.replace(" ", "T") + "Z" <= printed["finished_at"]
    wanted = {"workspace": "acme", "project": "widgets", "name": None, "batches": 2, "images": 126, "num_jobs": 2}
    assert {name: stored[name] for name in wanted} == wanted
    assert database.rows("SELECT * FROM batches ORDER BY batch_id") == [
        (key, "b1", "name of b1", UPLOADED, 115, 2, at, at, None, None),
        (key, "b2", "Upload via API", UPLOADED, 11, 0, at, at, None, None),
    ]
    ledger = database.rows("SELECT * FROM batch_changes ORDER BY batch_id")
    assert [row[1:] for row in ledger] == [
        (run_id, key, "b1", None, at, "added", 115, 2, 115, 2, "name of b1"),
        (run_id, key, "b2", None, at, "added", 11, 0, 11, 0, "Upload via API"),
    ]
    assert database.rows("SELECT * FROM project_daily") == [(key, at[:10], 2, 2, 0, 126, 0, 2, 0, 2, 126, 2)]
    (run,) = database.dicts("SELECT * FROM sync_runs")
    assert STORED_TIME.fullmatch(run["started_at"])
    assert run["started_at"] <= run["finished_at"]
    body = len(cli.world.batches("acme", "widgets").body)
    wanted = {"project_id": key, "trigger": "cli", "outcome": "changed", "http_status": 200, "response_bytes": body}
    wanted |= {name: project[name] for name in NOTHING}
    assert {name: run[name] for name in wanted} == wanted

    columns = "workspace, project, batch_id, name, uploaded_at, images, num_jobs, first_seen_at, changed_at"
    assert database.rows(f"SELECT {columns} FROM current_batches WHERE batch_id = 'b1'") == [
        ("acme", "widgets", "b1", "name of b1", UPLOADED, 115, 2, at, at)
    ]
    history = "SELECT workspace, project, batch_id, valid_from, valid_to, name, images, num_jobs, change"
    assert database.rows(f"{history} FROM batch_history WHERE batch_id = 'b1'") == [
        ("acme", "widgets", "b1", at, None, "name of b1", 115, 2, "added")
    ]
    assert database.column("SELECT change FROM change_log WHERE workspace = 'acme'") == ["added", "added"]
    assert database.rows("SELECT workspace, project, day, images FROM project_totals_daily") == [
        ("acme", "widgets", at[:10], 126)
    ]
    (health,) = database.dicts("SELECT * FROM sync_health")
    assert (health["last_run_at"], health["last_success_at"]) == (run["started_at"], run["started_at"])
    assert (health["last_outcome"], health["consecutive_failures"], health["last_error"]) == ("changed", 0, None)
    check_jobs(database, run_id, key, at)
    cli.balance()
    check_references(cli)


def check_jobs(database: Database, run_id: int, key: int, at: str) -> None:
    """The documented job is in its tables and views, of the same observation as the batches."""
    job_id, created = DOCUMENTED_JOB["id"], "2022-11-22 20:16:32.651000"
    (ann, *_), (bob, *_) = found = database.rows("SELECT id, address FROM people ORDER BY address")
    people = ("ann@example.com", "bob@example.com")
    assert [address for _, address in found] == [*people]
    source, counts = ("b1", "week 12", "assigned"), (25, 12, 2, 0, 0)
    assert database.rows("SELECT * FROM jobs") == [
        (key, job_id, *source, ann, bob, "API", created, *counts, at, at, None, None)
    ]
    assert [row[1:] for row in database.rows("SELECT * FROM job_changes")] == [
        (run_id, key, job_id, "b1", None, at, "added", "assigned", ann, bob, "week 12", *counts, *counts)
    ]
    # When it was annotated, nobody can tell of what the first look shows.
    assert database.rows("SELECT * FROM labeler_daily") == []
    named = ("acme", "widgets", job_id)
    columns = "workspace, project, job_id, batch_id, name, status, labeler, reviewer, " + ", ".join(JOB_COUNTS)
    assert database.rows(f"SELECT {columns}, created_at, first_seen_at, changed_at FROM current_jobs") == [
        (*named, *source, *people, *counts, created, at, at)
    ]
    assert database.rows(f"SELECT {columns}, valid_from, valid_to, change FROM job_history") == [
        (*named, *source, *people, *counts, at, None, "added")
    ]
    assert database.rows(f"SELECT {columns} FROM job_log") == [(*named, *source, *people, *counts)]
    progress = "SELECT batch_id, images, in_jobs, annotated, approved, rejected, total FROM batch_progress ORDER BY 1"
    assert database.rows(progress) == [("b1", 115, 25, 12, 0, 0, 140), ("b2", 11, 0, 0, 0, 0, 11)]


def check_references(cli: Cli) -> None:
    """No row can lose what it refers to."""
    names = ", ".join(COLUMNS["batch_changes"][1:])
    values = names.replace("observed_at", "'2999-01-01 00:00:00.000000'")
    insert = f"INSERT INTO batch_changes ({names}) SELECT {values} FROM batch_changes"
    assert not cli.database.refuses(insert)
    refused = [
        insert.replace("SELECT run_id", "SELECT run_id + 1"),
        insert.replace("SELECT run_id, project_id, batch_id", "SELECT run_id, project_id, 'no ' || batch_id"),
        "UPDATE batches SET project_id = project_id + 1",
        "UPDATE batch_changes SET batch_id = 'b3' WHERE batch_id = 'b2'",
        "UPDATE sync_runs SET project_id = project_id + 1",
        "UPDATE project_daily SET project_id = project_id + 1",
        "UPDATE jobs SET labeler_id = labeler_id + 100",
        "UPDATE job_changes SET run_id = run_id + 1",
        "UPDATE job_changes SET job_id = 'another'",
        "DELETE FROM batches",
        "DELETE FROM jobs",
        "DELETE FROM people",
        "DELETE FROM sync_runs",
        "DELETE FROM projects",
    ]
    assert [statement for statement in refused if not cli.database.refuses(statement)] == []


def test_the_schema_is_the_one_of_the_contract(cli: Cli) -> None:
    database = cli.database
    for table, columns in COLUMNS.items():
        found = database.columns(table)
        assert [name for name in found if name in columns] == columns
        assert table == "projects" or {*found} - {*columns} == KEPT.get(table, set())
    assert {view: set(columns) - set(database.columns(view)) for view, columns in VIEWS.items()} == {
        view: set() for view in VIEWS
    }
    if not database.is_sqlite:
        uncommented = """SELECT c.relname, a.attname FROM pg_class c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'rfsync_version'
            AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)"""
        assert database.rows(uncommented) == []
        types = """SELECT DISTINCT data_type FROM information_schema.columns
            WHERE table_schema = 'public' AND column_name LIKE '%\\_at'"""
        assert database.column(types) == ["timestamp with time zone"]


def test_a_missing_sqlite_database_is_made_and_people_see_a_table(fresh: Cli) -> None:
    fresh.list(batch("b1", 1_234, 2), batch("b2", 5))
    done = fresh.run("sync", "acme/widgets")
    made = f"rfsync: made a new database, {fresh.database.path} (set by {fresh.folder / 'rfsync.toml'})\n"
    assert done.err == made
    header, row = done.out.splitlines()
    assert row.split() == ["acme/widgets", "changed", "2", "2", "0", "0", "0", "0", "+1,239", "+2", "0"]
    assert header.split()[:2] == ["PROJECT", "OUTCOME"]
    assert fresh.database.rows("SELECT batches, images, num_jobs FROM projects") == [(2, 1_239, 2)]
    with closing(sqlite3.connect(fresh.database.path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_what_is_unchanged_costs_no_write(cli: Cli) -> None:
    cli.list(batch("b1", 1), batch("b2", 2))
    cli.world.set_jobs("acme/widgets", [job("j1", 3)])
    cli.sync()
    before = cli.database.dump()
    for table in ("batches", "batch_changes", "project_daily", "jobs", "job_changes", "labeler_daily", "people"):
        for operation in ("INSERT", "UPDATE", "DELETE"):
            cli.database.forbid(operation, table)
    for etag, status in ((True, 304), (False, 200)):
        cli.simulator.etag = etag
        project = cli.sync()
        assert (project["outcome"], project["error"], project["images_delta"]) == ("unchanged", None, 0)
        (run,) = cli.database.dicts(f"SELECT * FROM sync_runs WHERE id = {project['run_id']}")
        assert (run["outcome"], run["http_status"], run["added"]) == ("unchanged", status, 0)
        assert all("if-none-match" in request.headers for request in cli.simulator.requests[-2:])
    after = cli.database.dump()
    assert [len(after[table]) - len(before[table]) for table in ("projects", "sync_runs")] == [0, 2]
    observed = "SELECT observed_at FROM projects"
    assert cli.database.one(observed) > cli.database.one("SELECT max(observed_at) FROM batch_changes")
    cli.balance()


def test_the_same_batches_in_another_order_are_no_change(cli: Cli) -> None:
    # Ids that two databases could sort in two ways, if not by code point.
    ids = ["a", "B", "_", "é", "z", "\uffff", "😀", "a b", "ab", "A-1", "a'b", "ı", "日本", "100%", "a/b?c#d"]
    cli.list(*(batch(one, number) for number, one in enumerate(ids, 1)))
    cli.sync()
    for table in ("batches", "batch_changes"):
        cli.database.forbid("UPDATE", table)
    cli.list(*(batch(one, number) for number, one in reversed([*enumerate(ids, 1)])))
    project = cli.sync()
    assert (project["outcome"], project["batches"]) == ("unchanged", len(ids))
    cli.database.allow("UPDATE", "batches")
    cli.list(*(batch(one, number) for number, one in enumerate(ids, 1) if number % 2))
    assert cli.sync()["removed"] == len(ids) // 2
    asked = {request.path.rpartition("/")[2] for request in cli.simulator.requests[6:]}
    assert {"%C3%A9", "B", "a%20b"} <= asked
    assert set(cli.database.column("SELECT batch_id FROM current_batches")) == set(ids[::2])
    cli.balance()


def test_each_kind_of_change_is_written_and_said(cli: Cli) -> None:
    cli.list(*(batch(one, 10, 1) for one in ("counts", "moment", "renamed", "silent", "still")))
    first = cli.sync()
    cli.list(
        batch("counts", 4, 3),
        batch("moment", 10, 1, uploaded={"_seconds": 1_700_000_000}),
        batch("new", 7),
        batch("renamed", 10, 1, name="a new name"),
        {"id": "silent", "images": None, "name": None},
        batch("still", 10, 1),
    )
    second = cli.sync()
    expected = {**NOTHING, "batches": 6, "added": 1, "changed": 3, "images_delta": 1, "num_jobs_delta": 2, "jobs": 0}
    assert {name: second[name] for name in NOTHING} == expected

    database = cli.database
    before, at = database.column("SELECT DISTINCT observed_at FROM batch_changes ORDER BY 1")
    ledger = """SELECT batch_id, run_id, observed_after, observed_at, change, images, num_jobs, images_delta,
        num_jobs_delta, name FROM batch_changes WHERE run_id <> {} ORDER BY batch_id"""
    run_id = second["run_id"]
    assert database.rows(ledger.format(first["run_id"])) == [
        ("counts", run_id, before, at, "changed", 4, 3, -6, 2, "name of counts"),
        ("moment", run_id, before, at, "changed", 10, 1, 0, 0, "name of moment"),
        ("new", run_id, before, at, "added", 7, 0, 7, 0, "name of new"),
        ("renamed", run_id, before, at, "changed", 10, 1, 0, 0, "a new name"),
    ]
    assert database.rows("SELECT batch_id, name, uploaded_at, images, changed_at FROM batches ORDER BY batch_id") == [
        ("counts", "name of counts", UPLOADED, 4, at),
        ("moment", "name of moment", "2023-11-14 22:13:20.000000", 10, at),
        ("new", "name of new", UPLOADED, 7, at),
        ("renamed", "a new name", UPLOADED, 10, at),
        ("silent", "name of silent", UPLOADED, 10, before),
        ("still", "name of still", UPLOADED, 10, before),
    ]
    history = "SELECT valid_from, valid_to, images FROM batch_history WHERE batch_id = 'counts' ORDER BY 1"
    assert database.rows(history) == [(before, at, 10), (at, None, 4)]
    sums = """SELECT sum(changes), sum(batches_added), sum(batches_removed), sum(images_gained), sum(images_lost),
        sum(jobs_gained), sum(jobs_lost) FROM project_daily"""
    assert [tuple(map(int, row)) for row in database.rows(sums)] == [(9, 6, 0, 57, 6, 7, 0)]
    if database.is_sqlite:
        for table in COLUMNS:
            for name in database.columns(table):
                if name.endswith(("_at", "observed_after")):
                    values = database.column(f"SELECT {name} FROM {table} WHERE {name} IS NOT NULL")
                    assert [value for value in values if not STORED_TIME.fullmatch(value)] == []
    last_day = "SELECT batches, images, num_jobs FROM project_daily ORDER BY day DESC LIMIT 1"
    assert database.rows(last_day) == [(6, 51, 7)]
    cli.verify()


def set_to_2088(cli: Cli) -> None:
    """Makes the database one that was written while the clock was wrong by decades."""
    for table in (*COLUMNS, "workspace_quarter_hours"):
        names = [name for name in cli.database.columns(table) if name.endswith(("_at", "_after", "day", "start"))]
        years = "(interval '1 year' * (2088 - extract(year FROM {0})))"
        later = "'2088' || substr({0}, 5)" if cli.database.is_sqlite else f"{{0}} + {years}"
        cli.database.execute(f"UPDATE {table} SET " + ", ".join(f"{name} = {later.format(name)}" for name in names))


def test_time_never_goes_backwards(cli: Cli) -> None:
    cli.list(batch("b1", 1), batch("b2", 2))
    cli.sync()
    set_to_2088(cli)
    observed = "SELECT observed_at FROM projects"
    at = datetime.fromisoformat(cli.database.one(observed))
    assert at.year == 2088
    cli.list(batch("b1", 5), batch("b3", 3))
    assert cli.sync()["outcome"] == "changed"
    after = [(at + timedelta(microseconds=n)).isoformat(" ", "microseconds") for n in range(3)]
    times = "SELECT DISTINCT observed_after, observed_at FROM batch_changes WHERE observed_after IS NOT NULL"
    assert cli.database.rows(times) == [(after[0], after[1])]
    assert cli.database.one(observed) == after[1]
    assert cli.sync()["outcome"] == "unchanged"
    assert cli.database.one(observed) == after[2]
    cli.verify()


def test_an_empty_project_is_fine(fresh: Cli) -> None:
    fresh.list()
    fresh.list(project="gears")
    done = fresh.run("sync", "acme/widgets", "acme/gears", "--json")
    found: list[Any] = [(one["project"], one["batches"], one["error"]) for one in done.json["projects"]]
    assert sorted(found) == [("gears", 0, None), ("widgets", 0, None)]
    assert fresh.database.column("SELECT batches FROM projects") == [0, 0]
    assert None not in fresh.database.column("SELECT observed_at FROM projects")


def test_a_batch_alone_is_refreshed(cli: Cli) -> None:
    # Both ways in which the API is known to answer, one with each database.
    wrapped = cli.simulator.wrapped = cli.database.is_sqlite
    cli.list(batch("b1", 10), batch("b2", 20), batch("gone", 1))
    cli.sync()
    observed = cli.database.one("SELECT observed_at FROM projects")
    cli.world.set_batch("acme/widgets", "b1", 200, {"batch": batch("b1", 7, 1)} if wrapped else batch("b1", 7, 1))
    asked = len(cli.simulator.requests)
    project = cli.sync("--batch", "b1")
    expected = {"outcome": "changed", "batches": 1, "changed": 1, "images_delta": -3, "num_jobs_delta": 1}
    assert {name: project[name] for name in expected} == expected
    assert [request.path for request in cli.simulator.requests[asked:]] == ["/acme/widgets/batches/b1"]
    assert cli.database.rows("SELECT batch_id, images FROM current_batches ORDER BY 1")[:2] == [("b1", 7), ("b2", 20)]
    # No observation of the project: the next change did not happen after this one, but after the list.
    assert cli.database.one("SELECT observed_at FROM projects") == observed
    # The list still says what it said before; it is not taken for unchanged.
    assert cli.sync()["images_delta"] == 3
    assert cli.database.one("SELECT images FROM current_batches WHERE batch_id = 'b1'") == 10
    cli.balance()


def test_a_batch_alone_that_is_not_found_removes_nothing(fresh: Cli) -> None:
    fresh.list(batch("b1", 10), batch("b2", 20))
    fresh.sync()
    fresh.world.set_batch("acme/widgets", "b1", 200, batch("b1", 7))
    before = fresh.database.dump()
    project = fresh.sync("--batch", "b1", "--batch", "b3", code=1)
    assert (project["outcome"], project["error_kind"]) == ("failed", "not_found")
    after = fresh.database.dump()
    assert {table for table in before if before[table] != after[table]} == {"sync_runs"}
    # One that the list has not shown yet is new.
    fresh.world.set_batch("acme/widgets", "b3", 200, batch("b3", 5))
    assert fresh.sync("--batch", "b3")["added"] == 1
    fresh.balance()
