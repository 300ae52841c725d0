"""The change since a moment, as the report and the dashboard show it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Engine

from rfsync.history.flow import count_first_observed, flow
from rfsync.history.query import Targets
from rfsync.history.rows import FlowRow


class NetChange(NamedTuple):
    """What changed from one moment to another, without what a project had when it was first observed."""

    #: Inclusive; the first observation, if that is later than what was asked for.
    since: datetime
    #: Exclusive; None: now.
    until: datetime | None
    #: Each project, by workspace and project.
    projects: Sequence[FlowRow]
    #: Projects first observed in that time, with images, jobs or batches that are not included.
    first_observed: int

    @property
    def batches(self) -> int:
        return sum(row.batches_added - row.batches_removed for row in self.projects)

    @property
    def images(self) -> int:
        return sum(row.images_delta for row in self.projects)

    @property
    def jobs(self) -> int:
        return sum(row.num_jobs_delta for row in self.projects)

    @property
    def images_gained(self) -> int:
        return sum(row.images_gained for row in self.projects)

    @property
    def images_lost(self) -> int:
        return sum(row.images_lost for row in self.projects)


def net_change(engine: Engine, targets: Targets = None, *, since: datetime, until: datetime | None = None) -> NetChange:
    """The change from ``since`` on: where no project was first observed since, what ``totals`` gives as its deltas.

    Args:
        since: inclusive.
        until: exclusive; None: to the last change.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    projects = flow(engine, targets, since=since, until=until, first_looks=False)
    return NetChange(since, until, projects, count_first_observed(engine, targets, since=since, until=until))
