"""The daemon's HTTP endpoint: ``/healthz``, ``/readyz`` and ``/metrics``."""

import json
import logging
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from rfsync.daemon.health import Health
from rfsync.errors import ThreadError
from rfsync.threads import starting

log = logging.getLogger("rfsync.daemon")


class Endpoint(ThreadingHTTPServer):
    """Serves in its own threads until it is closed.

    Args:
        address: host and port; 0 is any free port.
        health: called for each ``/healthz``.
        ready: called for each ``/readyz``.
        registry: the metrics of ``/metrics``.

    Raises:
        OSError: the address can't be bound.
        ThreadError: the system starts no thread for it.
    """

    daemon_threads = True
    # A client that finds the queue full tries again only after a second.
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        health: Callable[[], Health],
        ready: Callable[[], bool],
        registry: CollectorRegistry,
    ) -> None:
        self.health = health
        self.ready = ready
        self.registry = registry
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        self._thread = threading.Thread(target=self.serve_forever, name="rfsync-endpoint", daemon=True)
        try:
            with starting():
                self._thread.start()
        except ThreadError:
            self.server_close()
            raise

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.server_name, self.server_port

    @property
    def url(self) -> str:
        """The address as a URL."""
        host, port = self.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def close(self) -> None:
        """Stops listening."""
        self.shutdown()
        self.server_close()
        self._thread.join()

    def server_bind(self) -> None:
        """Binds without the standard library's DNS query for the host's name, which is not used here."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handles a request in a thread of its own or not at all: here, a slow client would keep others waiting."""
        try:
            with starting():
                super().process_request(request, client_address)
        except ThreadError as error:
            log.warning("a request of %s was dropped: %s", client_address[0], error)
            self.shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs an error: that a client went away only for debugging, and anything else as a bug."""
        error = sys.exception()
        if isinstance(error, OSError):
            log.debug("a request of %s broke off: %s", client_address[0], error)
        else:
            log.error("a request of %s failed", client_address[0], exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    #: Seconds for which a client may send nothing, or not read its response.
    timeout = 30.0
    server_version = "rfsync"
    sys_version = ""
    server: Endpoint

    def do_GET(self) -> None:
        """Answers one of the three paths."""
        path = self.path.partition("?")[0]
        if path == "/healthz":
            health = self.server.health()
            self._answer(HTTPStatus.OK if health.ok else HTTPStatus.SERVICE_UNAVAILABLE, asdict(health))
        elif path == "/readyz":
            ready = self.server.ready()
            self._answer(HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE, {"ready": ready})
        elif path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._send(HTTPStatus.OK, content_type, encode(self.server.registry))
        else:
            self._answer(HTTPStatus.NOT_FOUND, {"error": "there are /healthz, /readyz and /metrics"})

    do_HEAD = do_GET  # noqa: N815 the standard library's name

    def _answer(self, status: HTTPStatus, content: object) -> None:
        self._send(status, "application/json", json.dumps(content).encode() + b"\n")

    def _send(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the standard library's name
        """Logs a request for debugging."""
        log.debug("%s asked: %s", self.client_address[0], format % args)
