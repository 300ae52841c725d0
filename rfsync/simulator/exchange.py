"""One request being answered, as a fault sees it: the correct answer, and operations on the connection."""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from email.utils import formatdate
from http.client import responses

from rfsync.simulator.wire import Answer, Headers

#: Interval at which a wait for a test's event checks whether the server is stopping.
_POLL_SECONDS = 0.01
#: Statuses without a body (RFC 9112, 6.3); a client would read a body as the next answer.
_BODILESS = frozenset({204, 304})


class StoppingError(Exception):
    """The simulator is stopping: an answer that is held or dripped ends."""


@dataclass(eq=False)
class Exchange:
    """One request being answered.

    Methods that send raise :class:`OSError` if the client has disconnected; methods that wait raise
    :class:`StoppingError` if the simulator is stopping. A fault lets both propagate: the server closes the connection.
    """

    _connection: socket.socket
    #: The complete correct answer, content-coded as requested; never a 304.
    answer: Answer
    #: The answer without a fault: the same, or a 304.
    normal: Answer
    #: Set when the simulator stops.
    _stopping: threading.Event
    #: True if the connection is closed after this answer. A fault that breaks the framing sets it.
    closing: bool = False

    def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._connection.sendall(data)

    def start(self, answer: Answer, framing: Headers) -> None:
        """Sends the head of an answer, with the headers that frame its body."""
        self.send(self.head(answer, framing))

    def head(self, answer: Answer, framing: Headers) -> bytes:
        """The head of an answer, with the headers that frame its body and the connection's own."""
        closing: Headers = (("Connection", "close"),) if self.closing else ()
        reason = responses.get(answer.status, "Unknown")
        lines = [f"HTTP/1.1 {answer.status} {reason}", f"Date: {formatdate(usegmt=True)}"]
        lines += [f"{name}: {value}" for name, value in (*answer.headers, *framing, *closing)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def reply(self, answer: Answer) -> None:
        """Sends a complete answer, framed by its length."""
        body = b"" if answer.status in _BODILESS else answer.body
        # In one call: otherwise a delayed acknowledgement would hold up the body.
        self.send(self.head(answer, length_of(answer)) + body)

    def pause(self, seconds: float) -> None:
        """Waits."""
        if self._stopping.wait(seconds):
            raise StoppingError

    def hold(self, event: threading.Event) -> None:
        """Waits until the event is set."""
        while not event.wait(_POLL_SECONDS):
            self.pause(0)

    def reset(self) -> None:
        """Closes the connection with a TCP RST, which a client sees as "connection reset by peer"."""
        self.closing = True
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Detached, because the server would send a FIN before it closes the socket; and closed by descriptor, because
        # close() waits for the file objects that the request handler has made from the socket.
        with contextlib.suppress(OSError):
            socket.close(self._connection.detach())


def length_of(answer: Answer) -> Headers:
    """The ``Content-Length`` header of an answer; empty for a status without a body."""
    return () if answer.status in _BODILESS else (("Content-Length", str(len(answer.body))),)
