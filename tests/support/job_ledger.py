"""Jobs written as the sync writes them, from a plain comparison of two observations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

from rig import Rig
from sqlalchemy import Connection, delete, insert, select, update

from rfsync.schema.models import Job, JobChange, LabelerDay, Person, Project, SyncRun

COUNTS = ("num_images", "annotated", "unannotated", "approved", "rejected")
FLOWS = (
    *("jobs_opened", "images_assigned", "annotated_gained", "annotated_lost"),
    *("approved_gained", "approved_lost", "rejected_gained", "rejected_lost"),
)


class Seen(NamedTuple):
    """A job as one observation shows it."""

    batch: str | None = "b1"
    labeler: str | None = None
    num_images: int = 0
    annotated: int = 0
    unannotated: int = 0
    approved: int = 0
    rejected: int = 0
    status: str | None = "assigned"
    name: str | None = "a job"
    reviewer: str | None = None
    created: datetime | None = None

    def counts(self) -> tuple[int, ...]:
        """In the order of ``COUNTS``."""
        return self[2:7]


class Change(NamedTuple):
    """A difference between two observations of a project."""

    at: datetime
    job_id: str
    word: str
    #: As it was; of a restored one before its removal. None: it was never there.
    before: Seen | None
    #: None: it is gone.
    after: Seen | None
    #: The observation before; None: there was none.
    since: datetime | None

    def flows(self) -> Iterator[tuple[str | None, str, int]]:
        """What it moved: labeler, one of ``FLOWS``, number."""
        if self.after is None or self.since is None:
            return
        old = self.before or Seen()
        if self.before is None or old.labeler != self.after.labeler:
            yield self.after.labeler, "jobs_opened", 1
            yield self.after.labeler, "images_assigned", self.after.num_images
        else:
            yield self.after.labeler, "images_assigned", max(self.after.num_images - old.num_images, 0)
        for name in ("annotated", "approved", "rejected"):
            delta = getattr(self.after, name) - getattr(old, name)
            yield self.after.labeler, f"{name}_gained", max(delta, 0)
            yield old.labeler, f"{name}_lost", max(-delta, 0)


@dataclass
class Known:
    """What was observed of a project's jobs."""

    id: int
    #: The jobs that exist, and all that ever did, as last known.
    now: dict[str, Seen] = field(default_factory=dict)
    ever: dict[str, Seen] = field(default_factory=dict)
    #: Each observation, with what was there.
    looks: list[tuple[datetime, dict[str, Seen]]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    days: defaultdict[tuple[date, str | None], dict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: dict.fromkeys(FLOWS, 0))
    )


class Jobs:
    """Writes the jobs of a rig's project, each time after a sync of its batches, for the same observation."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.known: dict[tuple[str, str], Known] = {}
        self._people: dict[str | None, int | None] = {None: None}

    def observe(self, jobs: dict[str, Seen]) -> None:
        """The last run had these jobs."""
        rig, of_project = self.rig, (self.rig.workspace, self.rig.project)
        with rig.database.begin("testing") as connection:
            where = (Project.workspace == rig.workspace) & (Project.project == rig.project)
            project = connection.scalar(select(Project.id).where(where))
            assert project is not None
            newest = select(SyncRun.id).where(SyncRun.project_id == project).order_by(SyncRun.id.desc()).limit(1)
            run = connection.scalar(newest)
            known = self.known.setdefault(of_project, Known(project))
            changes = list(self._changes(known, jobs))
            for change in changes:
                self._write(connection, known, change, run)
            outcome = {"outcome": "changed"} if changes else {}
            ran = {"jobs": len(jobs), "jobs_changed": len(changes), **outcome}
            connection.execute(update(SyncRun).where(SyncRun.id == run).values(**ran))
            connection.execute(update(Project).where(Project.id == project).values(jobs_observed_at=rig.now))
            self._roll_up(connection, known, changes)
        known.now, known.ever = dict(jobs), {**known.ever, **jobs}
        known.looks.append((rig.now, dict(jobs)))
        known.changes += changes

    def _changes(self, known: Known, jobs: dict[str, Seen]) -> Iterator[Change]:
        since = known.looks[-1][0] if known.looks else None
        for job_id in sorted(known.now.keys() | jobs.keys()):
            old, new = known.now.get(job_id), jobs.get(job_id)
            if old != new:
                word = (
                    "removed" if new is None else "changed" if old else "restored" if job_id in known.ever else "added"
                )
                yield Change(self.rig.now, job_id, word, known.ever.get(job_id), new, since)

    def _write(self, connection: Connection, known: Known, change: Change, run: int | None) -> None:
        shown = change.after or change.before
        assert shown is not None
        state = {
            "batch_id": shown.batch, "status": shown.status, "name": shown.name,
            "labeler_id": self._person(connection, shown.labeler),
            "reviewer_id": self._person(connection, shown.reviewer),
        }  # fmt: skip
        after = change.after.counts() if change.after else (0,) * 5
        before = known.now[change.job_id].counts() if change.job_id in known.now else (0,) * 5
        deltas = {f"{name}_delta": a - b for name, a, b in zip(COUNTS, after, before, strict=True)}
        key = {"project_id": known.id, "job_id": change.job_id}
        last: dict[str, Any] = {
            **state, **dict(zip(COUNTS, shown.counts(), strict=True)), "created_at": shown.created,
            "changed_at": change.at, "removed_at": None if change.after else change.at,
        }  # fmt: skip
        if change.word == "added":
            connection.execute(insert(Job).values(**key, **last, first_seen_at=change.at))
        else:
            connection.execute(update(Job).filter_by(**key).values(**last))
        row = {"run_id": run, "observed_after": change.since, "observed_at": change.at, "change": change.word}
        counts = dict(zip(COUNTS, after, strict=True))
        connection.execute(insert(JobChange).values(**key, **row, **state, **counts, **deltas))

    def _person(self, connection: Connection, name: str | None) -> int | None:
        if name not in self._people:
            number = self._people[name] = len(self._people)
            connection.execute(insert(Person).values(id=number, address=name, digest=f"digest of {name}"))
        return self._people[name]

    def _roll_up(self, connection: Connection, known: Known, changes: list[Change]) -> None:
        day = self.rig.now.date()
        for labeler, name, number in (flow for change in changes for flow in change.flows()):
            known.days[day, labeler][name] += number
        connection.execute(delete(LabelerDay).filter_by(project_id=known.id, day=day))
        for (of_day, labeler), sums in known.days.items():
            if of_day == day and any(sums.values()):
                number = self._person(connection, labeler) or 0
                connection.execute(insert(LabelerDay).values(project_id=known.id, day=day, labeler_id=number, **sums))
