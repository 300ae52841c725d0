"""The rate limit of a key over all processes that share a PostgreSQL database: one row, moved on at each turn."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from rfsync.database.engine import Database
from rfsync.database.retry import RetryPolicy
from rfsync.redaction import Secret

#: The longest wait: so many turns, or so many seconds if that is longer. A row that says more is a leftover, such as
#: of a configuration that had one request an hour.
_LONGEST_QUEUE: Final = 1000
_LONGEST_WAIT: Final = 60.0
#: In seconds; a longer one would be beyond the times that the database knows.
_LONGEST_INTERVAL: Final = 86_400.0 * 365

# By the server's clock, after the wait for the row. What is left of the queue is measured from the latest reservation
# if the clock was set back since then. The literals are a digest and numbers.
_RESERVE: Final = """INSERT INTO rate_limits AS r (key_digest, reserved_at, next_at)
SELECT '{digest}', n.at, n.at + {interval} FROM (SELECT clock_timestamp() AS at) n
ON CONFLICT (key_digest) DO UPDATE SET (reserved_at, next_at) = (
    SELECT n.at, n.at + {interval} + greatest('0', least(q.rest, {longest}))
    FROM (SELECT clock_timestamp() AS at) n, LATERAL (SELECT r.next_at - greatest(r.reserved_at, n.at) AS rest) q
)
RETURNING extract(epoch FROM next_at - reserved_at - {interval})::float8"""


class SharedRateLimit:
    """Gives turns to the requests of all processes, one after the other.

    Nothing is held while a request waits for its turn. The turns of a process that is killed are lost, and delay the
    others by no more than they would have.

    Args:
        database: of PostgreSQL.
        retry: ends the attempts to reach it.
    """

    def __init__(self, database: Database, retry: RetryPolicy) -> None:
        self._database = database
        self._retry = retry

    def at(self, requests_per_second: float) -> Callable[[Secret], float]:
        """``reserve`` for this rate, as a client takes it."""
        return partial(self.reserve, interval=1 / requests_per_second)

    def reserve(self, key: Secret, interval: float) -> float:
        """Reserves the next turn of a key, and returns the seconds until then.

        Args:
            interval: seconds until the turn after it.

        Raises:
            DatabaseError: the database refused or vanished.
            Cancelled: the store was stopped.
        """
        interval = min(interval, _LONGEST_INTERVAL)
        longest = max(_LONGEST_WAIT, _LONGEST_QUEUE * interval)
        statement = _RESERVE.format(digest=key.digest, interval=_seconds(interval), longest=_seconds(longest))
        (wait,) = self._retry.run(partial(self._run, statement))
        return float(wait)

    def _run(self, statement: str) -> tuple[Any, ...]:
        doing = "reserving a turn of the rate limit"
        return self._database.run(doing, statement, lock_timeout=self._retry.lock_timeout)


def _seconds(number: float) -> str:
    return f"make_interval(secs => {number!r})"
