"""A deadline for a whole request, from connecting to the last byte, whatever the server does.

A socket's timeout starts again with every byte that arrives, and with every address of a host that is tried, so a
server that sends one byte a second could hold a request forever. Here a thread shuts down the connection of a request
that is past its deadline, or all of them when the process has to stop. The reader gets an error, and
``Deadline.expired`` says why. Only the lookup of a host's addresses can't be interrupted.
"""

import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from rfsync import threads
from rfsync.api.head import CheckedResponse
from rfsync.errors import ErrorKind, FetchError, ThreadError


class Deadline:
    """The deadline of one request.

    Args:
        at: in the time of ``time.monotonic``.
    """

    def __init__(self, at: float) -> None:
        self.at = at
        self.expired = False
        #: Connected, but TLS is not established yet: an error at this point is TLS's.
        self.in_handshake = False
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def left(self) -> float:
        """Seconds until then, as a timeout: more than 0 even if it is past."""
        return max(self.at - time.monotonic(), 0.001)

    def attach(self, connection: socket.socket | None) -> None:
        """Sets the connection that the request uses from now on; None: the request is over.

        A duplicate is kept: TLS takes over the original in its handshake, and the standard library closes it as soon
        as the head is read, if the server is going to close the connection, and reads the body through another one.
        """
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = None if connection is None else socket.socket(fileno=os.dup(connection.fileno()))
            if self.expired:
                self._shut_down()

    def expire(self) -> None:
        """Ends the request."""
        with self._lock:
            self.expired = True
            self._shut_down()

    def _shut_down(self) -> None:
        if self._socket is not None:
            # It may not be connected, or not any more; either way nobody waits for it.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


#: Of the request that the current thread makes.
_current: ContextVar[Deadline] = ContextVar("rfsync_deadline")


class DeadlineThread:
    """Ends requests that are past their deadline. The thread starts with the first request, and anew if it has died."""

    def __init__(self) -> None:
        self._deadlines: set[Deadline] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopped = False
        #: When the thread will look again, in the time of ``time.monotonic``.
        self._wakes_at = math.inf

    @contextmanager
    def limit(self, seconds: float) -> Iterator[Deadline]:
        """Gives this thread's requests a deadline that many seconds from now.

        Raises:
            FetchError: the thread that would keep it can't be started.
        """
        deadline = Deadline(time.monotonic() + seconds)
        with self._changed:
            self._require_thread()
            deadline.expired = self._stopped
            self._deadlines.add(deadline)
            if deadline.at < self._wakes_at:
                self._changed.notify()
        token = _current.set(deadline)
        try:
            yield deadline
        finally:
            _current.reset(token)
            deadline.attach(None)
            with self._changed:
                self._deadlines.discard(deadline)

    def stop(self) -> None:
        """Ends every request now, and every later one at its start."""
        with self._changed:
            self._stopped = True
            for deadline in self._deadlines:
                deadline.expire()
            self._changed.notify()

    def _require_thread(self) -> None:
        if self._stopped or (self._thread is not None and self._thread.is_alive()):
            return
        thread = threading.Thread(target=self._run, name="rfsync-deadlines", daemon=True)
        try:
            with threads.starting():
                thread.start()
        except ThreadError as error:
            text = f"nothing was sent, since the thread for the deadline of requests is missing: {error}"
            raise FetchError(ErrorKind.NETWORK, text, retryable=True) from None
        self._thread = thread

    def _run(self) -> None:
        with self._changed:
            while not self._stopped:
                now = time.monotonic()
                pending = [deadline for deadline in self._deadlines if not deadline.expired]
                for deadline in pending:
                    if deadline.at <= now:
                        deadline.expire()
                self._wakes_at = min((d.at for d in pending if not d.expired), default=math.inf)
                self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)


class _Connection(HTTPConnection):
    """A connection that tells the deadline of the current request which socket it uses."""

    response_class = CheckedResponse

    def _new_conn(self) -> socket.socket:
        """As urllib3's, which would allow the whole time for each of the host's addresses."""
        try:
            addresses = socket.getaddrinfo(*self._next_hop(), type=socket.SOCK_STREAM)
        except OSError as error:
            raise NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        failure: OSError = OSError("the host has no address")
        for family, kind, protocol, _, address in addresses:
            try:
                return self._open(family, kind, protocol, address)
            except OSError as error:
                failure = error
        # PySocks wraps the error of its connection to the proxy.
        if isinstance(getattr(failure, "socket_err", failure), TimeoutError):
            raise ConnectTimeoutError(self, f"connecting to {self.host} timed out") from failure
        raise NewConnectionError(self, str(failure)) from failure

    def _next_hop(self) -> tuple[str, int | None]:
        return self.host, self.port

    def _open(self, family: int, kind: int, protocol: int, address: Any) -> socket.socket:
        return self._connect(socket.socket(family, kind, protocol), address)

    def _connect(self, new: socket.socket, address: Any) -> socket.socket:
        deadline = _current.get()
        try:
            for option in self.socket_options or ():
                new.setsockopt(*option)
            deadline.attach(new)
            new.settimeout(deadline.left())
            new.connect(address)
        except BaseException:
            new.close()
            raise
        return new

    def request(self, *args: Any, **kwargs: Any) -> None:
        """As urllib3's; a connection that was kept open is under the deadline from here on."""
        if self.sock is not None:
            _current.get().attach(self.sock)
        super().request(*args, **kwargs)


class _TLSConnection(_Connection, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        new = super()._new_conn()
        _current.get().in_handshake = not self.proxy_is_tunneling  # a proxy first has to open the tunnel
        return new

    def connect(self) -> None:
        super().connect()
        _current.get().in_handshake = False


class _SOCKSConnection(_TLSConnection):
    """TLS through a SOCKS proxy. urllib3's would not be under the deadline while it talks to the proxy."""

    def __init__(self, *args: Any, _socks_options: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._options = _socks_options

    def _next_hop(self) -> tuple[str, int | None]:
        return self._options["proxy_host"], self._options["proxy_port"] or _SOCKS_PORT

    def _open(self, family: int, kind: int, protocol: int, address: Any) -> socket.socket:
        import socks  # of PySocks, an extra of requests

        names = ("rdns", "username", "password")
        new = socks.socksocket(family, kind, protocol)
        new.set_proxy(self._options["socks_version"], *address[:2], *(self._options[name] for name in names))
        return self._connect(new, (self.host, self.port))


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _SOCKSPool(HTTPSConnectionPool):
    ConnectionCls = _SOCKSConnection


_POOLS: Final = {"http": _Pool, "https": _TLSPool}
# Plain http is for a loopback address only, which is never asked through a proxy.
_SOCKS_POOLS: Final = {"https": _SOCKSPool}
#: Unless the proxy's URL names another.
_SOCKS_PORT: Final = 1080


class DeadlineAdapter(HTTPAdapter):
    """requests' adapter, whose connections observe the deadline of the current request.

    Args:
        hosts: number of hosts to which connections are kept.
        connections: number of them to each host.
    """

    def __init__(self, hosts: int, connections: int) -> None:
        super().__init__(pool_connections=hosts, pool_maxsize=connections, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """As requests'."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """As requests'."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _SOCKS_POOLS if proxy.lower().startswith("socks") else _POOLS
        return manager
