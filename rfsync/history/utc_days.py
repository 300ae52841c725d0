"""Periods in terms of UTC days and quarters of an hour, by which the database keeps its sums.

A period of another time zone, or one that is cut, does not begin or end at midnight in UTC. Its sums are those of the
days between the nearest midnights, plus or minus what changed between each of these midnights and the period's own end:
never more than half a day on either side. For a whole workspace the sums of the quarters of an hour have that, but for
what is less than one of them: then, and for a project, it comes from the ledger.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from rfsync.history.periods import Period
from rfsync.ledger.observed import QUARTER, halves

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = timedelta(days=1)


#: Number of a period, from, to, and a sign: changes in this range of time are to be added to the period's sums (1) or
#: subtracted from them (-1).
Correction: TypeAlias = tuple[int, datetime, datetime, int]


class SplitPeriods(NamedTuple):
    """Periods, split up; each row begins with the number of the period, from 0."""

    #: Number, since, until; days to sum up; days that are wholly in the period. Days are given as the first one and
    #: the one after the last.
    days: list[tuple[int, datetime, datetime, date, date, date, date]]
    #: What is to be corrected in the days' sums.
    corrections: list[Correction]
    #: Number, day, quarters of an hour before noon and after it, as bits: the parts of days that are in the period.
    quarters: list[tuple[int, date, int, int]]


def split_quarter_hours(corrections: Iterable[Correction]) -> tuple[list[Correction], list[Correction]]:
    """Split ranges of time into the quarters of an hour that are wholly in them, and what is left at their ends."""
    quarter_hours, left = [], []
    for n, since, until, sign in corrections:
        first, end = since + (_EPOCH - since) % QUARTER, until - (until - _EPOCH) % QUARTER
        if first < end:
            quarter_hours.append((n, first, end, sign))
            ranges = [(since, first), (end, until)]
        else:
            ranges = [(since, until)]
        left += [(n, start, stop, sign) for start, stop in ranges if start < stop]
    return quarter_hours, left


def split_periods(periods: Sequence[Period]) -> SplitPeriods:
    """Split periods that follow one another without a gap."""
    split = SplitPeriods([], [], [])
    edges = [*(period.since for period in periods[:1]), *(period.until for period in periods)]
    midnights = [_nearest_midnight(edge) for edge in edges]
    for n, ((since, until), (first, end)) in enumerate(zip(pairwise(edges), pairwise(midnights), strict=True)):
        summed = whole = (first, end)
        if off := abs(since - first) + abs(until - end):
            if off >= until - since:  # corrections would be longer than the period: all of it comes from the ledger
                summed = (first, first)
            split.corrections.extend((n, *correction) for correction in _corrections(since, until, *summed))
            whole, quarters = _whole_days(since, until)
            split.quarters.extend((n, *part) for part in quarters)
        days = (summed[0].date(), summed[1].date(), whole[0].date(), whole[1].date())
        split.days.append((n, since, until, *days))
    return split


def _nearest_midnight(at: datetime) -> datetime:
    at = at.astimezone(UTC)
    past = (at - _EPOCH) % _DAY
    return at - past if past * 2 < _DAY else at - past + _DAY


def _corrections(
    since: datetime, until: datetime, first: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, int]]:
    if first == end:
        yield since, until, 1
        return
    for edge, midnight, sign in ((since, first, 1), (until, end, -1)):
        if edge < midnight:
            yield edge, midnight, sign
        elif edge > midnight:
            yield midnight, edge, -sign


def _whole_days(since: datetime, until: datetime) -> tuple[tuple[datetime, datetime], list[tuple[date, int, int]]]:
    since, until = since.astimezone(UTC), until.astimezone(UTC)
    first, end = since + (_EPOCH - since) % _DAY, until - (until - _EPOCH) % _DAY
    if first > end:  # both are in one day
        return (first, first), [_quarters(since, until)]
    return (first, end), [_quarters(a, b) for a, b in ((since, first), (end, until)) if a < b]


def _quarters(since: datetime, until: datetime) -> tuple[date, int, int]:
    """A day, and the quarters of an hour that a range of time in it touches."""
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
    first, last = (since - midnight) // QUARTER, -(-(until - midnight) // QUARTER)
    return (since.date(), *halves((1 << last) - (1 << first)))
