"""The tables, once for both databases. What is documented in ``docs/database.md`` is generated from here.

A wrong row is refused by the database itself as far as it can tell one: foreign keys, checks on every count and every
set of words, and a unique key that makes writing a change twice impossible.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from rfsync.batch import MAX_COUNT
from rfsync.schema.columns import UTCDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite gives only INTEGER PRIMARY KEY a number of its own, and knows no other integer than 64 bits anyway.
_Id = BigInteger().with_variant(Integer, "sqlite")
# Compared and sorted by code point, as Python does: the walk over two sorted sides needs that, and PostgreSQL would
# otherwise sort by the language of the database.
Key = Text().with_variant(Text(collation="C"), "postgresql")


def _words(column: str, *words: str) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f'"{column}" IN ({listed})', name=column)


def _counts(*columns: str, most: int | None = MAX_COUNT) -> list[CheckConstraint]:
    """Not negative, not beyond what the API may say; and on SQLite, which would take anything, whole numbers."""
    checks = []
    for column in columns:
        upper = f" AND {column} <= {most}" if most is not None else ""
        checks.append(CheckConstraint(f"{column} >= 0{upper}", name=column))
        whole = CheckConstraint(f"typeof({column}) = 'integer'", name=f"{column}_whole")
        checks.append(whole.ddl_if(dialect="sqlite"))
    return checks


def _sqlite_reference(columns: list[str], parent: list[Column[Any]]) -> ForeignKeyConstraint:
    """A foreign key on SQLite, and what ``references`` makes of it on PostgreSQL."""
    return ForeignKeyConstraint(columns, parent).ddl_if(dialect="sqlite")


projects = Table(
    "projects",
    metadata,
    Column("id", _Id, primary_key=True, comment="Number of the project in this database."),
    Column("workspace", Key, nullable=False, comment="URL id of the workspace."),
    Column("project", Key, nullable=False, comment="URL id of the project within its workspace."),
    Column("name", Text, comment="Name for people, from the workspace's list; NULL: the project was never discovered."),
    Column("batches", BigInteger, nullable=False, server_default="0", comment="Batches now, without removed ones."),
    Column(
        "images", BigInteger, nullable=False, server_default="0", comment="Images now not yet in a job, all batches."
    ),
    Column("num_jobs", BigInteger, nullable=False, server_default="0", comment="Annotation jobs now, all batches."),
    Column("observed_at", UTCDateTime, comment="Last observation applied; NULL: none yet."),
    Column(
        "written_at",
        UTCDateTime,
        comment="Kept by the sync: latest instant in the ledger or above; nothing older is applied.",
    ),
    Column("etag", Text, comment="Kept by the sync: ETag of the last answer that was applied whole."),
    Column("fingerprint", Text, comment="Kept by the sync: SHA-256 of the body of that answer."),
    Column("listed", BigInteger, comment="Kept by the sync: batches in that answer."),
    Column("missing_digest", Text, comment="Kept by the sync: SHA-256 of the ids that refused observations lacked."),
    Column(
        "missing_streak",
        Integer,
        nullable=False,
        server_default="0",
        comment="Kept by the sync: how many observations in a row lacked just those.",
    ),
    Column(
        "sent_us",
        BigInteger,
        comment="Kept by the sync: when the request behind written_at was sent, in microseconds of a clock that "
        "all who write share; tells which of two overlapping runs is the newer one.",
    ),
    UniqueConstraint("workspace", "project"),
    *_counts("batches", "images", "num_jobs", most=None),
    CheckConstraint("missing_streak >= 0", name="missing_streak"),
    CheckConstraint("observed_at IS NULL OR written_at >= observed_at", name="written_at"),
    comment="A project, its totals now, and what the sync keeps for itself.",
)

batches = Table(
    "batches",
    metadata,
    Column("project_id", BigInteger, nullable=False, comment="The project."),
    Column("batch_id", Key, nullable=False, comment="Roboflow's id of the batch, opaque."),
    Column("name", Text, comment="Name for people; NULL: never reported."),
    Column("uploaded_at", UTCDateTime, comment="When it was uploaded, by the API's word; NULL: never reported."),
    Column("images", BigInteger, nullable=False, comment="Images not yet in a job; of a removed batch the last known."),
    Column("num_jobs", BigInteger, nullable=False, comment="Annotation jobs; of a removed batch the last known."),
    Column("first_seen_at", UTCDateTime, nullable=False, comment="Observation that showed it first."),
    Column("changed_at", UTCDateTime, nullable=False, comment="Observation of its last change, removal included."),
    Column("removed_at", UTCDateTime, comment="Observation that lacked it; NULL: it exists."),
    PrimaryKeyConstraint("project_id", "batch_id"),
    _sqlite_reference(["project_id"], [projects.c.id]),
    *_counts("images", "num_jobs"),
    CheckConstraint("batch_id <> ''", name="batch_id"),
    CheckConstraint("changed_at >= first_seen_at", name="changed_at"),
    CheckConstraint("removed_at IS NULL OR removed_at = changed_at", name="removed_at"),
    # The whole of an unchanged project is read in the order of its ids: on SQLite that is the order on disk.
    sqlite_with_rowid=False,
    comment="The last known state of every batch ever seen.",
)
Index(
    "ix_batches_removed",
    batches.c.project_id,
    batches.c.batch_id,
    postgresql_where=batches.c.removed_at.is_not(None),
    sqlite_where=batches.c.removed_at.is_not(None),
)

_RUN_COUNTS = ("added", "changed", "removed", "restored", "rejected")

sync_runs = Table(
    "sync_runs",
    metadata,
    Column("id", _Id, primary_key=True, comment="Number of the run, rising with time."),
    Column("project_id", BigInteger, ForeignKey(projects.c.id), nullable=False, comment="The project."),
    Column("trigger", Text, nullable=False, comment="What started it: cli, schedule or worker."),
    Column("started_at", UTCDateTime, nullable=False, comment="By the clock of the machine that ran it."),
    Column("finished_at", UTCDateTime, comment="NULL: running, or killed and not yet found."),
    Column(
        "outcome",
        Text,
        nullable=False,
        comment="running, changed, unchanged, superseded, refused, failed or abandoned.",
    ),
    Column("attempts", Integer, nullable=False, server_default="0", comment="Tries of the list request."),
    Column("http_status", Integer, comment="Of the last answer to the list request; NULL: none came."),
    Column("response_bytes", BigInteger, comment="Body of the list request's answer, decompressed; NULL: none came."),
    Column("batches", BigInteger, comment="Valid batches in the answer, each counted once; NULL: none came."),
    *(
        Column(count, BigInteger, nullable=False, server_default="0", comment=f"{what}.")
        for count, what in zip(
            _RUN_COUNTS,
            ("Batches new", "Batches changed", "Batches gone", "Batches back again", "Records that broke the rules"),
            strict=True,
        )
    ),
    Column("images_delta", BigInteger, nullable=False, server_default="0", comment="Sum over its ledger rows."),
    Column("num_jobs_delta", BigInteger, nullable=False, server_default="0", comment="Sum over its ledger rows."),
    Column("error_kind", Text, comment="Why it failed, as one word; NULL: it did not."),
    Column("error", Text, comment="Why it failed, was refused or left something in doubt, for people."),
    _words("trigger", "cli", "schedule", "worker"),
    _words("outcome", "running", "changed", "unchanged", "superseded", "refused", "failed", "abandoned"),
    _words(
        "error_kind",
        "auth",
        "not_found",
        "rate_limited",
        "request",
        "server",
        "network",
        "timeout",
        "bad_response",
        "database",
    ),
    CheckConstraint("(outcome = 'running') = (finished_at IS NULL)", name="finished_at"),
    CheckConstraint("(outcome = 'failed') = (error_kind IS NOT NULL)", name="failed"),
    *_counts(*_RUN_COUNTS, most=None),
    comment="One attempt to observe one project, successful or not.",
)
Index("ix_sync_runs_project_id_id", sync_runs.c.project_id, sync_runs.c.id)
Index(
    "ix_sync_runs_running",
    sync_runs.c.id,
    postgresql_where=sync_runs.c.outcome == "running",
    sqlite_where=sync_runs.c.outcome == "running",
)
# A project that never fails has none of these, and its health would have to read all its runs to know that.
_BAD = sync_runs.c.outcome.in_(["failed", "refused", "abandoned"])
Index("ix_sync_runs_bad", sync_runs.c.project_id, sync_runs.c.id, postgresql_where=_BAD, sqlite_where=_BAD)
# Whether anybody looked at a project in some period is asked of these; what changed something is in the ledger.
Index(
    "ix_sync_runs_unchanged",
    sync_runs.c.project_id,
    sync_runs.c.started_at,
    postgresql_where=sync_runs.c.outcome == "unchanged",
    sqlite_where=sync_runs.c.outcome == "unchanged",
)

batch_changes = Table(
    "batch_changes",
    metadata,
    Column("id", _Id, primary_key=True, comment="Number of the change, rising."),
    Column("run_id", BigInteger, nullable=False, comment="The run that saw it."),
    Column("project_id", BigInteger, nullable=False, comment="The project."),
    Column("batch_id", Key, nullable=False, comment="The batch."),
    Column(
        "observed_after",
        UTCDateTime,
        comment="The project's observation before; NULL: this was its first. The change happened in between.",
    ),
    Column("observed_at", UTCDateTime, nullable=False, comment="When the request that showed it was sent."),
    Column("change", Text, nullable=False, comment="added, changed, removed or restored."),
    Column("images", BigInteger, nullable=False, comment="After the change; 0 when removed."),
    Column("num_jobs", BigInteger, nullable=False, comment="After the change; 0 when removed."),
    Column(
        "images_delta", BigInteger, nullable=False, comment="The sum over a batch is its images now, 0 once removed."
    ),
    Column(
        "num_jobs_delta", BigInteger, nullable=False, comment="The sum over a batch is its jobs now, 0 once removed."
    ),
    Column("name", Text, comment="The batch's name after the change; NULL: never reported."),
    UniqueConstraint("project_id", "batch_id", "observed_at"),
    _sqlite_reference(["run_id"], [sync_runs.c.id]),
    _sqlite_reference(["project_id", "batch_id"], [batches.c.project_id, batches.c.batch_id]),
    _words("change", "added", "changed", "removed", "restored"),
    *_counts("images", "num_jobs"),
    CheckConstraint("images >= images_delta AND num_jobs >= num_jobs_delta", name="before"),
    CheckConstraint("change <> 'removed' OR (images = 0 AND num_jobs = 0)", name="removed"),
    CheckConstraint(
        "change NOT IN ('added', 'restored') OR (images = images_delta AND num_jobs = num_jobs_delta)", name="appeared"
    ),
    CheckConstraint("observed_after < observed_at", name="observed_after"),
    comment="The ledger: every change of every batch, appended and never altered.",
)
Index("ix_batch_changes_project_id_observed_at", batch_changes.c.project_id, batch_changes.c.observed_at)
# For SQLite's foreign key, which looks here when a run is pruned. PostgreSQL's trigger needs to look only for runs that
# changed something, which are kept, and does without one of the ledger's indexes.
Index("ix_batch_changes_run_id", batch_changes.c.run_id).ddl_if(dialect="sqlite")

#: Column -> what it is, of a roll-up.
FLOWS = {
    "changes": "Ledger rows of the {unit}.",
    "batches_added": "Batches new or back again.",
    "batches_removed": "Batches gone.",
    "images_gained": "Sum of the positive image deltas.",
    "images_lost": "Sum of the negative image deltas, as a positive number.",
    "jobs_gained": "Sum of the positive job deltas.",
    "jobs_lost": "Sum of the negative job deltas, as a positive number.",
}


def _flows(unit: str) -> list[Column[int]]:
    comments = {name: comment.format(unit=unit) for name, comment in FLOWS.items()}
    return [Column(name, BigInteger, nullable=False, comment=comment) for name, comment in comments.items()]


project_daily = Table(
    "project_daily",
    metadata,
    Column("project_id", BigInteger, ForeignKey(projects.c.id), nullable=False, comment="The project."),
    Column("day", Date, nullable=False, comment="Day in UTC."),
    *_flows("day"),
    Column("batches", BigInteger, nullable=False, comment="Batches after the day's last change."),
    Column("images", BigInteger, nullable=False, comment="Images not yet in a job after the day's last change."),
    Column("num_jobs", BigInteger, nullable=False, comment="Annotation jobs after the day's last change."),
    PrimaryKeyConstraint("project_id", "day"),
    *_counts(*FLOWS, "batches", "images", "num_jobs", most=None),
    comment="A day of a project on which something changed.",
)

workspace_daily = Table(
    "workspace_daily",
    metadata,
    Column("workspace", Key, nullable=False, comment="URL id of the workspace."),
    Column("day", Date, nullable=False, comment="Day in UTC."),
    *_flows("day"),
    PrimaryKeyConstraint("workspace", "day"),
    sqlite_with_rowid=False,
    comment="Kept by triggers: the sums of project_daily over the projects of a workspace.",
)

project_observed = Table(
    "project_observed",
    metadata,
    Column("project_id", BigInteger, ForeignKey(projects.c.id), nullable=False, comment="The project."),
    Column("day", Date, nullable=False, comment="Day in UTC."),
    Column("am", BigInteger, nullable=False, comment="Bit n: observed in the n-th quarter of an hour from 00:00."),
    Column("pm", BigInteger, nullable=False, comment="Bit n: observed in the n-th quarter of an hour from 12:00."),
    PrimaryKeyConstraint("project_id", "day"),
    sqlite_with_rowid=False,
    comment="Kept by prune: when deleted runs that changed nothing had looked at a project.",
)
