"""Every question about the past, against a plain model of the same history."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rig import Rig, record
from sqlalchemy import Engine

from rfsync import history
from rfsync.database.engine import open_engine
from rfsync.errors import ConfigError
from rfsync.history import BY, By, TotalRow
from rfsync.history.net_change import net_change
from rfsync.ledger.verify import verify
from rfsync.parsing import Target

#: In Berlin the clocks went forward on 29 March, and would go back on 25 October.
FIRST = datetime(2026, 3, 20, 21, 40, tzinfo=UTC)
LAST = datetime(2026, 4, 12, tzinfo=UTC)
PROJECTS = (("acme", "gears"), ("acme", "widgets"), ("other", "gears"))

State = dict[str, tuple[int, int]]
#: Of a period: its start, since, until, and its end.
Edges = tuple[datetime, datetime, datetime, datetime]


@dataclass
class Model:
    """What was observed, as it was: all else follows."""

    engine: Engine
    #: Project -> the instants at which it was looked at, with what was there.
    seen: dict[tuple[str, str], list[tuple[datetime, State]]] = field(default_factory=lambda: defaultdict(list))
    #: Project -> all that ``moved`` has of it; made when it is first asked for.
    _moved: dict[tuple[str, str], list[tuple[datetime, str, int, int]]] = field(default_factory=dict)

    def state(self, project: tuple[str, str], at: datetime, *, before: bool = False) -> State:
        """As it was last seen at that moment, or before it."""
        find = bisect_left if before else bisect_right
        number = find(self.seen[project], at, key=lambda look: look[0])
        return self.seen[project][number - 1][1] if number else {}

    def moved(self, project: tuple[str, str], since: datetime, until: datetime) -> list[tuple[datetime, str, int, int]]:
        """Instant, batch, and the two deltas of every change."""
        if project not in self._moved:
            self._moved[project] = list(self._all_moved(project))
        return [row for row in self._moved[project] if since <= row[0] < until]

    def _all_moved(self, project: tuple[str, str]) -> Iterator[tuple[datetime, str, int, int]]:
        last: State = {}
        for at, state in self.seen[project]:
            for batch in sorted(last.keys() | state.keys()):
                old, new = last.get(batch), state.get(batch)
                if old != new:
                    (a, b), (c, d) = old or (0, 0), new or (0, 0)
                    yield at, batch, c - a, d - b
            last = state


def sums(moved: list[tuple[datetime, str, int, int]]) -> tuple[int, int, int, int]:
    """Images gained and lost, jobs gained and lost."""
    return (
        sum(max(images, 0) for _, _, images, _ in moved),
        sum(max(-images, 0) for _, _, images, _ in moved),
        sum(max(jobs, 0) for *_, jobs in moved),
        sum(max(-jobs, 0) for *_, jobs in moved),
    )


@pytest.fixture(scope="module")
def model(shared_database_url: str) -> Iterator[Model]:
    """Three weeks of three projects of two workspaces; to be read only."""
    with closing(Rig(shared_database_url)) as rig:
        yield observed(rig)


@pytest.fixture
def own(rig: Rig) -> Model:
    """The same in a database of the test's own, to be written."""
    return observed(rig)


def observed(rig: Rig) -> Model:
    """At odd moments, with a gap of days."""
    dice = random.Random(5)  # noqa: S311 the same on every run
    made = Model(open_engine(rig.url, read_only=True))
    states: dict[tuple[str, str], State] = {project: {} for project in PROJECTS}
    at = FIRST
    while (
        at := at + timedelta(seconds=dice.choice([900, 4_000, 20_000, 50_000]), microseconds=dice.randrange(10**6))
    ) < LAST:
        if timedelta(days=4) < at - FIRST < timedelta(days=7):
            continue  # nobody looked
        project = dice.choice(PROJECTS)
        state = dict(states[project])
        for _ in range(dice.choice([0, 0, 1, 3])):
            batch = dice.choice("abcdef")
            if batch in state and dice.random() < 0.3:
                del state[batch]
            else:
                state[batch] = (dice.randrange(40), dice.choice([0, 0, 1, 2]))
        rig.workspace, rig.project = project
        rig.listed = [record(batch, *counts, batch.upper()) for batch, counts in state.items()]
        rig.now = at
        assert rig.sync(minutes=0, allow_removals=True).ok
        made.seen[project].append((at, state))
        states[project] = state
    assert verify(made.engine).ok
    return made


