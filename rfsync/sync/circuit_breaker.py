"""Few requests to an API that is down: one that has failed for every project so far is only tried now and then."""

import threading
from typing import Final

from rfsync.api.client import Response
from rfsync.errors import ErrorKind, FetchError
from rfsync.redaction import Secret
from rfsync.sync.task import Fetcher, log

#: After that many failures without any answer, the API counts as down.
_FAILURES_TO_OPEN: Final = 5
# The other kinds of errors are answers, about one project or one key.
_OUTAGES: Final = frozenset({ErrorKind.NETWORK, ErrorKind.TIMEOUT, ErrorKind.SERVER, ErrorKind.RATE_LIMITED})


class CircuitBreaker:
    """A fetcher for one pass over many projects, which is half open while the API is down.

    Then it sends one request at a time, with one attempt. If that fails, the next projects (1, then 2, 4, 8, ...) are
    deferred before another is tried. The first answer closes the circuit for good: later failures concern single
    projects. Deferred projects come last; if there was no answer until then, they fail without a request.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
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
        """True if the next project has to wait for the last round, since the API is down."""
        with self._changed:
            self._changed.wait_for(lambda: not self._in_trial)
            if not self._is_down() or not self._to_defer:
                return False
            self._to_defer -= 1
            return True

    def start_last_round(self) -> None:
        """Every project had its turn: deferred ones are asked for if there was an answer, and fail if not."""
        with self._changed:
            self._given_up = self._is_down()

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        """See ``Client.get``.

        Raises:
            FetchError: also if the request was not sent (``attempts`` is 0); of the kind of the last failure.
        """
        trial = self._begin_trial()
        try:
            response = self._fetcher.get(*segments, key=key, etag=etag, attempts=1 if trial else attempts)
            self._answered = True
        except FetchError as error:
            if error.kind in _OUTAGES:
                self._failed(error)
            else:
                self._answered = True
            raise
        finally:
            if trial:
                self._end_trial()
        return response

    def cancel(self) -> None:
        """See ``Client.cancel``."""
        self._cancelled = True
        self._fetcher.cancel()

    def _is_down(self) -> bool:
        return not self._answered and not self._cancelled and self._failures >= _FAILURES_TO_OPEN

    def _begin_trial(self) -> bool:
        """Waits for a trial to end; returns True if this request is the next one, since the API is down."""
        with self._changed:
            self._changed.wait_for(lambda: not self._in_trial)
            if not self._is_down():
                return False
            if self._given_up:
                raise FetchError(
                    self._last_error.kind,
                    f"not asked: the API has failed for each of {self._failures} projects of this run, and answered "
                    f"none (last: {self._last_error})",
                )
            self._in_trial = True
            return True

    def _failed(self, error: FetchError) -> None:
        with self._changed:
            self._failures += 1
            self._last_error = error
            if self._failures == _FAILURES_TO_OPEN and not self._answered:
                log.warning(
                    "the API has failed for each of %d projects, and answered none: the rest of this run asks it only "
                    "now and then",
                    self._failures,
                )

    def _end_trial(self) -> None:
        with self._changed:
            self._in_trial = False
            self._gap = self._to_defer = 2 * self._gap or 1
            self._changed.notify_all()
