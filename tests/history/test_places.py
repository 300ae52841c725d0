"""Where images are, and why the count of a batch fell."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from job_ledger import Jobs, Seen
from rig import Rig, record
from sqlalchemy import Engine

from rfsync import history
from rfsync.database.engine import open_engine
from rfsync.history import BY, By
from rfsync.history.no_jobs import why_no_jobs
from rfsync.history.places import job_places
from tests.history.test_history import edges_of
from tests.history.test_jobs import FIRST, LAST, PROJECTS, SPANS, Model, model

__all__ = ["model"]
PLACES = ("unannotated", "annotated", "approved", "rejected")
START = datetime(2026, 1, 1, 10, tzinfo=UTC)


def places(images: int, annotated: int, unannotated: int, approved: int, rejected: int) -> tuple[int, ...]:
    """The documented rule, in other words."""
    apart = annotated < approved + rejected or annotated + unannotated + approved + rejected == images
    undecided = annotated if apart else annotated - approved - rejected
    left, found = images, []
    for wanted in (approved, rejected, undecided):
        found.append(min(wanted, left))
        left -= found[-1]
    return left, found[2], found[0], found[1]


@pytest.fixture
def engine(rig: Rig) -> Engine:
    """Reads what the test's rig writes."""
    return open_engine(rig.url, read_only=True)


def test_each_image_of_a_job_is_in_one_place_whatever_its_counts_say(rig: Rig, engine: Engine) -> None:
    """All small counts; where they add up in one reading, in which nothing else adds up, it is that reading."""
    rig.now = START
    counts = list(product(range(4), repeat=5))
    jobs = Jobs(rig)
    jobs.sync({str(n): Seen(None, None, *some) for n, some in enumerate(counts)})
    rows = {row.job_id: row for row in history.open_jobs(engine, limit=None)}
    assert set(rows) == {str(n) for n, (images, _, _, approved, _) in enumerate(counts) if approved < images}
    for job_id, row in rows.items():
        some = counts[int(job_id)]
        own = (row.unannotated, row.annotated, row.approved, row.rejected)
        assert own == places(*some), some
        assert min(own) >= 0
        assert sum(own) == row.num_images
        images, annotated, unannotated, approved, rejected = some
        decided = approved + rejected
        if annotated + unannotated + decided == images:  # annotated does not count what was decided
            assert own == (unannotated, annotated, approved, rejected)
        elif annotated + unannotated == images and annotated >= decided:  # it does
            assert own == (unannotated, annotated - decided, approved, rejected)
    (placed,) = job_places(engine, "acme")
    assert placed[2:] == tuple(sum(column) for column in zip(*(places(*some) for some in counts), strict=True))
    # The counts of a removed job are in no place.
    jobs.sync({})
    assert [row[3:8] for row in history.image_places(engine, now=rig.now)] == [(0, 0, 0, 0, 0)]
    assert job_places(engine) == []


@pytest.mark.parametrize("by", BY)
def test_where_the_images_were_over_time(model: Model, by: By) -> None:
    for (since, until), tz, summed in product(SPANS, ("UTC", "Asia/Kathmandu"), (False, True)):
        ask: dict[str, Any] = {"by": by, "since": since, "until": until, "tz": tz, "summed": summed}
        rows = list(history.image_places(model.engine, **ask))
        totals = list(history.totals(model.engine, **ask))
        assert [(*row[:3], row.unassigned, row.complete) for row in rows] == [
            (*row[:3], row.images, row.complete) for row in totals
        ]
        assert [row.observed for row in rows] == [row.observed for row in history.work(model.engine, **ask)]
        scopes = [PROJECTS] if summed else [(project,) for project in PROJECTS]
        expected = []
        for scope, (_, _, end, _) in product(scopes, edges_of(by, since, until, tz)):
            if min(model.jobs.known[project].looks[0][0] for project in scope) >= end:
                expected.append([None] * 4)
                continue
            there = [
                seen for project in scope for seen in model.state(project, end - timedelta(microseconds=1)).values()
            ]
            expected.append(
                [sum(column) for column in zip((0,) * 4, *(places(*s.counts()) for s in there), strict=True)]
            )
        assert [[row.unannotated, row.annotated, row.approved, row.rejected] for row in rows] == expected


