"""What a service manager is told, over a real socket of its kind."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rfsync.daemon.systemd import ServiceManager


class Listener:
    """A service manager that listens."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """All that has been sent since it was asked last."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["file", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    # By a name that is short enough, wherever the test's folder is.
    monkeypatch.chdir(tmp_path)
    listener = Listener("notify" if request.param == "file" else f"@rfsync-test-{uuid.uuid4().hex}")
    yield listener
    listener.socket.close()


@pytest.mark.parametrize(
    ("tell", "message"),
    [
        (ServiceManager.ready, "READY=1"),
        (ServiceManager.stopping, "STOPPING=1"),
        (ServiceManager.alive, "WATCHDOG=1"),
        (lambda manager: manager.status("3 projects, ü"), "STATUS=3 projects, ü"),
    ],
    ids=["ready", "stopping", "alive", "status"],
)
def test_it_is_told_each_thing_in_its_own_words(
    listener: Listener, tell: Callable[[ServiceManager], None], message: str
) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": listener.name})
    assert listener.heard() == []
    tell(manager)
    tell(manager)
    assert listener.heard() == [message, message]


def test_it_is_told_when_the_configuration_is_about_to_be_read_again(listener: Listener) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    ServiceManager({"NOTIFY_SOCKET": listener.name}).reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    (message,) = listener.heard()
    first, second = message.split("\n")
    name, _, microseconds = second.partition("=")
    assert (first, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before <= int(microseconds) <= after


def test_nobody_is_told_where_nobody_listens() -> None:
    for env in ({}, {"NOTIFY_SOCKET": ""}):
        manager = ServiceManager(env)
        manager.ready()
        manager.reloading()
        manager.alive()
        manager.status("fine")
        manager.stopping()
        assert manager.watchdog is None


@pytest.mark.parametrize(
    "address", ["/nowhere/notify", "@rfsync-nobody-listens-here", "vsock:2:1234", "x" * 200], ids=str
)
def test_a_service_manager_that_is_gone_is_one_warning_and_stops_nothing(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": address})
    for _ in range(3):
        manager.alive()
    (line,) = caplog.messages
    assert address in line


def test_one_that_comes_back_hears_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    manager = ServiceManager({"NOTIFY_SOCKET": "notify"})
    manager.ready()
    listener = Listener("notify")
    manager.alive()
    assert listener.heard() == ["WATCHDOG=1"]
    listener.socket.close()
    manager.alive()
    manager.alive()
    assert len(caplog.messages) == 2


def test_what_is_meant_for_this_process_is_kept_from_its_children() -> None:
    env = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/home/a"}
    ServiceManager(env)
    assert env == {"HOME": "/home/a"}


@pytest.mark.parametrize(
    ("env", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_hears_twice_as_often_as_it_asks(env: dict[str, str], seconds: float | None) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "/x", **env}).watchdog == seconds


def test_it_may_be_told_from_many_threads(listener: Listener) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": listener.name})
    threads = [threading.Thread(target=manager.alive) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert listener.heard() == ["WATCHDOG=1"] * 8
