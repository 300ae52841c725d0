"""A database that fails at a step that a test names, between two statements, before a commit or just after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rig import Rig

from rfsync.batch import Batch
from rfsync.database.drivers import PATIENCE, Connection, Database
from rfsync.errors import DatabaseError
from rfsync.ledger.bulk import Bulk, LedgerContext
from rfsync.ledger.diff import Change

#: What is to be raised instead of a step, told by its number and name; None: nothing.
Plan = Callable[[int, str], DatabaseError | None]


class Steps:
    """Counts the steps, and fails where it is planned."""

    def __init__(self) -> None:
        self.plan: Plan = lambda number, name: None
        self.taken: list[str] = []

    def begin(self, plan: Plan) -> None:
        """Counts from here on, by another plan."""
        self.plan = plan
        self.taken = []

    def take(self, name: str) -> None:
        """The next step."""
        self.taken.append(name)
        error = self.plan(len(self.taken) - 1, name)
        if error is not None:
            raise error


class FaultyDatabase:
    """The database of a rig, from now on with steps that can fail."""

    def __init__(self, database: Database, steps: Steps) -> None:
        self._database = database
        self._steps = steps
        self.dialect = database.dialect

    @contextmanager
    def begin(self, doing: str, *, patience: float = PATIENCE) -> Iterator[Connection]:
        self._steps.take(f"BEGIN {doing}")
        with self._database.begin(doing, patience=patience) as connection:
            yield _FaultyConnection(connection, self._steps)
            self._steps.take(f"COMMIT {doing}")
        self._steps.take(f"committed {doing}")

    def interrupt(self) -> None:
        self._database.interrupt()

    def close(self) -> None:
        self._database.close()


class _FaultyConnection:
    def __init__(self, connection: Connection, steps: Steps) -> None:
        self._connection = connection
        self._steps = steps
        self.dialect = connection.dialect
        self.driver = connection.driver

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        self._steps.take(sql)
        return self._connection.execute(sql, values or {})

    def insert(self, sql: str, values: Mapping[str, object]) -> int:
        self._steps.take(sql)
        return self._connection.insert(sql, values)


class _FaultyBulk:
    def __init__(self, bulk: Bulk, steps: Steps) -> None:
        self._bulk = bulk
        self._steps = steps

    def current(self, connection: Connection, project_id: int) -> Iterator[Batch]:
        self._steps.take("current")
        return self._bulk.current(connection, project_id)

    def add(self, connection: Connection, mark: LedgerContext, changes: Sequence[Change]) -> None:
        self._steps.take("add")
        self._bulk.add(connection, mark, changes)

    def update(self, connection: Connection, mark: LedgerContext, changes: Sequence[Change]) -> None:
        self._steps.take("update")
        self._bulk.update(connection, mark, changes)

    def append(self, connection: Connection, mark: LedgerContext, changes: Iterable[Change]) -> None:
        self._steps.take("append")
        self._bulk.append(connection, mark, changes)


def inject(rig: Rig) -> Steps:
    """Makes the rig's store fail where the steps that are given back say so; until ``rig.restart``."""
    steps = Steps()
    rig.store._database = FaultyDatabase(rig.database, steps)
    rig.store._bulk = _FaultyBulk(rig.store._bulk, steps)
    return steps
