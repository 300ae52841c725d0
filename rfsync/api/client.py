"""HTTP with Roboflow: deadline, retries, a bound on the body, conditional requests. It gives bytes.

The key travels in the header ``Authorization: Bearer``, or as ``?api_key=`` where the configuration says so
(https://docs.roboflow.com/api-reference/authentication), and is taken out of everything that leaves this module.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit

import requests
import tenacity
import urllib3

from rfsync.api.deadline import DeadlineThread, Watch, WatchedAdapter
from rfsync.api.failures import error_message, shortened
from rfsync.config import ApiConfig
from rfsync.errors import BadResponse, Cancelled, ErrorKind, FetchError
from rfsync.parsing import is_loopback
from rfsync.redaction import Redactor, Secret
from rfsync.version import __version__

_CHUNK: Final = 1 << 18
_MAX_REDIRECTS: Final = 3
#: Of an error's answer, whose text is only for people.
_MAX_ERROR_BYTES: Final = 65_536
#: First pause between two attempts in seconds; doubled each time, with up to as much again as jitter.
_FIRST_WAIT: Final = 0.5

_RETRIED_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_KINDS: Final = {
    401: ErrorKind.AUTH,
    402: ErrorKind.AUTH,
    403: ErrorKind.AUTH,
    404: ErrorKind.NOT_FOUND,
    408: ErrorKind.SERVER,
    425: ErrorKind.SERVER,
    429: ErrorKind.RATE_LIMITED,
}
_HINTS: Final = {
    401: "the key is missing or wrong",
    402: "out of credits",
    403: "the key lacks the permission",
    404: "no such workspace, project or batch, or the key may not see it",
    429: "asked too often; lower [api] requests_per_second",
}


@dataclass(frozen=True, slots=True)
class Response:
    """An answer with status 200, or 304 to a conditional request (then without a body)."""

    status: int
    body: bytearray
    #: None: the server sent none.
    etag: str | None
    #: SHA-256 of the body, in hexadecimal.
    fingerprint: str
    #: When the request that was answered was sent, by the clock.
    sent_at: datetime
    #: Tries, this one included.
    attempts: int
    #: Bytes of the body, after decompression.
    size: int = 0
    #: As ``sent_at``, by the monotonic clock in microseconds: it can't be set, and says which of two was sent first.
    sent_us: int = 0

    @property
    def not_modified(self) -> bool:
        """Whether the answer is the one whose ETag was sent."""
        return self.status == 304


class _RetryableError(Exception):
    """Carries a ``FetchError`` that another attempt may mend."""

    def __init__(self, error: FetchError) -> None:
        super().__init__(str(error))
        self.error = error


class RateLimit:
    """Lets one caller through every ``1 / per_second`` seconds, in the order of their coming."""

    def __init__(self, per_second: float, monotonic: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._interval = 1 / per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._guard = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Returns when it is the caller's turn."""
        with self._guard:
            now = self._monotonic()
            turn = max(self._next, now)
            self._next = turn + self._interval
        if turn > now:
            self._sleep(turn - now)


