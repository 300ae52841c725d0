"""Faults on demand, and the queue from which a simulator takes them."""

import fnmatch
import gzip
import itertools
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from rfsync.simulator.exchange import Exchange, length_of
from rfsync.simulator.wire import JSON_TYPE, Answer, Headers, chunk, error_answer

_CHUNKED: Headers = (("Transfer-Encoding", "chunked"),)


class Fault(Protocol):
    """A fault in one answer; a test may define its own."""

    def perform(self, exchange: Exchange) -> None:
        """Answers the request incorrectly."""


@dataclass(frozen=True, slots=True)
class Status:
    """Another status, with an error in the API's format unless a body is given."""

    code: int
    #: Seconds or an HTTP date, sent as is; None for no such header.
    retry_after: str | None = None
    #: What the error suggests to do; None for nothing.
    hint: str | None = None
    body: bytes | None = None
    headers: Headers = ()

    def perform(self, exchange: Exchange) -> None:
        """Sends it."""
        answer = error_answer(self.code, f"simulated status {self.code}", hint=self.hint)
        retry: Headers = () if self.retry_after is None else (("Retry-After", self.retry_after),)
        body = answer.body if self.body is None else self.body
        exchange.reply(Answer(self.code, body, (*answer.headers, *retry, *self.headers)))


@dataclass(frozen=True, slots=True)
class Redirect:
    """A redirect to another address, absolute or a path."""

    location: str
    code: int = 302

    def perform(self, exchange: Exchange) -> None:
        """Sends it."""
        exchange.reply(Answer(self.code, headers=(("Location", self.location),)))


@dataclass(frozen=True, slots=True)
class Body:
    """Arbitrary bytes as the body of a complete, correctly framed answer."""

    data: bytes
    content_type: str = JSON_TYPE
    #: "gzip" compresses ``data``. For a body that only claims to be gzip, set the header in ``headers``.
    encoding: Literal["gzip"] | None = None
    status: int = 200
    headers: Headers = ()

    def perform(self, exchange: Exchange) -> None:
        """Sends it."""
        coding: Headers = (("Content-Encoding", self.encoding),) if self.encoding else ()
        data = gzip.compress(self.data, mtime=0) if self.encoding else self.data
        exchange.reply(Answer(self.status, data, (("Content-Type", self.content_type), *coding, *self.headers)))


@dataclass(frozen=True, slots=True)
class Cut:
    """The correct answer with a truncated body, then a regular close of the connection."""

    #: Bytes of the body that are sent.
    after: int
    #: Send them as one chunk and omit the final chunk, even if the body is complete; otherwise announce a larger
    #: ``Content-Length``.
    chunked: bool = False

    def perform(self, exchange: Exchange) -> None:
        """Sends it."""
        exchange.closing = True
        body = exchange.answer.body
        if self.chunked:
            exchange.start(exchange.answer, _CHUNKED)
            exchange.send(chunk(body[: self.after]) if self.after else b"")
        else:
            exchange.start(exchange.answer, (("Content-Length", str(max(len(body), self.after + 1))),))
            exchange.send(body[: self.after])


@dataclass(frozen=True, slots=True)
class Drip:
    """An answer whose body comes ``size`` bytes every ``interval`` seconds."""

    interval: float = 0.05
    size: int = 1
    #: Send spaces forever, chunked, instead of the body.
    endless: bool = False

    def perform(self, exchange: Exchange) -> None:
        """Sends it slowly."""
        if self.endless:
            exchange.start(exchange.answer, _CHUNKED)
            _drip(exchange, itertools.repeat(chunk(b" " * self.size)), self.interval)
        exchange.start(exchange.answer, length_of(exchange.answer))
        _drip(exchange, _pieces(exchange.answer.body, self.size), self.interval)


@dataclass(frozen=True, slots=True)
class EndlessHeaders:
    """A status line, then headers that never end, ``size`` bytes every ``interval`` seconds."""

    interval: float = 0.05
    size: int = 1

    def perform(self, exchange: Exchange) -> None:
        """Sends them until the client disconnects."""
        exchange.send(f"HTTP/1.1 {exchange.answer.status} OK\r\n".encode())
        numbered = (_pieces(f"X-Fill-{number}: more\r\n".encode(), self.size) for number in itertools.count())
        _drip(exchange, itertools.chain.from_iterable(numbered), self.interval)


@dataclass(frozen=True, slots=True)
class Interim:
    """Interim answers (RFC 9110, 15.2), each some time before the next, and then the answer that they announce."""

    codes: tuple[int, ...] = (103,)
    #: Seconds after each of them.
    pause: float = 0.0
    headers: Headers = (("Link", "</style.css>; rel=preload; as=style"),)

    def perform(self, exchange: Exchange) -> None:
        """Sends them."""
        for code in self.codes:
            exchange.start(Answer(code, headers=self.headers), ())
            exchange.pause(self.pause)
        exchange.reply(exchange.normal)


