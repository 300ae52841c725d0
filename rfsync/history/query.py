"""How a query gets to either database: the projects it is about, lists as a parameter, rows that stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from sqlalchemy import Engine, text

from rfsync.database.errors import translated
from rfsync.database.sqlite import instant, sqlite_text
from rfsync.errors import ConfigError
from rfsync.parsing import Target, parse_target

#: ``workspace`` or ``workspace/project``, one or many; None: all that the database has.
Targets: TypeAlias = str | Target | Sequence[str | Target] | None

_T = TypeVar("_T")

_AT_ONCE: Final = 5_000


def targets_of(targets: Targets) -> tuple[Target, ...]:
    """What was named, as targets.

    Raises:
        ConfigError: something is no target.
    """
    if targets is None:
        return ()
    named = [targets] if isinstance(targets, (str, Target)) else targets
    return tuple(parse_target(one) if isinstance(one, str) else one for one in named)


class Query:
    """One SQL statement: its parameters, and what of it differs from database to database.

    Attributes:
        scope: a CTE ``scope (id, workspace, project, name)`` with the projects that are asked for.
        values: of the parameters; instants go in as they are.
    """

    def __init__(self, engine: Engine, targets: Targets) -> None:
        self._engine = engine
        self.sqlite = engine.dialect.name == "sqlite"
        self.values: dict[str, Any] = {}
        self.scope = f"scope AS (SELECT id, workspace, project, name FROM projects{self._named(targets_of(targets))})"

    def _named(self, targets: tuple[Target, ...]) -> str:
        conditions = []
        for number, target in enumerate(targets):
            condition = f"workspace = :w{number}"
            self.values[f"w{number}"] = target.workspace
            if target.project is not None:
                condition += f" AND project = :p{number}"
                self.values[f"p{number}"] = target.project
            conditions.append(f"({condition})")
        return f" WHERE {' OR '.join(conditions)}" if conditions else ""

    def table(self, name: str, columns: dict[str, str], rows: Iterable[Sequence[Any]]) -> str:
        """A CTE of rows from here.

        Args:
            columns: name -> PostgreSQL's type.
        """
        stored = [[self._stored(value) for value in row] for row in rows]
        self.values[f"{name}_rows"] = msgspec.json.encode(stored).decode()
        if self.sqlite:
            picked = ", ".join(f"json_extract(value, '$[{n}]') AS {column}" for n, column in enumerate(columns))
            return f"{name} AS (SELECT {picked} FROM json_each(CAST(:{name}_rows AS text)))"

        picked = ", ".join(f"CAST(value->>{n} AS {columns[c]}) AS {c}" for n, c in enumerate(columns))
        return f"{name} AS {self.kept}(SELECT {picked} FROM jsonb_array_elements(CAST(:{name}_rows AS jsonb)))"

    def ranges(self, name: str, edges: Sequence[datetime]) -> str:
        """A CTE ``(n, since, until)`` of the ranges between these instants, the first of them number 0."""
        self.values[f"{name}_edges"] = msgspec.json.encode([self._stored(edge) for edge in edges]).decode()
        if self.sqlite:
            source = f"SELECT key AS n, value AS since FROM json_each(CAST(:{name}_edges AS text))"
        else:
            source = (
                "SELECT CAST(n - 1 AS integer) AS n, CAST(value AS timestamptz) AS since "
                f"FROM jsonb_array_elements_text(CAST(:{name}_edges AS jsonb)) WITH ORDINALITY AS e (value, n)"
            )
        following = f"SELECT n, since, lead(since) OVER (ORDER BY n) AS until FROM ({source}) e"
        return f"{name} AS {self.kept}(SELECT n, since, until FROM ({following}) r WHERE until IS NOT NULL)"

    def numbered(self, name: str, days: dict[date, int]) -> str:
        """A CTE ``(day, n)``."""
        stored = {self._stored(day): n for day, n in days.items()}
        self.values[f"{name}_days"] = msgspec.json.encode(stored).decode()
        if self.sqlite:
            return f"{name} AS (SELECT key AS day, value AS n FROM json_each(CAST(:{name}_days AS text)))"
        each = f"jsonb_each_text(CAST(:{name}_days AS jsonb))"
        return f"{name} AS {self.kept}(SELECT CAST(key AS date) AS day, CAST(value AS integer) AS n FROM {each})"

    @property
    def kept(self) -> str:
        """For a CTE that is to be made once, where the database would make it anew for each use."""
        # Older SQLite has no such word.
        return "" if self.sqlite else "MATERIALIZED "

    def seek(self, table: str, alias: str, condition: str, last_by: str | None = None) -> str:
        """Joins to each row what an index leads to, whatever the planner thinks of reading all of the table.

        Args:
            condition: may name what stands to the left.
            last_by: of those rows only the last one by this column, which no two of them share.
        """
        if self.sqlite:
            if last_by is not None:
                newest = condition.replace(f"{alias}.", "newest.")
                order = f"ORDER BY newest.{last_by} DESC LIMIT 1"
                condition = f"{alias}.id = (SELECT newest.id FROM {table} newest WHERE {newest} {order})"
            return f"CROSS JOIN {table} {alias} ON {condition}"
        last = "OFFSET 0" if last_by is None else f"ORDER BY {alias}.{last_by} DESC LIMIT 1"
        return f"CROSS JOIN LATERAL (SELECT * FROM {table} {alias} WHERE {condition} {last}) {alias}"

    def seconds(self, later: str, earlier: str) -> str:
        """SQL for the seconds between two instants, as a float with microseconds."""
        if self.sqlite:
            # Whole seconds and the fractions apart: a float of seconds since 1970 has no room for microseconds.
            # And cut, since SQLite rounds to milliseconds first.
            whole = f"strftime('%s', substr({later}, 1, 19)) - strftime('%s', substr({earlier}, 1, 19))"
            fractions = f"substr({later}, 20) - substr({earlier}, 20)"
            return f"round({whole} + ({fractions}), 6)"
        return f"CAST(extract(epoch FROM {later} - {earlier}) AS double precision)"

    def rows(
        self, doing: str, sql: str, make: Callable[[Iterable[Any]], _T], times: Sequence[int] = ()
    ) -> Iterator[_T]:
        """What the statement gives, row by row; nothing is asked before the first is wanted.

        Args:
            doing: for the message of an error.
            make: a row from its values.
            times: the columns that are instants.

        Raises:
            DatabaseError: the database can't be read.
        """
        values = {name: self._bound(value) for name, value in self.values.items()}
        with translated(doing), self._engine.connect() as connection:
            options = {"stream_results": True, "max_row_buffer": _AT_ONCE}
            result = connection.execution_options(**options).execute(text(sql), values)
            # SQLite's own rows: SQLAlchemy's would be taken apart again at once. For PostgreSQL it reads ahead.
            fetch = result.cursor.fetchmany if self.sqlite and result.cursor is not None else result.fetchmany
            read = _read_text if self.sqlite else instant
            while some := fetch(_AT_ONCE):
                columns = list(zip(*some, strict=True))
                for number in times:
                    columns[number] = tuple(map(read, columns[number]))
                yield from map(make, zip(*columns, strict=True))

    def _bound(self, value: Any) -> Any:
        return self._stored(value) if self.sqlite else value

    def _stored(self, value: Any) -> Any:
        """As the database has it, and JSON can."""
        if isinstance(value, datetime):
            return sqlite_text(value) if self.sqlite else value.isoformat()
        return value.isoformat() if isinstance(value, date) else value


def _read_text(value: str | None) -> datetime | None:
    # In one call, which is what an answer of many rows takes longest for.
    return None if value is None else datetime.fromisoformat(f"{value}+00:00")


def require_known(engine: Engine, targets: Targets) -> None:
    """Passes if the database has every target.

    Raises:
        ConfigError: one of them it never saw.
        DatabaseError: the database can't be read.
    """
    for target in targets_of(targets):
        query = Query(engine, target)
        if not list(query.rows("looking for the project", f"WITH {query.scope} SELECT id FROM scope LIMIT 1", tuple)):
            raise ConfigError(f"the database has no {target}: rfsync status shows what it has")
