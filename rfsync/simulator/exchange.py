"""One request being answered, as seen by a fault: the true answer, and what can be done with the connection."""

import contextlib
import socket
import struct
import threading

from rfsync.simulator.wire import Answer, Headers, head

#: How often someone who waits for a test's event looks whether the server stops.
_LOOK_SECONDS = 0.01
#: Statuses whose answer ends with its head (RFC 9112, 6.3); a body would be read as the next answer.
_BODILESS = frozenset({204, 304})


class StoppingError(Exception):
    """The simulator stops, so an answer that was held or dripped ends here."""


class Exchange:
    """One request being answered.

    Every method that sends raises :class:`OSError` when the client has gone, and every one that waits raises
    :class:`StoppingError` when the simulator stops; a fault lets both pass, the server ends the connection.
    """

    def __init__(self, connection: socket.socket, answer: Answer, normal: Answer, stopping: threading.Event) -> None:
        """Take the connection, the two answers, and the event that tells that the simulator stops."""
        self._connection = connection
        self._stopping = stopping
        #: The true answer, whole: content-coded as the client asked, but never a 304.
        self.answer = answer
        #: What is sent when nothing goes wrong: the same, or a 304.
        self.normal = normal
        #: Whether the connection ends with this answer. A fault that leaves the framing broken sets it.
        self.closing = False

    def send(self, data: bytes) -> None:
        """Send these bytes as they are."""
        self._connection.sendall(data)

    def start(self, answer: Answer, framing: Headers) -> None:
        """Send the head of an answer, with the headers that frame its body."""
        self.send(self.head(answer, framing))

    def head(self, answer: Answer, framing: Headers) -> bytes:
        """Give the head of an answer, with the headers that frame its body and the connection's own."""
        closing: Headers = (("Connection", "close"),) if self.closing else ()
        return head(answer.status, (*answer.headers, *framing, *closing))

    def reply(self, answer: Answer) -> None:
        """Send a whole answer, framed by its length."""
        body = b"" if answer.status in _BODILESS else answer.body
        # In one call, so that no client waits for a delayed acknowledgement between head and body.
        self.send(self.head(answer, length_of(answer)) + body)

    def pause(self, seconds: float) -> None:
        """Wait that long."""
        if self._stopping.wait(seconds):
            raise StoppingError

    def hold(self, event: threading.Event) -> None:
        """Wait until the event is set."""
        while not event.wait(_LOOK_SECONDS):
            self.pause(0)

    def reset(self) -> None:
        """End the connection with a TCP RST, which a client sees as "connection reset by peer"."""
        self.closing = True
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Detached, since the server would say an orderly goodbye (FIN) before it closes; and closed by number, since
        # close() waits for the files that the request handler has made of the socket.
        with contextlib.suppress(OSError):
            socket.close(self._connection.detach())


def length_of(answer: Answer) -> Headers:
    """Give the header that frames an answer's body by its length; none for a status without a body."""
    return () if answer.status in _BODILESS else (("Content-Length", str(len(answer.body))),)
