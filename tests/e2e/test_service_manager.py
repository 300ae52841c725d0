"""Notifications of the real daemon to a service manager, over a real socket."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import LONG, Cli, batch


class Manager:
    """A service manager with its socket, as systemd has it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.settimeout(LONG)

    def hear(self) -> str:
        """The next message that does not only reset the watchdog."""
        while True:
            message = self.hear_any()
            if message != "WATCHDOG=1":
                return message

    def hear_any(self) -> str:
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    # Not pytest's own folder, whose path may be too long for a socket.
    with tempfile.TemporaryDirectory(prefix="rfsync-") as folder:
        manager = Manager(Path(folder))
        yield manager
        manager.close()


def start(cli: Cli, manager: Manager, **env: str) -> subprocess.Popen[str]:
    cli.list(batch("b1", 1))
    cli.configure(workspaces=[{"projects": ["widgets"]}], more='[daemon]\nlisten = "127.0.0.1:0"\n\n')
    return cli.start("daemon", env={"NOTIFY_SOCKET": str(manager.path), **env})


def test_start_reload_and_stop_are_notified(fresh: Cli, manager: Manager) -> None:
    daemon = start(fresh, manager)
    assert manager.hear() == "READY=1"
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.send_signal(signal.SIGHUP)
    reloading = re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=(\d+)", manager.hear())
    assert reloading is not None
    assert before <= int(reloading[1]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert manager.hear() == "READY=1"
    daemon.send_signal(signal.SIGTERM)
    assert manager.hear() == "STOPPING=1"
    assert "the configuration was read again" in fresh.finish(daemon).err


def test_a_reload_of_a_wrong_configuration_ends_ready_with_the_old_one(fresh: Cli, manager: Manager) -> None:
    daemon = start(fresh, manager)
    assert manager.hear() == "READY=1"
    (fresh.folder / "rfsync.toml").write_text("[api]\nattempts = 0\n")
    daemon.send_signal(signal.SIGHUP)
    assert manager.hear().startswith("RELOADING=1\n")
    assert manager.hear() == "READY=1"
    daemon.send_signal(signal.SIGTERM)
    assert manager.hear() == "STOPPING=1"
    assert "the old configuration stays in force" in fresh.finish(daemon).err


def test_a_watchdog_is_reset(fresh: Cli, manager: Manager) -> None:
    daemon = start(fresh, manager, WATCHDOG_USEC="200000")
    assert manager.hear_any() == "READY=1"
    assert [manager.hear_any() for _ in range(3)] == ["WATCHDOG=1"] * 3
    daemon.send_signal(signal.SIGTERM)
    assert manager.hear() == "STOPPING=1"
    fresh.finish(daemon)


def test_a_watchdog_for_another_process_is_left_alone(fresh: Cli, manager: Manager) -> None:
    daemon = start(fresh, manager, WATCHDOG_USEC="1000", WATCHDOG_PID=str(os.getpid()))
    assert manager.hear_any() == "READY=1"
    # Its own watchdog would have had a sign of life each half millisecond until the stand-in was asked.
    fresh.simulator.await_requests(1)
    daemon.send_signal(signal.SIGHUP)
    assert manager.hear_any().startswith("RELOADING=1\n")
    assert manager.hear_any() == "READY=1"
    daemon.send_signal(signal.SIGTERM)
    assert manager.hear_any() == "STOPPING=1"
    fresh.finish(daemon)


def test_a_configuration_that_is_wrong_at_the_start_is_never_ready(fresh: Cli, manager: Manager) -> None:
    (fresh.folder / "rfsync.toml").write_text("[api]\nattempts = 0\n")
    daemon = fresh.start("daemon", env={"NOTIFY_SOCKET": str(manager.path)})
    fresh.finish(daemon, 2)  # RestartPreventExitStatus of the unit
    manager._socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.hear_any()