@dataclass(frozen=True, slots=True)
class Surplus:
    """The answer, and behind it another one that nobody asked for, over a connection that stays open."""

    surplus: Answer
    #: Blanks behind the body make head and body this long, so that a reader of so many bytes stops before the surplus.
    size: int = 0

    def perform(self, exchange: Exchange) -> None:
        """Sends both at once."""
        answer = exchange.answer
        length = max(self.size - len(exchange.head(answer, (("Content-Length", str(self.size)),))), len(answer.body))
        padded = replace(answer, body=answer.body.ljust(length))
        both = [exchange.head(one, length_of(one)) + one.body for one in (padded, self.surplus)]
        exchange.send(b"".join(both))


@dataclass(frozen=True, slots=True)
class Bytes:
    """Arbitrary bytes instead of an answer; then the connection is kept open without another word."""

    data: bytes

    def perform(self, exchange: Exchange) -> None:
        """Sends them, and waits until the simulator stops."""
        exchange.send(self.data)
        exchange.hold(threading.Event())


@dataclass(frozen=True, slots=True)
class Reset:
    """A connection reset by the server (TCP RST), before or halfway through the head, or halfway through the body."""

    when: Literal["before_headers", "in_headers", "in_body"] = "before_headers"

    def perform(self, exchange: Exchange) -> None:
        """Sends that part, then resets the connection."""
        answer = exchange.answer
        head = exchange.head(answer, length_of(answer))
        if self.when == "in_headers":
            exchange.send(head[: len(head) // 2])
        elif self.when == "in_body":
            exchange.send(head + answer.body[: len(answer.body) // 2])
        exchange.reset()


@dataclass(frozen=True, slots=True)
class Stall:
    """The answer at the time of the request, held until a test sets the event."""

    event: threading.Event
    #: Hold it before its first byte, or between head and body.
    when: Literal["before_headers", "after_headers"] = "before_headers"

    def perform(self, exchange: Exchange) -> None:
        """Holds it, then sends it."""
        answer = exchange.normal
        if self.when == "before_headers":
            exchange.hold(self.event)
            exchange.reply(answer)
        else:
            exchange.start(answer, length_of(answer))
            exchange.hold(self.event)
            exchange.send(answer.body)


@dataclass(frozen=True, slots=True)
class Zeros:
    """A gzip bomb: a small body that decompresses to ``size`` zero bytes."""

    #: In bytes, decompressed.
    size: int

    def perform(self, exchange: Exchange) -> None:
        """Sends it chunked, generated on the fly."""
        exchange.start(Answer(200, headers=(("Content-Type", JSON_TYPE), ("Content-Encoding", "gzip"))), _CHUNKED)
        gzipped = zlib.compressobj(level=1, wbits=16 + zlib.MAX_WBITS)
        block = bytes(1 << 20)
        for begin in range(0, self.size, len(block)):
            data = gzipped.compress(block[: self.size - begin])
            exchange.pause(0)
            if data:  # an empty chunk would end the body
                exchange.send(chunk(data))
        exchange.send(chunk(gzipped.flush()) + chunk(b""))


class Faults:
    """A queue of faults by path; thread-safe, so that a test can add faults while the simulator is running."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[str, Iterator[Fault]]] = []

    def add(self, path_pattern: str, fault: Fault, times: int | None = 1) -> None:
        """Adds a fault for the next requests of a path, after those already queued for it.

        Args:
            path_pattern: an :mod:`fnmatch` pattern for the path as sent, without the query; ``*`` matches ``/``.
            fault: the fault.
            times: number of requests; None for all.

        Raises:
            ValueError: ``times`` is below 1.
        """
        if times is not None and times < 1:
            raise ValueError(f"times must be 1 or more, or None for all: {times}")
        faults = itertools.repeat(fault) if times is None else itertools.repeat(fault, times)
        with self._lock:
            self._waiting.append((path_pattern, faults))

    def clear(self) -> None:
        """Removes all faults."""
        with self._lock:
            self._waiting.clear()

    def take(self, path: str) -> Fault | None:
        """Takes the next fault for a path, in the order of ``add``; None if there is none."""
        with self._lock:
            for pattern, faults in self._waiting:
                if fnmatch.fnmatchcase(path, pattern):
                    fault = next(faults, None)
                    if fault is not None:
                        return fault
            return None


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[begin : begin + size] for begin in range(0, len(data), size))


def _drip(exchange: Exchange, pieces: Iterator[bytes], interval: float) -> None:
    for piece in pieces:
        exchange.pause(interval)
        exchange.send(piece)
