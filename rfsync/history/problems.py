"""What is wrong with the syncs, so that numbers may be out of date."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias

from rfsync.history.rows import ProjectStatus

#: (workspace, time of an observation) -> time from which that observation is stale.
StaleFrom: TypeAlias = Callable[[str, datetime], datetime]


class ProblemRow(NamedTuple):
    """A project whose sync fails, or whose data is old.

    Attributes:
        workspace, project: URL ids of the workspace and project.
        reason: why its numbers may be out of date: ``its sync has failed once: HTTP 401 …``.
    """

    workspace: str
    project: str
    reason: str


def problems(projects: Sequence[ProjectStatus], now: datetime, stale_from: StaleFrom | None) -> list[ProblemRow]:
    """The projects with a problem, in their order.

    Args:
        projects: as ``status`` returns them.
        stale_from: None: no age is too old.
    """
    found = []
    for row in projects:
        if row.consecutive_failures:
            times = "once" if row.consecutive_failures == 1 else f"{row.consecutive_failures:,} times in a row"
            why = row.last_error or row.last_error_kind or row.last_outcome or "unknown reason"
            reason = f"its sync has failed {times}: {why}"
        elif row.observed_at is None:
            reason = "it was never observed"
        elif stale_from is not None and now > stale_from(row.workspace, row.observed_at):
            reason = "its data is old: three polls have been due since then"
        else:
            continue
        found.append(ProblemRow(row.workspace, row.project, reason))
    return found
