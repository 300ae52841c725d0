"""The simulated workspace: deterministic, with every kind of event that the real one has."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from rfsync.simulator import UnknownObjectError, World

START = datetime(2026, 1, 5, tzinfo=UTC)
DIGEST = "0d5412cb810dab03227bd2d21cfb849a312ebb38b1175299ac39a79ccb02a6c5"
PROJECTS = ("widgets", "gears", "scratch-tests")
HOUR = timedelta(hours=1)

Listing = dict[str, dict[str, Any]]
Hours = list[tuple[str, Listing, Listing]]


def listing(world: World, project: str = "widgets") -> Listing:
    records: list[dict[str, Any]] = world.batches("acme", project)
    return {record["id"]: record for record in records}


def as_text(world: World) -> str:
    lists = [(world.batches("acme", project), world.jobs("acme", project)) for project in PROJECTS]
    return json.dumps([world.workspace("acme"), *lists])


@pytest.fixture(scope="module")
def hours() -> Hours:
    """The state of each project before and after each hour of sixty days."""
    world = World(start=START)
    before = {project: listing(world, project) for project in PROJECTS}
    hours: Hours = []
    for hour in range(1, 60 * 24 + 1):
        world.advance(START + hour * HOUR)
        for project in PROJECTS:
            after = listing(world, project)
            hours.append((project, before[project], after))
            before[project] = after
    return hours


def test_the_same_seed_gives_the_same_bytes_in_one_step_or_in_many() -> None:
    at_once, bit_by_bit = World(7, start=START), World(7, start=START)
    at_once.advance(START + timedelta(days=20))
    for minute in range(0, 20 * 24 * 60 + 1, 95):
        bit_by_bit.advance(START + timedelta(minutes=minute))
    bit_by_bit.advance(START + timedelta(days=20))
    assert as_text(at_once) == as_text(bit_by_bit)


def test_a_seed_gives_the_same_history_in_every_process_and_release() -> None:
    # Changing this digest changes every demo and every recorded example: do it only on purpose.
    world = World(1, start=START)
    world.advance(START + timedelta(days=60))
    assert hashlib.sha256(as_text(world).encode()).hexdigest() == DIGEST


def test_another_seed_gives_another_history() -> None:
    assert as_text(World(1, start=START)) != as_text(World(2, start=START))


def test_a_project_does_not_depend_on_the_others() -> None:
    alone, together = World(start=START, projects=["gears"]), World(start=START)
    for world in (alone, together):
        world.advance(START + timedelta(days=5))
    assert alone.batches("acme", "gears") == together.batches("acme", "gears")
    assert alone.jobs("acme", "gears") == together.jobs("acme", "gears") != []


def test_the_zone_of_the_start_is_only_notation() -> None:
    assert as_text(World(start=START)) == as_text(World(start=START.astimezone(timezone(timedelta(hours=9)))))


def test_a_clock_moves_it_on_at_each_reading_and_never_back() -> None:
    times = [START, START + timedelta(days=9), START + timedelta(days=2)]
    world = World(start=START, clock=lambda: times[0])
    first = world.batches("acme", "gears")
    del times[0]
    later = world.batches("acme", "gears")
    del times[0]
    assert first != later
    assert world.batches("acme", "gears") == later
    assert world.now == START + timedelta(days=9)


def test_naive_times_are_refused() -> None:
    naive = START.replace(tzinfo=None)
    with pytest.raises(ValueError, match="timezone"):
        World(start=naive)
    with pytest.raises(ValueError, match="timezone"):
        World(start=START).advance(naive)


def test_every_kind_of_event_happens_within_sixty_days(hours: Hours) -> None:
    seen: dict[str, set[str]] = {project: set() for project in PROJECTS}
    ever: dict[str, set[str]] = {project: set() for project in PROJECTS}
    for project, before, after in hours:
        ever[project] |= before.keys()
        seen[project] |= set(events(before, after, ever[project]))
    people = {
        "uploaded",
        "assigned-in-part",
        "assigned-whole",
        "rest-moved",
        "cancelled",
        "merged",
        "renamed",
        "deleted",
    }
    everything = people | {"grew", "left", "returned"}
    assert seen == dict.fromkeys(PROJECTS, everything)


def events(before: Listing, after: Listing, ever: set[str]) -> Iterator[str]:
    new = after.keys() - before.keys()
    for batch_id in new:
        yield "returned" if batch_id in ever else "uploaded"
    for batch_id, old in before.items():
        if batch_id not in after:
            yield "deleted" if old["images"] else "left"
            continue
        now = after[batch_id]
        images, jobs = now["images"] - old["images"], now["numJobs"] - old["numJobs"]
        if now["name"] != old["name"]:
            yield "renamed"
        if jobs > 0 and images < 0:
            yield "assigned-in-part" if now["images"] else "assigned-whole"
            if any(after[other]["name"] == now["name"] and now["images"] == 0 for other in new):
                yield "rest-moved"
        if jobs < 0 < images:
            yield "cancelled"
        if jobs == 0 and images > 0:
            yield "grew"
        if jobs == 0 and images < 0 and now["images"] == 0:
            yield "merged"


def test_the_invariants_that_a_poller_relies_on_always_hold(hours: Hours) -> None:
    for project, before, after in hours:
        assert len(before.keys() - after.keys()) <= 1, project
        assert 5 <= len(after) <= 90
        assert list(after) == sorted(after)
        for record in after.values():
            assert list(record) == ["name", "numJobs", "images", "uploaded", "id"]
            assert record["images"] >= 0
            assert record["numJobs"] >= 0
            assert 0 <= record["uploaded"]["_nanoseconds"] < 1_000_000_000


def test_deletions_are_few_a_week(hours: Hours) -> None:
    deleted = [0] * 9
    for number, (project, before, after) in enumerate(hours):
        if project == "gears":
            week = number // (3 * 24 * 7)
            deleted[week] += sum(before[gone]["images"] > 0 for gone in before.keys() - after.keys())
    assert sum(deleted) > 3
    assert max(deleted) <= 4


def test_people_work_during_the_day_and_cameras_always(hours: Hours) -> None:
    changes = dict.fromkeys(range(24), 0)
    for number, (_, before, after) in enumerate(hours):
        changes[number // 3 % 24] += before != after
    assert 0 < changes[2] < changes[10] / 2


def test_a_batch_that_is_no_longer_listed_is_not_found() -> None:
    world = World(start=START)
    ids = {str(record["id"]) for record in world.batches("acme", "widgets")}
    world.advance(START + timedelta(days=60))
    now = listing(world)
    for batch_id in now:
        assert world.batch("acme", "widgets", batch_id) == now[batch_id]
    gone = ids - now.keys()
    assert gone
    for batch_id in gone:
        with pytest.raises(UnknownObjectError, match=f"acme/widgets/batches/{batch_id}"):
            world.batch("acme", "widgets", batch_id)


def test_the_workspace_lists_its_projects_with_their_totals() -> None:
    world = World(start=START, workspace="lab", projects=["one", "two-three"])
    workspace: Any = world.workspace("lab")["workspace"]
    assert [project["id"] for project in workspace["projects"]] == ["lab/one", "lab/two-three"]
    assert workspace["projects"][1]["name"] == "Two Three"
    project: Any = world.project("lab", "one")["project"]
    records: list[dict[str, Any]] = world.batches("lab", "one")
    assert project == workspace["projects"][0]
    assert project["unannotated"] == sum(record["images"] for record in records) == project["images"]
    world.advance(START + timedelta(days=60))
    project = world.project("lab", "one")["project"]
    assert project["images"] > project["unannotated"] > 0
    assert project["updated"] > project["created"]


def test_unknown_names_are_errors() -> None:
    world = World(start=START)
    for read in (
        lambda: world.workspace("nobody"),
        lambda: world.project("acme", "nothing"),
        lambda: world.batches("nobody", "widgets"),
        lambda: world.batch("acme", "nothing", "x"),
        lambda: world.jobs("acme", "nothing"),
        lambda: world.job("acme", "widgets", "x"),
    ):
        with pytest.raises(UnknownObjectError):
            read()


def test_a_dropped_batch_answers_by_its_id_where_that_is_asked_for() -> None:
    quiet, answering = World(start=START), World(start=START, unlisted_answer=True)
    seen: set[str] = set()
    for hour in range(1, 20 * 24):
        for world in (quiet, answering):
            world.advance(START + hour * HOUR)
        seen |= listing(answering).keys()
    assert listing(quiet) == listing(answering)
    unlisted = [batch_id for batch_id in seen - listing(answering).keys() if found(answering, batch_id)]
    assert unlisted
    assert [batch_id for batch_id in unlisted if found(quiet, batch_id)] == []
    for batch_id in unlisted:
        assert answering.batch("acme", "widgets", batch_id)["images"] == 0


def found(world: World, batch_id: str) -> bool:
    try:
        return world.batch("acme", "widgets", batch_id)["id"] == batch_id
    except UnknownObjectError:
        return False


def test_a_project_is_renamed_deleted_and_restored() -> None:
    world = World(start=START)
    before = listing(world)
    world.rename("widgets", "sprockets")
    assert listing(world, "sprockets") == before
    with pytest.raises(UnknownObjectError):
        world.batches("acme", "widgets")
    world.delete("sprockets")
    with pytest.raises(UnknownObjectError):
        world.batches("acme", "sprockets")
    answer: Any = world.workspace("acme")
    assert [project["id"] for project in answer["workspace"]["projects"]] == ["acme/gears", "acme/scratch-tests"]
    world.restore("sprockets")
    assert listing(world, "sprockets") == before
    for change in (lambda: world.rename("typo", "new"), lambda: world.delete("typo"), lambda: world.restore("typo")):
        with pytest.raises(KeyError):
            change()