MOMENTS = [FIRST, FIRST + timedelta(days=3, hours=5), FIRST + timedelta(days=5), FIRST + timedelta(days=15), LAST]


def test_the_state_at_a_time_is_what_was_seen_then(model: Model) -> None:
    instants = [at for project in PROJECTS for at, _ in model.seen[project]]
    for at in [*MOMENTS, *instants[::7], *(i - timedelta(microseconds=1) for i in instants[::9])]:
        found: dict[tuple[str, str], State] = {project: {} for project in PROJECTS}
        for row in history.batches(model.engine, as_of=at):
            found[row.workspace, row.project][row.batch_id] = (row.images, row.num_jobs)
            assert row.first_seen_at <= row.changed_at <= at
            assert row.name == row.batch_id.upper()
        assert found == {project: model.state(project, at) for project in PROJECTS}


def test_the_state_now_is_the_state_at_the_last_moment(model: Model) -> None:
    now = list(history.batches(model.engine))
    assert now == list(history.batches(model.engine, as_of=LAST))
    assert now == sorted(now, key=lambda row: row[:3])
    assert [row for row in now if row.workspace == "other"] == list(history.batches(model.engine, "other"))


@pytest.mark.parametrize("since", [None, *MOMENTS[:3]])
@pytest.mark.parametrize("until", [None, MOMENTS[3]])
def test_the_changes_between_two_times(model: Model, since: datetime | None, until: datetime | None) -> None:
    rows = list(history.changes(model.engine, since=since, until=until))
    expected = sorted(
        (at, *project, batch, images, jobs)
        for project in PROJECTS
        for at, batch, images, jobs in model.moved(project, since or FIRST, until or LAST + timedelta(days=1))
    )
    found = [(r.observed_at, r.workspace, r.project, r.batch_id, r.images_delta, r.num_jobs_delta) for r in rows]
    assert sorted(found) == expected
    assert [row[0] for row in found] == [row[0] for row in expected]
    back = list(history.changes(model.engine, since=since, until=until, newest_first=True, limit=5))
    assert back == rows[::-1][:5]


def test_the_changes_of_single_batches(model: Model) -> None:
    rows = list(history.changes(model.engine, "acme", batch_ids=["a", "c"]))
    every = [row for row in history.changes(model.engine) if row.workspace == "acme" and row.batch_id in {"a", "c"}]
    assert rows == every
    assert rows


def expected_totals(
    model: Model,
    scope: Sequence[tuple[str, str]],
    edges: list[Edges],
    first_looks: bool = True,
) -> Iterator[tuple[Any, ...]]:
    """What ``totals`` has after the names, for a scope taken as one."""
    begun = min(model.seen[project][0][0] for project in scope)
    for start, since, until, end in edges:
        moved = [
            row for project in scope for row in model.moved(project, since, until)
            if first_looks or row[0] != model.seen[project][0][0]
        ]  # fmt: skip
        states = [model.state(project, until, before=True) for project in scope]
        counts = [batch for state in states for batch in state.values()]
        gained, lost, jobs_gained, jobs_lost = sums(moved)
        observed = any(since <= at < until for project in scope for at, _ in model.seen[project])
        totals = (len(counts), sum(images for images, _ in counts), sum(jobs for _, jobs in counts))
        yield (
            start, *(totals if begun < until else (None, None, None)), gained - lost, jobs_gained - jobs_lost,
            gained, lost, jobs_gained, jobs_lost, observed, (start, end) == (since, until),
        )  # fmt: skip


