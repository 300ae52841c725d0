"""The view: which part of the history the page shows. It is kept in the page's address, so it can be shared."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

from rfsync.errors import ConfigError
from rfsync.history.periods import BY, By, midnight
from rfsync.history.periods import zone as time_zone
from rfsync.parsing import parse_target
from rfsync.text import printable

#: Name -> days of 24 hours until now; None: since the first observation.
PERIODS: Final[Mapping[str, int | None]] = {"7d": 7, "30d": 30, "90d": 90, "1y": 365, "all": None}
#: Columns that the table of batches can be sorted by.
SORTS: Final = ("project", "name", "images", "jobs", "uploaded", "changed")
#: Maximum points of a line in a chart: twelve weeks of hours, five years of days.
MAX_PERIODS: Final = 2_000

#: Longer queries are ignored; in characters.
_MAX_QUERY_LENGTH: Final = 8_000
_MAX_NAME_LENGTH: Final = 200
_COARSER: Final[Mapping[By, By]] = {"hour": "day", "day": "week", "week": "month"}
#: Approximate length of a period, in days.
PERIOD_DAYS: Final[Mapping[By, float]] = {"hour": 1 / 24, "day": 1, "week": 7, "month": 28}
#: Limits of a date, which leave a day's margin for every time zone and both databases.
_FIRST_DAY: Final = date(1970, 1, 2)
_LAST_DAY: Final = date(9000, 1, 1)


@dataclass(frozen=True, slots=True)
class Batch:
    """The batch whose history is shown."""

    #: ``workspace/project``.
    project: str
    batch_id: str


@dataclass(frozen=True, slots=True)
class View:
    """The user's selection. The defaults are what an address without a query shows."""

    #: ``workspace`` or ``workspace/project``; None: all projects.
    target: str | None = None
    #: A key of ``PERIODS``; ignored if days are given.
    period: str = "30d"
    #: Both days are included; both None: ``period`` applies.
    first_day: date | None = None
    last_day: date | None = None
    by: By = "day"
    tz: str = "UTC"
    #: One of ``SORTS``.
    sort: str = "images"
    descending: bool = True
    #: From 1.
    page: int = 1
    #: Only batches whose name or id contains this; empty: all.
    name: str = ""
    batch: Batch | None = None

    def replace(self, **changes: Any) -> View:
        """A copy with some fields changed; it starts at the first page if the table's rows or order change."""
        if changes.keys() & {"target", "name", "sort", "descending"}:
            changes.setdefault("page", 1)
        return replace(self, **changes)

    @property
    def search(self) -> str:
        """The query of the view's address, with the question mark; "" for the defaults."""
        days = self.first_day is not None and self.last_day is not None
        fields: dict[str, object] = {
            "target": self.target,
            "period": None if days or self.period == _DEFAULT.period else self.period,
            "from": self.first_day if days else None,
            "to": self.last_day if days else None,
            "by": None if self.by == _DEFAULT.by else self.by,
            "tz": None if self.tz == _DEFAULT.tz else self.tz,
            "sort": None if self.order == _DEFAULT.order else self.order,
            "name": self.name,
            "page": None if self.page == 1 else self.page,
            "project": self.batch.project if self.batch else None,
            "batch": self.batch.batch_id if self.batch else None,
        }
        query = urlencode({key: value for key, value in fields.items() if value}, safe="/:")
        return f"?{query}" if query else ""

    @property
    def order(self) -> str:
        """The sort column, with a leading minus if descending: ``-images``."""
        return f"-{self.sort}" if self.descending else self.sort


_DEFAULT: Final = View()


class UnknownTargetError(Exception):
    """The address names a target that the database does not have.

    Attributes:
        target: as the address has it.
    """

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.target = target


