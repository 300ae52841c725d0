"""Each rule finds what breaks it, and nothing else is found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from damages import BREAKS
from rig import START, Rig, record
from sqlalchemy import Connection, insert

from rfsync.database.engine import open_engine
from rfsync.database.url import parse_url
from rfsync.ledger.quarter_hours import add_quarter_hours
from rfsync.ledger.rules import RULES
from rfsync.ledger.verify import Finding, check, verify
from rfsync.schema.models import Job, JobChange, LabelerDay, Person


def said(finding: Finding) -> str:
    """The line for people, with times written alike on both databases."""
    return re.sub(r"(:\d\d)(?:\.0{6}|\+00)", r"\1", str(finding))


@pytest.fixture(scope="module")
def filled(shared_database_url: str) -> str:
    """Batches and jobs that were added, changed, removed and restored; the jobs are written by hand."""
    rig = Rig(shared_database_url)
    last = [record("a", 4, 2, "A"), record("c", 7, 1)]
    for listed in (
        [record("a", 5, 1, "A"), record("b", 6, 2), record("c", 1, 0)],
        [record("a", 4, 2, "A"), record("b", 6, 2)],
        last,
        last,
    ):
        rig.listed = listed
        assert rig.sync().ok
    with rig.database.begin("testing") as connection:
        write_jobs(connection)
    rig.close()
    return shared_database_url


#: Job, run, change, labeler, reviewer, and after it the images, annotated, unannotated, approved.
JOB_CHANGES = (
    ("j1", 1, "added", 1, 3, 10, 2, 8, 0),
    ("j2", 1, "added", None, None, 5, 0, 5, 0),
    ("j1", 2, "changed", 1, 3, 10, 6, 4, 0),
    ("j2", 2, "changed", 2, None, 5, 1, 4, 0),
    ("j3", 2, "added", 1, None, 4, 3, 1, 0),
    ("j1", 3, "changed", 2, 3, 10, 5, 2, 3),  # given to another, who has lost nothing
    ("j3", 3, "removed", 1, None, 0, 0, 0, 0),
    ("j3", 4, "restored", 1, None, 6, 2, 6, 0),  # compared with what it had before its removal
    ("j2", 4, "removed", 2, None, 0, 0, 0, 0),
)


def write_jobs(connection: Connection) -> None:
    """Fills all that there is of jobs and people."""
    people = {"digest": "", "address": None, "forgotten_at": None}
    connection.execute(
        insert(Person),
        [
            people | {"id": 1, "address": "ann@example.com", "digest": "1"},
            people | {"id": 2, "digest": "2"},
            people | {"id": 3, "digest": "3", "forgotten_at": START},
        ],
    )
    counts = ("num_images", "annotated", "unannotated", "approved")
    jobs: dict[str, dict[str, Any]] = {}
    changes = []
    for job_id, run_id, change, labeler, reviewer, *numbers in JOB_CHANGES:
        at = START + timedelta(minutes=5 * run_id)
        now = dict(zip(counts, numbers, strict=True))
        before = jobs.get(job_id, {"first_seen_at": at})
        appeared = change in {"added", "restored"}
        deltas = {f"{count}_delta": now[count] - (0 if appeared else before[count]) for count in counts}
        common = {"project_id": 1, "job_id": job_id, "labeler_id": labeler, "reviewer_id": reviewer, "rejected": 0}
        common |= {"batch_id": "a", "status": "assigned"}
        changes.append(
            {**common, **now, **deltas}
            | {"rejected_delta": 0, "run_id": run_id, "change": change, "observed_at": at}
            | {"observed_after": at - timedelta(minutes=5) if run_id > 1 else None}
        )
        removed = change == "removed"
        jobs[job_id] = {
            **before, **common, **({} if removed else now), "changed_at": at, "removed_at": at if removed else None
        }  # fmt: skip
    connection.execute(insert(Job), list(jobs.values()))
    connection.execute(insert(JobChange), changes)
    flows = dict.fromkeys((c.name for c in LabelerDay.__table__.c), 0) | {"project_id": 1, "day": START.date()}
    moved = {"annotated_gained": 7, "annotated_lost": 2}
    connection.execute(
        insert(LabelerDay),
        [
            flows | {"labeler_id": 1, "jobs_opened": 1, "images_assigned": 6} | moved,
            flows | {"labeler_id": 2, "jobs_opened": 2, "images_assigned": 15, "annotated_gained": 1}
            | {"approved_gained": 3},
        ],
    )  # fmt: skip
    first = {"jobs_opened": 2, "images_assigned": 9, "annotated_gained": 8}
    second = {"jobs_opened": 1, "images_assigned": 12, "annotated_lost": 2, "approved_gained": 3}
    add_quarter_hours(connection, "acme", {START: first, START + timedelta(minutes=15): second})
    for statement in (
        "UPDATE sync_runs SET jobs = 2, jobs_changed = CASE id WHEN 2 THEN 3 ELSE 2 END",
        "UPDATE sync_runs SET outcome = 'changed' WHERE id = 4",
        "INSERT INTO people_key (id, secret, mode) VALUES (1, '', 'address')",
        "UPDATE projects SET jobs = 2, images_in_jobs = 16, annotated = 7, unannotated = 8, approved = 3",
    ):
        connection.exec_driver_sql(statement)


def test_every_rule_is_tried() -> None:
    assert {rule for rule, *_ in BREAKS.values()} == set(RULES)


def test_the_books_balance(filled: str) -> None:
    verdict = verify(open_engine(parse_url(filled), read_only=True))
    assert verdict.findings == ()
    assert (verdict.projects, verdict.batches, verdict.changes) == (1, 3, 7)
    assert (verdict.jobs, verdict.job_changes) == (3, 9)


@contextmanager
def unguarded(url: str) -> Iterator[Connection]:
    """A transaction that is taken back, and in which the database looks after no reference and no check.

    As the program sqlite3, which looks after no reference unless it is told to.
    """
    engine = open_engine(parse_url(url), read_only=False)
    with engine.connect() as connection, connection.begin() as transaction:
        if connection.dialect.name == "sqlite":
            pragmas = ("foreign_keys = OFF", "ignore_check_constraints = ON")
            off = ["COMMIT", *(f"PRAGMA {pragma}" for pragma in pragmas), "BEGIN"]
        else:
            off = ["SET session_replication_role = replica", "ALTER TABLE people DROP CONSTRAINT ck_people_forgotten"]
        for statement in off:
            connection.exec_driver_sql(statement)
        yield connection
        transaction.rollback()
    engine.dispose()


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_a_rule_is_found_and_said_in_words(filled: str, name: str) -> None:
    rule, statement, words = BREAKS[name]
    with unguarded(filled) as connection:
        connection.exec_driver_sql(statement)
        verdict = check(connection)
    found = [said(finding) for finding in verdict.findings if finding.rule == rule]
    project = "" if words.startswith("person-") else "acme/widgets "
    assert f"{project}{' '.join(words.split())}" in found