def test_the_open_jobs_and_those_that_are_stuck(model: Model) -> None:
    rows = history.open_jobs(model.engine, limit=None)
    expected = {
        (*project, job_id)
        for project in PROJECTS
        for job_id, seen in model.state(project, LAST).items()
        if seen.status != "complete" and seen.approved < seen.num_images
    }
    assert {row[:3] for row in rows} == expected
    assert [row.opened_at for row in rows] == sorted(row.opened_at for row in rows)
    assert history.open_jobs(model.engine, limit=2) == rows[:2]
    changed = {(row[0], row[1], row.job_id): row.changed_at for row in history.jobs(model.engine)}
    stuck = history.open_jobs(model.engine, unchanged_for="1d", now=LAST, limit=None)
    assert {row[:3] for row in stuck} == {key for key in expected if changed[key] <= LAST - timedelta(days=1)}
    assert [row.changed_at for row in stuck] == sorted(row.changed_at for row in stuck)
    assert 0 < len(stuck) < len(rows)


def test_the_images_of_jobs_that_were_removed_and_did_not_return(model: Model) -> None:
    returned = 0
    for since, until in (*product((FIRST, FIRST + timedelta(days=4)), (LAST - timedelta(days=3), None)), (LAST, None)):
        end = until or LAST + timedelta(days=9)
        expected: dict[tuple[str, str], list[tuple[int, ...]]] = {}
        for project in PROJECTS:
            last = {change.job_id: change for change in model.changes([project], FIRST, end)}
            gone = [change.before for change in last.values() if change.word == "removed" and change.at >= since]
            if gone:
                expected[project] = [places(*seen.counts()) for seen in gone if seen]
            removed = {c.job_id for c in model.changes([project], since, end) if c.word == "removed"}
            returned += len(removed) - len(gone)
        rows = history.removed_jobs(model.engine, since=since, until=until)
        assert {row[:2]: row[2:] for row in rows} == {
            project: (len(gone), *map(sum, zip(*gone, strict=True))) for project, gone in expected.items()
        }
    assert not rows
    assert returned


@pytest.fixture
def sync(rig: Rig) -> Iterator[Any]:
    """Observes batches, and jobs if there are any given."""
    jobs = Jobs(rig)
    rig.now = START - timedelta(hours=1)

    def observe(batches: dict[str, int | tuple[int, int]], seen: dict[str, Seen] | None = None) -> datetime:
        counts = {name: some if isinstance(some, tuple) else (some, 0) for name, some in batches.items()}
        rig.listed = [record(name, *some, f"the {name}") for name, some in counts.items()]
        jobs.sync(seen, minutes=60)
        return rig.now

    return observe


def test_the_time_from_the_upload_of_a_batch_to_its_first_job_first_annotation_and_last_approval(
    sync: Any, engine: Engine
) -> None:
    old, new = Seen("old", None, 5, 1), Seen("b", None, 10)
    sync({"old": 5, "b": 10, "idle": 3}, {"o": old})
    sync({"old": 5, "b": 0}, {"o": old, "u": new})
    sync({"old": 5, "b": 0}, {"o": old._replace(approved=1), "u": new._replace(annotated=4)})
    sync({"old": 5, "b": 0}, {"o": old, "u": new._replace(annotated=9, approved=2)})
    end = sync(
        {"old": 5, "b": 0}, {"o": old, "u": new, "v": Seen("b", None, 7, 7, created=START + timedelta(minutes=9))}
    )
    rows = {row.batch_id: row for row in history.stages(engine)}

    def hours(row: history.StageRow) -> list[float | None]:
        ages = (row.first_job_seconds, row.first_annotated_seconds, row.last_approved_seconds)
        times = (row.first_job_at, row.first_annotated_at, row.last_approved_at)
        assert [at and row.began_at + timedelta(seconds=age or 0) for at, age in zip(times, ages, strict=True)] == [
            *times
        ]
        return [None if age is None else age / 3600 for age in ages]

    assert {name: hours(row) for name, row in rows.items()} == {
        "old": [None, None, 2],  # what there was at first came before
        "b": [0.15, 2, 3],
        "idle": [None] * 3,
    }
    assert [row.batch_id for row in history.stages(engine, since=START, until=end)] == ["b", "idle", "old"]
    assert list(history.stages(engine, until=START)) == []


