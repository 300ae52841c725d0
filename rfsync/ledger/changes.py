"""What a change is, and the sums over the changes of one observation."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import msgspec


class ChangeKind(StrEnum):
    """The words of ``batch_changes.change``."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    RESTORED = "restored"


class Change(msgspec.Struct, frozen=True, gc=False):
    """One row of the ledger to be, and what the batch's own row will contain."""

    kind: ChangeKind
    batch_id: str
    #: None: never known.
    name: str | None
    #: Microseconds since 1970 UTC; None: never known.
    uploaded_us: int | None
    #: The batch's counts; of a removed one the last that were known (its ledger row says 0).
    images: int
    num_jobs: int
    images_delta: int
    num_jobs_delta: int


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