@cache
def edges_of(by: str, since: datetime, until: datetime, tz: str) -> list[Edges]:
    """Start of each period, what of it was asked for, and its end; found by looking at every quarter of an hour."""
    zone = ZoneInfo(tz)

    def label(at: datetime) -> tuple[object, ...]:
        local = at.astimezone(zone)
        return {
            "hour": (local.date(), local.hour, local.utcoffset()),
            "day": (local.date(),),
            "week": tuple(local.isocalendar()[:2]),
            "month": (local.year, local.month),
        }[by]

    at = (since - timedelta(days=32)).replace(minute=0, second=0, microsecond=0)
    starts: list[datetime] = []
    while not starts or starts[-1] < until:
        if not starts or label(at) != label(at - timedelta(minutes=15)):
            starts.append(at)
        at += timedelta(minutes=15)
    return [(start, max(start, since), min(end, until), end) for start, end in pairwise(starts) if end > since]


SPANS = [
    (FIRST.replace(hour=0, minute=0), LAST),
    (FIRST + timedelta(days=2, minutes=7, microseconds=3), FIRST + timedelta(days=13, hours=3)),
]


#: In Lord Howe the clocks went back by half an hour on 5 April.
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe")


@pytest.mark.parametrize("by", BY)
def test_the_totals_of_each_project_over_time(model: Model, by: By) -> None:
    for (since, until), tz, looks in product(SPANS, ZONES, (True, False)):
        rows = list(history.totals(model.engine, by=by, since=since, until=until, tz=tz, first_looks=looks))
        edges = edges_of(by, since, until, tz)
        assert rows == [
            TotalRow(*project, *values)
            for project in PROJECTS
            for values in expected_totals(model, [project], edges, looks)
        ]


@pytest.mark.parametrize("by", BY)
def test_the_totals_of_all_as_one(model: Model, by: By) -> None:
    cases: list[tuple[str | list[str] | None, str | None, Sequence[tuple[str, str]]]] = [
        (None, None, PROJECTS),
        ("acme", "acme", PROJECTS[:2]),
        ("acme/widgets", "acme", PROJECTS[1:2]),
        (["other", "acme/gears"], None, [PROJECTS[0], PROJECTS[2]]),
    ]
    for (since, until), tz, looks in product(SPANS, ZONES, (True, False)):
        edges = edges_of(by, since, until, tz)
        span: dict[str, Any] = {"by": by, "since": since, "until": until, "tz": tz}
        for targets, workspace, scope in cases:
            rows = history.totals(model.engine, targets, **span, summed=True, first_looks=looks)
            expected = expected_totals(model, scope, edges, looks)
            assert list(rows) == [TotalRow(workspace, None, *values) for values in expected]


@pytest.mark.parametrize("by", ["hour", "day"])
def test_the_totals_where_the_offset_is_no_quarter_of_an_hour(rig: Rig, by: By) -> None:
    """In Monrovia the clocks were 44 minutes and a half behind UTC until 1972."""
    dice = random.Random(1)  # noqa: S311 the same on every run
    begun, since, until = (datetime(1971, 5, 1, tzinfo=UTC) + timedelta(days=days) for days in (0, 1, 3))
    looks: list[tuple[datetime, int]] = []
    for number, project in product(range(60), ("gears", "widgets")):
        rig.project, images = project, dice.randrange(100)
        rig.now = begun + timedelta(hours=1.3 * number, seconds=dice.randrange(4_000))
        rig.listed = [record("a", images)]
        assert rig.sync(minutes=0).ok
        looks.append((rig.now, images))
    moved = [
        (at, images - before)
        for own in (looks[::2], looks[1::2])
        for (_, before), (at, images) in pairwise([(begun, 0), *own])
    ]
    zone = ZoneInfo("Africa/Monrovia")
    label = {"hour": "%d %H", "day": "%d"}[by]
    instants = [(since + n * timedelta(seconds=30)).astimezone(zone) for n in range(2 * 2 * 24 * 60)]
    edges = [since, *(b for a, b in pairwise(instants) if a.strftime(label) != b.strftime(label))]
    expected = [
        (sum(max(delta, 0) for delta in deltas), sum(max(-delta, 0) for delta in deltas))
        for first, end in pairwise([*edges, until])
        for deltas in [[delta for at, delta in moved if first <= at < end]]
    ]
    span: dict[str, Any] = {"by": by, "since": since, "until": until, "tz": "Africa/Monrovia"}
    rows = list(history.totals(rig.database.engine, "acme", **span, summed=True))
    assert [(row.images_gained, row.images_lost) for row in rows] == expected


