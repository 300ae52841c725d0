"""PostgreSQL: the references of the two large tables, checked once a statement instead of once a row.

What these triggers refuse is what foreign keys would refuse, with the same error; SQLite has the foreign keys
themselves. PostgreSQL checks a foreign key row by row, and that would be the larger part of a large project's first
load. The rows of one observation all have the same project and run, so asking once is enough.
"""

from __future__ import annotations

from typing import Final

#: The tables whose foreign keys PostgreSQL does not have.
CHECKED_BY_TRIGGER: Final = frozenset({"batches", "batch_changes"})
#: The indexes that only SQLite has.
ONLY_ON_SQLITE: Final = frozenset({"ix_batch_changes_run_id"})

#: Child table, parent table, the child's columns, the parent's, and whether the parent's row is locked as a foreign key
#: would lock it. Batches need no lock: nothing ever deletes one.
_PARENTS: Final = (
    ("batches", "projects", "project_id", "id", True),
    ("batch_changes", "sync_runs", "run_id", "id", True),
    ("batch_changes", "batches", "project_id, batch_id", "project_id, batch_id", False),
)


def _require(child: str, parent: str, columns: str, key: str, lock: bool) -> list[str]:
    """No row of ``child`` without its row of ``parent``."""
    name = f"{child}_require_{parent}"
    # Many rows have few projects and runs, but batches of their own.
    rows = f"(SELECT DISTINCT {columns} FROM new_rows)" if lock else "new_rows"
    same = f"({_qualified('p', key)}) = ({_qualified('n', columns)})"
    found = f"SELECT 1 FROM {parent} p WHERE {same}" + (" FOR KEY SHARE" if lock else "")
    # EXECUTE, since the plan has to suit the number of rows: one that is kept would suit the first statement's.
    function = f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE missing boolean;
BEGIN
    EXECUTE 'SELECT EXISTS (SELECT FROM {rows} n WHERE NOT EXISTS ({found}))' INTO missing;
    IF missing THEN
        RAISE foreign_key_violation USING TABLE = '{child}', CONSTRAINT = '{name}',
            MESSAGE = 'a row of {child} has no row of {parent}: constraint {name}';
    END IF;
    RETURN NULL;
END $$"""
    triggers = [
        f"CREATE TRIGGER {name}_{event} AFTER {event} ON {child} REFERENCING NEW TABLE AS new_rows "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        for event in ("insert", "update")
    ]
    return [function, *triggers]


def _qualified(table: str, columns: str) -> str:
    return ", ".join(f"{table}.{column}" for column in columns.split(", "))


def _keep(parent: str, child: str, key: str, condition: str, may_have: str = "true") -> list[str]:
    """No row of ``parent`` goes, or changes its key, while a row of ``child`` needs it.

    Only rows that satisfy ``may_have`` (of OLD) can be needed, and are looked for.
    """
    name = f"{parent}_keep_for_{child}"
    function = f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM {child} n WHERE {condition}) THEN
        RAISE foreign_key_violation USING TABLE = '{parent}', CONSTRAINT = '{name}',
            MESSAGE = 'a row of {parent} is needed by rows of {child}: constraint {name}';
    END IF;
    RETURN NULL;
END $$"""
    changed = " OR ".join(f"OLD.{column} <> NEW.{column}" for column in key.split(", "))
    return [
        function,
        f"""CREATE TRIGGER {name}_delete AFTER DELETE ON {parent} FOR EACH ROW
WHEN ({may_have}) EXECUTE FUNCTION {name}()""",
        f"""CREATE TRIGGER {name}_update AFTER UPDATE OF {key} ON {parent} FOR EACH ROW
WHEN (({changed}) AND {may_have})
EXECUTE FUNCTION {name}()""",
    ]


def create_reference_statements() -> list[str]:
    """The functions and triggers; PostgreSQL only."""
    statements = [statement for parent in _PARENTS for statement in _require(*parent)]
    statements += _keep("projects", "batches", "id", "n.project_id = OLD.id")
    statements += _keep("sync_runs", "batch_changes", "id", "n.run_id = OLD.id", "OLD.outcome = 'changed'")
    return statements + _keep(
        "batches",
        "batch_changes",
        "project_id, batch_id",
        "n.project_id = OLD.project_id AND n.batch_id = OLD.batch_id",
    )
