"""A minimum interval between requests, for each key by itself: one request is let through at each turn."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from rfsync.redaction import Secret

#: Reserves the next turn of a key, and returns the seconds until then.
ReserveTurn: TypeAlias = Callable[[Secret], float]


class RateLimit:
    """Gives a turn every ``1 / per_second`` seconds to the callers of all threads, in the order in which they came."""

    def __init__(self, per_second: float, monotonic: Callable[[], float]) -> None:
        self._interval = 1 / per_second
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._next = 0.0

    def reserve(self) -> float:
        """Reserves the next turn, and returns the seconds until then."""
        with self._lock:
            now = self._monotonic()
            turn = max(self._next, now)
            self._next = turn + self._interval
            return turn - now


class RateLimits:
    """A ``RateLimit`` for each key, over the threads of this process.

    Args:
        make: makes the rate limit of one key.
    """

    def __init__(self, make: Callable[[], RateLimit]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._limits: dict[Secret, RateLimit] = {}

    def reserve(self, key: Secret) -> float:
        """See ``ReserveTurn``."""
        with self._lock:
            limit = self._limits.get(key)
            if limit is None:
                limit = self._limits[key] = self._make()
        return limit.reserve()


def of_process(per_second: float) -> ReserveTurn:
    """The rate limit of each key over the threads of this process."""
    return RateLimits(partial(RateLimit, per_second, time.monotonic)).reserve