def parse(
    search: object, targets: Collection[str] | None, find_renamed: Callable[[str], str | None] = lambda _: None
) -> tuple[View, list[str]]:
    """Parses an address's query, which is untrusted.

    Args:
        search: the query with the question mark.
        targets: the targets in the database; None: any well-formed target is accepted.
        find_renamed: gives what a target is called now, by an id that it had before; None: none had.

    Returns:
        The view, with the default for each invalid value, and a note about each of those.

    Raises:
        UnknownTargetError: the target is none of ``targets``. Others in its place would be taken for it.
    """
    values = _query_values(search)
    notes = [] if targets is None else _rename(values, targets, find_renamed)

    def reject(name: str, fallback: str) -> None:
        notes.append(f"{name}={printable(values[name])[:60]} is not known here: {fallback}.")

    def known(target: str) -> bool:
        if targets is None:
            parse_target(target)  # raises an error if it is malformed
            return True
        return target in targets

    def target(text: str) -> _Changes:
        if not known(text):
            raise UnknownTargetError(text)
        return {"target": text}

    def batch(text: str) -> _Changes | None:
        return {"batch": Batch(values["project"], _storable(text))} if known(values.get("project", "")) else None

    parameters: tuple[tuple[str, Callable[[str], _Changes | None], str], ...] = (
        ("target", target, ""),
        ("by", lambda text: {"by": text} if text in BY else None, "days are shown"),
        ("tz", lambda text: {"tz": time_zone(text).key}, "times are in UTC"),
        ("sort", _sort, "the batches with the most images come first"),
        ("name", lambda text: {"name": _storable(text)[:_MAX_NAME_LENGTH]}, ""),
        ("page", _page, "the first one is shown"),
        ("batch", batch, "no batch is shown"),
    )
    view = View()
    for name, read, fallback in parameters:
        if name in values:
            try:
                changes = read(values[name])
            except ConfigError:
                changes = None
            if changes is None:
                reject(name, fallback)
            else:
                view = view.replace(**changes)
    return _with_time(view, values, reject), notes


def _rename(values: dict[str, str], targets: Collection[str], find_renamed: Callable[[str], str | None]) -> list[str]:
    """Replaces ids that projects had before, and returns a note about each."""
    notes = []
    for name in ("target", "project"):
        old = values.get(name)
        if old is not None and old not in targets and (new := find_renamed(old)):
            values[name] = new
            notes.append(f"{printable(old)} is now {printable(new)}.")
    return notes


#: Fields of a view that a parameter sets.
_Changes = dict[str, Any]


def _query_values(search: object) -> dict[str, str]:
    """The first value of each parameter; none if the query can't be parsed."""
    text = search if isinstance(search, str) and len(search) <= _MAX_QUERY_LENGTH else ""
    try:
        values = parse_qs(text.removeprefix("?"), max_num_fields=50)
    except ValueError:
        return {}
    return {name: given[0] for name, given in values.items()}


def _sort(text: str) -> _Changes | None:
    column = text.removeprefix("-")
    return {"sort": column, "descending": text.startswith("-")} if column in SORTS else None


def _page(text: str) -> _Changes | None:
    return {"page": int(text)} if re.fullmatch(r"[1-9][0-9]{0,6}", text, re.ASCII) else None


def _with_time(view: View, values: Mapping[str, str], reject: Callable[[str, str], None]) -> View:
    """The view with its period or its first and last day."""
    if "from" in values or "to" in values:
        first, last = _day(values.get("from")), _day(values.get("to"))
        if first is not None and last is not None and first <= last:
            return view.replace(first_day=first, last_day=last)
        invalid = next((name for name, day in (("from", first), ("to", last)) if name in values and day is None), None)
        reject(invalid or ("from" if "from" in values else "to"), "the last 30 days are shown")
        return view
    period = values.get("period", view.period)
    if period in PERIODS:
        return view.replace(period=period)
    reject("period", "the last 30 days are shown")
    return view


def _day(text: str | None) -> date | None:
    """A day written ``YYYY-MM-DD``; None if it is malformed or out of range."""
    if text is None or not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if _FIRST_DAY <= day <= _LAST_DAY else None


def _storable(text: str) -> str:
    """The text without NUL and lone surrogates, which neither database accepts."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


class TimeRange(NamedTuple):
    """A view's time range, resolved to instants."""

    #: Inclusive; not always the start of a period.
    since: datetime
    #: Exclusive; None: until now.
    until: datetime | None
    #: Possibly coarser than selected.
    by: By


def time_range(view: View, now: datetime, first_observed: datetime | None) -> TimeRange:
    """The time range of a view: whole days if they are given, else so many times 24 hours until now.

    Args:
        first_observed: time of the first observation, before which nothing is shown unless days are given; None if
            there is none.
    """
    zone = ZoneInfo(view.tz)
    days = PERIODS[view.period]
    until = None
    if view.first_day is not None and view.last_day is not None:
        since = midnight(view.first_day, zone)
        until = midnight(view.last_day + timedelta(days=1), zone)
    else:
        first = first_observed or now
        since = first if days is None else max(now - timedelta(days=days), first)
    by = view.by
    while ((until or now) - since) / timedelta(days=PERIOD_DAYS[by]) > MAX_PERIODS and by in _COARSER:
        by = _COARSER[by]
    return TimeRange(since, None if until is not None and until > now else until, by)
