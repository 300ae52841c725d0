"""Two months of a workspace, over real HTTP: what is stored is what the API has, and it is asked for sparingly."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from rfsync.api.client import Client
from rfsync.config import ApiConfig, Config, RemovalsConfig, WorkspaceConfig
from rfsync.database.engine import open_engine
from rfsync.database.url import parse_url
from rfsync.ledger.run_locks import FileLocks
from rfsync.ledger.store import Store
from rfsync.ledger.verify import verify
from rfsync.redaction import Redactor
from rfsync.schema import upgrade as schema
from rfsync.schema.job_models import JOB_COUNTS
from rfsync.simulator import Simulator, World
from rfsync.sync.circuit_breaker import CircuitBreaker
from rfsync.sync.parallel import sync_all
from rfsync.sync.result import Result
from rfsync.sync.targets import make_workspaces, resolve, wanted
from rfsync.sync.task import SyncContext

START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 60
#: Day -> what happens to a project on it.
EVENTS = {
    10: ("rename", "widgets", "sprockets"),
    20: ("delete", "gears"),
    25: ("restore", "gears"),
    30: ("rename", "sprockets", "widgets"),
    40: ("delete", "scratch-tests"),
    50: ("rename", "gears", "cogs"),
}


@pytest.mark.parametrize("answering", [False, True], ids=["unlisted-404", "unlisted-answer"])
def test_two_months_of_a_workspace(tmp_path: Path, answering: bool) -> None:
    world = World(3, start=START, unlisted_answer=answering)
    path = tmp_path / "rfsync.db"
    results: list[Result] = []
    with Simulator(world) as simulator, closing(Store(schema.ensure_sqlite(path), FileLocks(path))) as store:
        for hour in range(0, DAYS * 24, 8):
            if hour % 24 == 0 and (event := EVENTS.get(hour // 24)):
                getattr(world, event[0])(*event[1:])
            world.advance(START + timedelta(hours=hour))
            results += one_pass(simulator.url, store, world.now)
    assert [result for result in results if not result.ok] == []
    assert [(str(r), str(r.old)) for r in results if r.old] == [
        *(("acme/sprockets", "acme/widgets"), ("acme/widgets", "acme/sprockets"), ("acme/cogs", "acme/gears")),
    ]
    departures = [str(r) for r in results if r.departed and r.outcome == "changed"]
    assert departures == ["acme/gears", "acme/scratch-tests"]
    engine = open_engine(parse_url(f"sqlite:///{path}"), read_only=True)
    assert verify(engine).ok
    with engine.connect() as connection:
        stored = {
            project: {batch_id: (images, jobs) for p, batch_id, images, jobs in rows if p == project}
            for rows in [
                connection.exec_driver_sql("SELECT project, batch_id, images, num_jobs FROM current_batches").all()
            ]
            for project in ("widgets", "cogs", "scratch-tests")
        }
        unlisted = set(
            connection.exec_driver_sql("SELECT batch_id FROM batches WHERE unlisted_at IS NOT NULL").scalars()
        )
    for project in ("widgets", "cogs"):
        listed: list[dict[str, Any]] = world.batches("acme", project)  # type: ignore[assignment]
        expected = {record["id"]: (record["images"], record["numJobs"]) for record in listed}
        assert {i: counts for i, counts in stored[project].items() if i not in unlisted} == expected
        assert stored_jobs(engine, project) == api_jobs(world, project)
    assert stored["scratch-tests"] == stored_jobs(engine, "scratch-tests") == {}
    assert bool(unlisted) == answering
    # What vanishes is asked for, and from then on once a day; a job answers for a week at most.
    asked = {
        kind: max(Counter(r.path for r in simulator.requests if re.search(f"/{kind}/.", r.path)).values())
        for kind in ("batches", "jobs")
    }
    assert asked["batches"] <= (DAYS + 1 if answering else 3)
    assert 1 < asked["jobs"] <= 9


def stored_jobs(engine: Engine, project: str) -> dict[str, tuple[Any, ...]]:
    """By id: counts, batch, status and people of the jobs that exist and are listed."""
    columns = ", ".join(("job_id", *JOB_COUNTS, "batch_id", "status", "labeler", "reviewer"))
    listed = "job_id NOT IN (SELECT job_id FROM jobs WHERE unlisted_at IS NOT NULL)"
    query = text(f"SELECT {columns} FROM current_jobs WHERE project = :project AND {listed}")
    with engine.connect() as connection:
        return {row[0]: tuple(row[1:]) for row in connection.execute(query, {"project": project})}


def api_jobs(world: World, project: str) -> dict[str, tuple[Any, ...]]:
    """The same, as the API has them."""
    records: list[dict[str, Any]] = world.jobs("acme", project)  # type: ignore[assignment]
    counts = ("numImages", *JOB_COUNTS[1:])
    return {
        job["id"]: (
            *(job[count] for count in counts), job["sourceBatch"].rpartition("/")[2], job["status"],
            job["labeler"] or None, job["reviewer"] or None,
        )
        for job in records
    }  # fmt: skip


def one_pass(url: str, store: Store, now: datetime) -> list[Result]:
    """What ``rfsync sync`` does with a workspace whose projects are discovered."""
    redact = Redactor()
    config = Config(workspaces=(WorkspaceConfig(id="acme"),))
    selections = wanted(config, (), {"ROBOFLOW_API_KEY": "key", "HOME": "/nonexistent"})
    with closing(Client(ApiConfig(base_url=url, requests_per_second=100_000), redact, lambda: now)) as client:
        breaker = CircuitBreaker(client)
        workspaces = make_workspaces(selections, breaker)
        context = SyncContext(breaker, workspaces, store, RemovalsConfig(), lambda: now, redact)
        tasks, failures = resolve(selections, context)
        return [*failures, *sync_all(context, tasks, 4, breaker)]
