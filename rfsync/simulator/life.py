"""The simulation of one project, hour by hour: what people and cameras do to its batches.

The events follow Roboflow's documentation on managing batches
(https://docs.roboflow.com/datasets/manage/manage-datasets/manage-batches): images wait in a batch until they are
assigned; assigning some of them may move the others into a new batch; merged batches end up in the largest one, and
the emptied ones disappear; a deleted batch is gone for good; images of a job can be moved back to unassigned.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from rfsync.simulator.job import Job, new_id, timestamp
from rfsync.simulator.labeling import Labeling
from rfsync.simulator.source import Record

#: Activity in each hour of a working day (UTC), relative to the busiest hour.
_DAY = (0, 0, 0, 0, 0, 0, 0.05, 0.2, 0.6, 1, 1, 0.9, 0.4, 0.8, 1, 0.9, 0.7, 0.4, 0.2, 0.1, 0.1, 0.05, 0, 0)
_WEEKEND = 0.08  # relative to a working day
_SATURDAY = 5

_NAMES = (
    "line 3, night shift",
    "returns from Kraków",
    "Größe M, Kamera 2",
    "検品 ライン4",
    "blurred, look again",
    "edge cases",
    "second supplier",
    "after the lens change",
)

#: No batch is deleted or dropped from the list if fewer than this would be left.
_MIN_BATCHES = 5
#: Minimum time between two deletions, so at most three or four a week.
_BETWEEN_DELETIONS = timedelta(hours=48)
#: Number of dropped batches that may return to the list.
_MAX_DROPPED = 40


@dataclass(slots=True)
class Batch:
    """A batch in its workspace."""

    #: Opaque: 20 letters and digits, as a document store generates them.
    id: str
    name: str
    uploaded: datetime
    #: Not yet in a job.
    images: int
    #: Made of its images, finished ones too.
    jobs: list[Job] = field(default_factory=list)
    #: Time at which it is dropped from the list for being empty; None while it has images.
    dropped_at: datetime | None = None

    def record(self) -> Record:
        """The batch in wire format."""
        return {
            "name": self.name,
            "numJobs": len(self.jobs),
            "images": self.images,
            "uploaded": timestamp(self.uploaded),
            "id": self.id,
        }


class ProjectLife:
    """One project's batches and jobs, determined by the seed, the start and the number of simulated hours.

    Uses only ``random()`` and ``randrange()``, whose sequences are the same in all Python versions. Not thread-safe:
    the world holds a lock.
    """

    def __init__(self, seed: str, start: datetime) -> None:
        """Starts with a few batches from the weeks before ``start`` (UTC), and no jobs."""
        # Seeded with a string, which gives the same sequence in every process and Python version.
        self._rng = rng = random.Random(seed)  # noqa: S311
        #: The project's annotation jobs.
        self.labeling = Labeling(random.Random(f"{seed}/jobs"))  # noqa: S311
        self._pace = 0.7 + 0.6 * rng.random()
        self._batches: dict[str, Batch] = {}
        self._dropped: list[Batch] = []
        self._api_batch = ""
        self._deleted_at = start
        #: All images in the project, assigned or not.
        self.images = 0
        self.created = start - timedelta(days=30)
        self.updated = start
        for _ in range(8 + rng.randrange(8)):
            at = self.created + timedelta(days=30 * rng.random())
            self._upload(at)

    def records(self) -> list[Record]:
        """The list of batches in wire format, ordered by id."""
        return [self._batches[batch_id].record() for batch_id in sorted(self._batches)]

    def record(self, batch_id: str, *, unlisted: bool = False) -> Record | None:
        """A batch of the list in wire format, or None.

        Args:
            unlisted: one that was dropped from the list for being empty, too.
        """
        batch = self._batches.get(batch_id)
        if batch is None and unlisted:
            batch = next((dropped for dropped in self._dropped if dropped.id == batch_id), None)
        return None if batch is None else batch.record()

    @property
    def unannotated(self) -> int:
        """Number of images not yet in a job."""
        return sum(batch.images for batch in self._batches.values())

    def live_hour(self, begin: datetime) -> None:
        """Simulates the hour that begins at ``begin`` (UTC)."""
        at = begin + timedelta(milliseconds=self._rng.randrange(3_600_000))
        busy = _DAY[begin.hour] * (_WEEKEND if begin.weekday() >= _SATURDAY else 1) * self._pace
        if self._chance(0.3 * busy):
            self._upload(at)
        # Cameras upload at night and at the weekend as well.
        if self._chance(0.15):
            self._upload_by_api(at)
        # The longer the queue, the more likely an assignment: this keeps the list from growing forever.
        if self._chance(min(0.95, 0.012 * len(self._open())) * busy):
            self._assign(at)
        if self._chance(0.05 * busy):
            self._cancel(at)
        if self._chance(0.05 * busy):
            self._merge(at)
        if self._chance(0.05 * busy):
            self._rename(at)
        if self._chance(0.03 * busy):
            self._return_dropped(at)
        # At most one batch per hour disappears, so that a poll every few hours misses only a few.
        if not (self._chance(0.05 * busy) and self._delete(at)):
            self._drop_empty(begin + timedelta(hours=1))
        self.labeling.live_hour(busy, begin + timedelta(hours=1))

    def _chance(self, probability: float) -> bool:
        return self._rng.random() < probability

    def _open(self) -> list[Batch]:
        return [batch for batch in self._batches.values() if batch.images > 0]

    def _pick(self, batches: Sequence[Batch]) -> Batch | None:
        return batches[self._rng.randrange(len(batches))] if batches else None

    def _new(self, at: datetime, name: str, images: int) -> Batch:
        batch = Batch(new_id(self._rng), name, at, images)
        self._batches[batch.id] = batch
        self.updated = at
        return batch

    def _set_images(self, batch: Batch, images: int, at: datetime) -> None:
        batch.images = images
        batch.dropped_at = None if images else at + timedelta(hours=2 + 94 * self._rng.random())
        self.updated = at

    def _upload(self, at: datetime) -> None:
        # Many small uploads and a few large ones.
        images = 4 + int(700 * self._rng.random() * self._rng.random() * self._rng.random())
        hour = f"{(at.hour + 11) % 12 + 1}:{at.minute:02} {'am' if at.hour < 12 else 'pm'}"
        self._new(at, f"Uploaded on {at.month:02}/{at.day:02}/{at.year % 100:02} at {hour}", images)
        self.images += images

    def _upload_by_api(self, at: datetime) -> None:
        images = 1 + self._rng.randrange(12)
        batch = self._batches.get(self._api_batch)
        if batch is None or self._chance(0.05):
            batch = self._new(at, "Upload via API", 0)
            self._api_batch = batch.id
        self._set_images(batch, batch.images + images, at)
        self.images += images

    def _assign(self, at: datetime) -> None:
        batch = self._pick(self._open())
        if batch is None:
            return
        kind = self._rng.random()
        job = batch.images
        if kind > 0.4 and batch.images > 10:
            job = int(batch.images * (0.2 + 0.6 * self._rng.random()))
        rest = batch.images - job
        batch.jobs.append(self.labeling.hand_out(batch.id, batch.name, job, at))
        if rest and kind > 0.85:
            self._new(at, batch.name, rest)
            rest = 0
        self._set_images(batch, rest, at)

    def _cancel(self, at: datetime) -> None:
        batch = self._pick([batch for batch in self._batches.values() if batch.jobs])
        if batch is not None:
            self._set_images(batch, batch.images + self._delete_job(batch), at)

    def _delete_job(self, batch: Batch) -> int:
        """Deletes the last job of a batch, even a finished one, and returns the number of images that it frees."""
        job = batch.jobs.pop()
        self.labeling.delete(job)
        return job.images

    def _merge(self, at: datetime) -> None:
        choice = self._open()
        if len(choice) < 2:
            return
        count = min(len(choice), 2 + self._rng.randrange(2))
        merged = [choice.pop(self._rng.randrange(len(choice))) for _ in range(count)]
        target = max(merged, key=lambda batch: batch.images)
        total = sum(batch.images for batch in merged)
        for batch in merged:
            self._set_images(batch, total if batch is target else 0, at)

    def _rename(self, at: datetime) -> None:
        batch = self._pick(self._open())
        if batch is not None:
            batch.name = f"{_NAMES[self._rng.randrange(len(_NAMES))]} #{self._rng.randrange(1, 1000)}"
            self.updated = at

    def _return_dropped(self, at: datetime) -> None:
        # Only a batch with a job has images that can be moved back.
        batch = self._pick([batch for batch in self._dropped if batch.jobs])
        if batch is not None:
            self._dropped.remove(batch)
            self._batches[batch.id] = batch
            self._set_images(batch, self._delete_job(batch), at)

    def _delete(self, at: datetime) -> bool:
        choice = self._open()
        if len(choice) <= _MIN_BATCHES or at - self._deleted_at < _BETWEEN_DELETIONS:
            return False
        batch = choice[self._rng.randrange(len(choice))]
        del self._batches[batch.id]
        self.images -= batch.images
        self._deleted_at = self.updated = at
        return True

    def _drop_empty(self, now: datetime) -> None:
        if len(self._batches) <= _MIN_BATCHES:
            return
        for batch in self._batches.values():
            if batch.dropped_at is not None and batch.dropped_at <= now:
                del self._batches[batch.id]
                self._dropped = [*self._dropped, batch][-_MAX_DROPPED:]
                return
