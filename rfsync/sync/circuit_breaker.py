"""Few requests to an API that is down: one that has failed for every project so far is only tried now and then."""

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from rfsync.api.client import Response
from rfsync.errors import OUTAGES, ErrorKind, FetchError
from rfsync.redaction import Secret
from rfsync.sync.task import Fetcher, log

#: After that many failures without any answer, the API counts as down.
_FAILURES_TO_OPEN: Final = 5


class CircuitBreaker:
    """A fetcher for one pass over many projects, with a ``Circuit`` for each API.

    Deferred projects come last; if their API has not answered until then, they fail without a request.

    Args:
        base_urls: workspace -> base URL, of those whose API is not the one of the others.
    """

    def __init__(self, fetcher: Fetcher, base_urls: Mapping[str, str] = MappingProxyType({})) -> None:
        self._fetcher = fetcher
        self._base_urls = base_urls
        self._circuits = {url: Circuit(f"the API at {url}") for url in base_urls.values()}
        self._circuit = Circuit("the API")

    def should_defer(self, workspace: str) -> bool:
        """True if the next project, which is the workspace's, has to wait for the last round, since its API is down."""
        return self._circuit_of(workspace).should_defer()

    def start_last_round(self) -> None:
        """Every project had its turn: deferred ones are asked for if there was an answer, and fail if not."""
        for circuit in (self._circuit, *self._circuits.values()):
            circuit.start_last_round()

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        """See ``Client.get``.

        Raises:
            FetchError: also if the request was not sent (``attempts`` is 0); of the kind of the last failure.
        """
        circuit = self._circuit_of(segments[0])
        trial = circuit.begin_trial()
        try:
            response = self._fetcher.get(*segments, key=key, etag=etag, attempts=1 if trial else attempts)
            circuit.answered()
        except FetchError as error:
            if error.kind in OUTAGES:
                circuit.failed(error)
            else:
                circuit.answered()
            raise
        finally:
            if trial:
                circuit.end_trial()
        return response

    def cancel(self) -> None:
        """See ``Client.cancel``."""
        for circuit in (self._circuit, *self._circuits.values()):
            circuit.cancel()
        self._fetcher.cancel()

    def _circuit_of(self, workspace: str) -> "Circuit":
        base_url = self._base_urls.get(workspace)
        return self._circuit if base_url is None else self._circuits[base_url]


class Circuit:
    """The circuit to one API, which is half open while that is down.

    Then one request is sent at a time, with one attempt. If that fails, the next projects (1, then 2, 4, 8, ...) are
    deferred before another is tried. The first answer closes the circuit for good: later failures concern single
    projects.

    Args:
        api: its name in messages.
    """

    def __init__(self, api: str) -> None:
        self._api = api
        self._changed = threading.Condition()
        self._answered = False
        self._cancelled = False
        self._given_up = False
        self._failures = 0
        self._last_error = FetchError(ErrorKind.NETWORK, "")
        self._in_trial = False
        self._gap = 0
        self._to_defer = 0

    def should_defer(self) -> bool:
        """True if the next project has to wait for the last round."""
        with self._changed:
            self._changed.wait_for(lambda: not self._in_trial)
            if not self._is_down() or not self._to_defer:
                return False
            self._to_defer -= 1
            return True

    def start_last_round(self) -> None:
        """Every project had its turn."""
        with self._changed:
            self._given_up = self._is_down()

    def begin_trial(self) -> bool:
        """Waits for a trial to end; returns True if this request is the next one, since the API is down."""
        with self._changed:
            self._changed.wait_for(lambda: not self._in_trial)
            if not self._is_down():
                return False
            if self._given_up:
                raise FetchError(
                    self._last_error.kind,
                    f"not asked: {self._api} has failed for each of {self._failures} projects of this run, and "
                    f"answered none (last: {self._last_error})",
                )
            self._in_trial = True
            return True

    def answered(self) -> None:
        """The API has answered a request."""
        self._answered = True

    def failed(self, error: FetchError) -> None:
        """The API has not answered a request."""
        with self._changed:
            self._failures += 1
            self._last_error = error
            if self._failures == _FAILURES_TO_OPEN and not self._answered:
                log.warning(
                    "%s has failed for each of %d projects, and answered none: the rest of this run asks it only now "
                    "and then",
                    self._api,
                    self._failures,
                )

    def end_trial(self) -> None:
        """The trial that ``begin_trial`` has begun is over."""
        with self._changed:
            self._in_trial = False
            self._gap = self._to_defer = 2 * self._gap or 1
            self._changed.notify_all()

    def cancel(self) -> None:
        """No project is deferred any more, and none is a trial."""
        self._cancelled = True

    def _is_down(self) -> bool:
        return not self._answered and not self._cancelled and self._failures >= _FAILURES_TO_OPEN
