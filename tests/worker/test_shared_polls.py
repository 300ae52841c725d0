"""Workers poll as one: what is due, what is known of each other, and what becomes of the database's absence."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from pooler import PGBOUNCER, pooler
from workers import EACH_SECOND, RARELY, Busy, Worker

from rfsync.daemon.polls import ProjectStatus
from rfsync.errors import Cancelled
from rfsync.ledger.projects import ProjectPath
from rfsync.simulator import Simulator, Status
from rfsync.worker import polls
from tests.conftest import PostgresServer
from tests.worker.conftest import LONG, Queue


def status(worker: Worker, project: str) -> ProjectStatus:
    return worker.daemon.projects()[f"acme/{project}"]


def test_failures_stretch_the_interval_for_all_and_health_is_the_same_everywhere(queue: Queue, api: Simulator) -> None:
    api.faults.add("/acme/a/batches", Status(500), times=None)
    with (
        Worker(queue.url, api.url, ["a", "b"], EACH_SECOND) as one,
        Worker(queue.url, api.url, ["a", "b"], EACH_SECOND) as two,
    ):
        assert set(queue.await_runs("a", 5)) == {"failed"}
        for worker in (one, two):
            queue.until(lambda worker=worker: status(worker, "a").failures >= 5)
            found = status(worker, "a")
            assert (found.is_stale, found.last_success, found.last and found.last.error_kind) == (True, None, "server")
            assert not status(worker, "b").is_stale
        assert {result.project for result in one.results + two.results} == {"a", "b"}
    began = "SELECT started_at FROM sync_runs r JOIN projects p ON p.id = r.project_id WHERE project = 'a' ORDER BY 1"
    gaps = [later - earlier for (earlier,), (later,) in pairwise(queue.rows(began))]
    assert [gap > timedelta(seconds=least) for gap, least in zip(gaps, (0, 1, 3, 7), strict=False)] == [True] * 4
    assert len(queue.outcomes("b")) > len(queue.outcomes("a"))
    queue.verify()


def test_what_others_do_with_a_project_is_no_poll_of_the_workers(queue: Queue, api: Simulator) -> None:
    """A command with a wrong key that fails again and again, and one that was killed, stretch no interval."""
    with Worker(queue.url, api.url, ["a"], EACH_SECOND):
        queue.await_runs("a", 1)
    failed = """INSERT INTO sync_runs (project_id, trigger, started_at, finished_at, outcome, error_kind)
        SELECT id, 'cli', clock_timestamp(), clock_timestamp(), 'failed', 'auth' FROM projects, generate_series(1, 9)"""
    killed = """INSERT INTO sync_runs (project_id, trigger, started_at, outcome, lease_expires_at)
        SELECT id, 'cli', clock_timestamp(), 'running', clock_timestamp() - interval '1 hour' FROM projects"""
    queue.execute(failed)
    queue.execute(killed)
    before = len(queue.outcomes("a"))
    with Worker(queue.url, api.url, ["a"], EACH_SECOND):
        queue.await_runs("a", before + 3)
    assert queue.one("SELECT count(*) FROM sync_runs WHERE outcome = 'abandoned'") == 1


def test_a_worker_whose_configuration_lacks_a_project_hands_its_polls_back(queue: Queue, api: Simulator) -> None:
    with (
        Worker(queue.url, api.url, ["b"], EACH_SECOND),
        Worker(queue.url, api.url, ["a", "b"], EACH_SECOND),
    ):
        assert "failed" not in queue.await_runs("a", 3)
    queue.verify()


def test_a_slow_project_does_not_pile_up_and_holds_up_no_other(queue: Queue, api: Simulator, busy: Busy) -> None:
    answer = threading.Event()
    busy.before = lambda key: (key == "acme/a" and answer.wait(LONG)) or None
    with (
        Worker(queue.url, api.url, ["a", "b"], EACH_SECOND) as one,
        Worker(queue.url, api.url, ["a", "b"], EACH_SECOND),
    ):
        queue.await_runs("b", 5)
        waiting = "SELECT status::text FROM procrastinate_jobs WHERE lock = 'acme/a' ORDER BY id"
        assert queue.rows(waiting) == [("doing",), ("todo",)]
        assert queue.outcomes("a") == []
        assert status(one, "a").is_running
        answer.set()
        queue.await_runs("a", 3)
    # Never two at a time.
    runs = """SELECT count(*) FROM sync_runs one JOIN sync_runs two ON one.project_id = two.project_id
        AND one.id < two.id AND two.started_at < one.finished_at"""
    assert queue.one(runs) == 0


def test_what_could_not_be_offered_is_offered_again_and_holds_up_no_other(
    queue: Queue, api: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer, errors = polls.Queue.offer, {"a": Cancelled, "b": ValueError}

    def offer_later(self: polls.Queue, path: ProjectPath, tick: datetime, *, listed: bool) -> bool:
        if path.project in errors:
            raise errors.pop(path.project)
        return offer(self, path, tick, listed=listed)

    monkeypatch.setattr(polls.Queue, "offer", offer_later)
    monkeypatch.setattr(polls, "_BUG_PAUSE", timedelta(seconds=1))
    with Worker(queue.url, api.url, ["a", "b", "c"], RARELY):
        for project in ("a", "b", "c"):
            queue.await_runs(project, 1)
    assert errors == {}


def test_all_go_on_when_the_server_is_back(queue: Queue, api: Simulator, postgres_server: PostgresServer) -> None:
    with (
        Worker(queue.url, api.url, ["a", "b"], EACH_SECOND) as one,
        Worker(queue.url, api.url, ["a", "b"], EACH_SECOND),
    ):
        queue.await_runs("a", 2)
        assert status(one, "a").last is not None
        queue.close()
        postgres_server.stop()
        try:
            assert status(one, "a").last is not None  # as it was when the database last answered
        finally:
            postgres_server.start()
        queue.connect()
        before = {project: len(queue.outcomes(project)) for project in ("a", "b")}
        for project, count in before.items():
            queue.await_runs(project, count + 3)
    queue.verify()


@pytest.mark.skipif(PGBOUNCER is None, reason="there is no PgBouncer")
def test_behind_a_pooler_they_ask_the_queue_themselves(queue: Queue, api: Simulator) -> None:
    with pooler(queue.url, connections=3) as through, Worker(through, api.url, ["a"], EACH_SECOND):
        queue.await_runs("a", 4)
        listening = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
        assert queue.one(listening) == 0
    queue.verify()


def test_another_plan_is_followed_and_the_earlier_one_ends_with_its_polls(
    queue: Queue, api: Simulator, busy: Busy
) -> None:
    asked, answer = threading.Event(), threading.Event()

    def before(key: str) -> None:
        asked.set()
        assert answer.wait(LONG)

    busy.before = before
    with Worker(queue.url, api.url, ["a"], RARELY) as worker:
        assert asked.wait(LONG)
        plan = worker.make_plan(EACH_SECOND, 1)
        worker.daemon.reconfigure(plan)
        assert worker.daemon.uses(worker.plan)
        answer.set()
        queue.until(lambda: not worker.daemon.uses(worker.plan))
        queue.await_runs("a", 3)
        assert worker.daemon.is_alive
        assert set(queue.outcomes("a")) == {"changed"}


def test_a_renamed_project_is_followed_by_all_and_a_departed_one_left_alone(
    queue: Queue, api: Simulator, busy: Busy
) -> None:
    busy.set("acme", {"workspace": {"projects": [{"id": "acme/a"}, {"id": "acme/b"}]}})
    with Worker(queue.url, api.url, [], RARELY):
        # At once, as they were never observed.
        queue.await_runs("a", 1)
        queue.await_runs("b", 1)
        queue.until(queue.is_empty)
    busy.set("acme", {"workspace": {"projects": [{"id": "acme/c"}]}})
    queue.execute("UPDATE projects SET project = 'c' WHERE project = 'a'")
    renamed = "INSERT INTO project_renames (project_id, workspace, project, renamed_at) SELECT id, 'acme', 'a', now()"
    queue.execute(f"{renamed} FROM projects WHERE project = 'c'")
    departed = "departed_at = now(), observed_at = now(), written_at = now()"
    queue.execute(f"UPDATE projects SET {departed} WHERE project = 'b'")
    named = ["a", "b"]
    with Worker(queue.url, api.url, named, EACH_SECOND) as one, Worker(queue.url, api.url, named, EACH_SECOND) as two:
        for worker in (one, two):
            queue.until(lambda worker=worker: list(worker.daemon.projects()) == ["acme/c"])
        queue.await_runs("c", 4)
    assert len(queue.outcomes("b")) == 1
    assert queue.rows("SELECT project FROM projects ORDER BY 1") == [("b",), ("c",)]


def test_one_prunes_for_all(queue: Queue, api: Simulator) -> None:
    with Worker(queue.url, api.url, ["a"], RARELY) as one, Worker(queue.url, api.url, ["a"], RARELY) as two:
        queue.await_runs("a", 1)
        queue.until(lambda: one.daemon.pruned_at or two.daemon.pruned_at)
        claims = "SELECT count(*) FROM procrastinate_periodic_defers WHERE task_name = 'rfsync.prune'"
        assert queue.one(claims) == 1
    assert one.daemon.pruned_at is None or two.daemon.pruned_at is None
