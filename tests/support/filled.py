"""A database that has rows in every table, and what it has."""

from __future__ import annotations

from datetime import timedelta

from rig import Rig, job, record
from sqlalchemy import select

from rfsync.parsing import Target
from rfsync.schema.models import metadata


def fill(rig: Rig, project: str) -> None:
    """Leaves rows of a project in every table."""
    rig.project, rig.sync_jobs = project, True
    people = {"labeler": "both@example.com", "reviewer": f"{project}@example.com"}
    rig.listed = [record(f"{project}-{i}", 10) for i in range(3)]
    rig.jobs = [job(f"{project}-{i}", 10, **people) for i in range(3)]
    rig.sync()
    # They exist without being listed.
    rig.by_id = {f"batches/{project}-0": record(f"{project}-0", 7), f"jobs/{project}-0": job(f"{project}-0", 10, 4)}
    rig.listed, rig.jobs = rig.listed[1:], rig.jobs[1:]
    rig.sync()
    for _ in range(2):
        rig.sync()
    rig.store.prune(rig.now - timedelta(minutes=1))
    rig.store.projects.rename(Target("acme", project), Target("acme", f"{project}-2"), rig.now)
    rig.store.projects.rename(Target("acme", f"{project}-2"), Target("acme", project), rig.now + timedelta(minutes=1))


def dump(rig: Rig) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables that the models have; alike on both kinds of database."""
    with rig.database.begin("testing") as connection:
        return {
            name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for name, table in metadata.tables.items()
        }
