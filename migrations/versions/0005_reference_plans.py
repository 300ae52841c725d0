"""PostgreSQL's references are checked by plans that suit many rows: a hash join instead of an index lookup for each row.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PROJECTS = "SELECT 1 FROM projects p WHERE (p.id) = (n.project_id) FOR KEY SHARE"
RUNS = "SELECT 1 FROM sync_runs p WHERE (p.id) = (n.run_id) FOR KEY SHARE"
BATCHES = "SELECT 1 FROM batches p WHERE (p.project_id, p.batch_id) = (n.project_id, n.batch_id)"

REFERENCES = (
    ("batches", "projects", "(SELECT DISTINCT project_id FROM new_rows)", PROJECTS),
    ("batch_changes", "sync_runs", "(SELECT DISTINCT run_id FROM new_rows)", RUNS),
    ("batch_changes", "batches", "new_rows", BATCHES),
)


def upgrade() -> None:
    """Replaces the functions; the triggers that call them stay."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for child, parent, rows, found in REFERENCES:
        name = f"{child}_require_{parent}"
        op.execute(f"""CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE missing boolean;
BEGIN
    EXECUTE 'SELECT count(*) > 0 FROM {rows} n WHERE NOT EXISTS ({found})' INTO missing;
    IF missing THEN
        RAISE foreign_key_violation USING TABLE = '{child}', CONSTRAINT = '{name}',
            MESSAGE = 'a row of {child} has no row of {parent}: constraint {name}';
    END IF;
    RETURN NULL;
END $$""")
