"""Each rule finds what breaks it, and nothing else is found."""

from __future__ import annotations

import pytest
from rig import Rig, record

from rfsync.database.engine import open_engine
from rfsync.ledger.verify import RULES, verify

#: Rule -> what breaks it, among others.
BREAKS = {
    "a batch's deltas sum up to its counts": "UPDATE batches SET images = images + 1 WHERE batch_id = 'a'",
    "each change continues the one before": "UPDATE batch_changes SET images = images + 1 WHERE id = 4",
    "a change is of a batch that is there": None,
    "a batch's name is that of its last change": "UPDATE batch_changes SET name = 'else' WHERE id = 4",
    "a batch's times are those of its changes": "UPDATE batches SET first_seen_at = '2025-01-01 00:00:00.000000'",
    "a project's totals are those of its batches": "UPDATE projects SET num_jobs = num_jobs + 1",
    "a day's sums are those of its changes": "UPDATE project_daily SET jobs_lost = jobs_lost + 1",
    "a day's totals are the sum of all days before": "UPDATE project_daily SET batches = batches + 1",
    "a day has changes": """INSERT INTO project_daily VALUES (1, '2026-02-01', 0, 0, 0, 0, 0, 0, 0, 2, 11, 3)""",
    "a workspace's day is the sum of its projects' days": "UPDATE workspace_daily SET jobs_lost = jobs_lost + 1",
    "a run's sums are those of its changes": "UPDATE sync_runs SET added = changed, changed = added WHERE id = 1",
    "a departed project has no batches": "UPDATE projects SET departed_at = written_at",
    "an unlisted batch exists, and is missing from the list": "UPDATE batches SET unlisted_at = changed_at",
    "missing batches are counted": "UPDATE projects SET missing = 1",
    "time goes forward": "UPDATE projects SET observed_at = NULL, written_at = '2025-01-01 00:00:00.000000'",
}


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


@pytest.mark.parametrize("rule", [rule for rule, statement in BREAKS.items() if statement])
def test_what_breaks_a_rule_is_found(filled: Rig, rule: str) -> None:
    filled.rows(str(BREAKS[rule]))
    verdict = verify(open_engine(filled.url, read_only=True))
    assert rule in {finding.rule for finding in verdict.findings}
    found = next(finding for finding in verdict.findings if finding.rule == rule)
    assert (found.workspace, found.project) == ("acme", "widgets")
    assert found.expected != found.found


def test_a_batch_that_was_taken_from_under_its_changes_is_found(filled: Rig) -> None:
    if filled.file is None:
        filled.rows("ALTER TABLE batches DISABLE TRIGGER USER")
        filled.rows("DELETE FROM batches WHERE batch_id = 'b'")
    else:
        with filled.database.begin("testing") as connection:
            for statement in (
                *("COMMIT", "PRAGMA foreign_keys = OFF", "BEGIN"),
                "DELETE FROM batches WHERE batch_id = 'b'",
            ):
                connection.exec_driver_sql(statement)
    verdict = verify(open_engine(filled.url, read_only=True))
    assert [(f.rule, f.what) for f in verdict.findings if "is there" in f.rule] == [
        ("a change is of a batch that is there", "batch b")
    ]
