"""Each rule finds what breaks it, and nothing else is found."""

from __future__ import annotations

import re

import pytest
from rig import Rig, record

from rfsync.database.engine import open_engine
from rfsync.ledger.rules import RULES
from rfsync.ledger.verify import Finding, verify

_DAY = "7 changes: 4 batches added, 2 removed, 19 images gained, 8 lost, 5 jobs gained, {} lost"
_RUN = "{} batches added, {} changed, 0 removed, 0 restored, a sum of 12 images and 3 jobs, and the outcome changed"

#: Rule -> what breaks it, among others, and what is said then.
BREAKS = {
    "a batch's deltas sum up to its counts": (
        "UPDATE batches SET images = images - 3 WHERE batch_id = 'a'",
        "batch a: the ledger says 4 images and 2 jobs, the batch's row says 1 image and 2 jobs",
    ),
    "each change continues the one before": (
        "UPDATE batch_changes SET images = images + 1 WHERE id = 4",
        """change 4 of batch a: by the change before it and its own deltas it has to be changed or removed,
        with 4 images and 2 jobs; it says changed, with 5 images and 2 jobs""",
    ),
    "a change is of a batch that is there": (
        None,
        "batch b: the ledger has 2 changes of it, the table batches has no row",
    ),
    "a batch's name is that of its last change": (
        "UPDATE batch_changes SET name = '1 jobs|{}' WHERE id = 4",
        'batch a: its last change in the ledger has the name "1 jobs|{}", the batch\'s row has the name "A"',
    ),
    "a batch's times are those of its changes": (
        "UPDATE batches SET first_seen_at = '2025-01-01 00:00:00.000000' WHERE batch_id = 'b'",
        """batch b: by the ledger it was first seen at 2026-01-01 00:05:00 and last changed at 2026-01-01
        00:15:00, when it was removed; its row says first seen at 2025-01-01 00:00:00 and last changed at
        2026-01-01 00:15:00, when it was removed""",
    ),
    "a project's totals are those of its batches": (
        "UPDATE projects SET num_jobs = num_jobs + 1",
        """totals: its batches add up to 2 batches, 11 images and 3 jobs, the project's row says 2 batches, 11
        images and 4 jobs""",
    ),
    "a day's sums are those of its changes": (
        "UPDATE project_daily SET jobs_lost = jobs_lost + 1",
        f"day 2026-01-01: the ledger has {_DAY.format(2)}; the day's row in project_daily has {_DAY.format(3)}",
    ),
    "a day's totals are the sum of all days before": (
        "UPDATE project_daily SET batches = batches - 1",
        """day 2026-01-01: the days until then add up to 2 batches, 11 images and 3 jobs, the day's row in
        project_daily says 1 batch, 11 images and 3 jobs""",
    ),
    "a day has changes": (
        "INSERT INTO project_daily VALUES (1, '2026-02-01', 0, 0, 0, 0, 0, 0, 0, 2, 11, 3)",
        "day 2026-02-01: the ledger has no change on it, the table project_daily has a row of it",
    ),
    "a workspace's day is the sum of its projects' days": (
        "UPDATE workspace_daily SET jobs_lost = jobs_lost + 1",
        f"""day 2026-01-01 of all of acme: its projects' days add up to {_DAY.format(2)}; the day's row in
        workspace_daily has {_DAY.format(3)}""",
    ),
    "a run's sums are those of its changes": (
        "UPDATE sync_runs SET added = changed, changed = added WHERE id = 1",
        f"run 1: the ledger has, of this run, {_RUN.format(3, 0)}; the run's row says {_RUN.format(0, 3)}",
    ),
    "a change is of a run that is there": (
        None,
        "run 1: the ledger has 3 changes of it, the table sync_runs has no row",
    ),
    "a departed project has no batches": (
        "UPDATE projects SET departed_at = written_at",
        """departed at 2026-01-01 00:15:00: the project's row says that it is gone, and should have 0 batches;
        it has 2 batches""",
    ),
    "an unlisted batch exists, and is missing from the list": (
        "UPDATE batches SET unlisted_at = changed_at WHERE batch_id = 'b'",
        """batch b: its row says that it exists without being listed, and has to be in the table
        missing_batches, and not removed; it is removed""",
    ),
    "missing batches are counted": (
        "UPDATE projects SET missing = 1",
        "missing batches: the table missing_batches has 0 batches, the project's row says 1 batch",
    ),
    "time goes forward": (
        "UPDATE projects SET observed_at = NULL, written_at = '2025-01-01 00:00:00.000000'",
        """last change: it has to be of 2025-01-01 00:00:00 at the latest, by written_at of the project's row;
        it is of 2026-01-01 00:15:00""",
    ),
}


def said(finding: Finding) -> str:
    """The line for people, with times written alike on both databases."""
    return re.sub(r"(:\d\d)(?:\.0{6}|\+00)", r"\1", str(finding))


@pytest.fixture
def filled(rig: Rig) -> Rig:
    """Batches that were added, changed, removed and restored."""
    for listed in (
        [record("a", 5, 1, "A"), record("b", 6, 2), record("c", 1, 0)],
        [record("a", 4, 2, "A"), record("b", 6, 2)],
        [record("a", 4, 2, "A"), record("c", 7, 1)],
    ):
        rig.listed = listed
        rig.by_id = {}
        assert rig.sync().outcome == "changed"
    return rig


def test_every_rule_is_tried() -> None:
    assert set(BREAKS) == set(RULES)


def test_the_books_balance(filled: Rig) -> None:
    verdict = verify(open_engine(filled.url, read_only=True))
    assert verdict.ok
    assert (verdict.projects, verdict.batches, verdict.changes) == (1, 3, 7)


@pytest.mark.parametrize("rule", [rule for rule, (statement, _) in BREAKS.items() if statement])
def test_what_breaks_a_rule_is_found_and_said_in_words(filled: Rig, rule: str) -> None:
    statement, words = BREAKS[rule]
    filled.rows(str(statement))
    verdict = verify(open_engine(filled.url, read_only=True))
    found = next(finding for finding in verdict.findings if finding.rule == rule)
    assert (found.workspace, found.project) == ("acme", "widgets")
    assert said(found) == f"acme/widgets {' '.join(words.split())}"


@pytest.mark.parametrize(
    ("rule", "table", "row"),
    [
        ("a change is of a batch that is there", "batches", "batch_id = 'b'"),
        ("a change is of a run that is there", "sync_runs", "id = 1"),
    ],
)
def test_what_was_taken_from_under_its_changes_is_found(filled: Rig, rule: str, table: str, row: str) -> None:
    delete = f"DELETE FROM {table} WHERE {row}"
    if filled.file is None:
        filled.rows(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        filled.rows(delete)
    else:
        with filled.database.begin("testing") as connection:
            # As the program sqlite3, which looks after no reference unless it is told to.
            for statement in ("COMMIT", "PRAGMA foreign_keys = OFF", "BEGIN", delete):
                connection.exec_driver_sql(statement)
    verdict = verify(open_engine(filled.url, read_only=True))
    assert [said(finding) for finding in verdict.findings if finding.rule == rule] == [
        f"acme/widgets {BREAKS[rule][1]}"
    ]
