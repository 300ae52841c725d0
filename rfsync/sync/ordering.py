"""The order of a project's observations, and their times: no clock can turn either around."""

import time
from datetime import datetime, timedelta
from typing import Final, Protocol

from rfsync.ledger.projects import ProjectState
from rfsync.ledger.runs import Run
from rfsync.records import Kind
from rfsync.sync.task import log

#: A request that was sent later than now by more than this was sent before the machine was started again, which sets
#: its monotonic clock back.
_NOW_TOLERANCE_US: Final = 60_000_000
#: Warn if the clock is further behind than this.
_CLOCK_TOLERANCE: Final = timedelta(seconds=10)


class Sent(Protocol):
    """When the request of an observation was sent."""

    @property
    def sent_at(self) -> datetime:
        """By the clock."""

    @property
    def sent_us(self) -> int:
        """By the monotonic clock, in microseconds."""


def is_superseded(run: Run, state: ProjectState, sent: Sent) -> bool:
    """True if a newer observation was written after the run began.

    The newer one is that whose request was sent later, by the clock that all writers share: the time of day may differ
    between machines, and may be changed meanwhile.
    """
    return is_older(run, state, Kind.BATCH, sent)


def is_older(run: Run, state: ProjectState, kind: Kind, sent: Sent) -> bool:
    """True if a list was requested before the one of its kind that was written last, after the run began."""
    written_us = state.of(kind).sent_us
    if state.written_at == run.seen or written_us is None:
        return False
    now_us = time.monotonic_ns() // 1000 + run.clock_offset_us
    return sent_us(run, sent) <= written_us <= now_us + _NOW_TOLERANCE_US


def sent_us(run: Run, sent: Sent) -> int:
    """When the request was sent, by the clock that all writers share, in microseconds."""
    return sent.sent_us + run.clock_offset_us


def observed_at(state: ProjectState, sent: Sent) -> datetime:
    """The time of an observation: when its request was sent, but always after the last one."""
    if state.written_at is None or sent.sent_at > state.written_at:
        return sent.sent_at
    return state.written_at + timedelta(microseconds=1)


def warn_of_clock(run: Run, state: ProjectState, sent: Sent) -> None:
    """Logs a warning if the clock is far behind the last observation."""
    if state.written_at is not None and state.written_at - sent.sent_at > _CLOCK_TOLERANCE:
        log.warning(
            "%s: the clock is %s behind the last observation: times go on from that one, %s UTC",
            *(run.path, state.written_at - sent.sent_at, state.written_at.strftime("%Y-%m-%d %H:%M:%S")),
        )
