"""The roll-ups: what the ledgers add up to, for questions that would have to read too much of them."""

from datetime import date, datetime
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from rfsync.schema.base import Base, Key, ProjectId, counts

_flow = partial(mapped_column, sort_order=2)
_work = partial(mapped_column, sort_order=4)


class BatchFlows:
    """Sums of what changed in batches over some time."""

    changes: Mapped[int] = _flow(comment="Ledger rows of the day.")
    batches_added: Mapped[int] = _flow(comment="Batches new or back again.")
    batches_removed: Mapped[int] = _flow(comment="Batches gone.")
    images_gained: Mapped[int] = _flow(comment="Sum of the positive image deltas.")
    images_lost: Mapped[int] = _flow(comment="Sum of the negative image deltas, as a positive number.")
    jobs_gained: Mapped[int] = _flow(comment="Sum of the positive job deltas.")
    jobs_lost: Mapped[int] = _flow(comment="Sum of the negative job deltas, as a positive number.")


#: The columns of ``BatchFlows``.
FLOWS = tuple(BatchFlows.__annotations__)


class LabelerFlows:
    """Sums of work over some time."""

    jobs_opened: Mapped[int] = _work(comment="Jobs added, or given to this labeler.")
    images_assigned: Mapped[int] = _work(comment="Images in those, and images by which others grew.")
    annotated_gained: Mapped[int] = _work(comment="Sum of the positive deltas of annotated, for the labeler after.")
    annotated_lost: Mapped[int] = _work(comment="Sum of the negative ones, as a positive number, for the one before.")
    approved_gained: Mapped[int] = _work(comment="Sum of the positive deltas of approved, for the labeler after.")
    approved_lost: Mapped[int] = _work(comment="Sum of the negative ones, as a positive number, for the one before.")
    rejected_gained: Mapped[int] = _work(comment="Sum of the positive deltas of rejected, for the labeler after.")
    rejected_lost: Mapped[int] = _work(comment="Sum of the negative ones, as a positive number, for the one before.")


#: The columns of ``LabelerFlows``.
LABELER_FLOWS = tuple(LabelerFlows.__annotations__)


class ProjectDay(BatchFlows, Base):
    """A day of a project on which something changed."""

    __tablename__ = "project_daily"

    project_id: Mapped[ProjectId] = mapped_column(sort_order=1)
    day: Mapped[date] = mapped_column(sort_order=1, comment="Day in UTC.")
    batches: Mapped[int] = mapped_column(sort_order=3, comment="Batches after the day's last change.")
    images: Mapped[int] = mapped_column(sort_order=3, comment="Images not yet in a job after the day's last change.")
    num_jobs: Mapped[int] = mapped_column(sort_order=3, comment="Annotation jobs after the day's last change.")

    __table_args__ = (
        sa.PrimaryKeyConstraint("project_id", "day"),
        *counts(*FLOWS, "batches", "images", "num_jobs", most=None),
        {"comment": "A day of a project on which something changed."},
    )


class WorkspaceDay(BatchFlows, Base):
    """The sums of ``project_daily`` over the projects of a workspace, kept by triggers."""

    __tablename__ = "workspace_daily"

    workspace: Mapped[Key] = mapped_column(sort_order=1, comment="URL id of the workspace.")
    day: Mapped[date] = mapped_column(sort_order=1, comment="Day in UTC.")

    __table_args__ = (
        sa.PrimaryKeyConstraint("workspace", "day"),
        {
            "sqlite_with_rowid": False,
            "comment": "Kept by triggers: the sums of project_daily over the projects of a workspace.",
        },
    )


class LabelerDay(LabelerFlows, Base):
    """A day on which something moved in the jobs of a labeler of a project."""

    __tablename__ = "labeler_daily"

    project_id: Mapped[ProjectId] = mapped_column(sort_order=1)
    day: Mapped[date] = mapped_column(sort_order=1, comment="Day in UTC.")
    labeler_id: Mapped[int] = mapped_column(sort_order=1, comment="Of people; 0: nobody.")

    __table_args__ = (
        sa.PrimaryKeyConstraint("project_id", "day", "labeler_id"),
        *counts(*LABELER_FLOWS, most=None),
        {"sqlite_with_rowid": False, "comment": "A day on which something moved in the jobs of a labeler."},
    )


class WorkspaceLabelerDay(LabelerFlows, Base):
    """The sums of ``labeler_daily`` over the projects of a workspace, kept by triggers."""

    __tablename__ = "workspace_labeler_daily"

    workspace: Mapped[Key] = mapped_column(sort_order=1, comment="URL id of the workspace.")
    day: Mapped[date] = mapped_column(sort_order=1, comment="Day in UTC.")
    labeler_id: Mapped[int] = mapped_column(sort_order=1, comment="Of people; 0: nobody.")

    __table_args__ = (
        sa.PrimaryKeyConstraint("workspace", "day", "labeler_id"),
        {
            "sqlite_with_rowid": False,
            "comment": "Kept by triggers: the sums of labeler_daily over the projects of a workspace.",
        },
    )


class WorkspaceQuarterHour(BatchFlows, LabelerFlows, Base):
    """A quarter of an hour in which something changed in the projects of a workspace.

    The days and hours of any time zone consist of such quarters.
    """

    __tablename__ = "workspace_quarter_hours"

    workspace: Mapped[Key] = mapped_column(sort_order=1, comment="URL id of the workspace.")
    start: Mapped[datetime] = mapped_column(sort_order=1, comment="Start of the quarter of an hour.")
    changes: Mapped[int] = _flow(comment="Ledger rows of batches.")
    jobs_opened: Mapped[int] = mapped_column(sort_order=4, comment="Jobs added, or given to another labeler.")

    __table_args__ = (
        sa.PrimaryKeyConstraint("workspace", "start"),
        {
            "sqlite_with_rowid": False,
            "comment": "Kept by the sync: what changed in a quarter of an hour in the projects of a workspace.",
        },
    )


class ProjectObserved(Base):
    """When deleted runs that changed nothing had observed a project, kept by prune."""

    __tablename__ = "project_observed"

    project_id: Mapped[ProjectId]
    day: Mapped[date] = mapped_column(comment="Day in UTC.")
    am: Mapped[int] = mapped_column(comment="Bit n: observed in the n-th quarter of an hour from 00:00.")
    pm: Mapped[int] = mapped_column(comment="Bit n: observed in the n-th quarter of an hour from 12:00.")
    jobs_am: Mapped[int] = mapped_column(server_default="0", comment="As am, of the runs that had the job list.")
    jobs_pm: Mapped[int] = mapped_column(server_default="0", comment="As pm, of the runs that had the job list.")

    __table_args__ = (
        sa.PrimaryKeyConstraint("project_id", "day"),
        {
            "sqlite_with_rowid": False,
            "comment": "Kept by prune: when deleted runs that changed nothing had observed a project.",
        },
    )
