"""The service around the daemon: what a reload keeps, what it closes, and when."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.request import urlopen

import pytest

from rfsync.daemon.metrics import ProjectTotals, PrometheusMetrics
from rfsync.daemon.service import Service, Setup
from rfsync.daemon.systemd import ServiceManager
from rfsync.errors import ConfigError, DatabaseError
from rfsync.sync.bugs import BUG
from tests.daemon.conftest import LONG, World, workspace

ANY_PORT = "127.0.0.1:0"


class Rig:
    """A service whose configurations the test makes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.configuration: Setup | Exception = self.setup("first")
        #: The names of setups, as they were closed.
        self.closed: list[str] = []
        self.metrics = PrometheusMetrics()
        self.service = Service(self.load, self.metrics, ServiceManager({}), world.clock)

    def load(self) -> Setup:
        if isinstance(self.configuration, Exception):
            raise self.configuration
        return self.configuration

    def setup(self, name: str, *projects: str, listen: str = "") -> Setup:
        totals = [ProjectTotals("acme", name, 1, 2, 3, None, None, None, None, None, None)]
        return Setup(
            self.world.plan(workspace(*(projects or ("a",)))), listen, lambda: totals, lambda: self.closed.append(name)
        )

    def reload(self, configuration: Setup | Exception) -> None:
        self.configuration = configuration
        self.service._reload()

    def tick_until_closed(self, *names: str) -> None:
        while self.closed != [*names]:
            self.service._tick()

    @property
    def url(self) -> str:
        assert self.service._endpoint is not None
        return self.service._endpoint.url


@pytest.fixture
def rig(world: World) -> Iterator[Rig]:
    rig = Rig(world)
    yield rig
    for gate in world.gates:
        gate.through.set()
    if hasattr(rig.service, "_daemon") and rig.service._daemon._timetable._scheduler.running:
        rig.service._stop()


def ask(url: str) -> Any:
    with urlopen(url, timeout=LONG) as answer:  # noqa: S310 our own
        return json.load(answer)


def test_an_earlier_setup_is_closed_once_when_its_last_poll_has_ended(rig: Rig) -> None:
    gate = rig.world.gate("acme/a")
    rig.service._start()
    assert gate.began.wait(LONG)
    rig.reload(rig.setup("second"))
    rig.reload(rig.setup("third"))
    rig.tick_until_closed("second")
    rig.service._tick()
    assert rig.closed == ["second"]
    gate.through.set()
    rig.tick_until_closed("second", "first")
    rig.service._stop()
    assert rig.closed == ["second", "first", "third"]
    assert rig.world.calls == ["abandon", "cancel", "stop"]


def test_a_stop_closes_all_that_is_open(rig: Rig) -> None:
    gate = rig.world.gate("acme/a")
    rig.service._start()
    assert gate.began.wait(LONG)
    rig.reload(rig.setup("second"))
    threading.Thread(target=rig.world.cancelled_then, args=(gate.through,)).start()
    rig.service._stop()
    assert sorted(rig.closed) == ["first", "second"]


@pytest.mark.parametrize("error", [ConfigError("[api] attempts: 0"), DatabaseError("it is away")])
def test_a_configuration_that_can_not_be_loaded_changes_nothing(
    rig: Rig, error: Exception, lines: Callable[[], list[str]]
) -> None:
    rig.service._start()
    plan = rig.service._setup.plan
    lines()
    rig.reload(error)
    assert lines() == [f"ERROR the old configuration stays in force, because the new one is not usable: {error}"]
    assert rig.service._daemon.uses(plan)
    rig.service._tick()
    assert rig.closed == []


def test_a_bug_while_the_configuration_is_loaded_changes_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.service._start()
    plan = rig.service._setup.plan
    rig.reload(ZeroDivisionError("nobody thought of that"))
    assert f"the old configuration stays in force: {BUG}" in caplog.messages
    assert rig.service._daemon.uses(plan)


def test_connections_that_can_not_be_closed_are_told_and_forgotten(rig: Rig, lines: Callable[[], list[str]]) -> None:
    def close() -> None:
        rig.closed.append("first")
        raise DatabaseError("it is away")

    rig.configuration = replace(rig.setup("first"), close=close)
    rig.service._start()
    rig.reload(rig.setup("second"))
    rig.tick_until_closed("first")
    rig.service._tick()
    assert "WARNING connections of the earlier configuration: it is away" in lines()
    assert rig.closed == ["first"]


def test_an_address_that_can_not_be_bound_changes_nothing_and_closes_what_was_opened_for_it(rig: Rig) -> None:
    rig.configuration = rig.setup("first", listen=ANY_PORT)
    rig.service._start()
    url = rig.url
    rig.reload(rig.setup("second", "b", listen="192.0.2.1:1"))
    assert rig.closed == ["second"]
    assert (rig.url, ask(f"{url}/readyz")) == (url, {"ready": True})
    assert list(rig.service._daemon.projects()) == ["acme/a"]


def test_the_endpoint_moves_only_to_another_address(rig: Rig) -> None:
    rig.configuration = rig.setup("first", listen=ANY_PORT)
    rig.service._start()
    first = rig.service._endpoint
    rig.reload(rig.setup("second", listen=ANY_PORT))
    assert rig.service._endpoint is first
    rig.reload(rig.setup("third", listen=ANY_PORT.replace("127.0.0.1", "localhost")))
    assert rig.service._endpoint is not first
    assert ask(f"{rig.url}/healthz")["projects"] == 1
    rig.reload(rig.setup("fourth"))
    assert rig.service._endpoint is None


def test_totals_are_those_of_the_configuration_in_force(rig: Rig) -> None:
    rig.service._start()
    for name in ("second", "third"):
        rig.reload(rig.setup(name))
        families = {family.name: family for family in rig.metrics.registry.collect()}
        assert [sample.labels["project"] for sample in families["rfsync_project_batches"].samples] == [name]


def test_a_start_that_fails_closes_what_it_has_opened(rig: Rig) -> None:
    rig.configuration = rig.setup("first", listen="192.0.2.1:1")
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1:1"):
        rig.service._start()
    assert rig.closed == ["first"]


@pytest.mark.parametrize(
    ("env", "runs", "expected"),
    [
        ({"WATCHDOG_USEC": "2000000"}, True, 1),
        ({"WATCHDOG_USEC": "2000000"}, False, 0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, True, 0),
        ({}, True, 0),
    ],
    ids=["watchdog", "hangs", "of-another-process", "none"],
)
def test_a_watchdog_is_reset_while_the_daemon_is_alive(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, env: dict[str, str], runs: bool, expected: int
) -> None:
    calls: list[object] = []
    monkeypatch.setattr(ServiceManager, "alive", lambda _: calls.append(1))
    rig.service._manager = ServiceManager({"NOTIFY_SOCKET": "/nowhere", **env})
    rig.service._start()
    if not runs:
        rig.service._daemon._timetable.stop()
    rig.service._tick()
    rig.service._stop()
    assert len(calls) == expected


def test_signals_reload_and_stop_it(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rfsync")
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    load = rig.load

    def load_and_signal() -> Setup:
        rig.service._load = load
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGTERM)
        return load()

    rig.service._load = load_and_signal
    try:
        rig.service.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "the configuration was read again" in caplog.messages
    assert caplog.messages[-1] == "stopped"
    assert rig.closed == ["first", "first"]
