"""The annotation jobs of the simulated workspace: made from batches, worked on, reviewed, finished and deleted."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from rfsync.simulator import UnknownObjectError, World

START = datetime(2026, 1, 5, tzinfo=UTC)
PROJECTS = ("widgets", "gears", "scratch-tests")
COUNTS = ("annotated", "unannotated", "approved", "rejected")

Records = dict[str, dict[str, Any]]


class Hour(NamedTuple):
    """A project at the end of an hour."""

    project: dict[str, Any]
    batches: Records
    jobs: Records


def by_id(records: object) -> Records:
    assert isinstance(records, list)
    return {record["id"]: record for record in records}


@pytest.fixture(scope="module")
def lives() -> dict[str, list[Hour]]:
    """Each project at the start, and at the end of each hour of sixty days."""
    world = World(start=START)
    lives: dict[str, list[Hour]] = {project: [] for project in PROJECTS}
    for hour in range(60 * 24 + 1):
        world.advance(START + timedelta(hours=hour))
        for name, life in lives.items():
            project: Any = world.project("acme", name)["project"]
            life.append(Hour(project, by_id(world.batches("acme", name)), by_id(world.jobs("acme", name))))
    return lives


def test_every_kind_of_event_happens_to_jobs_within_sixty_days(lives: dict[str, list[Hour]]) -> None:
    expected = {
        *(f"{count} {direction}" for count in ("annotated", "unannotated", "rejected") for direction in ("+", "-")),
        *("approved +", "made for somebody", "made for nobody", "labeler changed", "left"),
        *("assigned to review", "assigned to complete", "review to assigned", "review to complete"),
    }
    for name, life in lives.items():
        seen: set[str] = set()
        for before, after in itertools.pairwise(life):
            seen |= set(events(before.jobs, after.jobs))
        assert seen - {"approved -"} == expected, name


def events(before: Records, after: Records) -> Iterator[str]:
    for job_id, now in after.items():
        old = before.get(job_id)
        if old is None:
            yield "made for somebody" if now["labeler"] else "made for nobody"
            continue
        yield from (f"{count} +" for count in COUNTS if now[count] > old[count])
        yield from (f"{count} -" for count in COUNTS if now[count] < old[count])
        if now["status"] != old["status"]:
            yield f"{old['status']} to {now['status']}"
        if now["labeler"] != old["labeler"]:
            yield "labeler changed"
    if before.keys() - after.keys():
        yield "left"


def test_batches_follow_their_jobs(lives: dict[str, list[Hour]]) -> None:
    deleted_after: set[str] = set()
    for name, life in lives.items():
        sizes: dict[str, list[int]] = defaultdict(list)
        for before, after in itertools.pairwise(life):
            for job_id in after.jobs.keys() - before.jobs.keys():
                sizes[batch_of(after.jobs[job_id])].append(after.jobs[job_id]["numImages"])
            gone = [before.jobs[job_id] for job_id in before.jobs.keys() - after.jobs.keys()]
            for batch_id, batch in after.batches.items():
                if len(sizes[batch_id]) > batch["numJobs"]:
                    sizes[batch_id].pop()
                    deleted_after |= {job["status"] for job in gone if batch_of(job) == batch_id}
                assert len(sizes[batch_id]) == batch["numJobs"], name
            # Every image is in a batch or in a job.
            in_jobs = sum(map(sum, sizes.values()))
            assert after.project["images"] == after.project["unannotated"] + in_jobs, name
    assert deleted_after == {"assigned", "review", "complete"}


def batch_of(job: dict[str, Any]) -> str:
    return str(job["sourceBatch"]).partition("/")[2]


def test_the_counts_of_a_job_are_never_negative_and_never_more_than_its_images(lives: dict[str, list[Hour]]) -> None:
    at_the_end = set()
    for life in lives.values():
        batches: set[str] = set()
        (internal,) = {job["project"] for hour in life for job in hour.jobs.values()}
        for hour in life:
            batches |= hour.batches.keys()
            assert list(hour.jobs) == sorted(hour.jobs)
            for job in hour.jobs.values():
                assert all(0 <= job[count] <= job["numImages"] for count in COUNTS)
                source, _, batch_id = job["sourceBatch"].partition("/")
                assert source == internal
                assert batch_id in batches
                if job["status"] == "complete":
                    assert job["unannotated"] == job["rejected"] == 0
                    if job["reviewer"]:
                        at_the_end.add(job["annotated"] > 0)
    # `annotated` still counts what was approved in some projects, and in others it doesn't.
    assert at_the_end == {True, False}


def test_people_work_during_the_day_and_each_at_their_own_pace(lives: dict[str, list[Hour]]) -> None:
    work = dict.fromkeys(range(24), 0)
    for life in lives.values():
        paces: dict[str, int] = {}
        for number, (before, after) in enumerate(itertools.pairwise(life)):
            for job_id in before.jobs.keys() & after.jobs.keys():
                done = before.jobs[job_id]["unannotated"] - after.jobs[job_id]["unannotated"]
                work[number % 24] += abs(done)
                labeler = before.jobs[job_id]["labeler"] or "nobody"
                paces[labeler] = max(paces.get(labeler, 0), done)
        assert paces.pop("nobody", 0) == 0
        assert len(set(paces.values())) > 2
    assert work[2] == 0 < work[10]


def test_a_job_that_is_no_longer_listed_may_answer_by_its_id_for_a_time() -> None:
    world = World(start=START)
    life: dict[str, list[bool]] = {}
    last: Records = {}
    for day in range(60):
        world.advance(START + timedelta(days=day))
        last = by_id(world.jobs("acme", "gears"))
        life |= {job_id: [] for job_id in last if job_id not in life}
        for job_id in life.keys() - last.keys():
            life[job_id].append(answers(world, job_id))
    assert all(world.job("acme", "gears", job_id) == job for job_id, job in last.items())
    assert {answered[0] for answered in life.values() if answered} == {True, False}
    for answered in life.values():
        # Once gone, gone for good.
        assert sorted(answered, reverse=True) == answered
        assert sum(answered) <= 8


def answers(world: World, job_id: str) -> bool:
    try:
        return world.job("acme", "gears", job_id)["status"] == "complete"
    except UnknownObjectError:
        return False