def test_the_days_of_a_workspace_follow_whoever_writes_those_of_a_project(rig: Rig, own: Model) -> None:
    rig.rows("UPDATE project_daily SET day = '2026-01-01' WHERE day = '2026-03-21'")
    rig.rows("UPDATE project_daily SET jobs_gained = jobs_gained + 3")
    rig.rows("DELETE FROM project_daily WHERE day = '2026-03-22'")
    rig.rows("INSERT INTO project_daily VALUES (1, '2020-01-01', 1, 1, 0, 5, 0, 2, 0, 1, 5, 2)")
    verdict = verify(own.engine)
    assert not verdict.ok
    assert "a workspace's day is the sum of its projects' days" not in {finding.rule for finding in verdict.findings}
    assert rig.rows("SELECT changes, jobs_gained FROM workspace_daily WHERE day = '2020-01-01'") == [(1, 2)]


def test_without_since_the_totals_begin_with_the_first_look(model: Model) -> None:
    rows = list(history.totals(model.engine, now=LAST))
    for project in PROJECTS:
        first = model.seen[project][0][0]
        mine = [row for row in rows if (row.workspace, row.project) == project]
        assert mine[0].period == first.replace(hour=0, minute=0, second=0, microsecond=0)
        assert mine[0].observed
        assert mine[-1].period == LAST - timedelta(days=1)
        assert [row.complete for row in mine] == [False] + [True] * (len(mine) - 1)
        assert None not in {row.images for row in mine}
        assert mine == list(history.totals(model.engine, "/".join(project), now=LAST))


def test_what_was_pruned_was_looked_at_all_the_same(rig: Rig, own: Model) -> None:
    before = [list(history.totals(own.engine, by=by, now=LAST)) for by in BY]
    summed = list(history.totals(own.engine, by="hour", now=LAST, summed=True))
    rig.store.prune(LAST)
    assert rig.rows("SELECT count(*) FROM sync_runs WHERE outcome = 'unchanged'")[0][0] <= len(PROJECTS)
    assert [list(history.totals(own.engine, by=by, now=LAST)) for by in BY] == before
    assert list(history.totals(own.engine, by="hour", now=LAST, summed=True)) == summed


def test_a_first_look_that_was_pruned_is_known_to_a_quarter_of_an_hour(rig: Rig) -> None:
    first = datetime(2026, 1, 1, 10, 7, tzinfo=UTC)
    for hours in range(3):
        rig.now = first + hours * timedelta(hours=1)
        assert rig.sync(minutes=0).outcome == "unchanged"
    engine = open_engine(rig.url, read_only=True)

    def hours_of(**ask: Any) -> list[tuple[int, int | None, bool]]:
        rows = history.totals(engine, by="hour", now=rig.now, **ask)
        return [(row.period.hour, row.images, row.complete) for row in rows]

    before = hours_of(), hours_of(since=first.replace(hour=9, minute=0))
    assert before == ([(10, 0, False), (11, 0, True), (12, 0, False)], [(9, None, True), (10, 0, True), *before[0][1:]])
    assert history.first_observed(engine) == first
    rig.store.prune(LAST)
    assert (hours_of(), hours_of(since=first.replace(hour=9, minute=0))) == before
    pruned = history.first_observed(engine)
    assert pruned is not None
    assert first.replace(minute=0) < pruned < first


def test_the_flow_between_two_times(model: Model) -> None:
    for since, until in [*SPANS, (MOMENTS[1], None), (MOMENTS[1], MOMENTS[1] + timedelta(hours=2))]:
        rows = history.flow(model.engine, since=since, until=until)
        assert [row[:2] for row in rows] == list(PROJECTS)
        for row in rows:
            moved = model.moved((row.workspace, row.project), since, until or LAST)
            gained, lost, jobs_gained, jobs_lost = sums(moved)
            assert row.changes == len(moved)
            assert row[5:] == (gained - lost, jobs_gained - jobs_lost, gained, lost, jobs_gained, jobs_lost)


