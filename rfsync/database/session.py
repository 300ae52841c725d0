"""What rfsync sets at the beginning of each transaction on PostgreSQL, so that nothing inherited changes a value.

A session inherits settings from the database, from the role, from ``PG…`` variables, from the URL's ``options``, and
from whoever had it before where a pooler hands it out. Those that change what is stored or read are set here, local to
the transaction. Left to the administrator is what does not: where tables are kept (``default_tablespace``), how durable
a commit is (``synchronous_commit``), who may see what (``role``, ``row_security``), how long anything may take (all
timeouts but for locks), how a query is planned, and what is logged.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from rfsync.errors import DatabaseError

log = logging.getLogger("rfsync.sync")

# In another time zone the last hours of the year 9999 would be in a year that Python does not have. Without array_nulls
# a NULL in an array is the word. Fewer float digits would round. SQLAlchemy doesn't know the type "text" in quotes.
_SETTINGS: Final = "; ".join(
    f"SET LOCAL {name} = {value}"
    for name, value in {
        "client_encoding": "'UTF8'",
        "timezone": "'UTC'",
        "datestyle": "'ISO, MDY'",
        "intervalstyle": "'postgres'",
        "extra_float_digits": "1",
        "array_nulls": "on",
        "standard_conforming_strings": "on",
        "quote_all_identifiers": "off",
    }.items()
)
# Triggers keep the sums of workspaces, and check references. Not every role may set this: it is set only if it must be.
_TRIGGERS_FIRE: Final = """CASE current_setting('session_replication_role')
    WHEN 'replica' THEN set_config('session_replication_role', 'origin', true) END"""
# A timeout that the administrator has set stands.
_TIMEOUT_UNLESS_SET: Final = """CASE current_setting('lock_timeout')
    WHEN '0' THEN '{0}' ELSE current_setting('lock_timeout') END"""
_FIXED_TIMEOUT: Final = "'{0}'"

# The schemas with rfsync's tables, those on the search path in its order, then the others. The version table had
# alembic's name once.
_SCHEMAS: Final = """WITH found AS (
    SELECT n.nspname AS name, array_position(current_schemas(false), n.nspname) AS place
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname IN ('rfsync_version', 'alembic_version', 'batch_changes') AND c.relkind = 'r'
        AND c.relpersistence <> 't'
    GROUP BY n.nspname HAVING count(*) > 1 AND bool_or(c.relname = 'batch_changes')
)
SELECT quote_ident(coalesce(current_schema(), 'public')), current_setting('search_path'),
    ARRAY(SELECT quote_ident(name) FROM found WHERE place IS NOT NULL ORDER BY place),
    ARRAY(SELECT quote_ident(name) FROM found WHERE place IS NULL ORDER BY name)"""


class Session:
    """The settings of an engine's transactions.

    Args:
        query: of the engine's URL.
    """

    def __init__(self, query: Mapping[str, object]) -> None:
        self._is_named = "search_path" in str(query.get("options", "")).lower()
        #: The schema of rfsync's tables, found once: the same for all transactions; None: not yet.
        self._schema: str | None = None

    def begin(self, driver: Any, begin: str, lock_timeout: float, *, unless_set: bool) -> None:
        """Begins a transaction; all of it is one round trip, but for the engine's first.

        Args:
            begin: the statement.
            lock_timeout: in seconds.
            unless_set: a timeout that the session has stands.

        Raises:
            DatabaseError: it can't be told which of several schemas is meant.
        """
        driver.execute(self._beginning(begin, lock_timeout, unless_set=unless_set))
        if self._schema is None:
            schema = self._find_schema(driver)
            driver.execute(_search_path(schema))
            self._schema = schema

    def run(self, driver: Any, begin: str, lock_timeout: float, statement: str) -> tuple[Any, ...]:
        """Runs a transaction of one statement in one round trip, and returns its row.

        Args:
            begin: the statement that begins the transaction.
            lock_timeout: in seconds.
            statement: without parameters; it gives one row.

        Raises:
            DatabaseError: it can't be told which of several schemas is meant.
        """
        if self._schema is None:
            self._schema = self._find_schema(driver)
        beginning = self._beginning(begin, lock_timeout, unless_set=False)
        cursor = driver.execute(f"{beginning}; {statement}; COMMIT")
        row: tuple[Any, ...] = ()
        while cursor.nextset():
            if cursor.description is not None:  # the statement's comes after those of what begins the transaction
                row = cursor.fetchone()
        return row

    def _beginning(self, begin: str, lock_timeout: float, *, unless_set: bool) -> str:
        timeout = (_TIMEOUT_UNLESS_SET if unless_set else _FIXED_TIMEOUT).format(f"{max(lock_timeout, 1.0):g}s")
        found = "" if self._schema is None else f"{_search_path(self._schema)}; "
        return f"{begin}; {_SETTINGS}; {found}SELECT set_config('lock_timeout', {timeout}, true), {_TRIGGERS_FIRE}"

    def _find_schema(self, driver: Any) -> str:
        """The schema of rfsync's tables, quoted; where there are none, that in which the session would make them."""
        current, path, on_path, elsewhere = driver.execute(_SCHEMAS).fetchone()
        if on_path:
            return str(on_path[0])
        if self._is_named or not elsewhere:
            return str(current)
        if len(elsewhere) > 1:
            raise DatabaseError(
                f"several schemas have tables of rfsync ({', '.join(elsewhere)}), and none of them is on the search "
                f"path ({path}): name one in the database's URL, ?options=-csearch_path%3D{elsewhere[0]}"
            )
        log.warning(
            "the search path of the database or the role (%s) lacks the schema %s, which has rfsync's tables and is "
            "used all the same; name another one in the URL: ?options=-csearch_path%%3DNAME", path, elsewhere[0],
        )  # fmt: skip
        return str(elsewhere[0])


def _search_path(schema: str) -> str:
    # Temporary tables, which another client of a pooler may have left, would come first if they were not named.
    return f"SET LOCAL search_path = {schema}, pg_temp"
