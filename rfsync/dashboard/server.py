"""Serves the dashboard over HTTP until it is told to stop."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn

from flask import Flask
from waitress import create_server

from rfsync.dashboard.security import MOST_BYTES
from rfsync.errors import ConfigError

#: Requests that are answered at once; each holds one connection to the database at most.
_THREADS: Final = 8
#: Browsers that may be connected at once, each with half a dozen connections.
_CONNECTIONS: Final = 300
#: How long a client may keep silent, in seconds.
_TIMEOUT: Final = 60


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound, but not yet listening; port 0 is any that is free.

    Raises:
        ConfigError: the address can't be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--listen {host}:{port}: {error.strerror or error}") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        # Two can be bound to a port, of which only one can listen.
        made.listen()
    except OSError as error:
        made.close()
        raise ConfigError(f"--listen {host}:{port}: {error.strerror or error}") from None
    return made


def serve(app: Flask, bound: socket.socket, ready: Callable[[], None]) -> None:
    """Answers until SIGTERM or SIGINT; what is under way then is given a few seconds.

    Args:
        ready: called when requests are answered, and a signal ends it in order.
    """
    server = create_server(
        app,
        sockets=[bound],
        threads=_THREADS,
        connection_limit=_CONNECTIONS,
        channel_timeout=_TIMEOUT,
        max_request_body_size=MOST_BYTES,
        max_request_header_size=MOST_BYTES,
        ident=None,
    )
    # A page asks for more at once than there are threads: that one of its questions waits is no news.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    ready()
    server.run()  # returns when it sees SystemExit


def _stop(_: int, __: FrameType | None) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger("waitress").setLevel(logging.ERROR)  # nor that nobody waits for the answers any more
    raise SystemExit(0)
