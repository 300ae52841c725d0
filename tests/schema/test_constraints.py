"""What the database itself refuses: a wrong row can't be written by any program."""

from __future__ import annotations

import pytest
from rig import Rig, record

from rfsync.errors import DatabaseError

AT = "'2026-01-01 00:05:00.000000'"
LATER = "'2026-01-02 00:00:00.000000'"
CHANGE = """INSERT INTO batch_changes (run_id, project_id, batch_id, observed_after, observed_at, change, images,
    num_jobs, images_delta, num_jobs_delta) VALUES """
RUN = "INSERT INTO sync_runs (project_id, trigger, started_at, finished_at, outcome, error_kind) VALUES "

WRONG = {
    "a change twice": f"{CHANGE} (1, 1, 'a', NULL, {AT}, 'changed', 5, 1, 0, 0)",
    "a change of no batch": f"{CHANGE} (1, 1, 'nobody', NULL, {LATER}, 'changed', 5, 1, 0, 0)",
    "a change of no run": f"{CHANGE} (99, 1, 'a', NULL, {LATER}, 'changed', 5, 1, 0, 0)",
    "a change by no word": f"{CHANGE} (1, 1, 'a', NULL, {LATER}, 'altered', 5, 1, 0, 0)",
    "a change to less than nothing": f"{CHANGE} (1, 1, 'a', NULL, {LATER}, 'changed', -1, 1, -6, 0)",
    "a change from less than nothing": f"{CHANGE} (1, 1, 'a', NULL, {LATER}, 'changed', 5, 1, 6, 0)",
    "a removal that leaves images": f"{CHANGE} (1, 1, 'a', NULL, {LATER}, 'removed', 1, 0, -4, -1)",
    "an addition that starts from something": f"{CHANGE} (1, 1, 'a', NULL, {LATER}, 'added', 5, 1, 4, 1)",
    "a change seen before the look before": f"{CHANGE} (1, 1, 'a', {LATER}, {LATER}, 'changed', 5, 1, 0, 0)",
    "a count beyond 2^53-1": "UPDATE batches SET images = 9007199254740992",
    "a negative count": "UPDATE batches SET num_jobs = -1",
    "a batch without an id": f"INSERT INTO batches VALUES (1, '', NULL, NULL, 0, 0, {AT}, {AT}, NULL, NULL)",
    "a batch of no project": f"INSERT INTO batches VALUES (99, 'x', NULL, NULL, 0, 0, {AT}, {AT}, NULL, NULL)",
    "a batch twice": f"INSERT INTO batches VALUES (1, 'a', NULL, NULL, 0, 0, {AT}, {AT}, NULL, NULL)",
    "a batch changed before it was seen": f"""INSERT INTO batches
        VALUES (1, 'x', NULL, NULL, 0, 0, {LATER}, {AT}, NULL, NULL)""",
    "a project twice": "INSERT INTO projects (workspace, project) VALUES ('acme', 'widgets')",
    "a batch deleted from under its ledger": "DELETE FROM batches",
    "a run deleted from under its ledger": "DELETE FROM sync_runs",
    "a project deleted from under its batches": "DELETE FROM projects",
    "a batch renumbered under its ledger": "UPDATE batches SET batch_id = 'b'",
    "a run renumbered under its ledger": "UPDATE sync_runs SET id = 7",
    "a batch moved to no project": "UPDATE batches SET project_id = 99",
    "a change moved to no run": "UPDATE batch_changes SET run_id = 99",
    "a change moved to no batch": "UPDATE batch_changes SET batch_id = 'nobody'",
    "a run by no word": f"{RUN} (1, 'cli', {AT}, {AT}, 'done', NULL)",
    "a run that runs and has ended": f"{RUN} (1, 'cli', {AT}, {AT}, 'running', NULL)",
    "a run that has ended and not": f"{RUN} (1, 'cli', {AT}, NULL, 'changed', NULL)",
    "a failure without its kind": f"{RUN} (1, 'cli', {AT}, {AT}, 'failed', NULL)",
    "a success with an error": f"{RUN} (1, 'cli', {AT}, {AT}, 'changed', 'server')",
    "a kind of error that there is not": f"{RUN} (1, 'cli', {AT}, {AT}, 'failed', 'weather')",
    "a trigger that there is not": f"{RUN} (1, 'whim', {AT}, {AT}, 'changed', NULL)",
    "text for a count": "UPDATE batches SET images = 'many'",
    "a negative day": "UPDATE project_daily SET images_lost = -1",
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(rig: Rig, name: str) -> None:
    rig.listed = [record("a", 5, 1)]
    rig.sync()
    with pytest.raises(DatabaseError, match=r"(?i)constraint|invalid input syntax") as caught:
        rig.rows(WRONG[name])
    assert caught.type is DatabaseError


def test_what_is_right_is_taken(rig: Rig) -> None:
    """Else the test above could not tell a constraint from a typing error."""
    rig.listed = [record("a", 5, 1)]
    rig.sync()
    rig.rows(f"{CHANGE} (1, 1, 'a', {AT}, {LATER}, 'changed', 5, 1, 0, 0)")
    rig.rows(f"{CHANGE} (1, 1, 'a', {AT}, '2026-01-03 00:00:00.000000', 'removed', 0, 0, -5, -1)")
    rig.rows(f"INSERT INTO batches VALUES (1, 'x', NULL, NULL, 0, 0, {AT}, {AT}, NULL, NULL)")
    rig.rows(f"{RUN} (1, 'cli', {AT}, {AT}, 'failed', 'server')")
    assert rig.rows("SELECT count(*) FROM batch_changes") == [(3,)]


def test_a_fraction_is_never_stored(rig: Rig) -> None:
    rig.listed = [record("a", 5, 1)]
    rig.sync()
    if rig.file is None:
        rig.rows("UPDATE batches SET images = 1.5")  # the column's type rounds it
        assert rig.rows("SELECT images FROM batches") == [(2,)]
        return
    with pytest.raises(DatabaseError, match="constraint"):  # SQLite would store it
        rig.rows("UPDATE batches SET images = 1.5")
