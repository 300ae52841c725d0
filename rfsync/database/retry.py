"""Retrying what the database refused for a reason that may pass: locked, deadlock, connection lost."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import tenacity

from rfsync.errors import Cancelled, DatabaseError, TransientDatabaseError

log = logging.getLogger("rfsync.sync")

#: Pauses before a transaction is retried, in seconds: doubled from the first to the longest, with jitter.
_FIRST_WAIT: Final = 0.1
_LONGEST_WAIT: Final = 1.0

_T = TypeVar("_T")


class RetryPolicy:
    """Retries a transaction until it succeeds or its time is up.

    After one transaction has exhausted its retries, later ones try once, until one succeeds: many projects don't wait
    one after the other for a database that is down.

    Args:
        seconds: for how long one transaction is retried.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._down = False
        self._stopped = threading.Event()

    @property
    def lock_timeout(self) -> float:
        """How long to wait for a lock, in seconds."""
        return 0.0 if self._down or self._stopped.is_set() else self._seconds

    def stop(self) -> None:
        """Lets no transaction begin any more unless it is essential."""
        self._stopped.set()

    def run(self, transaction: Callable[[], _T], *, essential: bool = False) -> _T:
        """Runs a transaction and returns its result.

        Args:
            transaction: leaves nothing behind when it raises.
            essential: run after ``stop`` too, and then twice at most: an interrupt that was meant for another one may
                have met this one.

        Raises:
            DatabaseError: it failed for good.
            Cancelled: ``stop`` was called.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(TransientDatabaseError),
            stop=partial(self._is_over, essential),
            wait=tenacity.wait_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)
            + tenacity.wait_random(0, _FIRST_WAIT),
            sleep=self._pause,
            before_sleep=_log_retry,
            reraise=True,
        )
        try:
            result: _T = retrying(self._attempt, transaction, essential=essential)
        except DatabaseError as error:
            if self._stopped.is_set() and not essential:
                raise Cancelled("asked to stop in the middle of a transaction") from None
            self._down = self._down or isinstance(error, TransientDatabaseError)
            raise
        self._down = False
        return result

    def _attempt(self, transaction: Callable[[], _T], *, essential: bool) -> _T:
        if self._stopped.is_set() and not essential:
            raise Cancelled("asked to stop")
        return transaction()

    def _is_over(self, essential: bool, state: tenacity.RetryCallState) -> bool:
        if essential and self._stopped.is_set() and state.attempt_number == 1:
            return False
        return (state.seconds_since_start or 0.0) >= self.lock_timeout

    def _pause(self, seconds: float) -> None:
        self._stopped.wait(seconds)


def _log_retry(state: tenacity.RetryCallState) -> None:
    log.info("retrying the database: %s", state.outcome.exception() if state.outcome is not None else None)
