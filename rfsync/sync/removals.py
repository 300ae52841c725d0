"""The decision whether to accept an observation that lacks stored batches. Pure: no I/O, no clock.

If a broken answer were accepted, the ledger would say that everything was removed. So an observation that lacks too
many batches is refused until the next ones lack the same.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from rfsync.batch import Batch
from rfsync.config import RemovalsConfig
from rfsync.text import printable


@dataclass(frozen=True, slots=True)
class Accepted:
    """The observation counts. ``ask``: each missing batch has to be asked for by id before it is removed."""

    ask: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The observation does not count yet."""

    #: SHA-256 of the missing ids.
    digest: str
    #: Number of observations in a row that lacked exactly these, this one included.
    streak: int
    #: For people: what is missing, and when it will be accepted.
    reason: str


def judge(
    missing: Sequence[Batch],
    *,
    nothing_listed: bool,
    before: tuple[str | None, int],
    settings: RemovalsConfig,
    allow: bool,
) -> Accepted | Refused:
    """Accepts or refuses an observation.

    Args:
        missing: stored batches that it lacks, in the order of ids.
        nothing_listed: it has no batch at all.
        before: digest and streak of the last refused observation.
        settings: ``[removals]``.
        allow: the user passed ``--allow-removals``.
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
