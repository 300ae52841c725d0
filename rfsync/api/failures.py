"""Errors of requests: their kind, whether to try again, and messages free of secrets and of people's addresses."""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec
import requests
import urllib3

from rfsync.api.deadline import Deadline
from rfsync.api.head import BadHeadError
from rfsync.api.route import Route
from rfsync.errors import BadResponse, ErrorKind, FetchError
from rfsync.redaction import hide_addresses
from rfsync.text import printable

_RETRIED_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_KINDS: Final = {
    **dict.fromkeys((401, 402, 403), ErrorKind.AUTH),
    **dict.fromkeys((408, 425), ErrorKind.SERVER),
    404: ErrorKind.NOT_FOUND,
    429: ErrorKind.RATE_LIMITED,
}
_MEANINGS: Final = {
    401: "the key is missing or wrong, or lacks a scope",
    402: "the workspace's plan does not include this, or its quota is used up",
    403: "the key lacks the permission",
    404: "no such workspace, project, batch or job, or the key may not see it",
    423: "the workspace's billing is paused",
    429: "asked too often; lower [api] requests_per_second",
}
#: Characters of a message from outside that are shown.
_SHOWN: Final = 300
#: What the standard library says of a 4xx to CONNECT.
_REFUSED_BY_PROXY: Final = "Tunnel connection failed: 4"
#: OpenSSL's reasons for not trusting who signed a certificate (X509_V_ERR_...): itself, or nobody that is known.
_UNTRUSTED: Final = frozenset({18, 19, 20, 21})
_INSPECTED: Final = (
    "; if a proxy of your network inspects TLS, name the file of its certificate authority in $REQUESTS_CA_BUNDLE"
)
#: Kinds of errors that a wrong base URL or id leads to. A message about the network names the server already.
_MAY_BE_WRONG_ADDRESS: Final = frozenset(
    {ErrorKind.NETWORK, ErrorKind.TIMEOUT, ErrorKind.NOT_FOUND, ErrorKind.REQUEST, ErrorKind.BAD_RESPONSE}
)
_Redact = Callable[[str], str]


def status_error(status: int, body: bytes, retry_after: float | None, redact: _Redact) -> FetchError:
    """The error for an answer whose status is not 200.

    Args:
        body: its first bytes.
        retry_after: seconds, from the ``Retry-After`` header.
        redact: takes secrets out.
    """
    text = f"HTTP {status}"
    if status in _MEANINGS:
        text += f", {_MEANINGS[status]}"
    said = _said(body, redact)
    if said:
        text += f" (the API says: {said})"
    if 200 <= status < 300:
        return BadResponse(f"{text}: only 200 is a complete answer", http_status=status, response_bytes=len(body))
    kind = _KINDS.get(status, ErrorKind.SERVER if status >= 500 else ErrorKind.REQUEST)
    return FetchError(
        kind, redact(text), http_status=status, response_bytes=len(body), retry_after=retry_after,
        retryable=status in _RETRIED_STATUSES,
    )  # fmt: skip


def network_error(
    error: Exception, deadline: Deadline, route: Route, deadline_seconds: float, redact: _Redact
) -> FetchError:
    """The error for what requests, urllib3 or the socket raised, without the URL, which may contain the key."""
    timeouts = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
    if deadline.expired or isinstance(error, timeouts):
        detail = "; the TLS handshake was not answered" if deadline.in_handshake else ""
        text = f"no complete answer within {deadline_seconds:g} s ([api] deadline_seconds){detail}"
        return FetchError(ErrorKind.TIMEOUT, text, retryable=True)
    if isinstance(error, (urllib3.exceptions.DecodeError, requests.exceptions.ContentDecodingError)):
        return BadResponse("the answer can't be decompressed")
    problem = route.certificates_problem()
    if problem is not None:
        # Trying again would not help before somebody has changed something.
        return FetchError(ErrorKind.NETWORK, redact(problem))
    cause = _root_cause(error)
    text = _lost_connection(error, cause, deadline, route, redact)
    # What a proxy refuses (407: the password) it refuses again.
    is_refused = isinstance(error, requests.exceptions.ProxyError) and str(cause).startswith(_REFUSED_BY_PROXY)
    return FetchError(ErrorKind.NETWORK, text, retryable=not is_refused)


