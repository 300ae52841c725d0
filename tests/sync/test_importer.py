"""Importing saved answers while syncs go on."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from rig import Rig, record

import rfsync
from rfsync.errors import DatabaseError
from rfsync.ledger.diff import Stored
from rfsync.ledger.transaction import Transaction
from rfsync.records import Kind
from rfsync.redaction import Secret
from rfsync.sync.importer import OfflineFetcher, import_moment
from rfsync.sync.result import Result
from rfsync.sync.saved_answers import find_answers
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces


class Broken(Transaction):
    """A transaction that the database refuses."""

    def load(self, kind: Kind) -> Stored:
        raise DatabaseError("the disk is full")


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
