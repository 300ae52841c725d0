"""The order of a project's observations, and their times: no clock can turn either around."""

from datetime import datetime, timedelta
from typing import Final

from rfsync.api.client import Response
from rfsync.ledger.projects import ProjectState
from rfsync.ledger.runs import Run
from rfsync.sync.task import log

#: Warn if the clock is further behind than this.
_CLOCK_TOLERANCE: Final = timedelta(seconds=10)


def is_superseded(run: Run, state: ProjectState, response: Response) -> bool:
    """True if a newer observation was written after the run began.

    The newer one is that whose request was sent later, by the clock that all writers share: the time of day may differ
    between machines, and may be changed meanwhile.
    """
    if state.written_at == run.seen or state.sent_us is None:
        return False
    return state.sent_us >= sent_us(run, response)


def sent_us(run: Run, response: Response) -> int:
    """When the request was sent, by the clock that all writers share, in microseconds."""
    return response.sent_us + run.clock_offset_us


def observed_at(run: Run, state: ProjectState, response: Response) -> datetime:
    """The time of an observation: when its request was sent, but always after the last one."""
    at = response.sent_at
    if state.written_at is None or at > state.written_at:
        return at
    behind = state.written_at - at
    if behind > _CLOCK_TOLERANCE:
        log.warning(
            "%s/%s: the clock is %s behind the last observation: times go on from that one, %s UTC",
            *(run.workspace, run.project, behind, state.written_at.strftime("%Y-%m-%d %H:%M:%S")),
        )
    return state.written_at + timedelta(microseconds=1)