class Client:
    """Asks one API for as many workspaces as wanted, from as many threads as wanted.

    Args:
        settings: ``[api]``.
        redactor: is told of each key that is used.
        clock: the time of day, aware; stamped on every answer.
    """

    def __init__(self, settings: ApiConfig, redactor: Redactor, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._redact = redactor
        self._clock = clock
        self._cancelled = threading.Event()
        self._rate = RateLimit(settings.requests_per_second, time.monotonic, self._pause)
        self._deadlines = DeadlineThread()
        self._adapter = WatchedAdapter(self._deadlines, settings.concurrency)
        # Proxies and certificates of the environment; read once, since requests would walk all of it at each request.
        with requests.Session() as session:
            self._environment: Any = session.merge_environment_settings(settings.base_url, {}, True, None, None)
        for proxy in self._environment["proxies"].values():
            # Shown whole by the error that it can't be read.
            password = proxy.rpartition("://")[2].rpartition("@")[0].partition(":")[2]
            for form in (password, unquote(password)):
                redactor.add(form)
        if is_loopback(urlsplit(settings.base_url).hostname or ""):
            # What may be asked over plain http because it stays on this machine must not leave it by a proxy.
            self._environment["proxies"] = {}

    def close(self) -> None:
        """Closes all connections."""
        self._deadlines.stop()
        self._adapter.close()

    def cancel(self) -> None:
        """Ends all requests and waits, now and from now on; they raise ``Cancelled``."""
        self._cancelled.set()
        self._deadlines.stop()

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        """Gets one resource, with as many attempts as configured.

        Args:
            segments: of the path below the base URL; each is percent-encoded whole.
            key: the workspace's key.
            etag: sent as ``If-None-Match``.
            attempts: instead of the configured number.

        Raises:
            FetchError: it came to nothing; ``BadResponse`` where the body is too long or not decodable.
            Cancelled: ``cancel`` was called.
        """
        self._redact.add(key.reveal())
        path = "/".join(quote(segment, safe="") for segment in segments)
        # A segment of dots alone would be taken for a step upwards; percent-encoded it is not.
        url = f"{self._settings.base_url.rstrip('/')}/{path}".replace("/..", "/%2E%2E").replace("/.", "/%2E")
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(attempts or self._settings.attempts),
            wait=self._wait,
            retry=tenacity.retry_if_exception(self._is_worth_waiting),
            sleep=self._pause,
            reraise=True,
        )
        failure: FetchError
        tried = 0
        try:
            for attempt in retrying:
                tried = attempt.retry_state.attempt_number
                with attempt:
                    return replace(self._attempt(url, key, etag), attempts=tried)
        except _RetryableError as error:
            failure = error.error
        except FetchError as error:
            failure = error
        # Raised here, outside the handlers: what requests raised shows the URL, and must not come along as context.
        failure.attempts = tried
        raise failure

    def _pause(self, seconds: float) -> None:
        if self._cancelled.wait(seconds):
            raise Cancelled("asked to stop while waiting")

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, _RetryableError) and error.error.retry_after is not None:
            return error.error.retry_after
        backoff = tenacity.wait_exponential(multiplier=_FIRST_WAIT) + tenacity.wait_random(0, _FIRST_WAIT)
        return min(backoff(state), self._settings.max_wait_seconds)

    def _is_worth_waiting(self, error: BaseException) -> bool:
        if not isinstance(error, _RetryableError):
            return False
        return (error.error.retry_after or 0) <= self._settings.max_wait_seconds

    def _attempt(self, url: str, key: Secret, etag: str | None) -> Response:
        """One request under one deadline, its redirects included."""
        self._rate.wait()
        caught: tuple[ErrorKind, str]
        with self._deadlines.watch(self._settings.deadline_seconds) as watch:
            try:
                return self._follow(url, key, etag, watch)
            except FetchError:
                raise
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                caught = self._translate(error, watch)
        if self._cancelled.is_set():
            raise Cancelled("asked to stop in the middle of a request")
        kind, message = caught
        if kind is ErrorKind.BAD_RESPONSE:
            raise BadResponse(message)
        raise _RetryableError(FetchError(kind, message))

    def _follow(self, url: str, key: Secret, etag: str | None, watch: Watch) -> Response:
        for _ in range(_MAX_REDIRECTS + 1):
            sent_at, sent_us = self._clock(), time.monotonic_ns() // 1000
            with self._send(url, key, etag, watch) as answer:
                status = answer.status_code
                location = answer.headers.get("Location")
                if status not in {301, 302, 303, 307, 308} or location is None:
                    response = self._read(answer, sent_at, conditional=etag is not None)
                    if watch.expired:
                        # Shut by the watch, a body that the connection's end delimits looks as if it were complete.
                        raise TimeoutError
                    return replace(response, sent_us=sent_us)
            url = self._redirected(url, location, status)
        raise FetchError(ErrorKind.REQUEST, f"redirected more than {_MAX_REDIRECTS} times", http_status=status)

    def _redirected(self, url: str, location: str, status: int) -> str:
        try:
            target = urljoin(url, location)
            same = _origin(target) == _origin(url)
        except ValueError:
            raise FetchError(ErrorKind.REQUEST, "redirected to what is no address", http_status=status) from None
        if not same:
            where = self._redact(_origin_text(target))
            raise FetchError(
                ErrorKind.REQUEST,
                f"redirected to another server ({where}), which must not get the key: "
                "set [api] base_url to the right one",
                http_status=status,
            )
        return _without_key(target)

    def _send(self, url: str, key: Secret, etag: str | None, watch: Watch) -> requests.Response:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip, deflate",
            "User-Agent": f"rfsync/{__version__}",
        }
        if etag is not None:
            headers["If-None-Match"] = etag
        if self._settings.auth == "bearer":
            headers["Authorization"] = f"Bearer {key.reveal()}"
        else:
            url += ("&" if "?" in url else "?") + urlencode({"api_key": key.reveal()})
        # Without a session: it would add cookies, and a password from ~/.netrc in place of the key, and it looks at
        # where a redirect leads to also when it is told not to follow.
        request = requests.Request("GET", self._settings.base_url, headers=headers).prepare()
        request.url = url
        left = max(watch.expires - time.monotonic(), 0.001)
        return self._adapter.send(request, timeout=left, **self._environment)

    def _read(self, answer: requests.Response, sent_at: datetime, *, conditional: bool) -> Response:
        status = answer.status_code
        if status == 304 and conditional:
            return Response(304, bytearray(), answer.headers.get("ETag"), "", sent_at, 0)
        if status != 200:
            raise self._refusal(answer)
        body, digest, limit = bytearray(), hashlib.sha256(), self._settings.max_response_bytes
        for chunk in answer.raw.stream(_CHUNK, decode_content=True):
            body += chunk
            digest.update(chunk)
            if len(body) > limit:
                error = BadResponse(f"the answer is longer than {limit:,} bytes: raise [api] max_response_bytes")
                error.http_status, error.response_bytes = status, len(body)
                raise error
        if not body and "Content-Length" not in answer.headers and "Transfer-Encoding" not in answer.headers:
            # Nothing says where this body ends, but the end of the connection: most likely the head was cut already.
            raise urllib3.exceptions.ProtocolError("the answer ended with its head")
        return Response(200, body, answer.headers.get("ETag"), digest.hexdigest(), sent_at, 0, len(body))

    def _refusal(self, answer: requests.Response) -> Exception:
        """The error that a status other than 200 stands for, ready to be raised."""
        status = answer.status_code
        body = answer.raw.read(_MAX_ERROR_BYTES, decode_content=True)
        said = error_message(body)
        text = f"HTTP {status}"
        if status in _HINTS:
            text += f", {_HINTS[status]}"
        if said:
            text += f" (the API says: {shortened(self._redact(said), 300)})"
        if 200 <= status < 300:
            bad = BadResponse(f"{text}: only 200 is a complete answer")
            bad.http_status, bad.response_bytes = status, len(body)
            return bad
        kind = _KINDS.get(status, ErrorKind.SERVER if status >= 500 else ErrorKind.REQUEST)
        error = FetchError(
            kind,
            self._redact(text),
            http_status=status,
            response_bytes=len(body),
            retry_after=_retry_after(answer.headers.get("Retry-After"), self._clock()),
        )
        return _RetryableError(error) if status in _RETRIED_STATUSES else error

    def _translate(self, error: Exception, watch: Watch) -> tuple[ErrorKind, str]:
        """What requests, urllib3 or the socket raised, in our words and without the URL, which may hold the key."""
        seconds = f"{self._settings.deadline_seconds:g} s"
        timeouts = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
        if watch.expired or isinstance(error, timeouts):
            where = "; the TLS handshake was not answered" if watch.in_handshake else ""
            return ErrorKind.TIMEOUT, f"no complete answer within {seconds} ([api] deadline_seconds){where}"
        if watch.in_handshake or isinstance(error, (requests.exceptions.SSLError, urllib3.exceptions.SSLError)):
            return ErrorKind.NETWORK, f"TLS failed: {self._reason(error)}"
        if isinstance(error, (urllib3.exceptions.DecodeError, requests.exceptions.ContentDecodingError)):
            return ErrorKind.BAD_RESPONSE, "the answer can't be decompressed"
        if isinstance(error, (urllib3.exceptions.IncompleteRead, urllib3.exceptions.ProtocolError)):
            return ErrorKind.NETWORK, f"the connection was lost in the middle of the answer: {self._reason(error)}"
        return ErrorKind.NETWORK, f"no connection to {_origin_text(self._settings.base_url)}: {self._reason(error)}"

    def _reason(self, error: BaseException) -> str:
        """The innermost cause in one line; the outer ones repeat it, and show the URL."""
        while True:
            inner: Any = getattr(error, "reason", None) or error.__cause__ or error.__context__
            if inner is None and error.args and isinstance(error.args[-1], BaseException):
                inner = error.args[-1]
            if not isinstance(inner, BaseException):
                break
            error = inner
        text = str(error).strip() or type(error).__name__
        return self._redact(text.splitlines()[0])


def _without_key(url: str) -> str:
    """A redirect's target without a key of ours that it repeats; it is added again when it is asked for."""
    parts = urlsplit(url)
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != "api_key"])
    return parts._replace(query=query, fragment="").geturl()


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, default if parts.port is None else parts.port


def _origin_text(url: str) -> str:
    scheme, host, port = _origin(url)
    return f"{scheme}://{host}:{port}"


def _retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait by the header's word; None: it has none, or one that means nothing."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    try:
        at = parsedate_to_datetime(value)
        if at.tzinfo is None:
            at = at.replace(tzinfo=UTC)
        return max((at - now).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None
