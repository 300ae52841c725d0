"""Importing saved answers while syncs go on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from rig import Rig, job, record

import rfsync
from rfsync.errors import DatabaseError
from rfsync.ledger.diff import Stored
from rfsync.ledger.runs import RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.ledger.verify import verify
from rfsync.records import Kind
from rfsync.redaction import Secret
from rfsync.sync.importer import OfflineFetcher, Skipped, import_moment
from rfsync.sync.result import Result
from rfsync.sync.saved_answers import find_answers
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces


class Broken(Transaction):
    """A transaction that the database refuses."""

    def load(self, kind: Kind) -> Stored:
        raise DatabaseError("the disk is full")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of saved answers."""
    (tmp_path / "saved").mkdir()
    return tmp_path / "saved"


def import_all(rig: Rig, folder: Path, *, allow_removals: bool = False) -> list[Result | Skipped]:
    """Imports the answers in a folder, into the project of the rig."""
    offline = OfflineFetcher()
    context = SyncContext(
        offline, Workspaces(offline), rig.store, rig.removals, lambda: rig.now, str, allow_removals=allow_removals
    )
    task, reader = SyncTask(rig.workspace, rig.project, Secret("")), rfsync.connect(rig.text)
    return [import_moment(context, task, moment, reader) for moment in find_answers([folder], None, rig.now)]


def outcomes(results: list[Result | Skipped]) -> list[tuple[str, int | None, int | None, str | None]]:
    """Of each how it ended, the batches and jobs that it applied, and how its job list failed."""
    rows = [result.row if isinstance(result, Result) else RunRow(result.value) for result in results]
    return [(row.outcome, row.batches, row.jobs, row.jobs_error_kind) for row in rows]


def save(folder: Path, day: int, **lists: list[dict[str, object]]) -> None:
    """Saves answers of a day of December, before those of the rig."""
    for kind, records in lists.items():
        (folder / f"{kind}-2025-12-{day:02d}.json").write_bytes(msgspec.json.encode({kind: records}))


