"""The head of an answer, checked line by line, and read no further than its first malformed line.

The standard library takes a malformed head for a shorter one: of what follows a line without a colon it knows nothing,
not even the length of the body. urllib3 logs that with a traceback, and the reader waits for the end of a body that has
none. Worse is a wrong length, or an interim answer that is taken for the final one: the rest would be taken for the
answer to the connection's next request, which may be about another project.
"""

import http.client
import io
import re
import socket
from contextlib import suppress
from typing import Any, Final, Protocol

#: Of one head, with its status line and the empty line at its end.
_MAX_LINES: Final = 100
_MAX_BYTES: Final = 65_536
#: Interim answers, such as 103 Early Hints, before the final one.
_MAX_INTERIM: Final = 20
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.\d[ \t]+([1-9]\d\d)(?:[ \t].*)?")
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH: Final = re.compile(rb"\d{1,18}")
#: Statuses without a body, whatever the head says.
_BODILESS: Final = frozenset({204, 304})


class BadHeadError(http.client.HTTPException):
    """The head of an answer is malformed. The text quotes it, and may contain anything, a key too."""

    def __init__(self, what: str, line: bytes = b"") -> None:
        super().__init__(f"the head of the answer is malformed: {what}" + (f": {line!r}" if line else ""))


class _Reader(Protocol):
    def readline(self, limit: int, /) -> bytes: ...


def read_head(file: _Reader) -> bytes:
    """Reads heads up to that of the final answer.

    Returns:
        That one, each of its fields in one line, and at most one of them about the length of the body.

    Raises:
        BadHeadError: one of them is malformed.
        http.client.RemoteDisconnected: the connection ended before.
        OSError: it can't be read.
    """
    for _ in range(_MAX_INTERIM + 1):
        lines = _Lines(file)
        line = lines.next()
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            raise BadHeadError("it begins with no status line", line)
        status = int(match[1])
        if status == 101:
            raise BadHeadError("it switches to another protocol, which nobody asked for", line)
        fields = _read_fields(lines)
        if status >= 200:
            fields = _framing(status, fields)
            return b"\r\n".join([line, *(name + b": " + value for name, value in fields), b"", b""])
    raise BadHeadError(f"there are more than {_MAX_INTERIM} interim answers")


class _Lines:
    """The lines of one head."""

    def __init__(self, file: _Reader) -> None:
        self._file = file
        self._number = 0
        self._bytes_left = _MAX_BYTES

    def next(self) -> bytes:
        """The next line without its end; empty: the last one."""
        line = self._file.readline(self._bytes_left + 1)
        self._number += 1
        self._bytes_left -= len(line)
        if self._bytes_left < 0:
            raise BadHeadError(f"it is longer than {_MAX_BYTES:,} bytes")
        if self._number > _MAX_LINES:
            raise BadHeadError(f"it has more than {_MAX_LINES} lines")
        if not line.endswith(b"\n"):
            raise http.client.RemoteDisconnected("the connection was lost in the head of the answer")
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if b"\r" in line or b"\0" in line:
            raise BadHeadError("a line has characters that none may have", line)
        return line


_Fields = list[tuple[bytes, bytes]]


def _read_fields(lines: _Lines) -> _Fields:
    fields: _Fields = []
    while line := lines.next():
        if line.startswith((b" ", b"\t")) and fields:
            # An obsolete way to continue the line before, which recipients have to understand (RFC 9112, 5.2).
            name, value = fields.pop()
            fields.append((name, value + b" " + line.strip(b" \t")))
            continue
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise BadHeadError("a line is no header", line)
        fields.append((name, value.strip(b" \t")))
    return fields


def _framing(status: int, fields: _Fields) -> _Fields:
    """The fields, with one description of where the body ends, which all readers understand alike (RFC 9112, 6.3)."""
    codings = _values(fields, b"transfer-encoding")
    lengths = {part.strip(b" \t") for value in _values(fields, b"content-length") for part in value.split(b",")}
    others = [field for field in fields if field[0].lower() not in {b"transfer-encoding", b"content-length"}]
    if status in _BODILESS:
        return others
    if codings:
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise BadHeadError("unknown Transfer-Encoding", b", ".join(codings))
        if lengths:
            # What the answer came through may have believed the length, so the connection is not used again.
            others = [field for field in others if field[0].lower() != b"connection"]
            others.append((b"Connection", b"close"))
        return [*others, (b"Transfer-Encoding", b"chunked")]
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise BadHeadError("invalid Content-Length", b", ".join(sorted(lengths)))
    return [*others, *((b"Content-Length", length) for length in lengths)]


def _values(fields: _Fields, name: bytes) -> list[bytes]:
    return [value for field, value in fields if field.lower() == name]


class CheckedResponse(http.client.HTTPResponse):
    """An answer with a checked head. Its connection is of no more use if anything lies behind the answer."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._connection = sock

    def begin(self) -> None:
        """As the standard library's, which gets the head that ``read_head`` has read."""
        file: Any = self.fp
        self.fp = io.BytesIO(read_head(file))  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            self.fp = file
        # What the parser of mails still finds is about parts of a mail; urllib3 would log it with a traceback.
        self.headers.defects.clear()
        if self.status in _BODILESS:
            # A server that sends a body nevertheless may send it at any time.
            self.will_close = True

    def _close_conn(self) -> None:
        """As the standard library's, at the end of the answer."""
        if self.will_close is False and self._is_followed():
            with suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
        super()._close_conn()  # type: ignore[misc]

    def _is_followed(self) -> bool:
        """True if more has come over the connection than this answer. Only another answer could tell what for."""
        try:
            self._connection.settimeout(0)  # the next request sets its own
            return bool(self.fp.peek(1))
        except OSError:  # nothing has come
            return False
