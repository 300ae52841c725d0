"""The wire format: JSON as bytes, answers, ETags, chunks.

Pure functions and one frozen type; no sockets.
"""

import hashlib
import json
from dataclasses import dataclass

#: Names and values of headers, in order.
Headers = tuple[tuple[str, str], ...]

JSON_TYPE = "application/json; charset=utf-8"

# Created once: json.dumps creates one per call, which is noticeable for a million records.
_UTF8 = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer, without the headers that frame its body."""

    #: The HTTP status code.
    status: int
    #: The body as sent, after any content coding.
    body: bytes = b""
    #: Other headers; neither ``Content-Length`` nor ``Transfer-Encoding``.
    headers: Headers = (("Content-Type", JSON_TYPE),)


def encode(value: object) -> bytes:
    """Encodes a JSON value as compact UTF-8, as Roboflow's API does; bytes are returned unchanged.

    A value with a lone surrogate, which has no UTF-8 form, is encoded in ASCII with ``\\u`` escapes. ``NaN`` and
    infinities are encoded as Python does, to test that clients reject them.

    Raises:
        TypeError: the value is neither bytes nor JSON-serializable.
    """
    if isinstance(value, bytes):
        return value
    try:
        return _UTF8.encode(value).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def error_answer(status: int, message: str, kind: str = "GraphMethodException", hint: str | None = None) -> Answer:
    """An error in the format of Roboflow's API: ``{"error": {"message", "status", "type"}}``, maybe with a ``hint``."""
    hints = {} if hint is None else {"hint": hint}
    return Answer(status, encode({"error": {"message": message, "status": status, "type": kind, **hints}}))


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked transfer coding (RFC 9112, 7.1); the final chunk if ``data`` is empty."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def entity_tag(body: bytes) -> str:
    """The ``ETag`` of a body: weak, since the gzipped body has the same one (RFC 9110, 8.8.3)."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def tag_matches(if_none_match: str, tag: str) -> bool:
    """True if an ``If-None-Match`` header matches a tag, by weak comparison (RFC 9110, 13.1.2)."""
    tags = [one.strip().removeprefix("W/") for one in if_none_match.split(",")]
    return "*" in tags or tag.removeprefix("W/") in tags


def accepts_gzip(accept_encoding: str) -> bool:
    """True if an ``Accept-Encoding`` header names gzip with a weight above 0."""
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}
    return False
