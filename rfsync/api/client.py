"""HTTP requests to Roboflow: deadline, retries, a maximum size, conditional requests. The result is bytes.

The key is sent in the header ``Authorization: Bearer``, or as ``?api_key=`` if the configuration says so
(https://docs.roboflow.com/api-reference/authentication), and is removed from all that leaves this module.
"""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urljoin, urlsplit

import requests
import tenacity
import urllib3

from rfsync.api.deadline import Deadline, DeadlineAdapter, DeadlineThread
from rfsync.api.failures import network_error, retry_after, status_error
from rfsync.api.rate_limit import ReserveTurn, of_process
from rfsync.api.route import Route, make_route, origin, origin_text
from rfsync.config import ApiConfig
from rfsync.errors import Asked, BadResponse, Cancelled, ErrorKind, FetchError
from rfsync.redaction import Redactor, Secret
from rfsync.version import __version__

_CHUNK: Final = 1 << 18
_MAX_REDIRECTS: Final = 3
#: Bytes read of an error's body, which is only shown to people.
_MAX_ERROR_BYTES: Final = 65_536
#: The waits between two attempts, in seconds, apart from jitter: 0.5, 2, 8, 32, ...
_BACKOFF: Final = tenacity.wait_exponential(multiplier=0.5, exp_base=4)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Response:
    """An answer with status 200, or with 304 to a conditional request (then without a body)."""

    status: int
    body: bytearray
    #: None: the server sent none.
    etag: str | None
    #: SHA-256 of the body, in hexadecimal.
    fingerprint: str
    #: When the request was sent, by the clock.
    sent_at: datetime
    #: Including the one that was answered.
    attempts: int
    #: Bytes of the body, after decompression.
    size: int = 0
    #: When the request was sent, by the monotonic clock in microseconds: nobody can set it, so it orders requests.
    sent_us: int = 0
    #: For messages; None: it was not requested.
    asked: Asked | None = None

    @property
    def not_modified(self) -> bool:
        """True for a 304: the answer is still the one whose ETag was sent."""
        return self.status == 304

    @property
    def response_bytes(self) -> int | None:
        """``size``; None: the answer has no body of its own."""
        return None if self.not_modified else self.size

    def parse(self, parser: Callable[[bytearray], _T]) -> _T:
        """The body, read by ``parser``.

        Raises:
            BadResponse: it is not valid; with the status, size, attempts and times of this answer.
        """
        try:
            return parser(self.body)
        except BadResponse as error:
            error.attempts, error.http_status, error.response_bytes = self.attempts, self.status, self.size
            error.asked, error.sent_at, error.sent_us = self.asked, self.sent_at, self.sent_us
            raise


