"""No question reads the whole ledger: the plans that the databases make for the SQL that is really sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from bench.ledger import build
from bench.world import END, Size
from rfsync import connect, history
from tests.conftest import new_databases

#: Enough for the databases to care.
SIZE = Size(rows=40_000, projects=40, large=1_000, days=120, jobs=20_000)
MONTH = (END - timedelta(days=40), END - timedelta(days=10))
WEEK = (END - timedelta(days=20, hours=3), END - timedelta(days=13))
PROJECT = "acme/project-0007"

Ask = Callable[[Engine], Any]

QUESTIONS: dict[str, Ask] = {
    "batches now": lambda e: history.batches(e, PROJECT),
    "batches then": lambda e: history.batches(e, PROJECT, as_of=MONTH[0]),
    "all batches then": lambda e: history.batches(e, as_of=MONTH[0]),
    "batches untouched now": lambda e: history.batches(e, unchanged_for="7d"),
    "batches untouched then": lambda e: history.batches(e, as_of=MONTH[0], unchanged_for="7d"),
    "changes of a project": lambda e: history.changes(e, PROJECT),
    "changes of a batch": lambda e: history.changes(e, PROJECT, batch_ids=[min(history.batches(e, PROJECT)).batch_id]),
    "changes of a week": lambda e: history.changes(e, since=WEEK[0], until=WEEK[1]),
    "newest changes": lambda e: history.changes(e, PROJECT, newest_first=True, limit=50),
    "totals": lambda e: history.totals(e, since=MONTH[0], until=MONTH[1]),
    "totals without bounds": lambda e: history.totals(e, now=END),
    "totals of a project by hour": lambda e: history.totals(e, PROJECT, by="hour", since=WEEK[0], until=WEEK[1]),
    "totals by month elsewhere": lambda e: history.totals(e, by="month", tz="Asia/Kathmandu", now=END),
    "totals as one": lambda e: history.totals(e, "acme", summed=True, now=END),
    "totals of some as one": lambda e: history.totals(e, [PROJECT, "other"], summed=True, since=WEEK[0], until=WEEK[1]),
    "throughput": lambda e: history.throughput(e, "acme", since=WEEK[0], until=WEEK[1], summed=True),
    "flow": lambda e: history.flow(e, since=WEEK[0], until=WEEK[1]),
    "movers": lambda e: history.movers(e, since=WEEK[0], until=WEEK[1]),
    "movers among batches": lambda e: history.movers(e, of="batches", since=WEEK[0], until=WEEK[1]),
    "flow without first looks": lambda e: history.flow(e, since=WEEK[0], until=WEEK[1], first_looks=False),
    "movers without first looks": lambda e: history.movers(
        e, of="batches", since=WEEK[0], until=WEEK[1], first_looks=False
    ),
    "waiting": lambda e: history.waiting(e, PROJECT),
    "backlog": lambda e: history.backlog(e, now=END),
    "first jobs": lambda e: history.first_jobs(e, PROJECT, since=MONTH[0], until=MONTH[1]),
    "totals without first looks": lambda e: history.totals(e, since=MONTH[0], until=MONTH[1], first_looks=False),
    "jobs now": lambda e: history.jobs(e, PROJECT, status="complete"),
    "jobs then": lambda e: history.jobs(e, as_of=MONTH[0]),
    "versions of a job": lambda e: history.job_versions(e, job_ids=min(j.job_id for j in history.jobs(e, PROJECT))),
    "versions of the jobs of a project": lambda e: history.job_versions(e, PROJECT),
    "changes of the jobs of a project": lambda e: history.job_changes(e, PROJECT),
    "changes of the jobs of a batch": lambda e: history.job_changes(
        e, batch_ids=min(str(j.batch_id) for j in history.jobs(e, PROJECT))
    ),
    "changes of jobs in a week": lambda e: history.job_changes(e, since=WEEK[0], until=WEEK[1]),
    "newest changes of jobs": lambda e: history.job_changes(e, PROJECT, newest_first=True, limit=50),
    "progress": lambda e: history.progress(e, PROJECT),
    "work": lambda e: history.work(e, since=MONTH[0], until=MONTH[1]),
    "work by month elsewhere": lambda e: history.work(e, by="month", tz="Asia/Kathmandu", now=END, summed=True),
    "work of labelers by hour": lambda e: history.work(
        e, PROJECT, by="hour", since=WEEK[0], until=WEEK[1], labelers=True
    ),
    "labelers": lambda e: history.labelers(e, since=WEEK[0], until=WEEK[1]),
    "places of images": lambda e: history.image_places(e, PROJECT, since=MONTH[0], until=MONTH[1]),
    "places of all images": lambda e: history.image_places(e, by="week", since=WEEK[0], until=WEEK[1], summed=True),
    "open jobs": lambda e: history.open_jobs(e, unchanged_for="7d", now=END),
    "removed jobs": lambda e: history.removed_jobs(e, since=MONTH[0]),
    "removed jobs until then": lambda e: history.removed_jobs(e, since=MONTH[0], until=MONTH[1]),
    "stages": lambda e: history.stages(e, PROJECT, since=MONTH[0]),
    "falls": lambda e: history.falls(e, since=WEEK[0], until=WEEK[1]),
    "falls of a batch": lambda e: history.falls(e, batch_ids=[min(history.batches(e, PROJECT)).batch_id]),
    "status": history.status,
    "freshness": lambda e: history.freshness(e, now=END),
    "first observed": history.first_observed,
    "digest": lambda e: history.digest(e, since=MONTH[0], now=END),
}


def plans(engine: Engine, ask: Ask) -> list[str]:
    """What the database says it does for each statement of a question."""
    sent: list[tuple[str, Any]] = []

    def note(_1: Any, _2: Any, statement: str, parameters: Any, _3: Any, _4: Any) -> None:
        if not statement.startswith("BEGIN"):
            sent.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    answer = ask(engine)
    if isinstance(answer, Iterator):
        list(answer)
    event.remove(engine, "before_cursor_execute", note)
    assert sent
    explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
    with engine.connect() as connection:
        answers = [connection.exec_driver_sql(explain + statement, parameters).all() for statement, parameters in sent]
    return ["\n".join(str(row[-1]) for row in rows) for rows in answers]


def scans(plan: str) -> bool:
    """Whether a plan reads the ledger from one end to the other, by itself or by an index of it."""
    lines = plan.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        words = line.replace("->", " ").split()
        if words[:1] == ["SCAN"] and words[1] in {"batch_changes", "job_changes", "b", "c", "newest", "e", "f", "n"}:
            return True
        if (
            (" on batch_changes" in line or " on job_changes" in line)
            and "Scan" in line
            and "Index Cond" not in following
            and "Bitmap Heap" not in line
        ):
            return True
    return False


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A ledger of some size, of which PostgreSQL knows its statistics."""
    with ExitStack() as stack:
        url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'ledger.db'}"
        if request.param == "postgresql":
            url = stack.enter_context(new_databases(request.getfixturevalue("postgres")))(None)
        build(url, SIZE)
        yield connect(url)


