"""The decisions about batches and jobs that an observation lacks. Pure: no I/O, no clock.

If a broken answer were accepted, the ledger would say that everything was removed. So a list that suddenly lacks many
records is refused until the next ones lack the same; and then, too, each is asked for by its id before it is taken for
removed.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rfsync.api.answers import Reported
from rfsync.config import RemovalsConfig
from rfsync.ledger.missing import Missing
from rfsync.records import Kind
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
    """The API's answers about batches, or jobs, that its list lacked."""

    removed: frozenset[str] = frozenset()
    #: They exist, though they are not listed.
    existing: tuple[Reported, ...] = ()
    #: Id -> why it is not known whether it exists.
    doubtful: Mapping[str, str] = field(default_factory=dict)
    #: A request for one of them had to be tried again.
    troubled: bool = False

    def __contains__(self, record_id: str) -> bool:
        return (
            record_id in self.removed
            or record_id in self.doubtful
            or any(record.id == record_id for record in self.existing)
        )

    def __len__(self) -> int:
        return len(self.removed) + len(self.existing) + len(self.doubtful)


#: What the API has answered about missing records of each kind.
Confirmations = Mapping[Kind, Confirmation]
#: Nobody was asked yet.
UNASKED: Final[Confirmations] = {kind: Confirmation() for kind in Kind}


class Question(NamedTuple):
    """A record to ask for by its id, and its place in the order in which that is done."""

    #: Of those that exist without being listed: after all others.
    unlisted: bool
    #: Missing longest first, and of those that were asked before the one that was asked, or answered, longest ago.
    since: datetime
    then: datetime
    kind: Kind
    record_id: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What is known of missing records after an observation."""

    rows: dict[str, Missing]
    #: Id -> why it is in doubt whether it exists.
    doubtful: dict[str, str]


def judge(
    kind: Kind, missing: Sequence[str], known: Mapping[str, Missing], streak: int, settings: RemovalsConfig
) -> Refused | None:
    """Refuses a list that lacks more records than are asked for, if they vanished at once; None: it counts.

    Args:
        kind: of the list.
        missing: stored records that it lacks, in the order of ids.
        known: what the last observation lacked.
        streak: lists in a row that were refused before this one.
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
    what = "nothing" if kind is Kind.BATCH else "nothing of the job list"
    reason = (
        f"{number:,} stored {kind} are suddenly missing from the answer ({ids}), more than confirm_limit = "
        f"{settings.confirm_limit}: {what} is applied until {more} more "
        f"observation{'s lack' if more > 1 else ' lacks'} them"
    )
    return Refused(streak + 1, reason)


def rows_of_refused(
    missing: Iterable[str], known: Mapping[str, Missing], streak: int, at: datetime
) -> dict[str, Missing]:
    """What is known of missing records after a refused list: what it lacked, and what an applied one settled.

    Args:
        streak: its number among the refused ones in a row.
        at: its time.
    """
    rows = {record_id: row for record_id, row in known.items() if not row.refusal}
    return rows | {i: known.get(i, Missing(at, refusal=streak)) for i in missing}


def to_ask(
    kind: Kind, missing: Iterable[str], known: Mapping[str, Missing], at: datetime, settings: RemovalsConfig
) -> list[Question]:
    """The missing records that the API has to be asked for; sorted, they are in the order in which that is done.

    First those that are not known to exist, then the unlisted ones that are due; of each those missing longest first.
    """
    questions = []
    for record_id in missing:
        row = known.get(record_id, Missing(at))
        if not row.unlisted:
            questions.append(Question(False, row.missing_at, row.asked_at or _NEVER, kind, record_id))
        elif row.asked_at is None or row.asked_at + settings.recheck <= at:
            # Those that answered longest ago are those missing longest, until all were asked; from then on in turn.
            questions.append(Question(True, row.asked_at or _NEVER, row.missing_at, kind, record_id))
    return questions


def settle(missing: Iterable[str], known: Mapping[str, Missing], confirmation: Confirmation, at: datetime) -> Settled:
    """What is known of missing records after an observation was applied."""
    existing = {record.id for record in confirmation.existing}
    rows: dict[str, Missing] = {}
    doubtful: dict[str, str] = {}
    for record_id in missing:
        row = replace(known.get(record_id, Missing(at)), refusal=0)
        if record_id in existing:
            rows[record_id] = replace(row, unlisted=True, removed=False, asked_at=at)
            continue
        if record_id in confirmation.removed:
            continue
        reason = confirmation.doubtful.get(record_id)
        if not row.unlisted:
            doubtful[record_id] = reason or "not asked for yet"
        elif reason is not None:
            doubtful[record_id] = reason
        # An unlisted one stays due until it answers; the others are asked in turn.
        rows[record_id] = row if reason is None or row.unlisted else replace(row, asked_at=at)
    return Settled(rows, doubtful)


def describe_doubtful(kind: Kind, doubtful: Mapping[str, str]) -> str:
    """One line for people about records that are in doubt: id -> why."""
    shown = "; ".join(f"{printable(record_id)}: {why}" for record_id, why in list(doubtful.items())[:3])
    more = f"; and {len(doubtful) - 3} more" if len(doubtful) > 3 else ""
    noun = f"{kind.one} is" if len(doubtful) == 1 else f"{kind} are"
    return (
        f"{len(doubtful)} {noun} no longer listed, and left as before since asking gave no clear answer: {shown}{more}"
    )
