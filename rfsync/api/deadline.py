"""A deadline that holds for a whole request, from its start to the last byte, whatever the other side does.

A socket's timeout starts anew with every byte that arrives, and with every address of a host that is tried, so a
server that drips one byte a second can hold a request for ever. Here a watchman shuts the connection of a request that
is past its deadline, or of all when the process has to stop; whoever was reading gets an error, and is told by
``Watch.expired`` what it means. Only looking up a host's addresses can't be interrupted: that takes as long as the
system's resolver takes.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError


class Watch:
    """One request under its deadline. ``expires`` is in the time of ``time.monotonic``."""

    def __init__(self, expires: float) -> None:
        self.expires = expires
        self.expired = False
        #: Whether the connection is there and TLS is not yet: what goes wrong meanwhile is TLS's failure.
        self.in_handshake = False
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None

    def attach(self, connected: socket.socket | None) -> None:
        """The connection that the request goes over from now on; None: the request is over.

        The watch keeps a duplicate of its own: where the server says that it will close the connection, the standard
        library closes its socket as soon as the head is read, and reads the body through another.
        """
        with self._guard:
            if self._socket is not None:
                self._socket.close()
            self._socket = connected.dup() if connected is not None else None
            if self.expired:
                self._shut()

    def expire(self) -> None:
        """Ends the request."""
        with self._guard:
            self.expired = True
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            # It may be closed or never have been connected; either way nobody waits on it any more.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class DeadlineThread:
    """Ends requests that are past their deadline, from one thread of its own that starts with the first request."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._local = threading.local()

    @contextmanager
    def watch(self, seconds: float) -> Iterator[Watch]:
        """Puts the requests of this thread under a deadline of ``seconds`` from now."""
        watch = Watch(time.monotonic() + seconds)
        with self._wake:
            watch.expired = self._stopped
            self._watches.add(watch)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rfsync-deadlines", daemon=True)
                self._thread.start()
            self._wake.notify()
        self._local.watch = watch
        try:
            yield watch
        finally:
            self._local.watch = None
            watch.attach(None)
            with self._wake:
                self._watches.discard(watch)

    def current(self) -> Watch | None:
        """The watch of the calling thread's request; None: it has none."""
        watch: Watch | None = getattr(self._local, "watch", None)
        return watch

    def stop(self) -> None:
        """Ends every request now, and every later one at its start."""
        with self._wake:
            self._stopped = True
            for watch in self._watches:
                watch.expire()
            self._wake.notify()

    def _run(self) -> None:
        with self._wake:
            while not self._stopped:
                now = time.monotonic()
                for watch in self._watches:
                    if watch.expires <= now and not watch.expired:
                        watch.expire()
                waiting = [w.expires - now for w in self._watches if not w.expired]
                self._wake.wait(min(waiting, default=None))


class _Lines:
    """A file that remembers the last line that was read of it; b"": it had ended."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.last: bytes | None = None

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self.file.readline(limit)
        self.last = line
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class _WholeHead(http.client.HTTPResponse):
    """An answer whose head came whole; the standard library takes one that was cut off for one that ended."""

    def begin(self) -> None:
        file: Any = self.fp
        lines: Any = _Lines(file)
        self.fp = lines
        try:
            super().begin()
        finally:
            if self.fp is lines:
                self.fp = file
        if lines.last == b"":
            raise http.client.RemoteDisconnected("the connection was lost in the head of the answer")


class _Watched:
    """Mixed into urllib3's connections: tells the watch of the calling thread which socket is in use.

    The socket is duplicated, since the original is swallowed by TLS in the middle of the handshake, and the handshake
    is under the deadline too.
    """

    response_class: type[http.client.HTTPResponse] = _WholeHead
    _deadlines: DeadlineThread
    _duplicate: socket.socket | None = None

    def __init__(self, *args: Any, watchman: DeadlineThread, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadlines = watchman

    def _new_conn(self) -> socket.socket:
        """As urllib3's, but for the time: it would give all of it to each of a host's addresses anew."""
        this: Any = self
        try:
            addresses = socket.getaddrinfo(this.host, this.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NameResolutionError(this.host, this, error) from error  # type: ignore[arg-type]
        failure: OSError = OSError("the host has no address")
        for family, kind, protocol, _, address in addresses:
            try:
                connected = self._connect(socket.socket(family, kind, protocol), address)
            except OSError as error:
                failure = error
                continue
            self._duplicate = connected.dup()
            return connected
        if isinstance(failure, TimeoutError):
            raise ConnectTimeoutError(this, f"connecting to {this.host} timed out") from failure
        raise NewConnectionError(this, str(failure)) from failure

    def _connect(self, fresh: socket.socket, address: Any) -> socket.socket:
        watch = self._deadlines.current()
        try:
            for option in getattr(self, "socket_options", None) or ():
                fresh.setsockopt(*option)
            if watch is not None:
                watch.attach(fresh)
                fresh.settimeout(max(watch.expires - time.monotonic(), 0.001))
            fresh.connect(address)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def _attach(self) -> None:
        watch = self._deadlines.current()
        if watch is not None and self._duplicate is not None:
            watch.attach(self._duplicate)

    def request(self, *args: Any, **kwargs: Any) -> None:
        """As urllib3's; a connection that was kept open is under the watch from here on."""
        self._attach()
        super().request(*args, **kwargs)  # type: ignore[misc]

    def close(self) -> None:
        """As urllib3's."""
        super().close()  # type: ignore[misc]
        if self._duplicate is not None:
            self._duplicate.close()
            self._duplicate = None


class _WatchedHTTP(_Watched, HTTPConnection):
    pass


class _WatchedHTTPS(_Watched, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        watch = self._deadlines.current()
        if watch is not None:
            watch.in_handshake = not self.proxy_is_tunneling  # a proxy is asked for the way first
        return connected

    def connect(self) -> None:
        """As urllib3's."""
        super().connect()
        watch = self._deadlines.current()
        if watch is not None:
            watch.in_handshake = False


class WatchedAdapter(HTTPAdapter):
    """requests' adapter, whose connections are under the watch of ``watchman``."""

    def __init__(self, watchman: DeadlineThread, connections: int) -> None:
        self._deadlines = watchman
        super().__init__(pool_connections=4, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As requests'."""
        super().init_poolmanager(*args, **kwargs)
        self._put_under_watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """As requests'."""
        manager = super().proxy_manager_for(*args, **kwargs)
        self._put_under_watch(manager)
        return manager

    def _put_under_watch(self, manager: PoolManager) -> None:
        manager.pool_classes_by_scheme = {
            "http": functools.partial(_pool, HTTPConnectionPool, _WatchedHTTP, self._deadlines),  # type: ignore[dict-item]
            "https": functools.partial(_pool, HTTPSConnectionPool, _WatchedHTTPS, self._deadlines),  # type: ignore[dict-item]
        }


def _pool(kind: Any, connection: Any, watchman: DeadlineThread, *args: Any, **kwargs: Any) -> Any:
    pool = kind(*args, **kwargs)
    pool.ConnectionCls = functools.partial(connection, watchman=watchman)
    return pool
