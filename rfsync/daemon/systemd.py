"""Notifications to a service manager such as systemd, by the protocol of sd_notify(3)."""

import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger("rfsync.daemon")


class ServiceManager:
    """Notifies the socket at ``$NOTIFY_SOCKET``, if that is set. A notification that fails is logged, and no error.

    Args:
        env: the environment; the variables of the protocol are removed from it, so that child processes don't inherit
            them.
    """

    def __init__(self, env: MutableMapping[str, str]) -> None:
        self._address = env.pop("NOTIFY_SOCKET", "")
        microseconds = env.pop("WATCHDOG_USEC", "")
        is_for_us = env.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        #: Longest time between two calls of ``alive``, in seconds; None: it has no watchdog.
        self.watchdog: float | None = None
        if is_for_us and self._address and microseconds.isdecimal():
            self.watchdog = int(microseconds) / 2e6 or None
        self._is_reachable = True

    def ready(self) -> None:
        """Says that the daemon is started, or that a reload has ended."""
        self._notify("READY=1")

    def reloading(self) -> None:
        """Says that the configuration is about to be read again."""
        self._notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Says that the daemon is about to end."""
        self._notify("STOPPING=1")

    def alive(self) -> None:
        """Resets the watchdog."""
        self._notify("WATCHDOG=1")

    def _notify(self, message: str) -> None:
        if not self._address:
            return
        # An address that begins with @ is in Linux's abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
                connection.connect(address)
                connection.sendall(message.encode())
        except OSError as error:
            if self._is_reachable:
                log.warning("the service manager at NOTIFY_SOCKET=%s can't be notified: %s", self._address, error)
            self._is_reachable = False
        else:
            self._is_reachable = True
