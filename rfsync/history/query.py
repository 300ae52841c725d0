"""One SQL statement against either database: named CTEs, parameters, rows that stream."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy import Engine, text

from rfsync.database.errors import translated
from rfsync.errors import ConfigError
from rfsync.history.dialects import Postgresql, Sqlite
from rfsync.parsing import Target, parse_target

#: ``workspace`` or ``workspace/project``, one or many; None: everything in the database.
Targets: TypeAlias = str | Target | Sequence[str | Target] | None

_T = TypeVar("_T")

#: Rows fetched at a time. Of more, the garbage collector would have to look at many again and again.
_FETCH_SIZE: Final = 2_000
# An id means the project that has it, or else the last one that had it.
_PROJECT: Final = """((workspace = {w} AND project = {p}) OR id = (SELECT r.project_id FROM project_renames r
    WHERE r.workspace = {w} AND r.project = {p}
    AND NOT EXISTS (SELECT 1 FROM projects x WHERE x.workspace = {w} AND x.project = {p} AND x.written_at IS NOT NULL)
    ORDER BY r.renamed_at DESC LIMIT 1))"""
_WORKSPACE: Final = """(workspace = {w} OR id IN (SELECT r.project_id FROM project_renames r
    WHERE r.workspace = {w} AND NOT EXISTS (SELECT 1 FROM projects x
    WHERE x.workspace = {w} AND x.written_at IS NOT NULL)))"""


def targets_of(targets: Targets) -> tuple[Target, ...]:
    """Parse targets; none for everything in the database.

    Raises:
        ConfigError: a target is malformed.
    """
    if targets is None:
        return ()
    named = [targets] if isinstance(targets, (str, Target)) else targets
    for one in named:
        if not isinstance(one, (str, Target)):
            raise ConfigError(f"targets: {one!r} is no target, such as 'acme' or 'acme/widgets'")
    return tuple(parse_target(one) if isinstance(one, str) else one for one in named)


class Query:
    """A statement, built from CTEs that each can use those defined before it.

    The first one is ``scope (id, workspace, project, name)``: the projects that the targets name.

    Attributes:
        dialect: what is written differently for this database.
        values: the parameters by name; instants and dates as Python has them.
    """

    def __init__(self, engine: Engine, targets: Targets) -> None:
        """Begin with the projects that ``targets`` name.

        Raises:
            ConfigError: a target is malformed.
        """
        if not isinstance(engine, Engine):
            raise ConfigError(
                f"the first argument is an engine, as rfsync.connect(URL) makes it, not {type(engine).__name__}"
            )
        self._engine = engine
        self._ctes: list[str] = []
        self.dialect = Sqlite() if engine.dialect.name == "sqlite" else Postgresql()
        self.values: dict[str, Any] = {}
        conditions = []
        for number, target in enumerate(targets_of(targets)):
            condition = _WORKSPACE if target.project is None else _PROJECT
            self.values[f"w{number}"] = target.workspace
            if target.project is not None:
                self.values[f"p{number}"] = target.project
            conditions.append(condition.format(w=f":w{number}", p=f":p{number}"))
        where = f" WHERE {' OR '.join(conditions)}" if conditions else ""
        self.define("scope", f"SELECT id, workspace, project, name FROM projects{where}")

    def define(self, name: str, sql: str, *, materialized: bool = False) -> None:
        """Add a CTE.

        Args:
            name: with the names of its columns in parentheses, if it is recursive.
            materialized: compute it once, where the database would merge it into what uses it.
        """
        self._ctes.append(f"{name} AS {self.dialect.materialized if materialized else ''}({sql})")

    def define_table(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """Add a CTE with rows from Python.

        Args:
            columns: name -> PostgreSQL's type, a number, date or instant.
        """
        sql, values = self.dialect.table(name, columns, rows)
        self.values.update(values)
        self.define(name, sql, materialized=True)

    def add_values(self, name: str, values: Sequence[str]) -> str:
        """Add parameters whose names begin with ``name``, and return them as SQL for the parentheses of IN."""
        names = [f"{name}{number}" for number in range(len(values))]
        self.values.update(zip(names, values, strict=True))
        return ", ".join(f":{one}" for one in names)

    def ledger(
        self, since: datetime | None, until: datetime | None, *conditions: str, table: str = "batch_changes"
    ) -> str:
        """Join each project ``p`` with its rows ``c`` of a ledger from ``since`` until ``until``; None: no limit.

        Args:
            conditions: more conditions on the rows.
            table: the ledger, of batches or of jobs.
        """
        within = ["c.project_id = p.id", *conditions]
        for name, instant, operator in (("since", since, ">="), ("until", until, "<")):
            if instant is not None:
                self.values[name] = instant
                within.append(f"c.observed_at {operator} :{name}")
        return self.dialect.seek(table, "c", " AND ".join(within))

    def rows(
        self, doing: str, select: str, make: Callable[[Iterable[Any]], _T], times: Sequence[int] = ()
    ) -> Iterator[_T]:
        """Run a SELECT on the CTEs and make its rows; nothing is sent before the first row is requested.

        Args:
            doing: for the message of an error.
            make: makes a row from its values.
            times: numbers of the columns that are instants.

        Raises:
            DatabaseError: the database can't be read.
        """
        ctes = ",\n".join(self._ctes)
        statement = text(f"WITH RECURSIVE {ctes}\n{select}")
        values = {name: self.dialect.to_parameter(value) for name, value in self.values.items()}
        with translated(doing), self._engine.connect() as connection:
            options = {"stream_results": True, "max_row_buffer": _FETCH_SIZE}
            result = connection.execute(statement, values, execution_options=options)
            fetch = self.dialect.fetcher(result)
            while some := fetch(_FETCH_SIZE):
                columns: list[Sequence[Any]] = list(zip(*some, strict=True))
                for number in times:
                    columns[number] = self.dialect.to_datetimes(columns[number])
                yield from map(make, zip(*columns, strict=True))
