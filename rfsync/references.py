"""PostgreSQL: the references of the two large tables, checked once a statement instead of once a row.

What these triggers refuse is what foreign keys would refuse, with the same error; SQLite has the foreign keys
themselves. PostgreSQL checks a foreign key row by row, and of the first load of a large project that is more than half
the time (``docs/performance.md`` has the numbers). The rows of one observation all have the same project and run, so
asking once is enough.
"""

from __future__ import annotations

from typing import Final

#: The tables whose foreign keys PostgreSQL does not have.
CHECKED_BY_TRIGGER: Final = frozenset({"batches", "batch_changes"})

# Without these settings, the plan that a large load was given would be kept for small ones, and read whole tables.
_SETTINGS: Final = "SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"

#: Child table -> (parent table, condition for a row "n" of the child, what is locked as a foreign key would lock it).
_PARENTS: Final = (
    ("batches", "projects", "p.id = n.project_id", "id IN (SELECT DISTINCT project_id FROM new_rows)"),
    ("batch_changes", "sync_runs", "p.id = n.run_id", "id IN (SELECT DISTINCT run_id FROM new_rows)"),
    ("batch_changes", "batches", "p.project_id = n.project_id AND p.batch_id = n.batch_id", None),
)


def _require(child: str, parent: str, condition: str, locked: str | None) -> list[str]:
    """No row of ``child`` without its row of ``parent``."""
    name = f"{child}_require_{parent}"
    lock = f"\n    PERFORM 1 FROM {parent} WHERE {locked} FOR KEY SHARE;" if locked else ""
    function = f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql {_SETTINGS} AS $$
BEGIN{lock}
    IF EXISTS (SELECT FROM new_rows n WHERE NOT EXISTS (SELECT FROM {parent} p WHERE {condition})) THEN
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


def _keep(parent: str, child: str, key: str, condition: str) -> list[str]:
    """No row of ``parent`` goes, or changes its key, while a row of ``child`` needs it."""
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
        f"CREATE TRIGGER {name}_delete AFTER DELETE ON {parent} FOR EACH ROW EXECUTE FUNCTION {name}()",
        f"""CREATE TRIGGER {name}_update AFTER UPDATE OF {key} ON {parent} FOR EACH ROW WHEN ({changed})
EXECUTE FUNCTION {name}()""",
    ]


def create_reference_statements() -> list[str]:
    """The functions and triggers; PostgreSQL only."""
    statements = [statement for parent in _PARENTS for statement in _require(*parent)]
    statements += _keep("projects", "batches", "id", "n.project_id = OLD.id")
    statements += _keep("sync_runs", "batch_changes", "id", "n.run_id = OLD.id")
    return statements + _keep(
        "batches",
        "batch_changes",
        "project_id, batch_id",
        "n.project_id = OLD.project_id AND n.batch_id = OLD.batch_id",
    )
