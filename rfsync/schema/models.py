"""The tables, once for both databases, as declarative classes; ``docs/database.md`` is generated from them.

They are public: ``select(Batch)`` on a session of your own reads what the sync keeps. Only rfsync writes.

The database itself refuses a wrong row as far as it can tell one: foreign keys, checks on every count and every set
of words, and a unique key that makes it impossible to write a change twice.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from rfsync.errors import ErrorKind
from rfsync.schema.base import Base, Id, Key, ProjectId, Small, counts, partial_index, sqlite_reference, words
from rfsync.schema.job_models import Job, JobChange, MissingJob, PeopleKey, Person
from rfsync.schema.rate_limit import RateLimit
from rfsync.schema.roll_up_models import (
    FLOWS,
    LABELER_FLOWS,
    LabelerDay,
    ProjectDay,
    ProjectObserved,
    WorkspaceDay,
    WorkspaceLabelerDay,
    WorkspaceQuarterHour,
)

__all__ = [
    "FLOWS",
    "LABELER_FLOWS",
    "Base",
    "Batch",
    "BatchChange",
    "Job",
    "JobChange",
    "LabelerDay",
    "MissingBatch",
    "MissingJob",
    "PeopleKey",
    "Person",
    "Project",
    "ProjectDay",
    "ProjectObserved",
    "ProjectRename",
    "RateLimit",
    "SyncRun",
    "WorkspaceDay",
    "WorkspaceLabelerDay",
    "WorkspaceQuarterHour",
    "metadata",
]

metadata = Base.metadata


class Project(Base):
    """A project, its totals now, and what the sync keeps for itself."""

    __tablename__ = "projects"

    id: Mapped[Id] = mapped_column(comment="Number of the project in this database.")
    workspace: Mapped[Key] = mapped_column(comment="URL id of the workspace.")
    project: Mapped[Key] = mapped_column(comment="URL id of the project within its workspace.")
    name: Mapped[str | None] = mapped_column(
        comment="Name for people, from the workspace's list; NULL: the project was never discovered."
    )
    batches: Mapped[int] = mapped_column(server_default="0", comment="Batches now, without removed ones.")
    images: Mapped[int] = mapped_column(server_default="0", comment="Images now not yet in a job, all batches.")
    num_jobs: Mapped[int] = mapped_column(server_default="0", comment="Annotation jobs now, all batches.")
    observed_at: Mapped[datetime | None] = mapped_column(comment="Last observation applied; NULL: none yet.")
    written_at: Mapped[datetime | None] = mapped_column(
        comment="Kept by the sync: latest instant in the ledger or above; nothing older is applied. NULL: none yet."
    )
    etag: Mapped[str | None] = mapped_column(
        comment="Kept by the sync: ETag of the last answer that was applied whole; NULL: there is none."
    )
    fingerprint: Mapped[str | None] = mapped_column(
        comment="Kept by the sync: SHA-256 of the body of that answer; NULL: there is none."
    )
    listed: Mapped[int | None] = mapped_column(comment="Kept by the sync: batches in that answer; NULL: there is none.")
    missing_streak: Mapped[Small] = mapped_column(
        server_default="0", comment="Kept by the sync: how many observations in a row were refused until now."
    )
    sent_us: Mapped[int | None] = mapped_column(
        comment="Kept by the sync: when the request behind written_at was sent, in microseconds of a clock that all "
        "writers share; tells which of two overlapping runs is the newer one. NULL: not known."
    )
    departed_at: Mapped[datetime | None] = mapped_column(
        comment="Observation that found it gone from its workspace; NULL: it exists."
    )
    missing: Mapped[int] = mapped_column(server_default="0", comment="Kept by the sync: its rows in missing_batches.")
    recheck_from: Mapped[datetime | None] = mapped_column(
        comment="Kept by the sync: when the unlisted batch that answered longest ago did; NULL: there is none."
    )
    jobs: Mapped[int] = mapped_column(server_default="0", comment="Kept by the sync: jobs now, without removed ones.")
    images_in_jobs: Mapped[int] = mapped_column(
        server_default="0", comment="Kept by the sync: sum of num_images over the jobs that exist."
    )
    annotated: Mapped[int] = mapped_column(server_default="0", comment="Kept by the sync: the sum over these jobs.")
    unannotated: Mapped[int] = mapped_column(server_default="0", comment="Kept by the sync: the sum over these jobs.")
    approved: Mapped[int] = mapped_column(server_default="0", comment="Kept by the sync: the sum over these jobs.")
    rejected: Mapped[int] = mapped_column(server_default="0", comment="Kept by the sync: the sum over these jobs.")
    jobs_observed_at: Mapped[datetime | None] = mapped_column(
        comment="Kept by the sync: last observation that had the job list; NULL: none yet."
    )
    jobs_sent_us: Mapped[int | None] = mapped_column(
        comment="Kept by the sync: as sent_us, of the request for the job list that was applied last."
    )
    jobs_etag: Mapped[str | None] = mapped_column(comment="Kept by the sync: as etag, of the job list.")
    jobs_fingerprint: Mapped[str | None] = mapped_column(comment="Kept by the sync: as fingerprint, of the job list.")
    jobs_listed: Mapped[int | None] = mapped_column(comment="Kept by the sync: jobs in that answer.")
    jobs_missing_streak: Mapped[Small] = mapped_column(
        server_default="0", comment="Kept by the sync: how many job lists in a row were refused until now."
    )
    jobs_missing: Mapped[int] = mapped_column(server_default="0", comment="Kept by the sync: its rows in missing_jobs.")
    jobs_recheck_from: Mapped[datetime | None] = mapped_column(
        comment="Kept by the sync: when the unlisted job that answered longest ago did; NULL: there is none."
    )
    jobs_error_kind: Mapped[str | None] = mapped_column(
        comment="Kept by the sync: why the job list was not applied when it was last asked for; NULL: it was."
    )
    jobs_asked_at: Mapped[datetime | None] = mapped_column(
        comment="Kept by the sync: when the key was told last that it may see no jobs; NULL: it was not."
    )
    jobs_key: Mapped[str | None] = mapped_column(comment="Kept by the sync: a digest of that key; NULL: there is none.")

    __table_args__ = (
        sa.UniqueConstraint("workspace", "project"),
        *counts("batches", "images", "num_jobs", most=None),
        sa.CheckConstraint("missing_streak >= 0", name="missing_streak"),
        sa.CheckConstraint("observed_at IS NULL OR written_at >= observed_at", name="written_at"),
        {"comment": "A project, its totals now, and what the sync keeps for itself."},
    )


class Batch(Base):
    """The last known state of every batch ever seen."""

    __tablename__ = "batches"

    project_id: Mapped[int] = mapped_column(comment="The project.")
    batch_id: Mapped[Key] = mapped_column(comment="Roboflow's id of the batch, opaque.")
    name: Mapped[str | None] = mapped_column(comment="Name for people; NULL: never reported.")
    uploaded_at: Mapped[datetime | None] = mapped_column(
        comment="When it was uploaded, by the API's word; NULL: never reported."
    )
    images: Mapped[int] = mapped_column(comment="Images not yet in a job; of a removed batch the last known.")
    num_jobs: Mapped[int] = mapped_column(comment="Annotation jobs; of a removed batch the last known.")
    first_seen_at: Mapped[datetime] = mapped_column(comment="Observation that showed it first.")
    changed_at: Mapped[datetime] = mapped_column(comment="Observation of its last change, removal included.")
    removed_at: Mapped[datetime | None] = mapped_column(comment="Observation that lacked it; NULL: it exists.")
    unlisted_at: Mapped[datetime | None] = mapped_column(
        comment="Since when it is not listed, though it answers by its id; NULL: it is listed, or removed."
    )

    __table_args__ = (
        sa.PrimaryKeyConstraint("project_id", "batch_id"),
        sqlite_reference(["project_id"], ["projects.id"]),
        *counts("images", "num_jobs"),
        sa.CheckConstraint("batch_id <> ''", name="batch_id"),
        sa.CheckConstraint("changed_at >= first_seen_at", name="changed_at"),
        sa.CheckConstraint("removed_at IS NULL OR removed_at = changed_at", name="removed_at"),
        partial_index("ix_batches_removed", "project_id", "batch_id", where="removed_at IS NOT NULL"),
        # A renamed project is known by its batches: which other project has this one?
        sa.Index("ix_batches_batch_id", "batch_id"),
        # An unchanged project is read whole and in the order of its ids: without a rowid that is the order on disk.
        {"sqlite_with_rowid": False, "comment": "The last known state of every batch ever seen."},
    )


class MissingBatch(Base):
    """A batch that the last observation lacked, kept by the sync."""

    __tablename__ = "missing_batches"

    project_id: Mapped[ProjectId]
    batch_id: Mapped[Key] = mapped_column(comment="The batch.")
    missing_at: Mapped[datetime] = mapped_column(comment="Observation that lacked it first, applied or refused.")
    refusal: Mapped[Small] = mapped_column(
        server_default="0",
        comment="Which of the refused observations in a row lacked it first, from 1; 0: it was an applied one.",
    )
    asked_at: Mapped[datetime | None] = mapped_column(
        comment="When an unlisted one last answered by its id, and any other was last asked for; NULL: never."
    )

    __table_args__ = (
        sa.PrimaryKeyConstraint("project_id", "batch_id"),
        sa.CheckConstraint("refusal >= 0", name="refusal"),
        {
            "sqlite_with_rowid": False,
            "comment": "Kept by the sync: batches that the last observation lacked.",
        },
    )


class ProjectRename(Base):
    """An id that a project had before."""

    __tablename__ = "project_renames"

    project_id: Mapped[ProjectId]
    workspace: Mapped[Key] = mapped_column(comment="URL id of the workspace until then.")
    project: Mapped[Key] = mapped_column(comment="URL id of the project until then.")
    renamed_at: Mapped[datetime] = mapped_column(comment="When the new id was found, or given by hand.")

    __table_args__ = (
        sa.PrimaryKeyConstraint("workspace", "project", "renamed_at"),
        sa.Index("ix_project_renames_project_id", "project_id"),
        {"comment": "An id that a project had before."},
    )


class SyncRun(Base):
    """One attempt to observe one project, successful or not."""

    __tablename__ = "sync_runs"

    id: Mapped[Id] = mapped_column(comment="Number of the run, rising with time.")
    project_id: Mapped[ProjectId]
    trigger: Mapped[str] = mapped_column(comment="What started it: cli, schedule or worker.")
    started_at: Mapped[datetime] = mapped_column(comment="By the clock of the machine that ran it.")
    finished_at: Mapped[datetime | None] = mapped_column(comment="NULL: running, or killed and not yet found.")
    outcome: Mapped[str] = mapped_column(
        comment="running, changed, unchanged, superseded, refused, failed or abandoned."
    )
    attempts: Mapped[Small] = mapped_column(server_default="0", comment="Tries of the list request.")
    http_status: Mapped[Small | None] = mapped_column(
        comment="Of the last answer to the list request; NULL: none came."
    )
    response_bytes: Mapped[int | None] = mapped_column(
        comment="Body of the list request's answer, decompressed; NULL: none came."
    )
    batches: Mapped[int | None] = mapped_column(
        comment="Valid batches in the answer, each counted once; NULL: none came."
    )
    added: Mapped[int] = mapped_column(server_default="0", comment="Batches new.")
    changed: Mapped[int] = mapped_column(server_default="0", comment="Batches changed.")
    removed: Mapped[int] = mapped_column(server_default="0", comment="Batches gone.")
    restored: Mapped[int] = mapped_column(server_default="0", comment="Batches back again.")
    rejected: Mapped[int] = mapped_column(server_default="0", comment="Records that broke the rules, of both lists.")
    images_delta: Mapped[int] = mapped_column(server_default="0", comment="Sum over its ledger rows.")
    num_jobs_delta: Mapped[int] = mapped_column(server_default="0", comment="Sum over its ledger rows.")
    error_kind: Mapped[str | None] = mapped_column(comment="Why it failed, as one word; NULL: it did not.")
    error: Mapped[str | None] = mapped_column(
        comment="Why it failed, was refused or left something in doubt, for people; NULL: none of these."
    )
    jobs: Mapped[int | None] = mapped_column(
        comment="Valid jobs in the answer, each counted once; NULL: no job list was applied."
    )
    jobs_changed: Mapped[int] = mapped_column(server_default="0", comment="Its rows in job_changes.")
    jobs_error_kind: Mapped[str | None] = mapped_column(
        comment="Why the job list was not applied, as one word; NULL: it was, or was not asked for."
    )
    jobs_error: Mapped[str | None] = mapped_column(
        comment="Why the job list was not applied or left something in doubt, for people; NULL: none of these."
    )
    lease_expires_at: Mapped[datetime | None] = mapped_column(
        comment="Kept by the sync: until when a running run counts as alive, by the server's clock; its process renews "
        "it. NULL: it has no lease, as on SQLite, where a lock on a file tells."
    )

    __table_args__ = (
        words("trigger", "cli", "schedule", "worker"),
        words("outcome", "running", "changed", "unchanged", "superseded", "refused", "failed", "abandoned"),
        words("error_kind", *ErrorKind),
        sa.CheckConstraint("(outcome = 'running') = (finished_at IS NULL)", name="finished_at"),
        sa.CheckConstraint("(outcome = 'failed') = (error_kind IS NOT NULL)", name="failed"),
        *counts("added", "changed", "removed", "restored", "rejected", most=None),
        sa.Index("ix_sync_runs_project_id_id", "project_id", "id"),
        partial_index("ix_sync_runs_running", "id", where="outcome = 'running'"),
        # Without it, the health of a project that never fails would have to read all its runs.
        partial_index("ix_sync_runs_bad", "project_id", "id", where="outcome IN ('failed', 'refused', 'abandoned')"),
        # Tells whether a project was observed in some period: what changed something is in the ledger, the rest here.
        partial_index("ix_sync_runs_unchanged", "project_id", "started_at", where="outcome = 'unchanged'"),
        {"comment": "One attempt to observe one project, successful or not."},
    )


class BatchChange(Base):
    """The ledger: every change of every batch, appended and never altered."""

    __tablename__ = "batch_changes"

    id: Mapped[Id] = mapped_column(comment="Number of the change, rising.")
    run_id: Mapped[int] = mapped_column(comment="The run that saw it.")
    project_id: Mapped[int] = mapped_column(comment="The project.")
    batch_id: Mapped[Key] = mapped_column(comment="The batch.")
    observed_after: Mapped[datetime | None] = mapped_column(
        comment="The project's observation before; NULL: this was its first. The change happened in between."
    )
    observed_at: Mapped[datetime] = mapped_column(comment="When the request that showed it was sent.")
    change: Mapped[str] = mapped_column(comment="added, changed, removed or restored.")
    images: Mapped[int] = mapped_column(comment="After the change; 0 when removed.")
    num_jobs: Mapped[int] = mapped_column(comment="After the change; 0 when removed.")
    images_delta: Mapped[int] = mapped_column(comment="The sum over a batch is its images now, 0 once removed.")
    num_jobs_delta: Mapped[int] = mapped_column(comment="The sum over a batch is its jobs now, 0 once removed.")
    name: Mapped[str | None] = mapped_column(comment="The batch's name after the change; NULL: never reported.")

    __table_args__ = (
        sa.UniqueConstraint("project_id", "batch_id", "observed_at"),
        sqlite_reference(["run_id"], ["sync_runs.id"]),
        sqlite_reference(["project_id", "batch_id"], ["batches.project_id", "batches.batch_id"]),
        words("change", "added", "changed", "removed", "restored"),
        *counts("images", "num_jobs"),
        sa.CheckConstraint("images >= images_delta AND num_jobs >= num_jobs_delta", name="before"),
        sa.CheckConstraint("change <> 'removed' OR (images = 0 AND num_jobs = 0)", name="removed"),
        sa.CheckConstraint(
            "change NOT IN ('added', 'restored') OR (images = images_delta AND num_jobs = num_jobs_delta)",
            name="appeared",
        ),
        sa.CheckConstraint("observed_after < observed_at", name="observed_after"),
        sa.Index("ix_batch_changes_project_id_observed_at", "project_id", "observed_at"),
        # For SQLite's foreign key, which looks here when a run is pruned. PostgreSQL's trigger looks only for runs that
        # changed something, which are kept, and does without this index.
        sa.Index("ix_batch_changes_run_id", "run_id").ddl_if(dialect="sqlite"),
        {"comment": "The ledger: every change of every batch, appended and never altered."},
    )
