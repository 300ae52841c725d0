"""The simulation of one project's annotation jobs, hour by hour: who works on them, and how far they get."""

import random
from datetime import datetime, timedelta

from rfsync.simulator.job import Job, new_id
from rfsync.simulator.source import Record

_LABELERS = (
    "ann@example.com",
    "bo.larsen@example.com",
    "chidi@example.com",
    "dana.kowalska@example.com",
    "émile@example.com",
    "fatima@example.com",
    "goro.tanaka@example.com",
)
_REVIEWERS = ("rita@example.com", "sam@example.com", "tove@example.com")
#: Nobody gets a job while working on so many.
_MAX_OPEN = 4


class Labeling:
    """One project's annotation jobs and the people who work on them, determined by the random numbers.

    Uses only ``random()`` and ``randrange()``, as :class:`~rfsync.simulator.life.ProjectLife` does. Not thread-safe.
    """

    def __init__(self, rng: random.Random) -> None:
        """Starts with a few people and without jobs."""
        self._rng = rng
        self._project_id = new_id(rng)
        self._owner = new_id(rng)
        self._counts_reviewed = rng.random() < 0.6
        #: Labelers, and the images that each annotates in the busiest hour.
        self._paces = {address: 12 + 20 * rng.random() for address in self._choose(_LABELERS, 3 + rng.randrange(3))}
        self._reviewers = self._choose(_REVIEWERS, 1 + rng.randrange(2))
        self._listed: dict[str, Job] = {}
        self._unlisted: list[Job] = []

    def records(self) -> list[Record]:
        """The list of jobs in wire format, ordered by id."""
        return [self._record(self._listed[job_id]) for job_id in sorted(self._listed)]

    def record(self, job_id: str) -> Record | None:
        """A job in wire format: a listed one, or one that still answers by its id."""
        job = self._listed.get(job_id) or next((job for job in self._unlisted if job.id == job_id), None)
        return None if job is None else self._record(job)

    def hand_out(self, batch_id: str, name: str, images: int, at: datetime) -> Job:
        """Makes a job of images of a batch."""
        reviewed = self._chance(0.85)
        job = Job(
            id=new_id(self._rng),
            name=name,
            batch_id=batch_id,
            created=at,
            created_by="API" if self._chance(0.2) else self._owner,
            images=images,
            labeler=self._free_labeler(at),
            reviewer=self._reviewers[self._rng.randrange(len(self._reviewers))] if reviewed else None,
            rests_until=at + timedelta(days=5 + 30 * self._rng.random()) if self._chance(0.05) else at,
            unannotated=images,
        )
        self._listed[job.id] = job
        return job

    def delete(self, job: Job) -> None:
        """Deletes a job, listed or not: its address answers 404."""
        self._listed.pop(job.id, None)
        self._unlisted = [other for other in self._unlisted if other is not job]

    def live_hour(self, busy: float, end: datetime) -> None:
        """Simulates an hour.

        Args:
            busy: the activity in it, relative to the busiest hour; 0 when nobody works.
            end: its end, UTC.
        """
        if busy:
            in_review = [job for job in self._listed.values() if job.status == "review"]
            self._annotate(busy, end)
            for job in in_review:
                if self._chance(0.5):
                    self._review(job, busy, end)
        self._leave(end)

    def _annotate(self, busy: float, end: datetime) -> None:
        """Everyone works on the oldest of their jobs; who has none may take one that is nobody's."""
        oldest: dict[str, Job] = {}
        for job in self._listed.values():
            if job.status == "assigned" and job.rests_until <= end:
                oldest.setdefault(job.labeler or "", job)
        for address, pace in self._paces.items():
            if address not in oldest:
                if "" in oldest and self._chance(0.3 * busy):
                    oldest.pop("").labeler = address
            elif self._chance(0.01 * busy):
                oldest[address].labeler = self._free_labeler(end)
            elif self._chance(0.8):
                self._work(oldest[address], pace * busy, end)

    def _work(self, job: Job, images: float, end: datetime) -> None:
        count = int(images * (0.5 + self._rng.random()) + self._rng.random())
        if self._chance(0.04):
            job.undo(1 + self._rng.randrange(3))
        else:
            job.annotate(count, skipped=int(count > 3 and self._chance(0.1)))
        if not job.unannotated and not job.rejected:
            if job.reviewer:
                job.status = "review"
            else:
                self._complete(job, end)

    def _review(self, job: Job, busy: float, end: datetime) -> None:
        count = min(job.waiting, 1 + int(60 * busy * self._rng.random()))
        # Mostly few, sometimes many.
        share = 0.3 * self._rng.random() * self._rng.random()
        rejected = min(count, int(count * share + self._rng.random()))
        job.review(count - rejected, rejected)
        if not job.waiting:
            if job.rejected:
                job.status = "assigned"
            else:
                self._complete(job, end)

    def _complete(self, job: Job, at: datetime) -> None:
        job.status = "complete"
        job.leaves_at = at + timedelta(days=2 + 8 * self._rng.random())

    def _leave(self, now: datetime) -> None:
        """Takes at most one finished job an hour off the list, as it is with batches."""
        self._unlisted = [job for job in self._unlisted if job.gone_at is None or job.gone_at > now]
        for job in self._listed.values():
            if job.leaves_at is not None and job.leaves_at <= now:
                del self._listed[job.id]
                # Some still answer by their ids, for a time: so many that are asked for daily stay few.
                if self._chance(0.4):
                    job.gone_at = now + timedelta(days=1 + 6 * self._rng.random())
                    self._unlisted.append(job)
                return

    def _free_labeler(self, now: datetime) -> str | None:
        """One who has time for another job; at times nobody, which the API writes in two ways."""
        have = [job.labeler for job in self._listed.values() if job.status == "assigned" and job.rests_until <= now]
        free = [address for address in self._paces if have.count(address) < _MAX_OPEN]
        if not free or self._chance(0.1):
            return None if self._chance(0.5) else ""
        return free[self._rng.randrange(len(free))]

    def _choose(self, people: tuple[str, ...], count: int) -> list[str]:
        rest = list(people)
        return [rest.pop(self._rng.randrange(len(rest))) for _ in range(count)]

    def _chance(self, probability: float) -> bool:
        return self._rng.random() < probability

    def _record(self, job: Job) -> Record:
        return job.record(self._project_id, self._owner, counts_reviewed=self._counts_reviewed)
