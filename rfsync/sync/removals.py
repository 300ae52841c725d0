"""Whether an observation that lacks stored batches is to be believed. Pure: no I/O, no clock.

A sync that takes a broken answer for the truth would write the removal of everything into the history, so one that
lacks too much has to be seen again, unchanged in what it lacks, before it counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rfsync.batch import Batch
from rfsync.config import RemovalsConfig
from rfsync.text import printable


@dataclass(frozen=True, slots=True)
class Accepted:
    """The observation counts; ``ask`` says whether each missing batch is asked for by id before it is removed."""

    ask: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """It does not count yet."""

    #: SHA-256 of the missing ids.
    digest: str
    #: Observations in a row that lacked just these, this one included.
    streak: int
    #: For the operator: what vanished, and when that will be believed.
    reason: str


def judge(
    missing: Sequence[Batch],
    *,
    nothing_listed: bool,
    before: tuple[str | None, int],
    settings: RemovalsConfig,
    allow: bool,
) -> Accepted | Refused:
    """Decides on an observation.

    Args:
        missing: stored batches that it lacks, in the order of ids.
        nothing_listed: whether it has no batch at all.
        before: digest and streak that the last refused observation left behind.
        settings: ``[removals]``.
        allow: the operator said ``--allow-removals``.
    """
    ask = len(missing) <= settings.confirm_limit
    if not missing or allow or (ask and not nothing_listed):
        return Accepted(ask)
    digest = hashlib.sha256("\0".join(b.id for b in missing).encode()).hexdigest()
    streak = before[1] + 1 if before[0] == digest else 1
    if streak >= settings.repeat:
        return Accepted(ask)
    return Refused(digest, streak, _reason(missing, streak, nothing_listed=nothing_listed, settings=settings))


def _reason(missing: Sequence[Batch], streak: int, *, nothing_listed: bool, settings: RemovalsConfig) -> str:
    ids = ", ".join(printable(b.id) for b in missing[:3]) + (", …" if len(missing) > 3 else "")
    what = "the list is suddenly empty" if nothing_listed else f"more than confirm_limit = {settings.confirm_limit}"
    more = settings.repeat - streak
    return (
        f"{len(missing):,} stored batches are missing from the answer ({ids}), {what}: nothing is applied until "
        f"{more} more observation{'s lack' if more > 1 else ' lacks'} the same"
    )
