"""What the tables can't say by themselves: sums that follow other tables, and PostgreSQL's references.

``workspace_daily`` follows ``project_daily``, whatever writes that. All projects of a workspace meet in its row, so a
sync writes its day last but for the project and the run: nobody waits for longer than a commit takes.

On PostgreSQL the references of the large tables are triggers that check once a statement instead of once a row.
They refuse what foreign keys would refuse, with the same error; SQLite has the foreign keys themselves. Checking row by
row would be the larger part of a large project's first load, where all rows have the same project and run.
"""

from typing import Final

from rfsync.schema.models import FLOWS

_COLUMNS: Final = ", ".join(FLOWS)


def create_trigger_statements(dialect: str) -> list[str]:
    """The triggers of ``sqlite`` or ``postgresql``, with the functions that they call."""
    return _sqlite_sums() if dialect == "sqlite" else [*_references(), *_postgresql_sums()]


def _sqlite_sums() -> list[str]:
    plus = ", ".join(f"{name} = workspace_daily.{name} + excluded.{name}" for name in FLOWS)
    minus = ", ".join(f"{name} = {name} - OLD.{name}" for name in FLOWS)
    add = (
        f"INSERT INTO workspace_daily (workspace, day, {_COLUMNS}) "
        f"SELECT p.workspace, NEW.day, {', '.join(f'NEW.{name}' for name in FLOWS)} FROM projects p "
        f"WHERE p.id = NEW.project_id ON CONFLICT (workspace, day) DO UPDATE SET {plus};"
    )
    take = (
        f"UPDATE workspace_daily SET {minus} WHERE day = OLD.day "
        "AND workspace = (SELECT p.workspace FROM projects p WHERE p.id = OLD.project_id);"
    )
    bodies = {"insert": add, "update": f"{add} {take}", "delete": take}
    return [
        f"CREATE TRIGGER workspace_daily_{event} AFTER {event.upper()} ON project_daily BEGIN {body} END"
        for event, body in bodies.items()
    ]


def _postgresql_sums() -> list[str]:
    sums = ", ".join(f"sum(d.{name}) AS {name}" for name in FLOWS)
    plus = ", ".join(f"{name} = w.{name} + excluded.{name}" for name in FLOWS)
    minus = ", ".join(f"{name} = w.{name} - o.{name}" for name in FLOWS)
    function = f"""CREATE FUNCTION workspace_daily_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO workspace_daily AS w (workspace, day, {_COLUMNS})
        SELECT p.workspace, d.day, {sums} FROM new_rows d JOIN projects p ON p.id = d.project_id GROUP BY 1, 2
        ON CONFLICT (workspace, day) DO UPDATE SET {plus};
    END IF;
    IF TG_OP <> 'INSERT' THEN
        UPDATE workspace_daily w SET {minus}
        FROM (SELECT p.workspace, d.day, {sums} FROM old_rows d JOIN projects p ON p.id = d.project_id GROUP BY 1, 2) o
        WHERE w.workspace = o.workspace AND w.day = o.day;
    END IF;
    RETURN NULL;
END $$"""
    new, old = "NEW TABLE AS new_rows", "OLD TABLE AS old_rows"
    rows = {"insert": new, "update": f"{new} {old}", "delete": old}
    triggers = [
        f"CREATE TRIGGER workspace_daily_{event} AFTER {event.upper()} ON project_daily REFERENCING {tables} "
        "FOR EACH STATEMENT EXECUTE FUNCTION workspace_daily_follows()"
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
