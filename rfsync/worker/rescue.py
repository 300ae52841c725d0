"""Statements on procrastinate's tables that it has none for: jobs whose worker is gone, and who fires a tick."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ARRAY, BigInteger, Connection, Interval, bindparam, text

#: The queue of the polls.
QUEUE: Final = "rfsync"
#: A worker whose last sign of life is older than this is gone, as are the leases of its runs.
GONE_AFTER: Final = timedelta(seconds=50)

# A worker that has left without a word, or whose row another one has deleted: without one, the server has set worker_id
# to NULL. While the server was down no worker could give a sign of life, so each has the same time after its start.
_ABANDONED: Final = """
SELECT j.id FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id
WHERE j.queue_name = :queue AND j.status = 'doing' AND (
    j.id = ANY (:lost)
    OR ((w.id IS NULL OR w.last_heartbeat < clock_timestamp() - CAST(:gone_after AS interval))
        AND pg_postmaster_start_time() < clock_timestamp() - CAST(:gone_after AS interval)))
ORDER BY j.id FOR UPDATE OF j SKIP LOCKED"""
# A job of its own takes the place of each, and not the same one again: its worker may be alive after all, and would end
# what another one works on. Where the next job of the project waits already, that one is enough.
_RESCUE: Final = text(f"""
WITH gone AS (
    DELETE FROM procrastinate_jobs WHERE id IN ({_ABANDONED})
    RETURNING task_name, priority, lock, queueing_lock, args
), made AS (
    INSERT INTO procrastinate_jobs (queue_name, task_name, priority, lock, queueing_lock, args)
    SELECT :queue, task_name, priority, lock, queueing_lock, args FROM gone
    ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING
)
SELECT args ->> 'workspace', args ->> 'project' FROM gone""").bindparams(  # noqa: S608 it is the constant above
    bindparam("lost", type_=ARRAY(BigInteger)), bindparam("gone_after", type_=Interval)
)
_OF_WORKERS: Final = text(
    "SELECT id FROM procrastinate_jobs WHERE queue_name = :queue AND status = 'doing' AND worker_id = ANY (:workers)"
).bindparams(bindparam("workers", type_=ARRAY(BigInteger)))
_CLAIM: Final = text("""
INSERT INTO procrastinate_periodic_defers (task_name, periodic_id, defer_timestamp) VALUES (:task, '', :tick)
ON CONFLICT DO NOTHING RETURNING id""")
_FORGET_CLAIMS: Final = text(
    "DELETE FROM procrastinate_periodic_defers WHERE task_name = :task AND periodic_id = '' AND defer_timestamp < :tick"
)
# Of projects that are no longer polled.
_FORGET_OLD: Final = text("""
DELETE FROM procrastinate_periodic_defers WHERE job_id IS NULL AND task_name = :task AND defer_timestamp < :before""")


def rescue_jobs(
    connection: Connection, lost: Collection[int], gone_after: timedelta = GONE_AFTER
) -> list[tuple[str, str]]:
    """Puts the jobs of workers that are gone into the queue again; several workers may do so at once.

    Args:
        lost: further jobs that nobody works on.

    Returns:
        The workspaces and projects.
    """
    values = {"queue": QUEUE, "lost": list(lost), "gone_after": gone_after}
    return [(workspace, project) for workspace, project in connection.execute(_RESCUE, values)]


def read_jobs_of(connection: Connection, workers: Collection[int]) -> set[int]:
    """The jobs that these workers are working on, as the queue has it."""
    return set(connection.execute(_OF_WORKERS, {"queue": QUEUE, "workers": list(workers)}).scalars())


def claim_tick(connection: Connection, task: str, tick: datetime) -> bool:
    """Takes a tick of something that one worker does for all; False: another one has taken it."""
    values = {"task": task, "tick": int(tick.timestamp())}
    if connection.execute(_CLAIM, values).scalar() is None:
        return False
    connection.execute(_FORGET_CLAIMS, values)
    return True


def forget_ticks(connection: Connection, task: str, before: datetime) -> None:
    """Deletes what is known of ticks that were fired before then and that none has followed."""
    connection.execute(_FORGET_OLD, {"task": task, "before": int(before.timestamp())})
