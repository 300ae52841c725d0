"""Batches that the list no longer has: confirmed, kept, left in doubt, refused, restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rfsync.simulator import Cut, Fault, Status
from tests.e2e.conftest import Cli, batch

ALL = ("a", "b", "c", "d", "e")


@dataclass
class Step:
    """One sync of a project: what its list has by then, and what has to come of it."""

    #: Id -> images.
    listed: Mapping[str, int]
    outcome: str
    #: The batches that exist afterwards.
    current: Mapping[str, int]
    #: What batches answer by their own addresses: a status, a record, or a fault. Others: 404 unless listed.
    by_id: Mapping[str, Any] = field(default_factory=dict)
    #: The ids that are asked for.
    asked: Sequence[str] = ()
    #: Whether something stays in doubt, which has to be said.
    doubt: bool = False

    @property
    def fails(self) -> bool:
        return self.outcome in {"refused", "failed"}


def images(ids: str, **others: int) -> dict[str, int]:
    """Ten images for each of these ids."""
    return {**dict.fromkeys(ids, 10), **others}


#: With ``confirm_limit = 2``. Each has the batches a to e with 10 images before.
SCENARIOS: dict[str, list[Step]] = {
    "confirmed": [
        Step(images("abc"), "changed", images("abc"), asked="de"),
        Step(images("abc"), "unchanged", images("abc")),
        Step(images("abcd", e=3), "changed", images("abcd", e=3)),
    ],
    "kept": [
        Step(images("abcd"), "unchanged", images("abcde"), {"e": batch("e", 10, 1)}, "e"),
        # One that is known to exist is asked for again after a day, and not before.
        Step(images("abc", f=1), "changed", images("abcde", f=1), {"d": batch("d", 10, 1), "e": batch("e", 2, 1)}, "d"),
        Step(images("abcd", e=7), "changed", images("abcd", e=7), asked="f"),
    ],
    # Of an answer that left something in doubt no ETag is kept: the same list is looked at again.
    "forbidden": [
        Step(images("bcd", a=4), "changed", images("bcde", a=4), {"e": 403}, "e", doubt=True),
        Step(images("bcd", a=4), "unchanged", images("bcde", a=4), {"e": 403}, "e", doubt=True),
        Step(images("bcd", a=4), "changed", images("bcd", a=4), asked="e"),
    ],
    "unclear": [
        Step(images("bcd", a=4), "changed", images("bcde", a=4), {"e": 500}, "e", doubt=True),
        Step(images("bcd", a=4), "unchanged", images("bcde", a=4), {"e": batch("f")}, "e", doubt=True),
        Step(images("bcd", a=4), "unchanged", images("bcde", a=4), {"e": Cut(after=9)}, "e", doubt=True),
        Step(images("bcd", a=4), "unchanged", images("bcde", a=4), {"e": batch("e", -1)}, "e", doubt=True),
    ],
    "partly-in-doubt": [
        Step(images("abc", f=1), "changed", images("abcd", f=1), {"d": 503}, "de", doubt=True),
        Step(images("abcd", f=1), "unchanged", images("abcd", f=1)),
        Step(images("abcdef"), "changed", images("abcdef")),
    ],
    # More than the limit: refused once, and then asked for as many in each run.
    "many-then-again": [
        Step(images("ab"), "refused", images("abcde")),
        Step(images("ab"), "changed", images("abe"), asked="cd", doubt=True),
        Step(images("ab"), "changed", images("ab"), asked="e"),
        Step(images("ab"), "unchanged", images("ab")),
    ],
    "many-with-others": [
        Step(images("ab"), "refused", images("abcde")),
        Step(images("b", a=7, f=1), "changed", images("be", a=7, f=1), asked="cd", doubt=True),
        Step(images("b", a=7, f=1), "changed", images("b", a=7, f=1), asked="e"),
    ],
    "many-that-exist": [
        Step(images("ab"), "refused", images("abcde")),
        Step(
            images("ab"),
            "changed",
            images("abde", c=1),
            {"c": batch("c", 1, 1), "d": batch("d", 10, 1)},
            "cd",
            doubt=True,
        ),
        Step(images("ab"), "unchanged", images("abde", c=1), {"e": batch("e", 10, 1)}, "e"),
        Step(images("ab"), "unchanged", images("abde", c=1)),
    ],
    "another-set": [
        Step(images("ab"), "refused", images("abcde")),
        # Those that are back did not vanish, and of the others there are no more than the limit.
        Step(images("ac"), "changed", images("abc"), asked="de", doubt=True),
        Step(images("ab"), "changed", images("ab"), asked="c"),
        Step(images("ab"), "unchanged", images("ab")),
    ],
    "back-in-between": [
        Step(images("ab"), "refused", images("abcde")),
        Step(images("abcde"), "unchanged", images("abcde")),
        Step(images("ab"), "refused", images("abcde")),
        Step(images("abcde", f=1), "changed", images("abcde", f=1)),
    ],
    "failed-in-between": [
        Step(images("ab"), "refused", images("abcde")),
        Step({}, "failed", images("abcde"), {"": Status(404)}),
        Step(images("ab"), "changed", images("abe"), asked="cd", doubt=True),
    ],
    "emptied": [
        Step({}, "refused", images("abcde")),
        Step({}, "changed", images("cde"), asked="ab", doubt=True),
        Step({}, "changed", images("e"), asked="cd", doubt=True),
        Step(images("abc"), "changed", images("abc"), asked="e"),
    ],
    # An empty list is a list like any other.
    "few-then-empty": [
        Step(images("abc"), "changed", images("abc"), asked="de"),
        Step(images("a"), "changed", images("a"), asked="bc"),
        Step({}, "changed", {}, asked="a"),
        Step({}, "unchanged", {}),
    ],
    "few-then-empty-kept": [
        Step(images("abc"), "changed", images("abc"), asked="de"),
        Step(images("a"), "changed", images("a"), asked="bc"),
        Step({}, "unchanged", images("a"), {"a": batch("a", 10, 1)}, "a"),
        Step({}, "unchanged", images("a"), {"a": batch("a", 10, 1)}),
    ],
}


def test_every_way_to_vanish(cli: Cli) -> None:
    cli.configure(removals={"confirm_limit": 2}, workspaces=[{"projects": [*SCENARIOS]}])
    for project in SCENARIOS:
        cli.list(*(batch(one, 10, 1) for one in ALL), project=project)
    cli.run("sync")
    for number in range(4):
        steps = {name: steps[number] for name, steps in SCENARIOS.items() if number < len(steps)}
        cli.simulator.faults.clear()
        for project, step in steps.items():
            set_step(cli, project, step)
        before = len(cli.simulator.requests)
        targets = [f"acme/{project}" for project in steps]
        done = cli.run("sync", "--json", *targets, code=int(any(step.fails for step in steps.values())))
        found = {project: (one["outcome"], current(cli, project)) for project, one in done.projects.items()}
        assert found == {project: (step.outcome, step.current) for project, step in steps.items()}, f"step {number}"
        asked = asked_by_id(cli, before)
        assert {project: asked.get(project, []) for project in steps} == {
            project: sorted(step.asked) for project, step in steps.items()
        }, f"step {number}"
        said = {project for project, one in done.projects.items() if one["error"]}
        assert said == {project for project, step in steps.items() if step.fails or step.doubt}, f"step {number}"
        assert said == {project for project in steps if f"acme/{project}:" in done.err}, f"step {number}"
    check_what_is_kept(cli)
    cli.verify()


def set_step(cli: Cli, project: str, step: Step) -> None:
    target = f"acme/{project}"
    cli.world.remove(target)
    cli.list(*(batch(one, count, 1) for one, count in step.listed.items()), project=project)
    for one, answer in step.by_id.items():
        if isinstance(answer, int):
            cli.world.set_batch(target, one, answer, {"error": "no"})
        elif isinstance(answer, dict):
            cli.world.set_batch(target, one, 200, answer)
        else:
            fault: Fault = answer
            cli.world.set_batch(target, one, 200, batch(one))
            cli.simulator.faults.add(f"/{target}/batches" + (f"/{one}" if one else ""), fault)


def asked_by_id(cli: Cli, since: int) -> dict[str, list[str]]:
    """Project -> the batches that were asked for by id."""
    asked: dict[str, list[str]] = {}
    for request in cli.simulator.requests[since:]:
        parts = request.path.split("/")
        if len(parts) == 5:
            asked[parts[2]] = sorted([*asked.get(parts[2], []), parts[4]])
    return asked


def current(cli: Cli, project: str) -> dict[str, int]:
    return dict(
        cli.database.rows(f"SELECT batch_id, images FROM current_batches WHERE project = '{project}' ORDER BY 1")
    )


def ledger(cli: Cli, project: str, batch_id: str) -> list[tuple[Any, ...]]:
    return cli.database.rows(
        f"""SELECT change, images, num_jobs, images_delta, num_jobs_delta, name FROM change_log
        WHERE project = '{project}' AND batch_id = '{batch_id}' ORDER BY observed_at"""
    )


def check_what_is_kept(cli: Cli) -> None:
    name = "name of e"
    added, removed = ("added", 10, 1, 10, 1, name), ("removed", 0, 0, -10, -1, name)
    assert ledger(cli, "confirmed", "e") == [added, removed, ("restored", 3, 1, 3, 1, name)]
    assert ledger(cli, "confirmed", "d")[1:] == [
        ("removed", 0, 0, -10, -1, "name of d"),
        ("restored", 10, 1, 10, 1, "name of d"),
    ]
    assert ledger(cli, "many-then-again", "e") == [added, removed]
    assert ledger(cli, "kept", "e") == [added, ("changed", 7, 1, -3, 0, name)]
    # A removed stretch is no row of the history, and the batch keeps its last known counts.
    history = """SELECT change, images, valid_to IS NULL FROM batch_history
        WHERE project = '{}' AND batch_id = 'e' ORDER BY valid_from"""
    assert [
        (change, count, bool(valid)) for change, count, valid in cli.database.rows(history.format("confirmed"))
    ] == [
        ("added", 10, False),
        ("restored", 3, True),
    ]
    stored = """SELECT b.images, b.num_jobs, b.removed_at IS NOT NULL AND b.removed_at = b.changed_at
        FROM batches b JOIN projects p ON p.id = b.project_id WHERE p.project = '{}' AND b.batch_id = 'e'"""
    ((count, jobs, is_removed),) = cli.database.rows(stored.format("many-then-again"))
    assert (count, jobs, bool(is_removed)) == (10, 1, True)
    # Restored where it had been: the first sighting stays.
    times = """SELECT b.first_seen_at = min(c.observed_at), b.changed_at = max(c.observed_at) FROM batches b
        JOIN projects p ON p.id = b.project_id JOIN batch_changes c USING (project_id, batch_id)
        WHERE p.project = 'confirmed' AND b.batch_id = 'e' GROUP BY b.first_seen_at, b.changed_at"""
    assert [tuple(map(bool, row)) for row in cli.database.rows(times)] == [(True, True)]
    rolled_up = """SELECT sum(batches_added), sum(batches_removed), sum(images_lost) FROM project_totals_daily
        WHERE project = 'confirmed'"""
    assert [tuple(map(int, row)) for row in cli.database.rows(rolled_up)] == [(7, 2, 20)]


def test_a_refused_answer_keeps_nothing_until_it_is_allowed(fresh: Cli) -> None:
    fresh.configure(removals={"confirm_limit": 2})
    fresh.list(*(batch(one, 10) for one in ALL))
    fresh.sync()
    before = fresh.database.dump()
    fresh.list(batch("a", 11), batch("f", 1))
    done = fresh.run("sync", "acme/widgets", code=1)
    assert "refused" in done.out
    assert "--allow-removals" in done.err
    after = fresh.database.dump()
    assert {table for table in before if before[table] != after[table]} == {"projects", "sync_runs", "missing_batches"}
    totals = "SELECT batches, images, num_jobs FROM projects"
    assert fresh.database.rows(totals) == [(5, 50, 0)]
    assert fresh.database.column("SELECT consecutive_failures FROM sync_health") == [1]
    (run,) = fresh.database.dicts("SELECT * FROM sync_runs WHERE outcome = 'refused'")
    assert (run["batches"], run["added"], run["removed"], run["images_delta"]) == (2, 0, 0, 0)
    assert run["error"]

    asked = len(fresh.simulator.requests)
    project = fresh.sync("--allow-removals")
    assert (project["added"], project["changed"], project["removed"]) == (1, 1, 4)
    assert project["images_delta"] == -38
    assert asked_by_id(fresh, asked) == {}
    # An unlisted one, too, and even if the list is the same as before.
    fresh.list(batch("a", 11))
    fresh.world.set_batch("acme/widgets", "f", 200, batch("f", 2))
    assert fresh.sync()["changed"] == 1
    assert fresh.sync()["outcome"] == "unchanged"
    assert asked_by_id(fresh, asked) == {"widgets": ["f"]}
    project = fresh.sync("--allow-removals")
    assert (project["changed"], project["removed"]) == (0, 1)
    assert asked_by_id(fresh, asked) == {"widgets": ["f"]}
    assert [request for request in fresh.simulator.requests[-2:] if "if-none-match" in request.headers] == []
    fresh.balance()