def _lost_connection(error: Exception, cause: BaseException, deadline: Deadline, route: Route, redact: _Redact) -> str:
    reason = _shown(_one_line(cause), redact)
    if isinstance(cause, BadHeadError):
        return reason
    if deadline.in_handshake or isinstance(error, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)):
        text = f"TLS failed: {reason}"
        return text + _INSPECTED if getattr(cause, "verify_code", None) in _UNTRUSTED else text
    if isinstance(error, (urllib3.exceptions.IncompleteRead, urllib3.exceptions.ProtocolError)):
        return f"the connection was lost in the middle of the answer: {reason}"
    through = f" through {route.proxy}" if route.proxy is not None else ""
    return f"no connection to {route.origin}{through}: {reason}"


def _root_cause(error: BaseException) -> BaseException:
    """The innermost cause; the outer ones repeat it, and show the URL."""
    while True:
        inner: Any = getattr(error, "reason", None) or error.__cause__ or error.__context__
        if inner is None and error.args and isinstance(error.args[-1], BaseException):
            inner = error.args[-1]
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _one_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds to wait by the ``Retry-After`` header; None: it is missing or invalid."""
    if header is None:
        return None
    header = header.strip()
    if header.isascii() and header.isdigit():
        return float(header[:12])
    try:
        at = parsedate_to_datetime(header)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        return max((at - now).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None


def describe_error(error: FetchError, redact: _Redact) -> str:
    """One line for people: the error, how the answer begins where that explains something, and what was asked.

    Args:
        redact: takes secrets out.
    """
    text = redact(str(error))
    if isinstance(error, BadResponse):
        if error.body is None:
            return text  # it is the API's, and has what is wrong
        text += f": {_excerpt(error.body, redact)}"
    return text + _where(error, redact)


def _where(error: FetchError, redact: _Redact) -> str:
    """The address that was asked, and where it is set, if it may be the wrong one."""
    asked = error.asked
    if asked is None or error.kind not in _MAY_BE_WRONG_ADDRESS:
        return ""
    if error.kind is ErrorKind.NETWORK and not error.retryable:
        return ""  # what does not pass by itself is the proxy or a certificate, and its message says so
    text = "" if error.kind is ErrorKind.NETWORK else f"; asked: {shortened(redact(asked.address), _SHOWN)}"
    return text if asked.setting is None else f"{text}; if that is the wrong address, correct {asked.setting}"


def _excerpt(body: bytes, redact: _Redact) -> str:
    """The API's own error message, or the start of the body."""
    said = _said(body, redact)
    if said:
        return f"the API says {said!r}"
    return repr(_shown(body.decode("utf-8", "replace"), redact, 80)) if body else "an empty body"


def shortened(text: str, length: int) -> str:
    """The first ``length`` characters, with an ellipsis if there are more."""
    return text if len(text) <= length else text[:length] + "…"


def _said(body: bytes, redact: _Redact) -> str:
    """The API's own message and hint; empty: neither is there."""
    # Redact before anything else: half a key is still half a key.
    message, hint = (_shown(text or "", redact) for text in (error_message(body), error_hint(body)))
    if not hint:
        return message
    return f"{message.removesuffix('.')}; hint: {hint}" if message else f"hint: {hint}"


def _shown(text: str, redact: _Redact, length: int = _SHOWN) -> str:
    """The first characters of what somebody else says, without secrets and mail addresses."""
    return shortened(hide_addresses(redact(text)), length)


def error_message(body: bytes | bytearray) -> str | None:
    """The text of ``{"error": "text"}`` or ``{"error": {"message": "text"}}``, printable; None: there is none."""
    error = _decode_error(body).get("error")
    return _text(error.get("message") if isinstance(error, dict) else error)


def error_hint(body: bytes | bytearray) -> str | None:
    """The text of a ``hint`` within the ``error`` or beside it, printable; None: there is none."""
    decoded = _decode_error(body)
    error = decoded.get("error")
    within = _text(error.get("hint")) if isinstance(error, dict) else None
    return within or _text(decoded.get("hint"))


def _decode_error(body: bytes | bytearray) -> dict[str, object]:
    try:
        return msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _text(value: object) -> str | None:
    return printable(value) if isinstance(value, str) and value else None
