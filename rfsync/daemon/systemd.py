"""What a service manager wants to be told, by the protocol of sd_notify(3)."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger("rfsync.daemon")


class ServiceManager:
    """Whoever listens at ``$NOTIFY_SOCKET``; nobody, where that is not set. That nobody hears does not stop the work.

    Args:
        env: the environment; what is meant for this process alone is taken out of it, as sd_notify(3) advises.
    """

    def __init__(self, env: MutableMapping[str, str]) -> None:
        self._address = env.pop("NOTIFY_SOCKET", "")
        microseconds = env.pop("WATCHDOG_USEC", "")
        for_us = env.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        #: How often it wants to hear ``alive``, at least, in seconds; None: never.
        self.watchdog: float | None = None
        if for_us and self._address and microseconds.isdecimal():
            self.watchdog = int(microseconds) / 2e6 or None
        self._heard = True

    def ready(self) -> None:
        """The daemon is at work; also after ``reloading``."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """The configuration is about to be read again."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The daemon is about to end."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Nothing hangs."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for whoever looks at the service's state."""
        self._tell(f"STATUS={text}")

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        # An address that begins with @ is in Linux's abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
                manager.connect(address)
                manager.sendall(message.encode())
        except OSError as error:
            if self._heard:
                log.warning("the service manager at NOTIFY_SOCKET=%s can't be told: %s", self._address, error)
            self._heard = False
        else:
            self._heard = True