def test_no_question_scans_the_ledger(ledger: Engine) -> None:
    guilty = {name: plan for name, ask in QUESTIONS.items() for plan in plans(ledger, ask) if scans(plan)}
    assert not guilty, "\n\n".join(f"{name}: {plan}" for name, plan in guilty.items())


def test_no_run_is_read_to_find_one_that_failed(tmp_path: Path) -> None:
    """A project whose syncs go well has as many runs as it had polls; that SQLite reads them all is easily missed."""
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    build(url, Size(rows=200, projects=2, large=100, days=2))
    (plan,) = plans(connect(url), history.status)
    of_the_bad = [line for line in plan.splitlines() if "ix_sync_runs_bad (project_id=? AND id>?)" in line]
    assert len(of_the_bad) == 2, plan  # the last one, and how many since the last success


def test_no_row_of_a_long_answer_is_lost(ledger: Engine) -> None:
    """More rows than are fetched at once."""
    with ledger.connect() as connection:
        ((count,),) = connection.exec_driver_sql("SELECT count(*) FROM batch_changes").all()
        ids = [
            row[0] for row in connection.exec_driver_sql("SELECT run_id FROM batch_changes ORDER BY observed_at, id")
        ]
    rows = list(history.changes(ledger))
    assert len(rows) == count > 20_000
    assert [row.run_id for row in rows] == ids


def test_every_question_is_looked_at(ledger: Engine) -> None:
    asked = {name for name in history.__all__ if name.islower()} - {"require_known"}
    code = {name for ask in QUESTIONS.values() for name in (*ask.__code__.co_names, ask.__name__)}
    assert asked <= code


def test_a_scan_would_be_seen(ledger: Engine) -> None:
    def ask(sql: str) -> Ask:
        def send(engine: Engine) -> object:
            with engine.connect() as connection:
                return connection.exec_driver_sql(sql).all()

        return send

    for sql in (
        "SELECT sum(images_delta) FROM batch_changes c WHERE images = 7",
        "SELECT max(observed_at) FROM (SELECT * FROM batch_changes c ORDER BY project_id, observed_at LIMIT 90000) x",
    ):
        assert all(scans(plan) for plan in plans(ledger, ask(sql))), sql
    # The whole ledger is a scan: that is what was asked for.
    assert len(plans(ledger, history.changes)) == 1
