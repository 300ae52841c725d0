"""Views in addresses, and accepted Host headers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig import Rig, record

from rfsync.dashboard.queries import find_renamed
from rfsync.dashboard.security import Hosts
from rfsync.dashboard.view import MAX_PERIODS, PERIODS, SORTS, Batch, UnknownTargetError, View, parse, time_range
from rfsync.database.engine import open_engine
from rfsync.history.periods import BY
from rfsync.parsing import Target

NOW = datetime(2026, 3, 29, 12, 30, tzinfo=UTC)  # when clocks are set forward in Europe
END = datetime(9000, 1, 2, tzinfo=UTC)
ANY = "0.0.0.0"  # noqa: S104 compared with, not listened on
DAYS = st.dates(date(1970, 1, 2), date(9000, 1, 1))
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=50)
VIEWS = st.builds(
    View,
    target=st.sampled_from([None, "acme", "acme/widgets", "acme/a&b=c%20+d"]),
    period=st.sampled_from(list(PERIODS)),
    by=st.sampled_from(BY),
    tz=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata", "America/Argentina/Buenos_Aires"]),
    sort=st.sampled_from(SORTS),
    descending=st.booleans(),
    page=st.integers(1, 9_999_999),
    name=st.just("") | TEXTS,
    batch=st.none() | st.builds(Batch, st.just("acme/widgets"), TEXTS),
)


@given(VIEWS, st.none() | st.tuples(DAYS, DAYS))
def test_a_view_survives_its_address(view: View, days: tuple[date, date] | None) -> None:
    if days is not None:
        view = view.replace(period=View().period, first_day=min(days), last_day=max(days))
    assert parse(view.search, None) == (view, [])


@given(st.text(max_size=200) | st.from_regex(r"\?(target|period|from|to|by|tz|sort|page|batch)=[^&]{0,30}"))
def test_any_address_is_a_view(search: str) -> None:
    try:
        view, _ = parse(search, ["acme/widgets"])
    except UnknownTargetError:
        view, _ = parse(search.replace("target=", "other="), ["acme/widgets"])
    assert parse(view.search, ["acme/widgets"]) == (view, [])
    assert time_range(view, NOW, None).since <= NOW


def test_an_address_without_a_query_is_the_default_view() -> None:
    assert (View().search, parse("", ())) == ("", (View(), []))


@pytest.mark.parametrize(
    ("search", "since", "until"),
    [
        ("", "2026-02-27T12:30Z", None),
        ("?period=7d", "2026-03-22T12:30Z", None),
        ("?period=7d&tz=Europe/Berlin&by=month", "2026-03-22T12:30Z", None),
        ("?period=30d&by=week", "2026-02-27T12:30Z", None),
        ("?period=all", "2025-05-05T05:05Z", None),
        ("?period=1y", "2025-05-05T05:05Z", None),
        ("?from=2026-03-28&to=2026-03-28&tz=Europe/Berlin&by=week", "2026-03-27T23:00Z", "2026-03-28T23:00Z"),
        ("?from=2026-03-29&to=2026-03-29&tz=Europe/Berlin", "2026-03-28T23:00Z", None),
    ],
)
def test_the_time_range_is_what_was_asked_for(search: str, since: str, until: str | None) -> None:
    view, notes = parse(search, None)
    found = time_range(view, NOW, datetime(2025, 5, 5, 5, 5, tzinfo=UTC))
    assert notes == []
    assert (found.since, found.until) == (datetime.fromisoformat(since), until and datetime.fromisoformat(until))


@given(VIEWS, DAYS)
def test_no_view_has_too_many_periods(view: View, first: date) -> None:
    found = time_range(view.replace(first_day=first, last_day=date(9000, 1, 1)), END, None)
    length = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}.get(found.by)
    assert length is None or (END - found.since) / length <= MAX_PERIODS + 2


def test_another_table_starts_at_its_first_page() -> None:
    view = View(page=7)
    assert view.replace(period="7d").page == view.replace(batch=Batch("acme/widgets", "b1")).page == 7
    assert view.replace(name="x").page == view.replace(sort="name").page == view.replace(target="acme").page == 1


@pytest.mark.parametrize(
    ("hosts", "header", "allowed"),
    [
        (Hosts("127.0.0.1", 80), "localhost", True),
        (Hosts("127.0.0.1", 80), "127.0.0.1:80", True),
        (Hosts("127.0.0.1", 80), "127.0.0.1:8050", False),
        (Hosts("::1", 8050), "[::1]:8050", True),
        (Hosts("::1", 8050), "localhost:8050", True),
        (Hosts("127.0.0.1", 8050), "127.0.0.2:8050", False),
        (Hosts("127.0.0.2", 8050), "127.0.0.2:8050", True),
        (Hosts("192.0.2.1", 8050), "192.0.2.1:8050", True),
        (Hosts("192.0.2.1", 8050), "localhost:8050", False),
        (Hosts("server.example", 8050), "SERVER.example:8050", True),
        (Hosts(ANY, 8050), "192.0.2.7:8050", True),
        (Hosts("::", 8050), "[2001:db8::1]:8050", True),
        (Hosts(ANY, 8050), "localhost:8050", True),
        (Hosts(ANY, 8050), "server.example:8050", False),
        (Hosts(ANY, 8050, ("server.example",)), "server.example", True),
        (Hosts("127.0.0.1", 8050, ("server.example",)), "server.example.evil.example", False),
        (Hosts("127.0.0.1", 8050, ("localhost:9000",)), "localhost:9000", True),
        (Hosts("127.0.0.1", 8050, ("localhost:9000",)), "localhost:9001", False),
        (Hosts("127.0.0.1", 8050, ("[::1]:9000",)), "[::1]:9000", True),
        (Hosts("127.0.0.1", 8050), None, False),
    ],
)
def test_accepted_host_headers(hosts: Hosts, header: str | None, allowed: bool) -> None:
    assert hosts.allow(header) is allowed


def test_an_id_that_a_project_had_before_shows_it(rig: Rig) -> None:
    rig.listed = [record("a", 5)]
    rig.sync()
    rig.store.projects.rename(Target("acme", "widgets"), Target("newco", "sprockets"), rig.now)
    find = partial(find_renamed, open_engine(rig.url, read_only=True))
    view, notes = parse("?target=acme%2Fwidgets&batch=a&project=acme%2Fwidgets", ["newco/sprockets"], find)
    assert (view.target, view.batch) == ("newco/sprockets", Batch("newco/sprockets", "a"))
    assert notes == ["acme/widgets is now newco/sprockets."] * 2
    assert parse("?target=", ["newco/sprockets"], find) == (View(), [])
    for unknown in ("acme/typo", "a/b/c"):
        with pytest.raises(UnknownTargetError, match=unknown):
            parse(f"?target={unknown}", ["newco/sprockets"], find)
