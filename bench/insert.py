"""One run after the other that changes batches of a project, by rfsync's own store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle
from typing import Final

import msgspec
from rfsync.database.drivers import PostgresDatabase, SqliteDatabase, open_database
from rfsync.database.run_locks import AdvisoryLiveness, FileLiveness, Liveness

from rfsync.database.url import parse_url
from rfsync.ledger.diff import Stored, diff
from rfsync.ledger.runs import RunRow
from rfsync.ledger.store import Store
from rfsync.ledger.transaction import Transaction

#: As many as the small database has, but the large one of them.
PROJECTS: Final = 4


class Writer:
    """Each run raises the images of some batches of a project by one."""

    def __init__(self, url: str, changes: int) -> None:
        database = open_database(parse_url(url))
        liveness: Liveness
        if isinstance(database, PostgresDatabase):
            liveness = AdvisoryLiveness(database)
            liveness.connect()
        else:
            path = parse_url(url).path
            assert isinstance(database, SqliteDatabase)
            assert path is not None
            liveness = FileLiveness(path)
        #: Project -> ids of the batches that change in it; another project each time, as in a real poll.
        self._ids: dict[str, list[str]] = {}
        with database.begin("choosing batches") as connection:
            for number in range(PROJECTS):
                project = f"project-{number:04}"
                rows = connection.execute(
                    "SELECT b.batch_id FROM batches b JOIN projects p ON p.id = b.project_id "
                    "WHERE p.workspace = 'acme' AND p.project = :project AND b.removed_at IS NULL "
                    f"ORDER BY b.batch_id LIMIT {changes}",
                    {"project": project},
                )
                self._ids[project] = [str(row[0]) for row in rows]
                assert len(self._ids[project]) == changes, "the project has too few batches"
        self._turns = cycle(self._ids)
        self._store = Store(database, liveness)

    def close(self) -> None:
        """Gives the database back."""
        self._store.close()

    def run(self) -> None:
        """Writes a run from its beginning to its end, two commits."""
        project = next(self._turns)
        run = self._store.begin_run("acme", project, None, "cli", datetime.now(UTC))
        self._store.write(run, partial(self._write, self._ids[project]))

    @staticmethod
    def _write(ids: list[str], transaction: Transaction) -> None:
        written_at = transaction.state.written_at
        at = datetime.now(UTC)
        if written_at is not None:
            at = max(at, written_at + timedelta(microseconds=1))
        stored = list(transaction.load_some(ids).current)
        observed = [msgspec.structs.replace(batch, images=(batch.images or 0) + 1) for batch in stored]
        tally = transaction.apply(diff(Stored(stored), observed).changes, at)
        state = replace(transaction.state, observed_at=at, written_at=at)
        transaction.finish(state, RunRow("changed", tally=tally), at)
