"""The tables of annotation jobs and of the people who work on them."""

from datetime import datetime
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from rfsync.schema.base import Base, Id, Key, ProjectId, Small, counts, partial_index, sqlite_reference, words

_count = partial(mapped_column, sort_order=2)
_delta = partial(mapped_column, sort_order=3, comment="The sum over a job is its count now, 0 once removed.")


class Person(Base):
    """A labeler or a reviewer, once for the whole database; all else refers to the number."""

    __tablename__ = "people"

    id: Mapped[Id] = mapped_column(comment="Number of the person in this database, shown as person-N without address.")
    address: Mapped[str | None] = mapped_column(comment="Mail address as first seen; NULL: a pseudonym, or forgotten.")
    digest: Mapped[str] = mapped_column(
        comment="Kept by the sync: the address in lower case, by HMAC-SHA256 with the key in people_key; tells that a "
        "person is the same."
    )
    forgotten_at: Mapped[datetime | None] = mapped_column(
        comment="Kept by the sync: since when the address is never stored again; NULL: it may be."
    )

    __table_args__ = (
        sa.UniqueConstraint("digest"),
        sa.CheckConstraint("id > 0", name="id"),
        sa.CheckConstraint("address IS NULL OR forgotten_at IS NULL", name="forgotten"),
        {"comment": "A labeler or a reviewer, once for the whole database; all else refers to the number."},
    )


class PeopleKey(Base):
    """The key of the digests of people, one row, made when the first person is seen."""

    __tablename__ = "people_key"

    id: Mapped[Small] = mapped_column(primary_key=True, autoincrement=False, comment="Always 1.")
    secret: Mapped[str] = mapped_column(comment="Kept by the sync: 32 random bytes in hexadecimal.")
    mode: Mapped[str] = mapped_column(comment="Kept by the sync: [jobs] people as the last sync had it.")

    __table_args__ = (
        sa.CheckConstraint("id = 1", name="id"),
        words("mode", "address", "pseudonym"),
        {"comment": "Kept by the sync: the key of the digests of people, one row."},
    )


class _Counts:
    """The counts of a job; they need not add up."""

    num_images: Mapped[int] = _count(comment="Images in the job.")
    annotated: Mapped[int] = _count(comment="Images annotated.")
    unannotated: Mapped[int] = _count(comment="Images not annotated.")
    approved: Mapped[int] = _count(comment="Images approved.")
    rejected: Mapped[int] = _count(comment="Images rejected.")


#: The columns of ``_Counts``.
JOB_COUNTS = tuple(_Counts.__annotations__)


class Job(_Counts, Base):
    """The last known state of every job ever seen."""

    __tablename__ = "jobs"

    project_id: Mapped[int] = mapped_column(sort_order=1, comment="The project.")
    job_id: Mapped[Key] = mapped_column(sort_order=1, comment="Roboflow's id of the job, opaque.")
    batch_id: Mapped[Key | None] = mapped_column(
        sort_order=1, comment="Batch that its images are from, which need not be known; NULL: not said."
    )
    name: Mapped[str | None] = mapped_column(sort_order=1, comment="Name for people; NULL: never reported.")
    status: Mapped[str | None] = mapped_column(sort_order=1, comment="The API's word for it; NULL: never reported.")
    labeler_id: Mapped[int | None] = mapped_column(sort_order=1, comment="Who labels; NULL: nobody.")
    reviewer_id: Mapped[int | None] = mapped_column(sort_order=1, comment="Who reviews; NULL: nobody.")
    created_by: Mapped[str | None] = mapped_column(
        sort_order=1, comment="API, a user's id, or person-N; NULL: never reported."
    )
    created_at: Mapped[datetime | None] = mapped_column(
        sort_order=1, comment="When it was made, by the API's word; NULL: never reported."
    )
    first_seen_at: Mapped[datetime] = mapped_column(sort_order=3, comment="Observation that showed it first.")
    changed_at: Mapped[datetime] = mapped_column(
        sort_order=3, comment="Observation of its last change, removal included."
    )
    removed_at: Mapped[datetime | None] = mapped_column(
        sort_order=3, comment="Observation that lacked it; NULL: it exists."
    )
    unlisted_at: Mapped[datetime | None] = mapped_column(
        sort_order=3,
        comment="Since when it is not listed, though it answers by its id; NULL: it is listed, or removed.",
    )

    __table_args__ = (
        sa.PrimaryKeyConstraint("project_id", "job_id"),
        sqlite_reference(["project_id"], ["projects.id"]),
        sa.ForeignKeyConstraint(["labeler_id"], ["people.id"]),
        sa.ForeignKeyConstraint(["reviewer_id"], ["people.id"]),
        *counts(*JOB_COUNTS),
        sa.CheckConstraint("job_id <> ''", name="job_id"),
        sa.CheckConstraint("changed_at >= first_seen_at", name="changed_at"),
        sa.CheckConstraint("removed_at IS NULL OR removed_at = changed_at", name="removed_at"),
        partial_index("ix_jobs_removed", "project_id", "job_id", where="removed_at IS NOT NULL"),
        # A renamed project is known by its jobs, too: which other project has this one?
        sa.Index("ix_jobs_job_id", "job_id"),
        {"sqlite_with_rowid": False, "comment": "The last known state of every job ever seen."},
    )


