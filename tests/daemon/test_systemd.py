"""Notifications to a service manager, over a real socket."""

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
    """A service manager with its socket."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """All messages since the last call."""
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
    ],
    ids=["ready", "stopping", "alive"],
)
def test_each_notification_has_the_words_of_the_protocol(
    listener: Listener, tell: Callable[[ServiceManager], None], message: str
) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": listener.name})
    assert listener.heard() == []
    tell(manager)
    tell(manager)
    assert listener.heard() == [message, message]


def test_a_reload_comes_with_the_monotonic_time(listener: Listener) -> None:
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    ServiceManager({"NOTIFY_SOCKET": listener.name}).reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    (message,) = listener.heard()
    first, second = message.split("\n")
    name, _, microseconds = second.partition("=")
    assert (first, name) == ("RELOADING=1", "MONOTONIC_USEC")
    assert before <= int(microseconds) <= after


def test_without_a_socket_nothing_is_sent() -> None:
    for env in ({}, {"NOTIFY_SOCKET": ""}):
        manager = ServiceManager(env)
        manager.ready()
        manager.reloading()
        manager.alive()
        manager.stopping()
        assert manager.watchdog is None


@pytest.mark.parametrize(
    "address", ["/nowhere/notify", "@rfsync-nobody-listens-here", "vsock:2:1234", "x" * 200], ids=str
)
def test_a_socket_that_is_gone_is_one_warning_and_no_error(address: str, caplog: pytest.LogCaptureFixture) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": address})
    for _ in range(3):
        manager.alive()
    (line,) = caplog.messages
    assert address in line


def test_a_socket_that_comes_back_is_notified_again(
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


def test_child_processes_do_not_inherit_the_variables() -> None:
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
def test_the_watchdog_is_reset_twice_as_often_as_needed(env: dict[str, str], seconds: float | None) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "/x", **env}).watchdog == seconds


def test_many_threads_may_notify_at_once(listener: Listener) -> None:
    manager = ServiceManager({"NOTIFY_SOCKET": listener.name})
    threads = [threading.Thread(target=manager.alive) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert listener.heard() == ["WATCHDOG=1"] * 8
