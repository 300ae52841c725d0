"""A failure at each single step of a run: of the whole observation everything is written once, or nothing is."""

from __future__ import annotations

import pytest
from faults import Steps, inject
from rig import Rig, job, record

from rfsync.database.engine import open_engine
from rfsync.errors import DatabaseError, ErrorKind, FetchError, TransientDatabaseError
from rfsync.ledger.verify import verify
from rfsync.sync.result import Result

pytestmark = pytest.mark.usefixtures("quick_retries")

#: More than any run takes.
MANY = 100
BEFORE = {"same": (1, 1), "changed": (2, 2), "gone": (3, 3)}
AFTER = {"same": (1, 1), "changed": (20, 1), "new": (5, 5), "back": (4, 9)}


Counts = dict[str, tuple[int, int]]


def prepare(rig: Rig, project: str) -> None:
    """A project with a removed batch and a removed job, about to have a change of each kind in both."""
    rig.project, rig.sync_jobs = project, True
    answer(rig, {**BEFORE, "back": (4, 4)})
    assert rig.sync().ok
    answer(rig, BEFORE)
    assert rig.sync().tally.removed == 1
    assert state(rig) == BEFORE
    answer(rig, AFTER)


def answer(rig: Rig, counts: Counts) -> None:
    """Batches and jobs of the same names and counts, with ids and people that no other project has."""
    ids = {f"{name} {rig.project}": numbers for name, numbers in counts.items()}
    rig.listed = [record(i, *numbers) for i, numbers in ids.items()]
    rig.jobs = [job(i, *numbers, labeler=f"{i}@example.com") for i, numbers in ids.items()]


def state(rig: Rig) -> dict[str, tuple[object, object]]:
    """The batches, which the jobs are as well."""
    batches, jobs = (
        {
            str(i).partition(" ")[0]: (first, second)
            for i, first, second in rig.rows(f"SELECT {columns} WHERE project = '{rig.project}'")
        }
        for columns in (
            "batch_id, images, num_jobs FROM current_batches",
            "job_id, num_images, annotated FROM current_jobs",
        )
    )
    assert batches == jobs
    return batches


def runs(rig: Rig) -> list[object]:
    """The outcomes of the project's runs after the two that prepared it."""
    query = f"""SELECT r.outcome FROM sync_runs r JOIN projects p ON p.id = r.project_id
        WHERE p.project = '{rig.project}' ORDER BY r.id"""
    return [outcome for (outcome,) in rig.rows(query)][2:]


def written_once(rig: Rig) -> bool:
    """Whether each ledger has one row for each of the four changes, which are all of one run."""
    logs = []
    for log in ("change_log", "job_log"):
        query = f"SELECT change, count(*), count(DISTINCT run_id) FROM {log} WHERE project = '{rig.project}' GROUP BY 1"
        logs.append({str(change): (rows, of_runs) for change, rows, of_runs in rig.rows(query)})
    return logs == 2 * [{"added": (5, 2), "changed": (1, 1), "removed": (2, 2), "restored": (1, 1)}]


def sync(rig: Rig, steps: Steps, number: int, error: type[DatabaseError], *, for_ever: bool = False) -> Result | None:
    """Runs with a failure at this step; None: there is no such step."""
    steps.begin(lambda n, _: error("injected") if (n >= number if for_ever else n == number) else None)
    result = rig.sync()
    reached = len(steps.taken) > number
    steps.begin(lambda *_: None)
    return result if reached else None


def test_what_may_pass_is_tried_again_and_written_once(rig: Rig) -> None:
    rig.restart(retry_seconds=5)
    steps = inject(rig)
    for number in range(MANY):
        prepare(rig, f"p{number}")
        result = sync(rig, steps, number, TransientDatabaseError)
        if result is None:
            break
        assert (result.outcome, result.error) == ("changed", None), number
        assert (result.tally.added, result.tally.changed, result.tally.removed, result.tally.restored) == (1, 1, 1, 1)
        assert state(rig) == AFTER, number
        assert written_once(rig), number
        # Where the run's beginning was committed and nobody heard of it, a second one was begun.
        assert runs(rig) in (["changed"], ["abandoned", "changed"]), number
    assert 15 < number < MANY
    verdict = verify(open_engine(rig.url, read_only=True))
    assert verdict.ok, verdict.findings


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "from-then-on"])
def test_what_fails_for_good_leaves_all_or_nothing(rig: Rig, for_ever: bool) -> None:
    for number in range(MANY):
        rig.restart()
        steps = inject(rig)
        prepare(rig, f"p{number}")
        result = sync(rig, steps, number, DatabaseError, for_ever=for_ever)
        if result is None:
            break
        rig.restart()
        if result.outcome == "changed" or state(rig) == AFTER:
            assert (state(rig), written_once(rig), runs(rig)[-1]) == (AFTER, True, "changed"), number
        else:
            assert (result.outcome, result.error_kind) == ("failed", ErrorKind.DATABASE), number
            assert state(rig) == BEFORE, number
        # Whatever it was: the next run puts it right, and finds the one whose end could not be written.
        assert rig.sync().ok
        assert (state(rig), written_once(rig)) == (AFTER, True), number
        assert "running" not in runs(rig)
    assert 15 < number < MANY
    verdict = verify(open_engine(rig.url, read_only=True))
    assert verdict.ok, verdict.findings


def test_a_renamed_project_is_made_one_with_what_it_shows_or_nothing_is(rig: Rig) -> None:
    """Its run begins with a row of its own for the new id, which must not be left behind."""
    for number in range(MANY):
        rig.restart(retry_seconds=5)
        steps = inject(rig)
        prepare(rig, f"p{number}")
        rig.project, rig.projects = f"new{number}", [f"new{number}", "others"]
        reached = sync(rig, steps, number, TransientDatabaseError if number % 2 else DatabaseError) is not None
        rig.restart()
        names = [str(name) for (name,) in rig.rows("SELECT project FROM projects ORDER BY id")]
        if state(rig) == AFTER:
            assert names[-1] == f"new{number}"
        else:
            assert f"p{number}" in names
            assert rig.sync().ok
        assert (state(rig), written_once(rig)) == (AFTER, True), number
        renames = rig.rows("SELECT r.project, p.project FROM project_renames r JOIN projects p ON p.id = r.project_id")
        assert sorted(map(str, renames)) == sorted(str((f"p{n}", f"new{n}")) for n in range(number + 1))
        if not reached:
            break
    assert 15 < number < MANY
    assert [str(name) for (name,) in rig.rows("SELECT project FROM projects ORDER BY id")] == [
        f"new{n}" for n in range(number + 1)
    ]
    assert verify(open_engine(rig.url, read_only=True)).ok


def test_a_departure_is_written_whole_or_not_at_all(rig: Rig) -> None:
    for number in range(MANY):
        rig.restart(retry_seconds=5)
        steps = inject(rig)
        prepare(rig, f"p{number}")
        rig.listed = FetchError(ErrorKind.NOT_FOUND, "HTTP 404", http_status=404, attempts=1)
        rig.projects = ["others"]
        reached = sync(rig, steps, number, TransientDatabaseError if number % 2 else DatabaseError) is not None
        rig.restart()
        if state(rig):
            assert state(rig) == BEFORE
            assert rig.sync().departed
        departed = f"SELECT departed_at IS NOT NULL, batches, images FROM projects WHERE project = '{rig.project}'"
        assert [tuple(map(int, row)) for row in rig.rows(departed)] == [(1, 0, 0)]  # type: ignore[arg-type]
        if not reached:
            break
    assert 10 < number < MANY
    assert verify(open_engine(rig.url, read_only=True)).ok
