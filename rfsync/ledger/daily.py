"""Sums over the changes of one observation, and the day's row that they go into."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

from rfsync.database.drivers import Connection
from rfsync.ledger.diff import Change, ChangeKind


@dataclass(frozen=True, slots=True)
class Tally:
    """How many changes of which kind, and how much they add up to; all but the two deltas are never negative."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    restored: int = 0
    images_delta: int = 0
    num_jobs_delta: int = 0
    images_gained: int = 0
    images_lost: int = 0
    jobs_gained: int = 0
    jobs_lost: int = 0

    @classmethod
    def of(cls, changes: Iterable[Change]) -> Self:
        """Counts and sums ``changes``."""
        counts = dict.fromkeys(ChangeKind, 0)
        images_gained = images_lost = jobs_gained = jobs_lost = 0
        for change in changes:
            counts[change.kind] += 1
            if change.images_delta > 0:
                images_gained += change.images_delta
            else:
                images_lost -= change.images_delta
            if change.num_jobs_delta > 0:
                jobs_gained += change.num_jobs_delta
            else:
                jobs_lost -= change.num_jobs_delta
        return cls(
            **{kind.value: count for kind, count in counts.items()},
            images_delta=images_gained - images_lost,
            num_jobs_delta=jobs_gained - jobs_lost,
            images_gained=images_gained,
            images_lost=images_lost,
            jobs_gained=jobs_gained,
            jobs_lost=jobs_lost,
        )

    @property
    def total(self) -> int:
        """Number of changes."""
        return self.added + self.changed + self.removed + self.restored


_ROLL_UP: Final = """INSERT INTO project_daily (project_id, day, changes, batches_added, batches_removed,
    images_gained, images_lost, jobs_gained, jobs_lost, batches, images, num_jobs)
VALUES (:project_id, :day, :changes, :batches_added, :batches_removed, :images_gained, :images_lost,
    :jobs_gained, :jobs_lost, :batches, :images, :num_jobs)
ON CONFLICT (project_id, day) DO UPDATE SET
    changes = project_daily.changes + excluded.changes,
    batches_added = project_daily.batches_added + excluded.batches_added,
    batches_removed = project_daily.batches_removed + excluded.batches_removed,
    images_gained = project_daily.images_gained + excluded.images_gained,
    images_lost = project_daily.images_lost + excluded.images_lost,
    jobs_gained = project_daily.jobs_gained + excluded.jobs_gained,
    jobs_lost = project_daily.jobs_lost + excluded.jobs_lost,
    batches = excluded.batches, images = excluded.images, num_jobs = excluded.num_jobs"""


def roll_up(connection: Connection, project_id: int, day: date, tally: Tally, totals: tuple[int, int, int]) -> None:
    """Adds one observation's changes to its day.

    Args:
        totals: batches, images and jobs of the project after the observation.
    """
    connection.execute(
        _ROLL_UP,
        {
            "project_id": project_id,
            "day": day.isoformat(),
            "changes": tally.total,
            "batches_added": tally.added + tally.restored,
            "batches_removed": tally.removed,
            "images_gained": tally.images_gained,
            "images_lost": tally.images_lost,
            "jobs_gained": tally.jobs_gained,
            "jobs_lost": tally.jobs_lost,
            "batches": totals[0],
            "images": totals[1],
            "num_jobs": totals[2],
        },
    )
