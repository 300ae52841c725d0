"""The end of the daemon, whatever goes on."""

from __future__ import annotations

import threading

import pytest

from rfsync.daemon import plan as plan_module
from rfsync.errors import Cancelled
from rfsync.ledger.runs import RunRow
from rfsync.sync.result import Result
from rfsync.sync.task import SyncContext, SyncTask
from tests.daemon.conftest import (
    EVERY,
    LONG,
    World,
    workspace,
)


def test_it_stops_while_idle(world: World) -> None:
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    driver.daemon.stop()
    assert world.calls == ["cancel", "stop"]
    assert not driver.daemon.is_alive
    assert driver.next_run("acme/a") is None


def test_a_request_that_hangs_ends_when_it_is_cancelled(world: World) -> None:
    began = threading.Event()

    def hangs(_: SyncContext, task: SyncTask) -> Result:
        began.set()
        assert world.cancelled.wait(LONG)
        return Result(task.workspace, task.project, RunRow("abandoned"))

    world.acts["acme/a"] = [hangs]
    driver = world.daemon(workspace("a"))
    assert began.wait(LONG)
    driver.look()
    driver.daemon.stop()
    assert world.calls == ["cancel", "stop"]
    assert [result.outcome for result in world.ended] == ["abandoned"]
    assert driver.next_run("acme/a") is None


def test_a_transaction_is_interrupted_after_a_grace_until_it_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_module, "STOP_GRACE", 0.001)
    monkeypatch.setattr(plan_module, "INTERRUPT_INTERVAL", 0.001)
    began = threading.Event()

    def writes(_: SyncContext, task: SyncTask) -> Result:
        began.set()
        for _round in range(3):
            assert world.interrupted.wait(LONG)
            world.interrupted.clear()
        return Result(task.workspace, task.project, RunRow("abandoned"))

    world.acts["acme/a"] = [writes]
    driver = world.daemon(workspace("a"))
    assert began.wait(LONG)
    driver.look()
    driver.daemon.stop()
    assert world.calls[:2] == ["cancel", "stop"]
    assert set(world.calls[2:]) == {"interrupt"}
    assert len(world.calls) >= 5
    assert len(world.ended) == 1


def test_it_may_be_stopped_while_a_poll_is_being_started(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    driver = world.daemon(workspace("a"))
    driver.done("acme/a", 1)
    driver.done("pruning", 1)
    driver.look()
    scheduler = driver.scheduler
    executor = scheduler._executors["default"]
    stopping = threading.Thread(target=driver.daemon.stop)

    begun = threading.Event()

    def stop_instead(*_: object) -> None:
        stopping.start()
        begun.set()
        while scheduler.running:
            stopping.join(0.001)

    monkeypatch.setattr(executor, "submit_job", stop_instead)
    world.seconds += EVERY.total_seconds()
    world.now += EVERY
    scheduler.wakeup()
    assert begun.wait(LONG)
    stopping.join(LONG)
    assert raised == []


def test_a_poll_that_waits_for_a_thread_does_not_begin(world: World) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a", "b", "c"), concurrency=1)
    assert gate.began.wait(LONG)
    driver.look()
    gate._then = lambda _, task: Result(task.workspace, task.project, RunRow("abandoned"))
    threading.Thread(target=world.cancelled_then, args=(gate.through,)).start()
    driver.daemon.stop()
    assert world.polled == ["acme/a"]


def test_polls_that_do_not_begin_are_no_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    gate = world.gate("acme/a")
    driver = world.daemon(workspace("a", "b", "c"), concurrency=1)
    assert gate.began.wait(LONG)
    driver.look()
    threading.Thread(target=world.cancelled_then, args=(gate.through,)).start()
    driver.daemon.stop()
    assert caplog.records == []


def test_a_listing_that_is_cancelled_is_no_error(world: World, caplog: pytest.LogCaptureFixture) -> None:
    asked = threading.Event()

    def listing() -> list[str]:
        asked.set()
        assert world.cancelled.wait(LONG)
        raise Cancelled("asked to stop")

    world.listings["acme"] = listing
    driver = world.daemon(workspace())
    assert asked.wait(LONG)
    driver.look()
    driver.daemon.stop()
    assert caplog.records == []
