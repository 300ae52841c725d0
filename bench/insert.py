"""Runs that change some batches of a project, written by rfsync's own store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from typing import Final

import msgspec
from sqlalchemy import text

from rfsync.cli import wiring
from rfsync.cli.options import Options
from rfsync.history.connect import connect
from rfsync.ledger.diff import Stored, diff
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.record_types import BATCHES
from rfsync.ledger.runs import RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.records import Batch, Kind

#: Projects that take turns. None of them is a large one, in the small database either.
PROJECTS: Final = 4
_IDS: Final = text(
    "SELECT b.batch_id FROM batches b JOIN projects p ON p.id = b.project_id "
    "WHERE p.workspace = 'acme' AND p.project = :project AND b.removed_at IS NULL ORDER BY b.batch_id LIMIT :changes"
)


class Writer:
    """Each run raises the images of some batches of a project by one; the next run takes another project."""

    def __init__(self, url: str, changes: int) -> None:
        #: Project -> ids of the batches that change in it.
        self._ids: dict[str, list[str]] = {}
        engine = connect(url)
        with engine.connect() as connection:
            for project in (f"project-{number:04}" for number in range(PROJECTS)):
                ids = connection.execute(_IDS, {"project": project, "changes": changes}).scalars()
                self._ids[project] = [str(batch_id) for batch_id in ids]
                assert len(self._ids[project]) == changes, "the project has too few batches"
        engine.dispose()
        self._projects = cycle(self._ids)
        options = Options(database=url)
        self._store = wiring.open_store(options, options.load())

    def close(self) -> None:
        self._store.close()

    def run(self) -> None:
        """Write a whole run, in two commits."""
        project = next(self._projects)
        run = self._store.begin_run(ProjectPath("acme", project), None, "cli", datetime.now(UTC))
        self._store.write(run, partial(self._write, self._ids[project]))

    @staticmethod
    def _write(ids: list[str], transaction: Transaction) -> None:
        written_at = transaction.state.written_at
        at = datetime.now(UTC)
        if written_at is not None:
            at = max(at, written_at + timedelta(microseconds=1))
        stored = [one for one in transaction.load_some(Kind.BATCH, ids).current if isinstance(one, Batch)]
        observed = [msgspec.structs.replace(batch, images=(batch.images or 0) + 1) for batch in stored]
        tally = transaction.apply(Kind.BATCH, diff(Stored(BATCHES, stored), observed).changes, at)
        state = replace(transaction.state, written_at=at).with_list(Kind.BATCH, observed_at=at)
        transaction.finish(state, RunRow("changed", tally=tally), at)
