"""What of the history is being looked at. It stands in the address, so that a view can be sent to a colleague."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

from rfsync.errors import ConfigError
from rfsync.history.periods import BY, By
from rfsync.history.periods import zone as time_zone
from rfsync.parsing import parse_target
from rfsync.text import printable

#: Name -> days, today included; None: from the first observation.
PERIODS: Final[Mapping[str, int | None]] = {"7d": 7, "30d": 30, "90d": 90, "1y": 365, "all": None}
#: What the table of batches can be sorted by.
SORTS: Final = ("project", "name", "images", "jobs", "uploaded", "changed")
#: Points that a line of a chart has at most; twelve weeks of hours, five years of days.
MOST_PERIODS: Final = 2_000

#: A longer address holds nothing of ours.
_LONGEST: Final = 8_000
_LONGEST_NAME: Final = 200
_COARSER: Final[Mapping[By, By]] = {"hour": "day", "day": "week", "week": "month"}
#: About.
LENGTH: Final[Mapping[By, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "month": timedelta(days=28),
}
#: A year that every time zone and the database can go beyond by a day.
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
    """What was chosen. The defaults are what the bare address shows."""

    #: ``workspace`` or ``workspace/project``; None: all projects.
    target: str | None = None
    #: A name of ``PERIODS``; not in force where days are given.
    period: str = "30d"
    #: Both days are included; either None: the period is in force.
    first_day: date | None = None
    last_day: date | None = None
    by: By = "day"
    tz: str = "UTC"
    #: One of ``SORTS``.
    sort: str = "images"
    descending: bool = True
    #: From 1.
    page: int = 1
    #: Only batches whose name or id has this in it.
    name: str = ""
    batch: Batch | None = None

    def but(self, **changes: Any) -> View:
        """The same with some fields changed; what is no longer the same table begins with its first page."""
        if changes.keys() & {"target", "name", "sort", "descending"}:
            changes.setdefault("page", 1)
        return replace(self, **changes)

    @property
    def search(self) -> str:
        """The view as an address has it, with the question mark; "" for the defaults."""
        days = self.first_day is not None and self.last_day is not None
        said: dict[str, object] = {
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
        query = urlencode({key: value for key, value in said.items() if value}, safe="/:")
        return f"?{query}" if query else ""

    @property
    def order(self) -> str:
        """The sorting as an address has it: ``-images`` is the most images first."""
        return f"-{self.sort}" if self.descending else self.sort


_DEFAULT: Final = View()


@dataclass(frozen=True, slots=True)
class Span:
    """A view's time, resolved."""

    #: Start of its first period.
    since: datetime
    #: None: until now.
    until: datetime | None
    #: May be coarser than what was chosen.
    by: By


def parse(search: object, known: Collection[str] | None) -> tuple[View, list[str]]:
    """Reads an address's query, from whomever it comes.

    Args:
        search: the part from the question mark.
        known: the targets that the database has; None: whatever is a target.

    Returns:
        The view, with the default wherever a value is none, and what to tell of those.
    """
    text = search if isinstance(search, str) and len(search) <= _LONGEST else ""
    try:
        given = parse_qs(text.removeprefix("?"), max_num_fields=50)
    except ValueError:
        given = {}
    values = {name: found[0] for name, found in given.items()}
    notes: list[str] = []

    def refuse(name: str, instead: str) -> None:
        shown = printable(values[name])[:60]
        notes.append(f"{name}={shown} is not known here: {instead}.")

    def is_known(target: str) -> bool:
        return _is_target(target) if known is None else target in known

    view = View()
    if is_known(values.get("target", "")):
        view = view.but(target=values["target"])
    elif "target" in values:
        refuse("target", "all projects are shown")
    if values.get("by", "day") in BY:
        view = view.but(by=values.get("by", "day"))
    else:
        refuse("by", "days are shown")
    try:
        view = view.but(tz=time_zone(values["tz"]).key if "tz" in values else view.tz)
    except ConfigError:
        refuse("tz", "times are in UTC")
    order = values.get("sort", view.order)
    if order.removeprefix("-") in SORTS:
        view = view.but(sort=order.removeprefix("-"), descending=order.startswith("-"))
    else:
        refuse("sort", "the batches with the most images come first")
    view = view.but(name=_storable(values.get("name", ""))[:_LONGEST_NAME])
    if re.fullmatch(r"[1-9][0-9]{0,6}", values.get("page", "1"), re.ASCII):
        view = view.but(page=int(values.get("page", "1")))
    else:
        refuse("page", "the first one is shown")
    if values.get("batch") and is_known(values.get("project", "")):
        view = view.but(batch=Batch(values["project"], _storable(values["batch"])))
    elif "batch" in values:
        refuse("batch", "no batch is shown")
    return _with_time(view, values, refuse), notes


def _is_target(text: str) -> bool:
    try:
        parse_target(text)
    except ConfigError:
        return False
    return True


def _with_time(view: View, values: Mapping[str, str], refuse: Any) -> View:
    if "from" in values or "to" in values:
        first, last = _day(values.get("from")), _day(values.get("to"))
        if first is not None and last is not None and first <= last:
            return view.but(first_day=first, last_day=last)
        wrong = next((n for n, d in (("from", first), ("to", last)) if n in values and d is None), None)
        refuse(wrong or ("from" if "from" in values else "to"), "the last 30 days are shown")
        return view
    if values.get("period", view.period) in PERIODS:
        return view.but(period=values.get("period", view.period))
    refuse("period", "the last 30 days are shown")
    return view


def _day(text: object) -> date | None:
    """A day as ``YYYY-MM-DD``; None: it is none, or beyond what can be asked for."""
    if not isinstance(text, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if _FIRST_DAY <= found <= _LAST_DAY else None


def _storable(text: str) -> str:
    """Without what no database and no address can hold."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def span(view: View, now: datetime, first_observed: datetime | None) -> Span:
    """The time that a view is about, from the start of a whole period.

    Args:
        first_observed: before which there is nothing to show, unless days are given; None: there is no observation.
    """
    zone = ZoneInfo(view.tz)
    today = now.astimezone(zone).date()
    days = PERIODS[view.period]
    until = None
    if view.first_day is not None and view.last_day is not None:
        begin = view.first_day
        until = _midnight(view.last_day + timedelta(days=1), zone)
    else:
        first = (first_observed or now).astimezone(zone).date()
        begin = first if days is None else max(today - timedelta(days=days - 1), first)
    by = view.by
    length = (until or now) - _midnight(begin, zone)
    while length / LENGTH[by] > MOST_PERIODS and by in _COARSER:
        by = _COARSER[by]
    if by == "week":
        begin -= timedelta(days=begin.weekday())
    elif by == "month":
        begin = begin.replace(day=1)
    return Span(_midnight(max(begin, _FIRST_DAY), zone), until, by)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)
