"""What an observation shows to differ from the stored state: no clock, no I/O, no database.

Both sides come in the order of their ids by code point, so that one walk over the two finds everything and neither
has to be put into a dictionary first. Nearly all batches are equal on both sides, and cost one comparison.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from rfsync.ledger.changes import Change, ChangeKind
from rfsync.ledger.record_types import RecordType
from rfsync.records import Record

_NOTHING: Final[Mapping[str, Record]] = {}


@dataclass(frozen=True, slots=True)
class Stored:
    """The state of a project's records of one kind: those that exist, in the order of their ids, and a lookup of the
    removed ones.

    Counts are never None here.
    """

    type: RecordType
    current: Iterable[Record]
    find_removed: Callable[[str], Record | None] = _NOTHING.get


@dataclass(frozen=True, slots=True)
class Diff:
    """What differs, in the order of ids, and the records that the observation lacks without being known as gone."""

    changes: list[Change]
    missing: list[Record]


def diff(
    stored: Stored,
    observed: Iterable[Record],
    *,
    gone: Container[str] = frozenset(),
    kept: Container[str] = frozenset(),
) -> Diff:
    """Compares the stored state with an observation.

    Args:
        stored: the state before.
        observed: each record once, in the order of ids.
        gone: ids that count as removed when the observation lacks them.
        kept: ids that stay as they are when the observation lacks them, and aren't reported as missing.
    """
    changes: list[Change] = []
    missing: list[Record] = []
    rest = iter(observed)
    seen = next(rest, None)
    for old in stored.current:
        if seen == old:
            seen = next(rest, None)
            continue
        while seen is not None and seen.id < old.id:
            changes.append(_appeared(stored, seen))
            seen = next(rest, None)
        if seen is not None and seen.id == old.id:
            new = _merged(old, seen)
            if new != old:
                changes.append(Change(ChangeKind.CHANGED, new, old))
            seen = next(rest, None)
        elif old.id in gone:
            changes.append(Change(ChangeKind.REMOVED, old, old))
        elif old.id not in kept:
            missing.append(old)
    while seen is not None:
        changes.append(_appeared(stored, seen))
        seen = next(rest, None)
    return Diff(changes, missing)


def _appeared(stored: Stored, seen: Record) -> Change:
    """A record that was not there: new, or back again with what it does not say filled in from before."""
    before = stored.find_removed(seen.id)
    if before is not None:
        return Change(ChangeKind.RESTORED, _merged(before, seen), before)
    if None in stored.type.counts_of(seen):
        not_reported = {name: 0 for name in stored.type.counts if getattr(seen, name) is None}
        seen = msgspec.structs.replace(seen, **not_reported)
    return Change(ChangeKind.ADDED, seen)


def _merged(old: Record, seen: Record) -> Record:
    """What was reported, and where it wasn't what is known."""
    reported = msgspec.structs.astuple(seen)
    if None not in reported:
        return seen
    known = msgspec.structs.astuple(old)
    return type(old)(*(k if r is None else r for k, r in zip(known, reported, strict=True)))