class Client:
    """Requests for any number of workspaces, from any number of threads.

    Args:
        settings: ``[api]``.
        redactor: hides each key that is used.
        clock: the time of day, aware; for ``Response.sent_at``.
        base_urls: workspace -> base URL, of those whose API is not the one in ``[api]``.
        reserve_turn: the rate limit; None: that of ``[api]``, for this client alone.
    """

    def __init__(
        self,
        settings: ApiConfig,
        redactor: Redactor,
        clock: Callable[[], datetime],
        base_urls: Mapping[str, str] = MappingProxyType({}),
        reserve_turn: ReserveTurn | None = None,
    ) -> None:
        self._settings = settings
        self._redact = redactor
        self._clock = clock
        self._cancelled = threading.Event()
        self._reserve_turn = reserve_turn or of_process(settings.requests_per_second)
        self._deadlines = DeadlineThread()
        self._route = make_route(settings.base_url, "[api] base_url", redactor)
        self._routes = {
            workspace: make_route(base_url, f"base_url in the [[workspaces]] table of {workspace}", redactor)
            for workspace, base_url in base_urls.items()
        }
        self._adapter = DeadlineAdapter(1 + len(self._routes), settings.concurrency)
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
        headers["User-Agent"] = f"rfsync/{__version__}"
        # Without a session, which would add cookies, replace the key by a password from ~/.netrc, and parse the target
        # of a redirect even when told not to follow it. Prepared once, which saves a sixth of the time of a request.
        self._request = requests.Request("GET", settings.base_url, headers=headers).prepare()

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
            segments: of the path below the base URL, the first of which is the workspace; each is percent-encoded as a
                whole.
            key: the workspace's key.
            etag: sent as ``If-None-Match``.
            attempts: instead of the configured number.

        Raises:
            FetchError: it failed; ``BadResponse`` if the body is too long or can't be decompressed.
            Cancelled: ``cancel`` was called.
            DatabaseError: it has the rate limit, and can't be reached.
        """
        self._redact.add(key.reveal())
        route = self._routes.get(segments[0], self._route)
        path = "/".join(quote(segment, safe="") for segment in segments)
        # A segment of dots alone would mean a folder above; percent-encoded it does not.
        url = f"{route.base_url.rstrip('/')}/{path}".replace("/..", "/%2E%2E").replace("/.", "/%2E")
        asked = Asked(url, None if route.is_roboflow else route.setting)
        stop = tenacity.stop_after_attempt(attempts or self._settings.attempts)
        retry = tenacity.retry_if_exception(self._should_retry)
        retrying = tenacity.Retrying(stop=stop, wait=self._wait, retry=retry, sleep=self._pause, reraise=True)
        try:
            response = retrying(self._attempt, route, url, key, etag)
        except FetchError as error:
            error.attempts, error.asked = retrying.statistics["attempt_number"], asked
            raise
        return replace(response, attempts=retrying.statistics["attempt_number"], asked=asked)

    def _pause(self, seconds: float) -> None:
        if self._cancelled.wait(seconds):
            raise Cancelled("asked to stop while waiting")

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """As long as the API asks, and no shorter than the backoff."""
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after if isinstance(error, FetchError) else None
        backoff = _BACKOFF(state)
        # With jitter, since many clients may have been asked to come back at the same time.
        jitter = random.uniform(0, backoff / 2)  # noqa: S311 not a secret
        return min(max(backoff, asked or 0.0) + jitter, self._settings.max_wait_seconds)

    def _should_retry(self, error: BaseException) -> bool:
        if not isinstance(error, FetchError) or not error.retryable:
            return False
        return (error.retry_after or 0) <= self._settings.max_wait_seconds

    def _attempt(self, route: Route, url: str, key: Secret, etag: str | None) -> Response:
        """One request under one deadline, including its redirects."""
        if route.proxy_problem is not None:
            raise FetchError(ErrorKind.NETWORK, route.proxy_problem)
        wait = self._reserve_turn(key)
        if wait > 0:
            self._pause(wait)
        with self._deadlines.limit(self._settings.deadline_seconds) as deadline:
            try:
                return self._follow(route, url, key, etag, deadline)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                failure = network_error(error, deadline, route, self._settings.deadline_seconds, self._redact)
        # Raised outside the handler: the error of requests shows the URL, and must not become this one's context.
        if self._cancelled.is_set():
            raise Cancelled("asked to stop in the middle of a request")
        raise failure

    def _follow(self, route: Route, url: str, key: Secret, etag: str | None, deadline: Deadline) -> Response:
        for _ in range(_MAX_REDIRECTS + 1):
            sent_at, sent_us = self._clock(), time.monotonic_ns() // 1000
            with self._send(route, url, key, etag, deadline) as answer:
                status, location = answer.status_code, answer.headers.get("Location")
                if status not in {301, 302, 303, 307, 308} or location is None:
                    try:
                        response = self._read(answer, sent_at, conditional=etag is not None)
                    except FetchError as error:
                        error.sent_at, error.sent_us = sent_at, sent_us
                        raise
                    if deadline.expired:
                        # A body without a length ends with the connection, so it looks complete when we shut that down.
                        raise TimeoutError
                    return replace(response, sent_us=sent_us)
            url = self._redirected(route, url, location, status)
        raise FetchError(ErrorKind.REQUEST, f"redirected more than {_MAX_REDIRECTS} times", http_status=status)

    def _redirected(self, route: Route, url: str, location: str, status: int) -> str:
        try:
            target = urljoin(url, location)
            same = origin(target) == origin(url)
        except ValueError:
            raise FetchError(ErrorKind.REQUEST, "redirected to an invalid address", http_status=status) from None
        if not same:
            where = self._redact(origin_text(target))
            text = f"redirected to another server ({where}), which must not get the key: "
            text += f"set {route.setting} to the right one"
            raise FetchError(ErrorKind.REQUEST, text, http_status=status)
        return _without_key(target)

    def _send(self, route: Route, url: str, key: Secret, etag: str | None, deadline: Deadline) -> requests.Response:
        request = self._request.copy()
        if etag is not None:
            request.headers["If-None-Match"] = etag
        if self._settings.auth == "bearer":
            request.headers["Authorization"] = f"Bearer {key.reveal()}"
        else:
            url += ("&" if "?" in url else "?") + urlencode({"api_key": key.reveal()})
        request.url = url
        return self._adapter.send(request, timeout=deadline.left(), **route.environment)

    def _read(self, answer: requests.Response, sent_at: datetime, *, conditional: bool) -> Response:
        status = answer.status_code
        if status == 304 and conditional:
            return Response(304, bytearray(), answer.headers.get("ETag"), "", sent_at, 0)
        if status != 200:
            body = answer.raw.read(_MAX_ERROR_BYTES, decode_content=True)
            wait = retry_after(answer.headers.get("Retry-After"), self._clock())
            raise status_error(status, body, wait, self._redact)
        body, digest, limit = bytearray(), hashlib.sha256(), self._settings.max_response_bytes
        for chunk in answer.raw.stream(_CHUNK, decode_content=True):
            body += chunk
            digest.update(chunk)
            if len(body) > limit:
                text = f"the answer is longer than {limit:,} bytes: raise [api] max_response_bytes"
                raise BadResponse(text, http_status=status, response_bytes=len(body))
        if not body and "Content-Length" not in answer.headers and "Transfer-Encoding" not in answer.headers:
            # Only the end of the connection says that this body is complete: most likely it was cut within the head.
            raise urllib3.exceptions.ProtocolError("the answer ended with its head")
        return Response(200, body, answer.headers.get("ETag"), digest.hexdigest(), sent_at, 0, len(body))


def _without_key(url: str) -> str:
    """The target of a redirect without a repeated key, which is added again when the request is sent."""
    parts = urlsplit(url)
    query = urlencode([(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k != "api_key"])
    return parts._replace(query=query, fragment="").geturl()