@pytest.mark.parametrize("looks", [True, False])
def test_flow_and_movers_with_and_without_what_was_there_at_first(model: Model, looks: bool) -> None:
    since, until = FIRST, MOMENTS[2]
    moved = {
        project: [row for row in model.moved(project, since, until) if looks or row[0] != model.seen[project][0][0]]
        for project in PROJECTS
    }
    assert sum(map(len, moved.values())) > 3
    flows = history.flow(model.engine, since=since, until=until, first_looks=looks)
    assert [(row.changes, *row[-4:]) for row in flows] == [(len(rows), *sums(rows)) for rows in moved.values()]
    states = [(model.state(p, model.seen[p][0][0]), model.state(p, until, before=True)) for p in PROJECTS]
    added = [len(end) - (0 if looks else len(first)) for first, end in states]
    assert [row.batches_added - row.batches_removed for row in flows] == added
    projects = history.movers(model.engine, since=since, until=until, first_looks=looks)
    assert {(row[:2], row.changes, *row[-4:]) for row in projects} == {
        (row[:2], row.changes, *row[-4:]) for row in flows if row.changes
    }
    batches = history.movers(model.engine, of="batches", since=since, until=until, limit=100, first_looks=looks)
    assert sum(row.changes for row in batches) == sum(map(len, moved.values()))
    change = net_change(model.engine, since=since, until=until)
    assert change.first_observed == sum(bool(first) for first, _ in states)
    assert looks or (change.images, change.batches) == (sum(row.images_delta for row in flows), sum(added))


@pytest.mark.parametrize("name", ["America/New_York", "Asia/Kolkata"])
def test_the_zone_of_an_instant_is_no_matter(model: Model, name: str) -> None:
    since, until = (datetime(2026, 3, day, 0, 30, tzinfo=ZoneInfo(name)) for day in (26, 31))
    utc = {"since": since.astimezone(UTC), "until": until.astimezone(UTC)}
    own = {"since": since, "until": until}
    assert history.flow(model.engine, **own) == history.flow(model.engine, **utc)
    assert history.movers(model.engine, **own) == history.movers(model.engine, **utc)
    for by in BY:
        assert list(history.totals(model.engine, by=by, **own)) == list(history.totals(model.engine, by=by, **utc))


def test_the_biggest_movers(model: Model) -> None:
    since, until = SPANS[1]
    projects = history.movers(model.engine, since=since, until=until)
    flows = [row for row in history.flow(model.engine, since=since, until=until) if row.changes]
    assert sorted(r[:2] for r in projects) == sorted(r[:2] for r in flows)
    size = [row.images_gained + row.images_lost for row in projects]
    assert size == sorted(size, reverse=True)
    batches = history.movers(model.engine, of="batches", since=since, until=until, limit=4)
    moved = defaultdict(list)
    for project in PROJECTS:
        for row in model.moved(project, since, until):
            moved[*project, row[1]].append(row)
    largest = sorted((sum(sums(rows)[:2]) for rows in moved.values()), reverse=True)[:4]
    assert [row.images_gained + row.images_lost for row in batches] == largest
    for row in batches:
        assert row.batch_id is not None
        rows = moved[row.workspace, row.project, row.batch_id]
        assert (row.changes, *row[-4:]) == (len(rows), *sums(rows))
        assert row.name == row.batch_id.upper()


def test_throughput_is_the_sum_of_the_window(model: Model) -> None:
    since, until = FIRST + timedelta(days=9), LAST
    rows = list(history.throughput(model.engine, "acme", window=7, since=since, until=until, summed=True))
    days = list(
        history.totals(
            model.engine, "acme", since=since.replace(hour=0, minute=0) - timedelta(days=6), until=until, summed=True
        )
    )
    assert [row.period for row in rows] == [day.period for day in days[6:]]
    for number, row in enumerate(rows):
        window = days[number : number + 7]
        for name in ("images_gained", "images_lost", "jobs_gained", "jobs_lost", "observed"):
            assert getattr(row, name) == sum(getattr(day, name) for day in window), name


