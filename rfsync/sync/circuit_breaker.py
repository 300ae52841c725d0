"""Sparing an API that is down: once it has failed for every project of a run, the rest of the run hardly asks it."""

from __future__ import annotations

import logging
import threading
from typing import Final

from rfsync.api.client import Response
from rfsync.errors import ErrorKind, FetchError
from rfsync.redaction import Secret
from rfsync.sync.task import Fetcher

log = logging.getLogger("rfsync.sync")

#: Failures without a single answer, after which the API counts as down.
_ENOUGH: Final = 5
# The other kinds are an answer: of one project, or of one key.
_DOWN: Final = frozenset({ErrorKind.NETWORK, ErrorKind.TIMEOUT, ErrorKind.SERVER, ErrorKind.RATE_LIMITED})


class CircuitBreaker:
    """A fetcher for one run over many projects, which is half open when the API is down.

    Then one request at a time is tried, once. When it fails, the next projects (1, then 2, 4, 8, ...) are put off
    before another is tried. The first answer closes the circuit for good: what fails after that is one project's
    matter. What was put off is done at the end; if no answer came until then, it fails without being asked.

    Args:
        fetcher: asks the API.
    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._changed = threading.Condition()
        self._answered = False
        self._cancelled = False
        self._given_up = False
        self._failures = 0
        self._reason = FetchError(ErrorKind.NETWORK, "")
        self._trying = False
        self._gap = 0
        self._to_defer = 0

    def should_defer(self) -> bool:
        """Whether the next project is to be put off, since the API is down."""
        with self._changed:
            self._changed.wait_for(lambda: not self._trying)
            if not self._is_down() or not self._to_defer:
                return False
            self._to_defer -= 1
            return True

    def last_round(self) -> None:
        """Everybody had a turn: what was put off is asked for if there was an answer, and fails if not."""
        with self._changed:
            self._given_up = self._is_down()

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        """See ``client.Client.get``.

        Raises:
            FetchError: also where the request was not sent (``attempts`` is 0), of the kind of the last failure.
        """
        trial = self._enter()
        try:
            response = self._fetcher.get(*segments, key=key, etag=etag, attempts=1 if trial else attempts)
            self._answered = True
        except FetchError as error:
            if error.kind in _DOWN:
                self._failed(error)
            else:
                self._answered = True
            raise
        finally:
            if trial:
                self._end_trial()
        return response

    def cancel(self) -> None:
        """See ``client.Client.cancel``."""
        self._cancelled = True
        self._fetcher.cancel()

    def _is_down(self) -> bool:
        return not self._answered and not self._cancelled and self._failures >= _ENOUGH

    def _enter(self) -> bool:
        """Whether the request is the one that is tried while the API is down."""
        with self._changed:
            self._changed.wait_for(lambda: not self._trying)
            if not self._is_down():
                return False
            if self._given_up:
                raise FetchError(
                    self._reason.kind,
                    f"not asked: the API has failed for each of {self._failures} projects of this run, and answered "
                    f"none (last: {self._reason})",
                )
            self._trying = True
            return True

    def _failed(self, error: FetchError) -> None:
        with self._changed:
            self._failures += 1
            self._reason = error
            if self._failures == _ENOUGH and not self._answered:
                log.warning(
                    "the API has failed for each of %d projects, and answered none: the rest of this run asks it only "
                    "now and then",
                    self._failures,
                )

    def _end_trial(self) -> None:
        with self._changed:
            self._trying = False
            self._gap = self._to_defer = 2 * self._gap or 1
            self._changed.notify_all()