class MissingJob(Base):
    """A job that the last job list lacked, kept by the sync."""

    __tablename__ = "missing_jobs"

    project_id: Mapped[ProjectId]
    job_id: Mapped[Key] = mapped_column(comment="The job.")
    missing_at: Mapped[datetime] = mapped_column(comment="Observation that lacked it first, applied or refused.")
    refusal: Mapped[Small] = mapped_column(
        server_default="0",
        comment="Which of the refused job lists in a row lacked it first, from 1; 0: it was an applied one.",
    )
    asked_at: Mapped[datetime | None] = mapped_column(
        comment="When an unlisted one last answered by its id, and any other was last asked for; NULL: never."
    )

    __table_args__ = (
        sa.PrimaryKeyConstraint("project_id", "job_id"),
        sa.CheckConstraint("refusal >= 0", name="refusal"),
        {"sqlite_with_rowid": False, "comment": "Kept by the sync: jobs that the last job list lacked."},
    )


_BEFORE = " AND ".join(f"{name} >= {name}_delta" for name in JOB_COUNTS)
_NONE = " AND ".join(f"{name} = 0" for name in JOB_COUNTS)
_ALL_NEW = " AND ".join(f"{name} = {name}_delta" for name in JOB_COUNTS)


class JobChange(_Counts, Base):
    """The ledger of jobs: every change of every job, appended and never altered."""

    __tablename__ = "job_changes"

    id: Mapped[Id] = mapped_column(sort_order=0, comment="Number of the change, rising.")
    run_id: Mapped[int] = mapped_column(sort_order=1, comment="The run that saw it.")
    project_id: Mapped[int] = mapped_column(sort_order=1, comment="The project.")
    job_id: Mapped[Key] = mapped_column(sort_order=1, comment="The job.")
    batch_id: Mapped[Key | None] = mapped_column(
        sort_order=1, comment="Batch that its images are from, after the change; NULL: not said."
    )
    observed_after: Mapped[datetime | None] = mapped_column(
        sort_order=1,
        comment="The last observation before that had the job list; NULL: there was none. The change happened in "
        "between.",
    )
    observed_at: Mapped[datetime] = mapped_column(
        sort_order=1, comment="When the request for the batch list of that observation was sent."
    )
    change: Mapped[str] = mapped_column(sort_order=1, comment="added, changed, removed or restored.")
    status: Mapped[str | None] = mapped_column(sort_order=1, comment="After the change; NULL: never reported.")
    labeler_id: Mapped[int | None] = mapped_column(sort_order=1, comment="After the change; NULL: nobody.")
    reviewer_id: Mapped[int | None] = mapped_column(sort_order=1, comment="After the change; NULL: nobody.")
    name: Mapped[str | None] = mapped_column(sort_order=1, comment="After the change; NULL: never reported.")
    num_images_delta: Mapped[int] = _delta()
    annotated_delta: Mapped[int] = _delta()
    unannotated_delta: Mapped[int] = _delta()
    approved_delta: Mapped[int] = _delta()
    rejected_delta: Mapped[int] = _delta()

    __table_args__ = (
        sa.UniqueConstraint("project_id", "job_id", "observed_at"),
        sqlite_reference(["run_id"], ["sync_runs.id"]),
        sqlite_reference(["project_id", "job_id"], ["jobs.project_id", "jobs.job_id"]),
        sa.ForeignKeyConstraint(["labeler_id"], ["people.id"]),
        sa.ForeignKeyConstraint(["reviewer_id"], ["people.id"]),
        words("change", "added", "changed", "removed", "restored"),
        *counts(*JOB_COUNTS),
        sa.CheckConstraint(_BEFORE, name="before"),
        sa.CheckConstraint(f"change <> 'removed' OR ({_NONE})", name="removed"),
        sa.CheckConstraint(f"change NOT IN ('added', 'restored') OR ({_ALL_NEW})", name="appeared"),
        sa.CheckConstraint("observed_after < observed_at", name="observed_after"),
        sa.Index("ix_job_changes_project_id_observed_at", "project_id", "observed_at"),
        sa.Index("ix_job_changes_run_id", "run_id").ddl_if(dialect="sqlite"),
        {"comment": "The ledger of jobs: every change of every job, appended and never altered."},
    )