@pytest.mark.parametrize("tz", ZONES)
def test_throughput_is_without_what_was_there_at_first(model: Model, tz: str) -> None:
    day = timedelta(days=1)
    since = FIRST.astimezone(ZoneInfo(tz)).replace(hour=0, minute=0)
    left_out = 0
    for targets, summed in product((None, "acme/gears", ["acme"]), (True, False)):
        ask = {"targets": targets, "until": LAST - day / 3, "tz": tz, "summed": summed}
        days: dict[object, list[TotalRow]] = defaultdict(list)
        for first_looks in (True, False):
            days.clear()
            for total in history.totals(model.engine, since=since - 2 * day, **ask, first_looks=first_looks):
                days[total.workspace, total.project].append(total)
            left_out += sum(t.images_gained for own in days.values() for t in own) * (1 if first_looks else -1)
        rows = list(history.throughput(model.engine, window=3, since=since, **ask))
        begun = {key: next(total.period for total in own if total.images is not None) for key, own in days.items()}
        whole = sum(total.period > begun[key] for key, own in days.items() for total in own)
        assert len(rows) == whole - 2 * len(days)
        for row in rows:
            assert row.complete == (row.period != rows[-1].period)
            own = days[row.workspace, row.project]
            last = [total.period for total in own].index(row.period)
            for name in ("images_gained", "images_lost", "jobs_gained", "jobs_lost", "observed"):
                assert getattr(row, name) == sum(getattr(total, name) for total in own[last - 2 : last + 1]), name
    assert left_out > 0


def test_what_waits_longest_without_a_job(model: Model) -> None:
    rows = history.waiting(model.engine, limit=None)
    expected = {}
    for project in PROJECTS:
        for batch, (images, jobs) in model.state(project, LAST).items():
            if images and not jobs:
                since = None
                last: State = {}
                for at, state in model.seen[project]:
                    if batch in state and (batch not in last or state[batch][1] < last[batch][1]):
                        since = at
                    last = state
                expected[*project, batch] = (images, since)
    assert {row[:3]: (row.images, row.waiting_since) for row in rows} == expected
    assert [row.waiting_since for row in rows] == sorted(row.waiting_since for row in rows)
    assert history.waiting(model.engine, limit=2) == rows[:2]


def test_the_backlog_by_age(model: Model) -> None:
    rows = history.backlog(model.engine, now=LAST, edges=(2, 10))
    batches = [row for row in history.batches(model.engine) if row.images]
    assert [(row.from_days, row.to_days) for row in rows] == [(0, 2), (2, 10), (10, None)]
    for row in rows:
        mine = [
            b.images for b in batches
            if row.from_days <= (LAST - b.first_seen_at) / timedelta(days=1) < (row.to_days or 9999)
        ]  # fmt: skip
        assert (row.batches, row.images) == (len(mine), sum(mine))


def test_how_old_a_batch_was_when_its_first_job_came(model: Model) -> None:
    rows = list(history.first_jobs(model.engine))
    expected = {}
    for project in PROJECTS:
        for number, (at, state) in enumerate(model.seen[project]):
            for batch, (_, jobs) in state.items():
                earlier = [past for _, past in model.seen[project][:number] if batch in past]
                if jobs and number and not any(past[batch][1] for past in earlier):
                    came = next(seen for seen, past in model.seen[project] if batch in past)
                    expected[*project, batch] = (came, at, (at - came) / timedelta(seconds=1))
    assert {row[:3]: (row.began_at, row.observed_at, pytest.approx(row.age_seconds)) for row in rows} == expected
    assert [row.observed_at for row in rows] == sorted(row.observed_at for row in rows)
    some = list(history.first_jobs(model.engine, since=MOMENTS[1], until=MOMENTS[3]))
    assert some == [row for row in rows if MOMENTS[1] <= row.observed_at < MOMENTS[3]]