def told(engine: Engine, **ask: Any) -> list[tuple[Any, ...]]:
    """Batch, images lost, and where how many of them went."""
    rows = list(history.falls(engine, **ask))
    sums: dict[Any, int] = {}
    for row in rows:
        sums[row[:7]] = sums.get(row[:7], 0) + row.images
    assert all(key[-1] == images for key, images in sums.items())
    return [(row.batch_id, row.images_lost, row.into, row.into_id, row.images) for row in rows]


def test_the_images_that_a_batch_lost_went_into_its_jobs_and_the_rest_into_a_new_batch(
    sync: Any, engine: Engine
) -> None:
    first = {"u": Seen("a", None, 10)}
    sync({"a": 100, "b": 60}, first)
    after = sync({"a": 100, "b": 60}, first)
    grown = {"u": Seen("a", None, 25), "v": Seen("a", None, 5), "w": Seen("b", None, 20), "x": Seen("c", None, 7)}
    at = sync({"a": (0, 2), "b": (40, 1), "rest": 80}, grown)
    assert told(engine) == [
        ("a", 100, "job", "u", 15),
        ("a", 100, "job", "v", 5),
        ("a", 100, "batch", "rest", 80),
        ("b", 20, "job", "w", 20),
    ]
    rows = list(history.falls(engine, batch_ids="a", since=at))
    assert {(row.observed_after, row.observed_at, row.name, row.jobs_observed) for row in rows} == {
        (after, at, "the a", True)
    }
    assert [row.into_name for row in rows] == ["a job", "a job", "the rest"]
    assert told(engine, batch_ids="b") == [("b", 20, "job", "w", 20)]
    assert told(engine, until=at) == []


def test_what_is_not_sure_stays_unexplained(sync: Any, engine: Engine, rig: Rig) -> None:
    """Two that fell by as much; two that appeared; jobs that nobody saw before; more taken than there was."""
    jobs, batches = {"u": Seen("c", None, 3)}, {"a": 50, "b": 50, "c": 50, "d": 9, "e": 9}
    sync(batches)
    sync(batches := {**batches, "a": 40}, jobs)  # the first list of jobs
    sync(batches := {**batches, "a": 30, "b": 40, "new": 10}, jobs)
    sync(batches := {**batches, "c": 40, "n1": 10, "n2": 10}, jobs)
    sync(batches := {**batches, "c": 38}, jobs := {**jobs, "v": Seen("c", None, 8)})
    del batches["e"]
    sync(batches := {**batches, "d": 4})  # nobody looked at the jobs
    sync({**batches, "d": 1}, {**jobs, "w": Seen("d", None, 8)})
    assert told(engine) == [
        ("a", 10, "unexplained", None, 10),
        ("a", 10, "unexplained", None, 10),
        ("b", 10, "unexplained", None, 10),
        ("c", 10, "unexplained", None, 10),
        ("c", 2, "job", "v", 8),
        ("c", 2, "unexplained", None, -6),
        ("d", 5, "unexplained", None, 5),
        ("e", 9, "unexplained", None, 9),
        ("d", 3, "unexplained", None, 3),
    ]
    unseen = {row.observed_at for row in history.falls(engine) if not row.jobs_observed}
    assert unseen == {rig.now - timedelta(hours=1)}


def test_a_project_without_jobs_says_what_it_would_take(rig: Rig, engine: Engine) -> None:
    assert why_no_jobs(engine) is None  # nothing was observed at all
    rig.listed = [record("b", 5)]
    assert rig.sync().ok
    assert [row[3:] for row in history.image_places(engine, now=rig.now)] == [(5, None, None, None, None, False, False)]
    assert "never asked for: it takes a sync" in str(why_no_jobs(engine, "acme"))
    for kind, message in (
        ("server", "could be read yet (server)"),
        ("auth", "the key may see no annotation jobs (auth): it takes one with the scope annotation-job:read"),
    ):
        rig.rows("UPDATE projects SET jobs_error_kind = :kind", kind=kind)
        assert message in str(why_no_jobs(engine))
    Jobs(rig).sync({})
    assert why_no_jobs(engine) is None
