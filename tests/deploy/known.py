"""A history small enough to know every answer by hand, written by the real sync into a real database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rig import Rig, job

from rfsync.errors import ErrorKind, FetchError
from rfsync.redaction import Secret
from rfsync.sync.run import sync
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces

UPLOADED = datetime(2026, 2, 1, tzinfo=UTC)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    """A moment in March 2026."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def batch(batch_id: str, images: int, jobs: int = 0, uploaded: datetime | None = None) -> dict[str, object]:
    """A record of the API's list."""
    stamp = None if uploaded is None else {"_seconds": int(uploaded.timestamp()), "_nanoseconds": 0}
    return {"id": batch_id, "images": images, "numJobs": jobs, "name": f"name of {batch_id}", "uploaded": stamp}


def write_history(url: str) -> None:
    """Two workspaces with three projects, observed in the first nine days of March.

    ============== ================== ============================= ======= ======= =====
    when           project            what the list has             batches images  jobs
    ============== ================== ============================= ======= ======= =====
    1 March  8:00  acme/gears         g1 50                               1      50     0
    1 March  9:00  acme/widgets       w1 100, w2 10 (1 job)               2     110     1
    3 March 10:00  acme/widgets       w1 60 (1), w2 10 (1)                2      70     2
    3 March 15:00  acme/widgets       w1 80 (1), w2 10 (1), w3 30         3     120     2
    4 March  0:00  bolt/o'neill       o1 7, o2 0                          2       7     0
    5 March 12:00  acme/widgets       w1 80 (1), w3 30                    2     110     1
    6 March 10:00  bolt/o'neill       401                                 2       7     0
    8 March  6:00  acme/widgets       w1 80 (1), w2 10, w3 30             3     120     1
    9 March 18:00  acme/widgets       w1 80, w2 10, w3 30                 3     120     0
    9 March 20:00  acme/gears         g1 50                               1      50     0
    ============== ================== ============================= ======= ======= =====

    Of acme/widgets there are jobs, too: j1 of w2, 10 images for ann, which are annotated on 3 March at 10:00 and
    approved at 15:00, and gone on 8 March; and from 3 March 10:00 on j2 of w1, 40 images, of which ann annotates 5 and
    then 25 more; on 5 March it is given to bob.
    """
    ann, bob = {"labeler": "ann@example.com"}, {"labeler": "bob@example.com"}
    j1 = job("j1", 10, name="name of j1", sourceBatch="internal/w2", status="assigned", **ann)
    j2 = job("j2", 40, 5, name="name of j2", sourceBatch="internal/w1", status="review", **ann)
    done = {**j1, "annotated": 10, "approved": 10, "status": "complete"}
    rig = Rig(url)
    w2 = batch("w2", 10, 1)
    w3 = batch("w3", 30, uploaded=at(3, 14))
    try:
        observe(rig, at(1, 8), "acme/gears", [batch("g1", 50, uploaded=UPLOADED)])
        observe(rig, at(1, 9), "acme/widgets", [batch("w1", 100), w2], [j1])
        observe(rig, at(3, 10), "acme/widgets", [batch("w1", 60, 1), w2], [{**j1, "annotated": 10}, j2])
        observe(rig, at(3, 15), "acme/widgets", [batch("w1", 80, 1), w2, w3], [done, j2 := {**j2, "annotated": 30}])
        observe(rig, at(4), "bolt/o'neill", [batch("o1", 7), batch("o2", 0)])
        observe(rig, at(5, 12), "acme/widgets", [batch("w1", 80, 1), w3], [done, j2 := {**j2, **bob}])
        observe(rig, at(6, 10), "bolt/o'neill", FetchError(ErrorKind.AUTH, "HTTP 401", http_status=401, attempts=1))
        observe(rig, at(8, 6), "acme/widgets", [batch("w1", 80, 1), batch("w2", 10), w3], [j2])
        observe(rig, at(9, 18), "acme/widgets", [batch("w1", 80), batch("w2", 10), w3], [j2])
        observe(rig, at(9, 20), "acme/gears", [batch("g1", 50, uploaded=UPLOADED)])
    finally:
        rig.close()


def observe(
    rig: Rig,
    when: datetime,
    target: str,
    listed: list[dict[str, object]] | FetchError,
    jobs: Sequence[dict[str, object]] = (),
) -> None:
    """One run."""
    workspace, _, project = target.partition("/")
    rig.now, rig.listed, rig.jobs, rig.project = when, listed, list(jobs), project
    context = SyncContext(rig, Workspaces(rig), rig.store, rig.removals, lambda: rig.now, str)
    result = sync(context, SyncTask(workspace, project, Secret("key")))
    assert result.ok != isinstance(listed, FetchError), result
