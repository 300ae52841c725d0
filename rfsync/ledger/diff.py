"""What an observation shows to differ from the stored state: no clock, no I/O, no database.

Both sides come in the order of their ids by code point, so that one walk over the two finds everything and neither
has to be put into a dictionary first. Nearly all batches are equal on both sides, and cost one comparison.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from rfsync.ledger.changes import Change, ChangeKind
from rfsync.records import Batch

_NOTHING: Final[Mapping[str, Batch]] = {}


@dataclass(frozen=True, slots=True)
class Stored:
    """The state of a project: its batches that exist, in the order of ``Batch.id``, and a lookup of the removed ones.

    Counts are never None here.
    """

    current: Iterable[Batch]
    find_removed: Callable[[str], Batch | None] = _NOTHING.get


@dataclass(frozen=True, slots=True)
class Diff:
    """What differs, in the order of ids, and the batches that the observation lacks without being known as gone."""

    changes: list[Change]
    missing: list[Batch]


def diff(
    stored: Stored, observed: Iterable[Batch], *, gone: Container[str] = frozenset(), kept: Container[str] = frozenset()
) -> Diff:
    """Compares the stored state with an observation.

    Args:
        stored: the state before.
        observed: each batch once, in the order of ids.
        gone: ids that count as removed when the observation lacks them.
        kept: ids that stay as they are when the observation lacks them, and aren't reported as missing.
    """
    changes: list[Change] = []
    missing: list[Batch] = []
    rest = iter(observed)
    seen = next(rest, None)
    for old in stored.current:
        if seen == old:
            seen = next(rest, None)
            continue
        while seen is not None and seen.id < old.id:
            changes.append(_appeared(seen, stored.find_removed))
            seen = next(rest, None)
        if seen is not None and seen.id == old.id:
            change = _changed(old, seen)
            if change is not None:
                changes.append(change)
            seen = next(rest, None)
        elif old.id in gone:
            changes.append(_gone(old))
        elif old.id not in kept:
            missing.append(old)
    while seen is not None:
        changes.append(_appeared(seen, stored.find_removed))
        seen = next(rest, None)
    return Diff(changes, missing)


def _appeared(seen: Batch, find_removed: Callable[[str], Batch | None]) -> Change:
    """A batch that was not there: new, or back again with what it does not say filled in from before."""
    before = find_removed(seen.id)
    if before is None:
        images, num_jobs = seen.images or 0, seen.num_jobs or 0
        return Change(ChangeKind.ADDED, seen.id, seen.name, seen.uploaded_us, images, num_jobs, images, num_jobs)
    name, uploaded_us, images, num_jobs = _merged(before, seen)
    return Change(ChangeKind.RESTORED, seen.id, name, uploaded_us, images, num_jobs, images, num_jobs)


def _changed(old: Batch, seen: Batch) -> Change | None:
    merged = _merged(old, seen)
    if merged == (old.name, old.uploaded_us, old.images, old.num_jobs):
        return None
    images, num_jobs = merged[2:]
    images_delta, num_jobs_delta = images - (old.images or 0), num_jobs - (old.num_jobs or 0)
    return Change(ChangeKind.CHANGED, old.id, *merged, images_delta, num_jobs_delta)


def _merged(old: Batch, seen: Batch) -> tuple[str | None, int | None, int, int]:
    """What was reported, and where it wasn't what is known."""
    return (
        old.name if seen.name is None else seen.name,
        old.uploaded_us if seen.uploaded_us is None else seen.uploaded_us,
        (old.images if seen.images is None else seen.images) or 0,
        (old.num_jobs if seen.num_jobs is None else seen.num_jobs) or 0,
    )


def _gone(old: Batch) -> Change:
    images, num_jobs = old.images or 0, old.num_jobs or 0
    return Change(ChangeKind.REMOVED, old.id, old.name, old.uploaded_us, images, num_jobs, -images, -num_jobs)
