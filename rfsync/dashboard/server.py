"""The dashboard's HTTP server."""

import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn

from flask import Flask
from waitress import create_server

from rfsync.dashboard.security import MAX_REQUEST_BYTES
from rfsync.errors import ListenError
from rfsync.threads import starting

#: Requests handled at once; each uses at most one database connection.
_THREADS: Final = 8
#: Open connections; a browser uses about six.
_CONNECTIONS: Final = 300
#: Idle connections are closed after this time, in seconds.
_IDLE_TIMEOUT: Final = 60


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 selects any free port.

    Raises:
        ConfigError: the address can't be listened on.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError("--listen {}", host, port, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # With SO_REUSEADDR, a port that is in use is only detected here.
        listener.listen()
    except OSError as error:
        listener.close()
        raise ListenError("--listen {}", host, port, error) from None
    return listener


def serve(app: Flask, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT, then gives running requests a few seconds.

    Args:
        ready: called when the server accepts requests and handles signals.

    Raises:
        ThreadError: the system does not start as many threads as it needs.
    """
    with starting():
        server = create_server(
            app,
            sockets=[listener],
            threads=_THREADS,
            connection_limit=_CONNECTIONS,
            channel_timeout=_IDLE_TIMEOUT,
            max_request_body_size=MAX_REQUEST_BYTES,
            max_request_header_size=MAX_REQUEST_BYTES,
            ident=None,
        )
    # A page sends more requests at once than there are threads: queueing is normal and not worth a warning.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    ready()
    server.run()  # returns when it sees SystemExit


def _stop(_: int, __: FrameType | None) -> NoReturn:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger("waitress").setLevel(logging.ERROR)  # clients that disconnect now are not worth one either
    raise SystemExit(0)
