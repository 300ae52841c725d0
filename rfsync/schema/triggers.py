"""What the tables can't say by themselves: sums that follow other tables, and PostgreSQL's references.

``workspace_daily`` follows ``project_daily``, and ``workspace_labeler_daily`` follows ``labeler_daily``, whatever
writes those. All projects of a workspace meet in their rows, so a sync writes its day last but for the project and the
run: nobody waits for longer than a commit takes.

On PostgreSQL the references of the large tables are triggers that check once a statement instead of once a row.
They refuse what foreign keys would refuse, with the same error; SQLite has the foreign keys themselves. Checking row by
row would be the larger part of a large project's first load, where all rows have the same project and run.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rfsync.schema.roll_up_models import FLOWS, LABELER_FLOWS, LabelerDay, ProjectDay, WorkspaceDay, WorkspaceLabelerDay


class _Sums(NamedTuple):
    """A table with the sums over the projects of a workspace, and the table with those of each project."""

    table: str
    of: str
    #: Columns of both that tell which rows belong together.
    key: Sequence[str]
    flows: Sequence[str]


_SUMS: Final = (
    _Sums(WorkspaceDay.__tablename__, ProjectDay.__tablename__, ("day",), FLOWS),
    _Sums(WorkspaceLabelerDay.__tablename__, LabelerDay.__tablename__, ("day", "labeler_id"), LABELER_FLOWS),
)


def create_trigger_statements(dialect: str) -> list[str]:
    """The triggers of ``sqlite`` or ``postgresql``, with the functions that they call."""
    if dialect == "sqlite":
        return [statement for sums in _SUMS for statement in _sqlite_sums(sums)]
    return [*_references(), *(statement for sums in _SUMS for statement in _postgresql_sums(sums))]


def _sqlite_sums(sums: _Sums) -> list[str]:
    table, of, key, flows = sums
    names = ", ".join((*key, *flows))
    plus = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in flows)
    minus = ", ".join(f"{name} = {name} - OLD.{name}" for name in flows)
    same = " AND ".join(f"{name} = OLD.{name}" for name in key)
    add = (
        f"INSERT INTO {table} (workspace, {names}) "
        f"SELECT p.workspace, {', '.join(f'NEW.{name}' for name in (*key, *flows))} FROM projects p "
        f"WHERE p.id = NEW.project_id ON CONFLICT (workspace, {', '.join(key)}) DO UPDATE SET {plus};"
    )
    take = (
        f"UPDATE {table} SET {minus} WHERE {same} "
        "AND workspace = (SELECT p.workspace FROM projects p WHERE p.id = OLD.project_id);"
    )
    bodies = {"insert": add, "update": f"{add} {take}", "delete": take}
    return [
        f"CREATE TRIGGER {table}_{event} AFTER {event.upper()} ON {of} BEGIN {body} END"
        for event, body in bodies.items()
    ]


def _postgresql_sums(sums: _Sums) -> list[str]:
    table, of, key, flows = sums
    names = ", ".join((*key, *flows))
    keys, order = ", ".join(key), ", ".join(str(n) for n in range(1, len(key) + 2))
    totals = ", ".join((*(f"d.{name}" for name in key), *(f"sum(d.{name}) AS {name}" for name in flows)))
    plus = ", ".join(f"{name} = w.{name} + excluded.{name}" for name in flows)
    minus = ", ".join(f"{name} = w.{name} - o.{name}" for name in flows)
    same = " AND ".join(f"w.{name} = o.{name}" for name in ("workspace", *key))
    read = "SELECT p.workspace, {0} FROM {1} d JOIN projects p ON p.id = d.project_id GROUP BY {2}"
    function = f"""CREATE FUNCTION {table}_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO {table} AS w (workspace, {names})
        {read.format(totals, "new_rows", order)}
        ON CONFLICT (workspace, {keys}) DO UPDATE SET {plus};
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE {table} w SET {minus}
        FROM ({read.format(totals, "old_rows", order)}) o
        WHERE {same};
    END IF;
    RETURN NULL;
END $$"""
    new, old = "NEW TABLE AS new_rows", "OLD TABLE AS old_rows"
    rows = {"insert": new, "update": f"{new} {old}", "delete": old}
    triggers = [
        f"CREATE TRIGGER {table}_{event} AFTER {event.upper()} ON {of} REFERENCING {tables} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_follows()"
        for event, tables in rows.items()
    ]
    return [function, *triggers]


#: The tables whose foreign keys PostgreSQL does not have.
CHECKED_BY_TRIGGER: Final = frozenset({"batches", "batch_changes", "jobs", "job_changes"})
#: The indexes that only SQLite has.
ONLY_ON_SQLITE: Final = frozenset({"ix_batch_changes_run_id", "ix_job_changes_run_id"})

#: Child table, parent table, the child's columns, the parent's, and whether the parent's row is locked as a foreign key
#: would lock it. Batches and jobs need no lock: they are only deleted under the lock of their project, which who writes
#: has.
_PARENTS: Final = (
    ("batches", "projects", "project_id", "id", True),
    ("batch_changes", "sync_runs", "run_id", "id", True),
    ("batch_changes", "batches", "project_id, batch_id", "project_id, batch_id", False),
    ("jobs", "projects", "project_id", "id", True),
    ("job_changes", "sync_runs", "run_id", "id", True),
    ("job_changes", "jobs", "project_id, job_id", "project_id, job_id", False),
)


def _require(child: str, parent: str, columns: str, key: str, lock: bool) -> list[str]:
    """No row of ``child`` without its row of ``parent``."""
    name = f"{child}_require_{parent}"
    # Many rows have few projects and runs, but batches of their own.
    rows = f"(SELECT DISTINCT {columns} FROM new_rows)" if lock else "new_rows"
    same = f"({_qualified('p', key)}) = ({_qualified('n', columns)})"
    found = f"SELECT 1 FROM {parent} p WHERE {same}" + (" FOR KEY SHARE" if lock else "")
    # EXECUTE, since the plan has to suit the number of rows: one that is kept would suit the first statement's. All
    # missing rows are counted, since EXISTS would be planned to find the first one, with an index lookup for each row.
    function = f"""CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE missing boolean;
BEGIN
    EXECUTE 'SELECT count(*) > 0 FROM {rows} n WHERE NOT EXISTS ({found})' INTO missing;
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


def _references() -> list[str]:
    statements = [statement for parent in _PARENTS for statement in _require(*parent)]
    for records, changes, key in (("batches", "batch_changes", "batch_id"), ("jobs", "job_changes", "job_id")):
        statements += _keep("projects", records, "id", "n.project_id = OLD.id")
        statements += _keep("sync_runs", changes, "id", "n.run_id = OLD.id", "OLD.outcome = 'changed'")
        same = f"n.project_id = OLD.project_id AND n.{key} = OLD.{key}"
        statements += _keep(records, changes, f"project_id, {key}", same)
    return statements
