"""Jobs that a rig syncs, and a plain model of what the ledger has of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from rig import Rig

from rfsync.errors import ErrorKind, FetchError

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

    def kept(self, before: Seen | None) -> Seen:
        """With what is known already where this does not say it."""
        old = before or self
        return self._replace(
            batch=self.batch or old.batch, status=self.status or old.status, name=self.name or old.name
        )

    def record(self, job_id: str) -> dict[str, object]:
        """As the API writes it."""
        counts = dict(zip(("numImages", *COUNTS[1:]), self.counts(), strict=True))
        created = {} if self.created is None else {"created": {"_seconds": int(self.created.timestamp())}}
        batch = None if self.batch is None else f"internal/{self.batch}"
        people = {"labeler": self.labeler, "reviewer": self.reviewer}
        return {
            "id": job_id,
            "name": self.name,
            "status": self.status,
            "sourceBatch": batch,
            **people,
            **counts,
            **created,
        }


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

    #: The jobs that exist, and all that ever did, as last known.
    now: dict[str, Seen] = field(default_factory=dict)
    ever: dict[str, Seen] = field(default_factory=dict)
    #: Each observation, with what was there.
    looks: list[tuple[datetime, dict[str, Seen]]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


class Jobs:
    """Syncs a rig's project with its jobs, and keeps what follows from them."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        rig.sync_jobs = True
        self.known: dict[tuple[str, str], Known] = {}

    def sync(self, jobs: dict[str, Seen] | None, *, minutes: float = 0) -> None:
        """One run that finds these jobs; None: their list can't be read."""
        self.rig.jobs = FetchError(ErrorKind.SERVER, "no list of jobs", http_status=500, attempts=1)
        if jobs is not None:
            known = self.known.setdefault((self.rig.workspace, self.rig.project), Known())
            jobs = {job_id: seen.kept(known.ever.get(job_id)) for job_id, seen in sorted(jobs.items())}
            self.rig.jobs = [seen.record(job_id) for job_id, seen in jobs.items()]
        result = self.rig.sync(minutes=minutes, allow_removals=True)
        assert result.ok
        assert result.jobs_failed is (jobs is None)
        if jobs is not None:
            self._observe(known, jobs)

    def _observe(self, known: Known, jobs: dict[str, Seen]) -> None:
        since = known.looks[-1][0] if known.looks else None
        for job_id in sorted(known.now.keys() | jobs.keys()):
            old, new = known.now.get(job_id), jobs.get(job_id)
            if old != new:
                word = (
                    "removed" if new is None else "changed" if old else "restored" if job_id in known.ever else "added"
                )
                known.changes.append(Change(self.rig.now, job_id, word, known.ever.get(job_id), new, since))
        known.now, known.ever = jobs, {**known.ever, **jobs}
        known.looks.append((self.rig.now, jobs))
