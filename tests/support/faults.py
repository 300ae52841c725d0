"""A database that fails at a step that a test names, between two statements, before a commit or just after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from rig import Rig
from sqlalchemy import Connection, Engine, event

from rfsync.database.engine import LOCK_TIMEOUT, Database
from rfsync.errors import DatabaseError
from rfsync.ledger.bulk import Bulk, LedgerContext, MissingRow
from rfsync.ledger.changes import Change
from rfsync.ledger.record_types import RecordType
from rfsync.records import Record

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


class FaultyDatabase(Database):
    """The database of a rig, from now on with steps that can fail."""

    def __init__(self, database: Database, steps: Steps) -> None:
        super().__init__(database.engine)
        self._steps = steps
        self._engine_steps = EngineSteps(database.engine, steps)

    @contextmanager
    def begin(
        self, doing: str, *, lock_timeout: float = LOCK_TIMEOUT, interruptible: bool = True, durable: bool = True
    ) -> Iterator[Connection]:
        self._steps.take(f"BEGIN {doing}")
        with super().begin(
            doing, lock_timeout=lock_timeout, interruptible=interruptible, durable=durable
        ) as connection:
            with self._engine_steps.counted():
                yield connection
            self._steps.take(f"COMMIT {doing}")
        self._steps.take(f"committed {doing}")


class EngineSteps:
    """Takes a step before each statement that this thread sends through the engine."""

    def __init__(self, engine: Engine, steps: Steps) -> None:
        self._steps = steps
        self._thread: int | None = None
        event.listen(engine, "before_cursor_execute", self._before)

    @contextmanager
    def counted(self) -> Iterator[None]:
        self._thread = threading.get_ident()
        try:
            yield
        finally:
            self._thread = None

    def _before(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if self._thread == threading.get_ident():
            self._steps.take(statement)


class _FaultyBulk:
    def __init__(self, bulk: Bulk, steps: Steps) -> None:
        self._bulk = bulk
        self._steps = steps

    def current(self, connection: Connection, type_: RecordType, project_id: int, number: int) -> Generator[Record]:
        self._steps.take("current")
        return self._bulk.current(connection, type_, project_id, number)

    def pipeline(self, connection: Connection, number: int) -> AbstractContextManager[object]:
        return self._bulk.pipeline(connection, number)

    def add(self, connection: Connection, type_: RecordType, mark: LedgerContext, changes: Sequence[Change]) -> None:
        self._steps.take("add")
        self._bulk.add(connection, type_, mark, changes)

    def update(self, connection: Connection, type_: RecordType, mark: LedgerContext, changes: Sequence[Change]) -> None:
        self._steps.take("update")
        self._bulk.update(connection, type_, mark, changes)

    def append(self, connection: Connection, type_: RecordType, mark: LedgerContext, changes: Sequence[Change]) -> None:
        self._steps.take("append")
        self._bulk.append(connection, type_, mark, changes)

    def add_missing(self, connection: Connection, type_: RecordType, rows: Sequence[MissingRow]) -> None:
        self._steps.take("missing")
        self._bulk.add_missing(connection, type_, rows)


def inject(rig: Rig) -> Steps:
    """Makes the rig's store fail where the steps that are given back say so; until ``rig.restart``."""
    steps = Steps()
    rig.store._database = FaultyDatabase(rig.database, steps)
    rig.store._bulk = _FaultyBulk(rig.store._bulk, steps)
    return steps
