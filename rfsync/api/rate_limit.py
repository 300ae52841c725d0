"""A minimum interval between requests, for each key by itself."""

import threading
from collections.abc import Callable

from rfsync.redaction import Secret


class RateLimit:
    """Lets one caller of all threads through every ``1 / per_second`` seconds, in the order in which they came."""

    def __init__(self, per_second: float, monotonic: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._interval = 1 / per_second
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Returns when it is the caller's turn."""
        with self._lock:
            now = self._monotonic()
            turn = max(self._next, now)
            self._next = turn + self._interval
        if turn > now:
            self._sleep(turn - now)


class RateLimits:
    """A ``RateLimit`` for each key.

    Args:
        make: makes the rate limit of one key.
    """

    def __init__(self, make: Callable[[], RateLimit]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._limits: dict[Secret, RateLimit] = {}

    def wait(self, key: Secret) -> None:
        """Returns when it is the turn of a request with this key."""
        with self._lock:
            limit = self._limits.get(key)
            if limit is None:
                limit = self._limits[key] = self._make()
        limit.wait()
