"""What a change is, and the sums over the changes of one observation."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter, sub
from typing import Any, Self

import msgspec

from rfsync.ledger.record_types import RecordType


class ChangeKind(StrEnum):
    """The words of ``batch_changes.change`` and ``job_changes.change``."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    RESTORED = "restored"


class Change(msgspec.Struct, frozen=True, gc=False):
    """One row of a ledger to be, and what the record's own row will contain. Its counts are never None."""

    kind: ChangeKind
    #: A ``Batch`` or a ``Job``, complete; of a removed one as last known (its ledger row has counts of 0).
    record: Any
    #: As last known before; None: it was never seen.
    before: Any = None

    def counts(self, type_: RecordType) -> tuple[int, ...]:
        """The record's counts from then on."""
        counts = type_.counts_of(self.record)
        return (0,) * len(counts) if self.kind is ChangeKind.REMOVED else counts

    def deltas(self, type_: RecordType) -> tuple[int, ...]:
        """What is added to the sums of the counts."""
        counts = type_.counts_of(self.record)
        match self.kind:
            case ChangeKind.CHANGED:
                return tuple(map(sub, counts, type_.counts_of(self.before)))
            case ChangeKind.REMOVED:
                return tuple(-count for count in counts)
            case _:
                return counts


@dataclass(frozen=True, slots=True)
class Tally:
    """How many changes of which kind, and how much they add up to: a number for each count of the record."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    restored: int = 0
    deltas: tuple[int, ...] = (0, 0)
    #: Sums of the positive and of the negative deltas; neither is ever negative.
    gained: tuple[int, ...] = (0, 0)
    lost: tuple[int, ...] = (0, 0)

    @classmethod
    def of(cls, type_: RecordType, changes: Sequence[Change]) -> Self:
        """Counts and sums ``changes``."""
        # A first load is nothing but these: no tuple is made for each.
        added = [change.record for change in changes if change.kind is ChangeKind.ADDED]
        others = [change for change in changes if change.kind is not ChangeKind.ADDED]
        numbers = Counter(change.kind.value for change in others)
        deltas = [change.deltas(type_) for change in others]
        gained = [sum(map(attrgetter(name), added)) for name in type_.counts]
        gained = [s + sum([d[n] for d in deltas if d[n] > 0]) for n, s in enumerate(gained)]
        lost = [-sum([d[n] for d in deltas if d[n] < 0]) for n in range(len(gained))]
        return cls(
            added=len(added),
            **numbers,
            deltas=tuple(map(sub, gained, lost)),
            gained=tuple(gained),
            lost=tuple(lost),
        )

    @property
    def total(self) -> int:
        """Number of changes."""
        return self.added + self.changed + self.removed + self.restored
