"""Every question about annotation jobs, against a plain model of the same history."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import product
from typing import Any

import pytest
from job_ledger import COUNTS, FLOWS, Change, Jobs, Seen
from rig import Rig, record
from sqlalchemy import Engine

from rfsync import history
from rfsync.database.engine import open_engine
from rfsync.errors import ConfigError
from rfsync.history import BY, By
from tests.history.test_history import edges_of

#: In Berlin the clocks went forward on 29 March.
FIRST = datetime(2026, 3, 26, 21, 40, tzinfo=UTC)
LAST = datetime(2026, 4, 5, tzinfo=UTC)
PROJECTS = (("acme", "gears"), ("acme", "widgets"), ("other", "gears"))
PEOPLE = (None, "ann@example.com", "bob@example.com", "<b>cy</b>@example.com")


@dataclass
class Model:
    """What was observed, as it was."""

    engine: Engine
    jobs: Jobs

    @cached_property
    def numbers(self) -> dict[str | None, int]:
        """Labeler -> its number in the database."""
        return {row.labeler: row.labeler_id or 0 for row in history.job_changes(self.engine)}

    def changes(self, scope: Sequence[tuple[str, str]], since: datetime, until: datetime) -> list[Change]:
        """Those observed in that time."""
        every = [change for project in scope for change in self.jobs.known[project].changes]
        return [change for change in every if since <= change.at < until]

    def state(self, project: tuple[str, str], at: datetime) -> dict[str, Seen]:
        """As it was last seen at that moment."""
        looks = [jobs for seen, jobs in self.jobs.known[project].looks if seen <= at]
        return looks[-1] if looks else {}

    def flows(
        self, scope: Sequence[tuple[str, str]], since: datetime, until: datetime
    ) -> dict[str | None, tuple[int, ...]]:
        """Labeler -> the sums of what moved in that time, if anything did."""
        sums: defaultdict[str | None, dict[str, int]] = defaultdict(lambda: dict.fromkeys(FLOWS, 0))
        for change in self.changes(scope, since, until):
            for labeler, name, number in change.flows():
                sums[labeler][name] += number
        return {labeler: tuple(flows.values()) for labeler, flows in sums.items() if any(flows.values())}


@pytest.fixture(scope="module")
def model(shared_database_url: str) -> Iterator[Model]:
    """Nine days of three projects of two workspaces, with two days in which nobody looked; to be read only."""
    dice = random.Random(8)  # noqa: S311 the same on every run
    with closing(Rig(shared_database_url)) as rig:
        made = Model(open_engine(rig.url, read_only=True), Jobs(rig))
        states: dict[tuple[str, str], dict[str, Seen]] = {project: {} for project in PROJECTS}
        rig.now = FIRST
        while rig.now < LAST - timedelta(hours=11):
            project = dice.choice(PROJECTS)
            rig.workspace, rig.project = project
            rig.listed = [record("b1", dice.randrange(50)), record("b2", 3, 1, "two")]
            minutes = 48 * 60 if rig.now.day == 30 else dice.choice([7, 25, 60, 300])
            if dice.random() < 0.2:
                made.jobs.sync(None, minutes=minutes + dice.random())
            else:
                made.jobs.sync(shuffled(dice, states[project]), minutes=minutes + dice.random())
                states[project] = made.jobs.known[project].now
        yield made


def shuffled(dice: random.Random, jobs: dict[str, Seen]) -> dict[str, Seen]:
    """The jobs some time later."""
    jobs = dict(jobs)
    for _ in range(dice.choice([0, 1, 3, 5])):
        job_id = dice.choice("uvwxyz")
        if job_id in jobs and dice.random() < 0.3:
            del jobs[job_id]
            continue
        labeler = dice.choice(PEOPLE)
        if job_id in jobs and dice.random() < 0.6:
            labeler = jobs[job_id].labeler
        counts = [dice.randrange(30) for _ in COUNTS]
        status = dice.choice(["assigned", "review", "complete", None])
        batch = None if job_id == "z" else dice.choice(["b1", "b2", "b3"])
        jobs[job_id] = Seen(batch, labeler, *counts, status, job_id.upper(), PEOPLE[1])
    return jobs


def shown(row: Any) -> Seen:
    """A row as the model has it."""
    return Seen(row.batch_id, row.labeler, *(getattr(row, n) for n in COUNTS), row.status, row.name, row.reviewer)


MOMENTS = [FIRST, FIRST + timedelta(days=2, hours=5), FIRST + timedelta(days=4), LAST - timedelta(hours=7), LAST]


def test_the_jobs_at_a_time_are_those_that_were_seen_then(model: Model) -> None:
    instants = [at for project in PROJECTS for at, _ in model.jobs.known[project].looks]
    for at in [*MOMENTS, *instants[::5], *(i - timedelta(microseconds=1) for i in instants[::7])]:
        found: dict[tuple[str, str], dict[str, Seen]] = {project: {} for project in PROJECTS}
        for row in history.jobs(model.engine, as_of=at):
            found[row.workspace, row.project][row.job_id] = shown(row)
            assert row.first_seen_at <= row.changed_at <= at
        assert found == {project: model.state(project, at) for project in PROJECTS}
    now = list(history.jobs(model.engine))
    assert now == list(history.jobs(model.engine, as_of="0s"))
    assert now == sorted(now, key=lambda row: row[:3])
    for at, some in ((None, now), (MOMENTS[2], list(history.jobs(model.engine, as_of=MOMENTS[2])))):
        review = list(history.jobs(model.engine, ["acme", "other"], as_of=at, status="review"))
        assert review == [row for row in some if row.status == "review"]
        assert review
        for name, value in product(("labeler", "reviewer"), PEOPLE):
            of_person = list(history.jobs(model.engine, as_of=at, **{name: value or "nobody"}))
            assert of_person == [row for row in some if getattr(row, name) == value]


def test_the_versions_and_the_changes_of_jobs(model: Model) -> None:
    every = model.changes(PROJECTS, FIRST, LAST + timedelta(days=1))
    rows = list(history.job_changes(model.engine))
    assert len(rows) == len(every) > 100
    assert {row.change for row in rows} == {"added", "changed", "removed", "restored"}
    assert [row.id for row in rows] == sorted(row.id for row in rows)
    for project in PROJECTS:
        own = [row for row in rows if (row.workspace, row.project) == project]
        expected = model.changes([project], FIRST, LAST + timedelta(days=1))
        assert [(r.observed_at, r.job_id, r.change, r.observed_after) for r in own] == [
            (c.at, c.job_id, c.word, c.since) for c in expected
        ]
        assert [shown(r) for r in own if r.change != "removed"] == [c.after for c in expected if c.after]
    versions = list(history.job_versions(model.engine, job_ids=["u", "v"]))
    for project, at in product(PROJECTS, MOMENTS):
        then = {
            row.job_id: shown(row)
            for row in versions
            if (row.workspace, row.project) == project
            and row.valid_from <= at
            and (row.valid_to is None or at < row.valid_to)
        }
        assert then == {job: seen for job, seen in model.state(project, at).items() if job in "uv"}
    back = history.job_changes(model.engine, "acme", since=MOMENTS[1], until=MOMENTS[3], newest_first=True, limit=9)
    some = [r for r in rows if r.workspace == "acme" and MOMENTS[1] <= r.observed_at < MOMENTS[3]]
    assert list(back) == some[::-1][:9]


def test_the_changes_of_the_jobs_of_a_batch(model: Model) -> None:
    rows = list(history.job_changes(model.engine))
    of_batch = {
        (*project, job_id)
        for project in PROJECTS
        for job_id, seen in model.jobs.known[project].ever.items()
        if seen.batch == "b3"
    }
    assert of_batch
    expected = [row for row in rows if (row.workspace, row.project, row.job_id) in of_batch]
    assert list(history.job_changes(model.engine, batch_ids="b3")) == expected
    one = list(history.job_changes(model.engine, "acme/gears", job_ids="w"))
    assert one == [row for row in rows if (row.workspace, row.project, row.job_id) == ("acme", "gears", "w")]
    for wrong, message in (
        ({"job_ids": "U"}, "there is no job with the id 'U': this is the name of u of "),
        ({"batch_ids": "b4"}, "there is no batch with the id 'b4'"),
        ({"job_ids": []}, "job_ids: there is none in it"),
    ):
        with pytest.raises(ConfigError, match=message):
            history.job_changes(model.engine, **wrong)


def test_where_the_images_of_a_batch_are(model: Model) -> None:
    rows = list(history.progress(model.engine))
    images = {(row[0], row[1], row.batch_id): (row.images, row.name) for row in history.batches(model.engine)}
    expected = {}
    for project in PROJECTS:
        jobs = model.state(project, LAST).values()
        batches = {seen.batch for seen in jobs} | {batch for *of, batch in images if tuple(of) == project}
        for batch in batches:
            own = [seen for seen in jobs if seen.batch == batch]
            free, name = images.get((*project, batch), (0, None))
            in_jobs = sum(seen.num_images for seen in own)
            states = (sum(getattr(seen, state) for seen in own) for state in ("annotated", "approved", "rejected"))
            expected[(*project, batch)] = (name, free, in_jobs, *states, free + in_jobs)
    assert {row[:3]: row[3:] for row in rows} == expected
    assert {row.batch_id for row in rows} == {"b1", "b2", "b3", None}
    assert [row[:3] for row in rows] == sorted(expected, key=lambda key: (*key[:2], key[2] or "~"))


SPANS = [
    (FIRST.replace(hour=0, minute=0), LAST),
    (FIRST + timedelta(days=1, minutes=7, microseconds=3), FIRST + timedelta(days=6, hours=3)),
]
ZONES = ("UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe")


def expected_work(
    model: Model, scope: Sequence[tuple[str, str]], edges: list[Any], *, labelers: bool
) -> list[tuple[Any, ...]]:
    """What ``work`` has after the names of workspace and project, for a scope taken as one."""
    looks = [at for project in scope for at, _ in model.jobs.known[project].looks]
    cells = [model.flows(scope, since, until) for _, since, until, _ in edges]
    people: list[str | None] = [name for name in PEOPLE if any(name in cell for cell in cells)] if labelers else [None]
    rows = []
    for name in sorted(people, key=lambda name: (name is None, name)):
        for (start, since, until, end), cell in zip(edges, cells, strict=True):
            own = [flows for labeler, flows in cell.items() if labeler == name or not labelers]
            sums = tuple(map(sum, zip(*own, strict=True))) if own else (0,) * len(FLOWS)
            observed = any(since <= at < until for at in looks)
            rows.append((name, start, *sums, observed, (start, end) == (since, until)))
    return rows


@pytest.mark.parametrize("by", BY)
@pytest.mark.parametrize("labelers", [False, True])
def test_the_work_over_time(model: Model, by: By, labelers: bool) -> None:
    cases: list[tuple[str | list[str] | None, str | None, Sequence[tuple[str, str]]]] = [
        (None, None, PROJECTS),
        ("acme", "acme", PROJECTS[:2]),
        (["other", "acme/gears"], None, [PROJECTS[0], PROJECTS[2]]),
    ]
    for (since, until), tz in product(SPANS, ZONES):
        edges = edges_of(by, since, until, tz)
        ask: dict[str, Any] = {"by": by, "since": since, "until": until, "tz": tz, "labelers": labelers}
        rows = list(history.work(model.engine, **ask))
        assert rows == [
            (*project, *row)
            for project in PROJECTS
            for row in expected_work(model, [project], edges, labelers=labelers)
        ]
        for targets, workspace, scope in cases:
            expected = [(workspace, None, *row) for row in expected_work(model, scope, edges, labelers=labelers)]
            assert list(history.work(model.engine, targets, **ask, summed=True)) == expected
        for person in PEOPLE if labelers and tz == "UTC" else ():
            own = list(history.work(model.engine, **{**ask, "labelers": False}, labeler=person or "nobody"))
            assert own == [row for row in rows if row.labeler == person]


def test_without_since_the_work_begins_with_the_first_list_of_jobs(model: Model) -> None:
    rows = list(history.work(model.engine, now=LAST))
    for project in PROJECTS:
        first = model.jobs.known[project].looks[0][0]
        mine = [row for row in rows if (row.workspace, row.project) == project]
        assert mine[0].period == first.replace(hour=0, minute=0, second=0, microsecond=0)
        assert mine[-1].period == LAST - timedelta(days=1)
        assert [row.complete for row in mine] == [False] + [True] * (len(mine) - 1)
        assert mine[0].observed


def test_what_each_labeler_did_between_two_times(model: Model) -> None:
    for since, until in [*SPANS, (MOMENTS[1], None)]:
        expected = model.flows(PROJECTS, since, until or LAST + timedelta(days=1))
        rows = history.labelers(model.engine, since=since, until=until)
        assert {row.labeler: row[1:] for row in rows} == expected
        assert [row.annotated_gained for row in rows] == sorted((r.annotated_gained for r in rows), reverse=True)


def test_whether_the_jobs_were_read_is_known_whatever_the_run_changed_and_once_it_is_pruned(rig: Rig) -> None:
    """Four observations, of which one changed jobs, one batches, one nothing, and one had no job list."""
    jobs = Jobs(rig)
    rig.now = datetime(2026, 1, 1, 10, tzinfo=UTC)
    for hour, images, seen in ((10, 5, {"u": Seen()}), (11, 6, {"u": Seen()}), (12, 6, {"u": Seen()}), (13, 6, None)):
        rig.now = rig.now.replace(hour=hour)
        rig.listed = [record("b1", images)]
        jobs.sync(seen)
    engine = open_engine(rig.url, read_only=True)

    def observed() -> tuple[list[bool], list[bool]]:
        ask: dict[str, Any] = {"by": "hour", "now": rig.now + timedelta(hours=1)}
        both = history.work(engine, **ask), history.totals(engine, **ask)
        return tuple([row.observed for row in rows] for rows in both)  # type: ignore[return-value]

    assert observed() == ([True, True, True, False], [True] * 4)
    rig.store.prune(LAST)
    assert rig.rows("SELECT count(*) FROM sync_runs WHERE outcome = 'unchanged'") == [(1,)]  # the last
    assert observed() == ([True, True, True, False], [True] * 4)


def test_an_observation_that_changed_jobs_alone_is_one(rig: Rig) -> None:
    rig.now = datetime(2026, 1, 1, 10, tzinfo=UTC)
    Jobs(rig).sync({"u": Seen(num_images=3)})
    engine = open_engine(rig.url, read_only=True)
    (row,) = history.totals(engine, by="hour", now=rig.now + timedelta(minutes=1))
    assert row.observed


def test_a_database_without_jobs_has_nothing_to_say_of_them(rig: Rig) -> None:
    rig.listed = [record("b1", 5)]
    assert rig.sync().ok
    engine = open_engine(rig.url, read_only=True)
    asked = (history.jobs, history.job_changes, history.job_versions, history.work)
    assert [list(ask(engine)) for ask in asked] == [[]] * 4
    assert history.labelers(engine, since="2025-12-31") == []
    assert [row[2:] for row in history.progress(engine)] == [("b1", None, 5, 0, 0, 0, 0, 5)]
