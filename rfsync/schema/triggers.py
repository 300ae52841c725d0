"""The triggers that keep ``workspace_daily``: whatever writes a project's day, the workspace's day follows.

All projects of a workspace meet in that row. A sync writes its day last but for the project and the run, so that nobody
waits for longer than a commit takes.
"""

from __future__ import annotations

from typing import Final

from rfsync.schema.models import FLOWS

_COLUMNS: Final = ", ".join(FLOWS)


def create_trigger_statements(dialect: str) -> list[str]:
    """The triggers, and on PostgreSQL the function that they call."""
    return _sqlite() if dialect == "sqlite" else _postgresql()


def _sqlite() -> list[str]:
    plus = ", ".join(f"{name} = workspace_daily.{name} + excluded.{name}" for name in FLOWS)
    minus = ", ".join(f"{name} = {name} - OLD.{name}" for name in FLOWS)
    add = (
        f"INSERT INTO workspace_daily (workspace, day, {_COLUMNS}) "  # noqa: S608 our own names
        f"SELECT p.workspace, NEW.day, {', '.join(f'NEW.{name}' for name in FLOWS)} FROM projects p "
        f"WHERE p.id = NEW.project_id ON CONFLICT (workspace, day) DO UPDATE SET {plus};"
    )
    take = (
        f"UPDATE workspace_daily SET {minus} WHERE day = OLD.day "  # noqa: S608 our own names
        "AND workspace = (SELECT p.workspace FROM projects p WHERE p.id = OLD.project_id);"
    )
    bodies = {"insert": add, "update": f"{add} {take}", "delete": take}
    return [
        f"CREATE TRIGGER workspace_daily_{event} AFTER {event.upper()} ON project_daily BEGIN {body} END"
        for event, body in bodies.items()
    ]


def _postgresql() -> list[str]:
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
END $$"""  # noqa: S608 our own names
    rows = {
        "insert": "NEW TABLE AS new_rows",
        "update": "NEW TABLE AS new_rows OLD TABLE AS old_rows",
        "delete": "OLD TABLE AS old_rows",
    }
    triggers = [
        f"CREATE TRIGGER workspace_daily_{event} AFTER {event.upper()} ON project_daily REFERENCING {tables} "
        "FOR EACH STATEMENT EXECUTE FUNCTION workspace_daily_follows()"
        for event, tables in rows.items()
    ]
    return [function, *triggers]