def test_what_a_project_had_when_it_was_first_observed(rig: Rig) -> None:
    """Single batches looked at before included; and not what came into one that had nothing, or what moved between."""
    first = rig.now
    looks: tuple[tuple[str, State, tuple[str, ...]], ...] = (
        ("gears", {}, ()),
        ("gears", {"a": (9, 9)}, ()),
        ("widgets", {"a": (5, 1)}, ("a",)),
        ("widgets", {"a": (7, 0)}, ("a",)),
        ("widgets", {"c": (30, 3)}, ("c",)),
        ("widgets", {"a": (6, 0), "b": (100, 10), "c": (30, 3)}, ()),
        ("widgets", {"a": (6, 1), "b": (100, 10), "c": (30, 3), "d": (4, 0)}, ()),
        ("widgets", {"e": (2, 2)}, ("e",)),
    )
    for project, state, ids in looks:
        rig.project = project
        rig.now += timedelta(hours=1)
        rig.listed = [record(batch, *counts) for batch, counts in state.items()]
        assert rig.sync(minutes=0, batch_ids=ids).ok
    engine = open_engine(rig.url, read_only=True)
    span: dict[str, Any] = {"by": "hour", "since": first, "until": rig.now + timedelta(hours=1), "first_looks": False}
    rows = list(history.totals(engine, "acme/widgets", **span))[3:]
    assert [(row.images_gained, row.images_lost, row.jobs_gained, row.jobs_lost) for row in rows] == [
        (0, 0, 0, 0), (2, 0, 0, 1), (0, 0, 0, 0), (0, 1, 0, 0), (4, 0, 1, 0), (2, 0, 2, 0)
    ]  # fmt: skip
    assert [(row.images_delta, row.num_jobs_delta) for row in rows][1:4] == [(2, -1), (0, 0), (-1, 0)]
    assert [(row.images, row.num_jobs) for row in rows] == [(5, 1), (7, 0), (37, 3), (136, 13), (140, 14), (142, 16)]
    both = list(history.totals(engine, **span, summed=True))
    assert [row.images_gained for row in both] == [0, 0, 9, 0, 2, 0, 0, 4, 2]
    # Also where the periods begin after the first of them, and where all are in one.
    for since in (4, 5, 6, 7):
        late = list(history.totals(engine, "acme/widgets", **span | {"since": first + timedelta(hours=since)}))
        assert late == rows[since - 3 :]
    (day,) = history.totals(engine, **span | {"by": "month"}, summed=True)
    assert (day.images, day.images_gained, day.images_lost, day.jobs_gained) == (151, 17, 1, 12)
    hours = list(history.throughput(engine, by="hour", window=1, since=first, until=span["until"], summed=True))
    assert [sum(column) for column in zip(*(row[3:7] for row in hours), strict=True)] == [17, 1, 12, 1]


def test_a_window_has_a_row_once_it_is_whole(rig: Rig) -> None:
    first = datetime(2026, 1, 7, 12, tzinfo=UTC)  # a Wednesday
    for week in range(6):
        rig.now = first + week * timedelta(days=7)
        rig.listed = [record("a", 10 * week, 0)]
        assert rig.sync(minutes=0).ok
    engine = open_engine(rig.url, read_only=True)

    def windows(**ask: Any) -> list[tuple[datetime, int, bool]]:
        rows = history.throughput(engine, by="week", window=4, now=rig.now, **ask)
        return [(row.period, row.images_gained, row.complete) for row in rows]

    # The week of the first observation is not a whole one.
    fifth, sixth = (datetime(2026, 2, day, tzinfo=UTC) for day in (2, 9))
    assert (
        windows() == windows(summed=True, since=first - timedelta(days=30)) == [(fifth, 40, True), (sixth, 40, False)]
    )
    assert windows(until=sixth) == [(fifth, 40, True)]


def test_an_age_is_right_to_the_microsecond(rig: Rig) -> None:
    rig.now = datetime(2026, 1, 1, 12, 0, 0, 999_700, tzinfo=UTC)
    rig.listed = [record("a", 1, 0)]
    assert rig.sync(minutes=0).ok
    rig.now += timedelta(microseconds=300)
    rig.listed = [record("a", 1, 1)]
    assert rig.sync(minutes=0).ok
    engine = open_engine(rig.url, read_only=True)
    (row,) = history.first_jobs(engine)
    assert row.age_seconds == pytest.approx(0.0003)
    (fresh,) = history.freshness(engine, now=rig.now + timedelta(microseconds=999_900))
    assert fresh.age_seconds == pytest.approx(0.9999)


