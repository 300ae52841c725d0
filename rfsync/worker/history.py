"""What the database knows of the polls of projects, whoever did them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ARRAY, Connection, Text, bindparam, select, text

from rfsync.daemon.policy import PastPolls
from rfsync.ledger.projects import AWAY_INTERVAL, ProjectPath
from rfsync.schema.upgrade import VERSION, require_revision


@dataclass(frozen=True, slots=True)
class PollHistory:
    """A project's runs until now, by the last ones of each kind."""

    #: When the last run of a worker began; None: there was none. What else syncs the project does so by itself.
    began: datetime | None
    #: When it ended; None: it goes on.
    ended: datetime | None
    #: How the last run that has ended did; None: none has.
    outcome: str | None
    error_kind: str | None
    error: str | None
    #: When the last success ended; None: there was none.
    succeeded: datetime | None
    #: Failed runs since then; refused and abandoned ones don't count.
    failures: int
    #: Those of them, by workers, that stretch the interval; see ``policy.stretches_interval``.
    stretching: int
    #: The project's last observation; None: it was never observed.
    observed_at: datetime | None
    #: When it was found to be gone; None: it is there.
    departed_at: datetime | None

    @property
    def is_running(self) -> bool:
        """True while a run goes on."""
        return self.began is not None and self.ended is None

    @property
    def past(self) -> PastPolls:
        """For the policy."""
        away_until = None
        if self.departed_at is not None and self.observed_at is not None:
            away_until = self.observed_at + AWAY_INTERVAL
        return PastPolls(self.began, self.ended, self.stretching, away_until)


@dataclass(frozen=True, slots=True)
class Histories:
    """The polls of some projects, as of one moment."""

    #: By the server's clock.
    now: datetime
    #: Of those that the database has.
    histories: Mapping[ProjectPath, PollHistory]
    #: The last tick of each that was fired, in whole seconds since 1970; of those that have fired any.
    fired: Mapping[ProjectPath, int]


# The outcomes are named twice for the partial index of what went wrong. That all ids are above 0 is said as in the view
# sync_health.
_FAILED: Final = """SELECT count(*) FROM sync_runs r WHERE r.project_id = p.id AND r.id > coalesce(success.id, 0)
        AND r.outcome IN ('failed', 'refused', 'abandoned') AND r.outcome = 'failed'"""
_HISTORIES: Final = text(f"""
SELECT w.workspace, w.project, p.id IS NOT NULL,
    (SELECT max(d.defer_timestamp) FROM procrastinate_periodic_defers d
     WHERE d.task_name = :task AND d.periodic_id = w.periodic_id),
    newest.started_at, newest.finished_at, ended.outcome, ended.error_kind, ended.error, success.finished_at,
    ({_FAILED}), ({_FAILED} AND r.trigger = 'worker' AND coalesce(r.error_kind, '') <> 'database'),
    p.observed_at, p.departed_at
FROM unnest(:workspaces, :projects, :periodic_ids) w (workspace, project, periodic_id)
LEFT JOIN projects p ON p.workspace = w.workspace AND p.project = w.project
LEFT JOIN sync_runs newest ON newest.id = (SELECT max(r.id) FROM sync_runs r
    WHERE r.project_id = p.id AND r.trigger = 'worker')
LEFT JOIN sync_runs ended ON ended.id = (SELECT max(r.id) FROM sync_runs r
    WHERE r.project_id = p.id AND r.outcome <> 'running')
LEFT JOIN sync_runs success ON success.id = (SELECT max(r.id) FROM sync_runs r
    WHERE r.project_id = p.id AND r.outcome IN ('changed', 'unchanged', 'superseded'))""").bindparams(  # noqa: S608
    *(bindparam(name, type_=ARRAY(Text)) for name in ("workspaces", "projects", "periodic_ids"))
)
_NOW: Final = text("SELECT clock_timestamp()")


def read_histories(
    connection: Connection, task: str, paths: Collection[ProjectPath], periodic_ids: Collection[str]
) -> Histories:
    """Reads what the database knows of the polls of some projects.

    Args:
        task: the name of the polls' task in the queue.
        paths: of the projects.
        periodic_ids: by which the queue knows their ticks, in the same order.

    Raises:
        SchemaError: the database was upgraded since this process has opened it.
    """
    require_revision(connection.scalar(select(VERSION.c.version_num)))
    histories, fired = {}, {}
    values = {
        "task": task,
        "workspaces": [path.workspace for path in paths],
        "projects": [path.project for path in paths],
        "periodic_ids": list(periodic_ids),
    }
    for workspace, project, exists, tick, *history in connection.execute(_HISTORIES, values) if paths else ():
        path = ProjectPath(workspace, project)
        if exists:
            histories[path] = PollHistory(*history)
        if tick is not None:
            fired[path] = tick
    return Histories(connection.execute(_NOW).scalar_one(), histories, fired)


#: What is known of a project that the database does not have.
NO_HISTORY: Final = PollHistory(None, None, None, None, None, None, 0, 0, None, None)
