"""The HTTP server: a source behind a real socket, with faults on demand and a log of requests.

It has the endpoints that rfsync uses, and a few more that the official package requests.
"""

import contextlib
import gzip
import socket
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import KW_ONLY, dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl

from rfsync.simulator.exchange import Exchange, StoppingError
from rfsync.simulator.faults import Faults
from rfsync.simulator.routes import Request, respond
from rfsync.simulator.source import Source
from rfsync.simulator.wire import Answer, accepts_gzip, entity_tag, tag_matches

#: Interval at which the accepting thread checks whether to stop.
_POLL_SECONDS = 0.01
#: Maximum wait for each connection when stopping; far more than any needs, so exceeding it is a bug.
_JOIN_SECONDS = 10.0


@dataclass(eq=False)
class Simulator:
    """A stand-in for Roboflow's REST API over HTTP/1.1, by default on the loopback address.

    A context manager. It serves in daemon threads from :meth:`start` to :meth:`stop`, which ends them all, and can be
    started again on the same port.
    """

    #: Provides the content.
    source: Source
    _: KW_ONLY
    #: The address to listen on.
    host: str = "127.0.0.1"
    #: 0 for any free port; the one that it has, once it was started.
    port: int = 0
    #: Accepted API keys, or a mapping of each to the workspace that it opens; None accepts any that is not empty.
    keys: Collection[str] | Mapping[str, str] | None = None
    #: Send an ``ETag`` with each 200, and answer 304 to a matching ``If-None-Match``.
    etag: bool = True
    #: Return a single batch as ``{"batch": …}``, a single job as ``{"job": …}``.
    wrapped: bool = False
    #: List only so many batches or jobs in one answer, with a ``continuationToken`` if there are more; None for all.
    page_size: int | None = None
    #: Gzip the body for clients that accept it.
    compress: bool = True
    #: Serve HTTPS with the certificate of this context; None for plain HTTP.
    tls: ssl.SSLContext | None = None
    #: The faults to come.
    faults: Faults = field(default_factory=Faults)
    _arrived: threading.Condition = field(init=False, default_factory=threading.Condition)
    _requests: list[Request] = field(init=False, default_factory=list)
    _server: "_Server | None" = field(init=False, default=None)
    _thread: threading.Thread | None = field(init=False, default=None)

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash; stays the same after a stop.

        Raises:
            RuntimeError: the port is 0 and the server was never started.
        """
        if not self.port:
            raise RuntimeError("the simulator has no port before it is started")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    @property
    def requests(self) -> list[Request]:
        """A copy of all requests so far, in order of arrival."""
        with self._arrived:
            return list(self._requests)

    def await_requests(self, count: int, timeout: float = 10.0) -> list[Request]:
        """Waits until the total number of requests reaches ``count``, and returns them.

        A request counts once it was read, before it is answered.

        Raises:
            TimeoutError: they did not arrive within ``timeout`` seconds.
        """
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self._requests) >= count, timeout):
                raise TimeoutError(f"{len(self._requests)} of {count} requests arrived")
            return list(self._requests)

    def record(self, request: Request) -> None:
        """Adds a request to :attr:`requests`; called by the server."""
        with self._arrived:
            self._requests.append(request)
            self._arrived.notify_all()

    def start(self) -> None:
        """Starts listening and serving.

        Raises:
            RuntimeError: it is already running, or the system starts no thread for it.
            OSError: it can't listen on the address.
        """
        if self._server is not None:
            raise RuntimeError("the simulator is running already")
        server = _Server(self, (self.host, self.port))
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), name="simulator", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            server.server_close()
            raise
        self._server, self._thread, self.port = server, thread, server.server_address[1]

    def stop(self) -> None:
        """Closes all connections, including stalled and dripping ones, and joins their threads; no-op if not running.

        Raises:
            RuntimeError: a thread did not end.
        """
        if self._server is None or self._thread is None:
            return
        server, thread = self._server, self._thread
        self._server = self._thread = None
        server.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
        server.end_connections()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128

    def __init__(self, simulator: Simulator, address: tuple[str, int]) -> None:
        self.simulator = simulator
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, socket.socket] = {}
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer resolves the host's full name here, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self.simulator.tls is not None:
            # The first reading shakes hands, in the connection's own thread: here it would keep all others waiting.
            connection = self.simulator.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        # Instead of ThreadingMixIn's, which forgets daemon threads, while others would keep the process alive.
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), name="simulator-connection", daemon=True
        )
        with self._lock:
            self._connections[thread] = request
        try:
            thread.start()
        except RuntimeError:  # the system starts no more: the client finds the connection closed
            with self._lock:
                del self._connections[thread]
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                del self._connections[threading.current_thread()]

    def end_connections(self) -> None:
        """Wake every thread that reads or writes, and wait for all."""
        with self._lock:
            connections = dict(self._connections)
        for thread, connection in connections.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(_JOIN_SECONDS)
            if thread.is_alive():
                raise RuntimeError("a connection of the simulator does not end")

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client may disconnect at any time; anything else is a bug.
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        """Answers correctly, or with the next fault."""
        simulator = self.server.simulator
        request = self._request()
        simulator.record(request)
        fault = simulator.faults.take(request.path)
        answer = respond(
            request, simulator.source, simulator.keys, wrapped=simulator.wrapped, page_size=simulator.page_size
        )
        exchange = Exchange(self.connection, *self._finished(answer, request), self.server.stopping)
        try:
            if fault is None:
                exchange.reply(exchange.normal)
            else:
                fault.perform(exchange)
        except StoppingError:
            exchange.closing = True
        if exchange.closing:
            self.close_connection = True

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Logs nothing: a path may contain an API key."""

    def _request(self) -> Request:
        path, _, query = self.path.partition("?")
        headers = {name.lower(): value for name, value in self.headers.items()}
        length = headers.get("content-length", "0")
        if length.isdigit():
            self.rfile.read(int(length))  # otherwise it would be parsed as the next request
        return Request(self.command, path, dict(parse_qsl(query)), headers, time.monotonic())

    def _finished(self, answer: Answer, request: Request) -> tuple[Answer, Answer]:
        """The answer with ETag and content coding; and what the client gets: the same, or a 304."""
        simulator = self.server.simulator
        not_modified = None
        if simulator.etag and answer.status == 200:
            tag = entity_tag(answer.body)
            answer = replace(answer, headers=(*answer.headers, ("ETag", tag)))
            if tag_matches(request.headers.get("if-none-match", ""), tag):
                not_modified = Answer(304, headers=(("ETag", tag),))
        if simulator.compress and answer.body and accepts_gzip(request.headers.get("accept-encoding", "")):
            # Fastest level for speed; no timestamp, so that answers are reproducible.
            body = gzip.compress(answer.body, compresslevel=1, mtime=0)
            answer = replace(answer, body=body, headers=(*answer.headers, ("Content-Encoding", "gzip")))
        return answer, not_modified or answer
