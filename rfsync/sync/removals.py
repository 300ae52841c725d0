"""The decisions about batches that an observation lacks. Pure: no I/O, no clock.

If a broken answer were accepted, the ledger would say that everything was removed. So an observation that suddenly
lacks many batches is refused until the next ones lack the same; and then, too, each is asked for by its id before it is
taken for removed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

from rfsync.config import RemovalsConfig
from rfsync.ledger.missing import Missing
from rfsync.records import Batch
from rfsync.text import printable

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Refused:
    """The observation does not count yet."""

    #: Number of refused observations in a row, this one included.
    streak: int
    #: For people: what is missing, and when it will be accepted.
    reason: str


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The API's answers about batches that its list lacked."""

    removed: frozenset[str] = frozenset()
    #: They exist, though they are not listed.
    existing: tuple[Batch, ...] = ()
    #: Id -> why it is not known whether it exists.
    doubtful: Mapping[str, str] = field(default_factory=dict)
    #: A request for one of them had to be tried again.
    troubled: bool = False

    def __contains__(self, batch_id: str) -> bool:
        return (
            batch_id in self.removed
            or batch_id in self.doubtful
            or any(batch.id == batch_id for batch in self.existing)
        )

    def __len__(self) -> int:
        return len(self.removed) + len(self.existing) + len(self.doubtful)


@dataclass(frozen=True, slots=True)
class Settled:
    """What is known of missing batches after an observation."""

    rows: dict[str, Missing]
    #: Id -> why it is in doubt whether it exists.
    doubtful: dict[str, str]


def judge(
    missing: Sequence[str], known: Mapping[str, Missing], streak: int, settings: RemovalsConfig
) -> Refused | None:
    """Refuses an observation that lacks more batches than are asked for, if they vanished at once; None: it counts.

    Args:
        missing: stored batches that it lacks, in the order of ids.
        known: what the last observation lacked.
        streak: observations in a row that were refused before this one.
        settings: ``[removals]``.
    """
    #: By the number of the refused observation in which they vanished; 0: known from an applied one, and settled.
    vanished = Counter(known[i].refusal if i in known else streak + 1 for i in missing)
    waiting = [
        (streak + 2 - refusal, number)
        for refusal, number in vanished.items()
        if refusal and number > settings.confirm_limit and streak + 2 - refusal < settings.repeat
    ]
    if not waiting:
        return None
    more = settings.repeat - min(waiting)[0]
    number = sum(number for _, number in waiting)
    shown = [i for i in missing if i not in known or known[i].refusal]
    ids = ", ".join(printable(i) for i in shown[:3]) + (", …" if number > 3 else "")
    reason = (
        f"{number:,} stored batches are suddenly missing from the answer ({ids}), more than confirm_limit = "
        f"{settings.confirm_limit}: nothing is applied until {more} more "
        f"observation{'s lack' if more > 1 else ' lacks'} them"
    )
    return Refused(streak + 1, reason)


def rows_of_refused(
    missing: Iterable[str], known: Mapping[str, Missing], streak: int, at: datetime
) -> dict[str, Missing]:
    """What is known of missing batches after a refused observation: what it lacked, and what an applied one settled.

    Args:
        streak: its number among the refused ones in a row.
        at: its time.
    """
    rows = {batch_id: row for batch_id, row in known.items() if not row.refusal}
    return rows | {i: known.get(i, Missing(at, refusal=streak)) for i in missing}


def to_ask(missing: Iterable[str], known: Mapping[str, Missing], at: datetime, settings: RemovalsConfig) -> list[str]:
    """The missing batches that the API has to be asked for, in the order in which that is done.

    First those that are not known to exist, then the unlisted ones that are due; of each those missing longest first.
    """
    unknown, due = [], []
    for batch_id in missing:
        row = known.get(batch_id, Missing(at))
        if not row.unlisted:
            unknown.append((row.missing_at, row.asked_at or _NEVER, batch_id))
        elif row.asked_at is None or row.asked_at + settings.recheck <= at:
            # Those that answered longest ago are those missing longest, until all were asked; from then on in turn.
            due.append((row.asked_at or _NEVER, row.missing_at, batch_id))
    return [batch_id for *_, batch_id in (*sorted(unknown), *sorted(due))]


def settle(missing: Iterable[str], known: Mapping[str, Missing], confirmation: Confirmation, at: datetime) -> Settled:
    """What is known of missing batches after an observation was applied."""
    existing = {batch.id for batch in confirmation.existing}
    rows: dict[str, Missing] = {}
    doubtful: dict[str, str] = {}
    for batch_id in missing:
        row = replace(known.get(batch_id, Missing(at)), refusal=0)
        if batch_id in existing:
            rows[batch_id] = replace(row, unlisted=True, removed=False, asked_at=at)
            continue
        if batch_id in confirmation.removed:
            continue
        reason = confirmation.doubtful.get(batch_id)
        if not row.unlisted:
            doubtful[batch_id] = reason or "not asked for yet"
        elif reason is not None:
            doubtful[batch_id] = reason
        # An unlisted one stays due until it answers; the others are asked in turn.
        rows[batch_id] = row if reason is None or row.unlisted else replace(row, asked_at=at)
    return Settled(rows, doubtful)


def describe_doubtful(doubtful: Mapping[str, str]) -> str:
    """One line for people about batches that are in doubt: id -> why."""
    shown = "; ".join(f"{printable(batch_id)}: {why}" for batch_id, why in list(doubtful.items())[:3])
    more = f"; and {len(doubtful) - 3} more" if len(doubtful) > 3 else ""
    noun = "batch is" if len(doubtful) == 1 else "batches are"
    return (
        f"{len(doubtful)} {noun} no longer listed, and left as before since asking gave no clear answer: {shown}{more}"
    )
