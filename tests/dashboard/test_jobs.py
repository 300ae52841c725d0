"""What the dashboard shows of annotation jobs is what SQL gives, of the view's projects and its time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from rig import Rig, job, record
from sqlalchemy import Engine

from rfsync.dashboard import job_tables, queries
from rfsync.dashboard.batch_jobs import batch_jobs
from rfsync.dashboard.view import Batch, View
from rfsync.database.engine import open_engine

NOW = datetime(2026, 3, 10, 9, 41, tzinfo=UTC)
HOSTILE = f"<b>\u202e\x1b[31m{'so.long.' * 20}@example.com"
B1 = Batch("acme/widgets", "widgets1")


@pytest.fixture
def engine(rig: Rig) -> Engine:
    """Two projects; the jobs of the second do ten times as much."""
    rig.sync_jobs = True
    for days_ago, done in ((20, 1), (9, 4), (2, 10)):
        for project, factor in (("widgets", 1), ("gears", 10)):
            rig.now, rig.project = NOW - timedelta(days=days_ago), project
            rig.listed = [record(f"{project}1", 5), record(f"{project}2")]
            n, batch_id = factor * done, f"p/{project}1"
            fields: dict[str, Any] = {"sourceBatch": batch_id, "labeler": HOSTILE, "name": f"week {n}"}
            rig.jobs = [
                job(f"{project}1", 20 * factor, n, unannotated=20 * factor - n, **fields),
                job(f"{project}2", 3, labeler=None, sourceBatch=batch_id),
                job(f"{project}3", 7, sourceBatch="p/other"),
            ]
            assert rig.sync(minutes=0).ok
    return open_engine(rig.url, read_only=True)


def test_charts_are_of_the_view_s_projects_and_time(rig: Rig, engine: Engine) -> None:
    for target, factor in (("acme/widgets", 1), ("acme/gears", 10), ("acme", 11), (None, 11)):
        shown = queries.jobs(engine, View(target=target), NOW)
        assert (sum(row.annotated_gained for row in shown.work), len(shown.work)) == (9 * factor, 20 + 1)
        last = [row for row in shown.places if row.observed][-1]
        projects = 2 if factor == 11 else 1
        assert last[3:7] == (5 * projects, 10 * factor + 10 * projects, 10 * factor, 0)
        assert [(row.labeler, row.annotated_gained) for row in shown.labelers] == [(HOSTILE, 9 * factor)]
        assert {row.job_id[-1] for row in shown.open} == {"1", "2", "3"}
        assert {row.job_id[-1] for row in shown.stuck} == {"2", "3"}
    days = View(first_day=date(2026, 2, 20), last_day=date(2026, 3, 3), by="week")
    past = queries.jobs(engine, days, NOW)
    assert sum(row.annotated_gained for row in past.work) == sum(row.annotated_gained for row in past.labelers) == 33
    assert {row.job_id[-1] for row in past.open} == {"1", "2", "3"}  # now, as its title says


def test_a_batch_has_its_jobs_and_where_its_images_are(rig: Rig, engine: Engine) -> None:
    found = batch_jobs(engine, B1)
    assert found is not None
    assert found.places == {"unassigned": 5, "unannotated": 13, "annotated": 10, "approved": 0, "rejected": 0}
    assert {row.job_id: row.num_images for row in found.jobs} == {"widgets1": 20, "widgets2": 3}
    texts = [*all_texts(job_tables.of_batch(View(batch=B1), found))]
    assert "10 annotated" in texts
    assert "13 in a job, not annotated" in texts
    assert "nobody" in texts
    assert not {"\u202e", "\x1b"} & set("".join(texts))
    cut = min((text for text in texts if text.startswith("<b>")), key=len)
    assert (len(cut), cut.endswith("@example.com")) == (60, True)
    assert HOSTILE.replace("\u202e", "\ufffd").replace("\x1b", "\ufffd") in texts  # its tooltip
    empty = batch_jobs(engine, Batch("acme/widgets", "widgets2"))
    assert empty is not None
    assert "No job has images of this batch." in all_texts(job_tables.of_batch(View(), empty))
    for unknown in (Batch("acme/nothing", "b1"), Batch("a/b/c", "b1")):
        assert batch_jobs(engine, unknown) is None


def test_of_many_jobs_the_latest_are_listed(rig: Rig) -> None:
    rig.sync_jobs, rig.listed = True, [record("widgets1", 1)]
    created = ({"created": {"_seconds": 1_700_000_000 + n}} for n in range(51))
    rig.jobs = [job(f"j{n:02}", 1, sourceBatch="p/widgets1", **fields) for n, fields in enumerate(created)]
    assert rig.sync().ok
    found = batch_jobs(open_engine(rig.url, read_only=True), B1)
    assert found is not None
    assert found.places["unannotated"] == 51
    texts = [*all_texts(job_tables.of_batch(View(batch=B1), found))]
    assert "j50" in texts
    assert "j00" not in texts
    assert "The latest 50 jobs; rfsync jobs lists them all." in texts


def test_jobs_that_were_never_read_are_not_none(rig: Rig) -> None:
    rig.listed = [record("widgets1", 1)]
    assert rig.sync().ok
    assert batch_jobs(open_engine(rig.url, read_only=True), B1) is None


def all_texts(parts: Any) -> Iterator[str]:
    """Every text of components, and their tooltips."""
    if isinstance(parts, str):
        yield parts
    elif isinstance(parts, list):
        for part in parts:
            yield from all_texts(part)
    elif parts is not None:
        yield from all_texts(getattr(parts, "title", None))
        yield from all_texts(getattr(parts, "children", None))
