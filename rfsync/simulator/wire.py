"""What stands on the wire: JSON as bytes, answers with their heads, entity tags, chunks.

Pure functions and one frozen type; no socket is touched here.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate
from http.client import responses

#: Header names with their values, in the order in which they are sent.
Headers = tuple[tuple[str, str], ...]

JSON_TYPE = "application/json; charset=utf-8"

# Made once, since json.dumps makes one at each call, which tells in a list of a million records.
_UTF8 = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer, without the headers that say how its body is framed."""

    #: The HTTP status code.
    status: int
    #: The body as it is sent, after any content coding.
    body: bytes = b""
    #: More headers; neither ``Content-Length`` nor ``Transfer-Encoding``.
    headers: Headers = (("Content-Type", JSON_TYPE),)


def encode(value: object) -> bytes:
    """Give a JSON value as compact UTF-8, as Roboflow's API writes it; bytes are given back as they are.

    A lone surrogate has no UTF-8 form, so a value with one in it is written in ASCII with ``\\u`` escapes instead.
    ``NaN`` and infinities are written as Python does, for tests of clients that must refuse them.

    Raises:
        TypeError: the value is neither bytes nor made of JSON's types.
    """
    if isinstance(value, bytes):
        return value
    try:
        return _UTF8.encode(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def json_answer(value: object, status: int = 200) -> Answer:
    """Give a JSON value, or ready bytes, as an answer with this status."""
    return Answer(status, encode(value))


def error_answer(status: int, message: str, kind: str = "GraphMethodException") -> Answer:
    """Give an error in the shape of Roboflow's API: ``{"error": {"message", "status", "type"}}``."""
    return json_answer({"error": {"message": message, "status": status, "type": kind}}, status)


def head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    """Give the status line and the headers of an HTTP/1.1 answer, up to and with the empty line that ends them."""
    lines = [f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}", f"Date: {formatdate(usegmt=True)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Give one chunk of the chunked transfer coding (RFC 9112, 7.1); of no bytes it is the last chunk."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def entity_tag(body: bytes) -> str:
    """Give the ``ETag`` of a body: weak, since its gzipped form carries the same one (RFC 9110, 8.8.3)."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def tag_matches(if_none_match: str, tag: str) -> bool:
    """Say whether an ``If-None-Match`` header covers this tag, by the weak comparison (RFC 9110, 13.1.2)."""
    wanted = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return "*" in wanted or tag.removeprefix("W/") in wanted


def accepts_gzip(accept_encoding: str) -> bool:
    """Say whether an ``Accept-Encoding`` header asks for gzip by its name; ``gzip;q=0`` does not."""
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