@pytest.mark.parametrize("seconds", [0.000001, 148_753.558382, -148_753.558382, 9e8 + 0.000001, 7e9 + 0.5])
def test_ages_are_exact_to_the_microsecond(rig: Rig, seconds: float) -> None:
    """Also on PostgreSQL 13, which computes them as floats if it may."""
    assert rig.sync().ok
    now = rig.now + timedelta(microseconds=round(seconds * 1_000_000))
    (row,) = history.freshness(open_engine(rig.url, read_only=True), now=now)
    assert row.age_seconds == seconds


def test_freshness_and_status(model: Model) -> None:
    rows = history.freshness(model.engine, now=LAST)
    last = {project: model.seen[project][-1][0] for project in PROJECTS}
    assert {row[:2]: row.observed_at for row in rows} == last
    assert [row.age_seconds for row in rows] == sorted(
        ((LAST - at) / timedelta(seconds=1) for at in last.values()), reverse=True
    )
    status = history.status(model.engine, "acme")
    assert [row[:2] for row in status] == [p for p in PROJECTS if p[0] == "acme"]
    assert [row.observed_at for row in status] == [last[row[:2]] for row in status]


def test_an_empty_database_has_nothing_to_say(rig: Rig) -> None:
    engine = open_engine(rig.url, read_only=True)
    assert list(history.batches(engine)) == list(history.batches(engine, as_of=LAST)) == []
    assert list(history.changes(engine)) == list(history.first_jobs(engine)) == []
    assert list(history.totals(engine)) == list(history.totals(engine, summed=True)) == []
    assert list(history.throughput(engine)) == history.waiting(engine) == history.status(engine) == []
    assert history.flow(engine, since=FIRST) == history.movers(engine, since=FIRST) == []
    assert [row.images for row in history.backlog(engine, now=LAST)] == [0] * 5
    assert history.first_observed(engine) is None


def test_bad_questions(rig: Rig) -> None:
    engine = open_engine(rig.url, read_only=True)
    with pytest.raises(ConfigError, match="acme/none"):
        history.require_known(engine, ["acme/none"])
    with pytest.raises(ConfigError, match="Europe/Berlim"):
        list(history.totals(engine, since=FIRST, tz="Europe/Berlim"))
    with pytest.raises(ConfigError, match="periods"):
        list(history.totals(engine, since=datetime(1970, 1, 1, tzinfo=UTC), by="hour"))


@pytest.mark.parametrize("project", ["widgets", "gears"])
def test_what_is_written_between_the_reads_of_a_net_change_is_no_error(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, project: str
) -> None:
    rig.listed = [record("a", 1)]
    rig.sync()
    since = rig.now + timedelta(minutes=1)

    def flow(*args: Any, **kwargs: Any) -> list[history.FlowRow]:
        rows = history.flow(*args, **kwargs)
        rig.project, rig.listed = project, [record(f"{project}-1", 2), record("a", 3)]
        rig.sync()
        return rows

    monkeypatch.setattr("rfsync.history.net_change.flow", flow)
    change = net_change(rig.database.engine, since=since)
    # The project that is new has been first observed in that time; the one that has changed has not.
    assert (change.images, change.first_observed) == (0, int(project == "gears"))


def test_the_former_id_of_a_workspace_means_its_own_projects_in_a_sum_too(rig: Rig) -> None:
    rig.listed = [record("a", 10)]
    rig.sync()
    rig.workspace, rig.project, rig.listed = "newco", "own", [record("o", 1000)]
    rig.sync()
    rig.store.projects.rename(Target("acme", "widgets"), Target("newco", "widgets"), rig.now)
    engine, now = rig.database.engine, rig.now + timedelta(days=2)
    (apart, *_), (together, *_) = (
        list(history.totals(engine, "acme", summed=summed, now=now)) for summed in (False, True)
    )
    assert (apart.images, apart.images_gained) == (together.images, together.images_gained) == (10, 10)
    assert together.workspace == "newco"
    assert {row.images for row in history.totals(engine, "newco", summed=True, now=now)} == {1010}