def test_an_import_that_fails_says_so_in_its_run(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "answer.json"
    file.write_bytes(msgspec.json.encode({"batches": [record("a", 3)]}))
    (moment,) = find_answers([file], rig.now - timedelta(days=1), rig.now)
    context = SyncContext(OfflineFetcher(), Workspaces(OfflineFetcher()), rig.store, rig.removals, lambda: rig.now, str)
    task = SyncTask(rig.workspace, rig.project, Secret(""))
    monkeypatch.setattr("rfsync.ledger.store.Transaction", Broken)
    with pytest.raises(DatabaseError, match="the disk is full"):
        import_moment(context, task, moment, rfsync.connect(rig.text))
    assert rig.rows("SELECT outcome, error FROM sync_runs") == [("failed", "the disk is full")]


def test_an_import_does_not_overtake_a_request_that_is_under_way(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "answer.json"
    file.write_bytes(msgspec.json.encode({"batches": [record("a", 3), record("b", 6)]}))
    imported: list[object] = []

    def import_it() -> None:
        (moment,) = find_answers([file], rig.now - timedelta(days=1), rig.now)
        context = SyncContext(
            OfflineFetcher(), Workspaces(OfflineFetcher()), rig.store, rig.removals, lambda: rig.now, str
        )
        task = SyncTask(rig.workspace, rig.project, Secret(""))
        imported.append(import_moment(context, task, moment, rfsync.connect(rig.text)))

    rig.listed = [record("a", 50)]
    rig.meanwhile = import_it
    assert rig.sync().outcome == "changed"
    (result,) = imported
    assert isinstance(result, Result)
    assert result.outcome == "changed"
    assert rig.state() == {"a": (50, 0)}


LEDGER = """SELECT job_id, change, observed_after, observed_at, num_images_delta, annotated_delta
    FROM job_changes ORDER BY id"""


def test_both_lists_of_a_moment_are_one_observation_and_a_job_list_alone_leaves_the_batches(
    rig: Rig, folder: Path
) -> None:
    people = {"labeler": "ann@example.com", "reviewer": None}
    save(folder, 1, batches=[record("a", 9)])
    save(folder, 2, batches=[record("a", 5, 1)], jobs=[job("j", 4, 0, sourceBatch="p/a", **people)])
    save(folder, 3, jobs=[job("j", 4, 3, sourceBatch="p/a", **people)])
    save(folder, 4, batches=[record("a", 5, 1)], jobs=[job("j", 4, 3, sourceBatch="p/a", **people)])
    save(folder, 5, batches=[], jobs=[])
    expected = [
        ("changed", 1, None, None), ("changed", 1, 1, None), ("changed", None, 1, None), ("unchanged", 1, 1, None),
        ("changed", 0, 0, None),
    ]  # fmt: skip
    assert outcomes(import_all(rig, folder)) == expected
    days = [datetime(2025, 12, day, tzinfo=UTC) for day in range(1, 6)]
    runs = rows_with_times(rig, "SELECT started_at FROM sync_runs ORDER BY id")
    assert runs == [(day,) for day in days]
    assert rows_with_times(rig, LEDGER) == [
        ("j", "added", None, days[1], 4, 0),
        ("j", "changed", days[1], days[2], 0, 3),
        ("j", "removed", days[3], days[4], -4, -3),
    ]
    assert rows_with_times(rig, "SELECT observed_at, images_delta FROM batch_changes ORDER BY id") == [
        (days[0], 9), (days[1], -4), (days[4], -5)
    ]  # fmt: skip
    assert rig.rows("SELECT address FROM people") == [("ann@example.com",)]
    # Once more, nothing is new: also of a moment whose run is deleted, and of one of which only one list is there.
    assert rig.store.prune(rig.now) == 1
    (folder / "batches-2025-12-02.json").unlink()
    assert import_all(rig, folder) == [Skipped.KNOWN] * 5
    # A job list for a moment of which only the batches were observed comes too late, and so does a different one.
    save(folder, 1, jobs=[job("j", 4)])
    save(folder, 3, jobs=[job("j", 4, 2)])
    assert import_all(rig, folder) == [
        Skipped.TOO_OLD, Skipped.KNOWN, Skipped.TOO_OLD, Skipped.KNOWN, Skipped.KNOWN
    ]  # fmt: skip
    assert verify(rfsync.connect(rig.text)).ok


def test_a_job_list_that_lacks_too_much_is_refused_without_its_batch_list(rig: Rig, folder: Path) -> None:
    many = [job(f"j{n:02d}", 1) for n in range(30)]
    save(folder, 1, batches=[record("a", 9)], jobs=many)
    save(folder, 2, batches=[record("a", 8)], jobs=[])
    first = import_all(rig, folder)
    assert outcomes(first) == [("changed", 1, 30, None), ("changed", 1, None, "refused")]
    assert isinstance(first[1], Result)
    assert first[1].jobs_failed
    # That list can't be applied any more, once the batches of its time were.
    assert "--allow-removals" not in (first[1].row.jobs_error or "")
    assert import_all(rig, folder, allow_removals=True) == [Skipped.KNOWN, Skipped.REFUSED]
    save(folder, 3, batches=[record("a", 8)], jobs=[])
    assert outcomes(import_all(rig, folder)[2:]) == [("changed", 1, 0, None)]
    assert rig.rows("SELECT jobs, images_in_jobs FROM projects") == [(0, 0)]
    assert verify(rfsync.connect(rig.text)).ok


def test_a_job_list_alone_that_lacks_too_much_can_be_applied_at_its_time(rig: Rig, folder: Path) -> None:
    save(folder, 1, jobs=[job(f"j{n:02d}", 1) for n in range(30)])
    save(folder, 2, jobs=[job("j00", 1)])
    _, refused = import_all(rig, folder)
    assert isinstance(refused, Result)
    assert refused.outcome == "refused"
    command = f"rfsync import acme/widgets {folder / 'jobs-2025-12-02.json'} --allow-removals"
    assert (refused.error or "").endswith(f"or at once with: {command}")
    assert import_all(rig, folder) == [Skipped.KNOWN, Skipped.REFUSED]
    assert outcomes(import_all(rig, folder, allow_removals=True)) == [
        ("known", None, None, None), ("changed", None, 1, None)
    ]  # fmt: skip
    assert verify(rfsync.connect(rig.text)).ok


def rows_with_times(rig: Rig, sql: str) -> list[tuple[object, ...]]:
    """Rows of the database, with times as times."""
    return [
        tuple(datetime.fromisoformat(f"{cell}+00:00") if is_time(cell) else cell for cell in row)
        for row in rig.rows(sql)
    ]


def is_time(cell: object) -> bool:
    return isinstance(cell, str) and cell.startswith("20")
