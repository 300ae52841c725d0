"""The annotation jobs of a simulated world: the changes and runs of each day, and what is left at the end.

Shares no code with rfsync. On weekdays each project is observed four times; the jobs of the large one change ten times
as often as those of the others.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bench.data import ID_CHARACTERS
from bench.world import Project, Size, World

CHANGE_COLUMNS = (
    "run_id", "project_id", "job_id", "batch_id", "observed_after", "observed_at", "change", "status", "labeler_id",
    "reviewer_id", "name", "num_images", "annotated", "unannotated", "approved", "rejected", "num_images_delta",
    "annotated_delta", "unannotated_delta", "approved_delta", "rejected_delta",
)  # fmt: skip
RUN_COLUMNS = (
    "id", "project_id", "started_at", "finished_at", "outcome", "batches", "jobs", "jobs_changed", "trigger",
    "attempts", "http_status", "response_bytes",
)  # fmt: skip
JOB_COLUMNS = (
    "project_id", "job_id", "batch_id", "name", "status", "labeler_id", "reviewer_id", "created_by", "created_at",
    "num_images", "annotated", "unannotated", "approved", "rejected", "first_seen_at", "changed_at", "removed_at",
)  # fmt: skip
DAY_COLUMNS = (
    "project_id", "day", "labeler_id", "jobs_opened", "images_assigned", "annotated_gained", "annotated_lost",
    "approved_gained", "approved_lost", "rejected_gained", "rejected_lost",
)  # fmt: skip
WORK_COLUMNS = DAY_COLUMNS[3:]
#: People in the database, and labelers of each project.
PEOPLE, TEAM = 300, 12
#: Hours at which jobs are observed; batches are at full minutes, jobs half a minute later.
HOURS = (8, 11, 14, 17)
#: Times as many changes in the large project.
LARGE = 10
#: Runs of jobs are numbered from here.
FIRST_RUN = 1_000_000_000
#: Numbers of a job's counts.
IMAGES, ANNOTATED, UNANNOTATED, APPROVED, REJECTED = range(5)


class Job:
    """A job's present state."""

    __slots__ = ("batch", "changed", "counts", "first", "id", "labeler", "removed", "status")

    def __init__(self, job_id: str, batch: str, labeler: int, images: int, at: str) -> None:
        self.id, self.batch, self.labeler, self.first, self.changed = job_id, batch, labeler, at, at
        self.status, self.removed = "assigned", False
        self.counts = [images, 0, images, 0, 0]


class Observed(NamedTuple):
    """A project's jobs at the end."""

    jobs: list[Job]
    #: The last observation.
    at: str

    @property
    def totals(self) -> tuple[int, ...]:
        """Their number, and the sums of their counts."""
        there = [job.counts for job in self.jobs if not job.removed]
        return (len(there), *(map(sum, zip(*there, strict=True)) if there else (0,) * 5))


class JobWorld:
    """All jobs, simulated once from the first day to the last, after the world of batches has ended."""

    def __init__(self, world: World) -> None:
        self.size: Size = world.size
        self._rng = random.Random(world.size.jobs)  # noqa: S311 - seeded on purpose
        self._projects, self._large = world.projects, world.large
        self._open: dict[int, list[Job]] = {project.number: [] for project in world.projects}
        self._every: dict[int, list[Job]] = {project.number: [] for project in world.projects}
        self._last: dict[int, str] = {}
        self._runs = FIRST_RUN
        #: Project, day, labeler -> the sums.
        self.days_of_labelers: defaultdict[tuple[int, str, int], list[int]] = defaultdict(lambda: [0] * 8)
        #: Workspace, start of a quarter of an hour -> the sums.
        self.quarter_hours: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * 8)

    def days(self) -> Iterator[tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]]:
        """Changes and runs of each day, in the order of time."""
        size = self.size
        dates = [size.first + timedelta(days=n) for n in range(1, size.days)]
        dates = [date for date in dates if date.weekday() < 5]
        each = size.jobs / (len(dates) * len(HOURS) * (len(self._projects) + LARGE - 1))
        for date in dates:
            changes: list[tuple[Any, ...]] = []
            runs: list[tuple[Any, ...]] = []
            for hour in HOURS:
                for project in self._projects:
                    number = int(each * (LARGE if project.number == self._large else 1) + self._rng.random())
                    if number or project.number not in self._last:
                        self._observe(project, date + timedelta(hours=hour, seconds=30), number, changes, runs)
            yield changes, runs

    def ended(self, project: Project) -> Observed:
        """What is left of a project."""
        return Observed(sorted(self._every[project.number], key=lambda job: job.id), self._last[project.number])

    def _observe(
        self, project: Project, date: datetime, number: int, changes: list[tuple[Any, ...]], runs: list[tuple[Any, ...]]
    ) -> None:
        self._runs += 1
        at = date + timedelta(milliseconds=100 * project.number)
        written, after = f"{at:%Y-%m-%d %H:%M:%S.%f}", self._last.get(project.number)
        touched: set[str] = set()
        changes += (
            (self._runs, project.number, *self._change(project, written, after, touched)) for _ in range(number)
        )
        self._last[project.number] = written
        finished = f"{at + timedelta(milliseconds=400):%Y-%m-%d %H:%M:%S.%f}"
        there = len(self._open[project.number])
        outcome = "changed" if number else "unchanged"
        runs.append((
            self._runs, project.number, written, finished, outcome, 0, there, number, "schedule", 1, 200, 100,
        ))  # fmt: skip

    def _change(self, project: Project, at: str, after: str | None, touched: set[str]) -> tuple[Any, ...]:
        """Change a job, or make one; the columns of its row from ``job_id`` on."""
        rng, present = self._rng, self._open[project.number]
        job = present[int(rng.random() * len(present))] if present and rng.random() > 0.06 else None
        change, flows = "changed", [0] * 8
        if job is None or job.id in touched:
            job, change = self._make(project, at), "added"
            flows[:2] = 1, job.counts[IMAGES]
            before, former = [0] * 5, 0
        else:
            before, former = list(job.counts), job.labeler
            change = self._progress(project, job, flows)
        touched.add(job.id)
        job.changed = at
        counts = [0] * 5 if change == "removed" else job.counts
        deltas = [now - then for now, then in zip(counts, before, strict=True)]
        if after is not None and change != "removed":
            self._add_up(project, at, job.labeler, former, deltas, flows)
        return (
            job.id, job.batch, after, at, change, job.status, job.labeler, None, f"job {job.id[:4]}", *counts, *deltas,
        )  # fmt: skip

    def _make(self, project: Project, at: str) -> Job:
        rng = self._rng
        labeler = 1 + (project.number * 7 + int(rng.random() * TEAM)) % PEOPLE
        batch = project.ids[int(rng.random() * len(project.ids))]
        job = Job("".join(rng.choices(ID_CHARACTERS, k=20)), batch, labeler, rng.randint(20, 200), at)
        self._open[project.number].append(job)
        self._every[project.number].append(job)
        return job

    def _progress(self, project: Project, job: Job, flows: list[int]) -> str:
        rng, counts = self._rng, job.counts
        if job.status == "complete":
            job.removed = True
            self._open[project.number].remove(job)
            return "removed"
        if rng.random() < 0.02:
            other = 1 + (project.number * 7 + int(rng.random() * TEAM)) % PEOPLE
            if other != job.labeler:
                job.labeler = other
                flows[:2] = 1, counts[IMAGES]
                return "changed"
        step = rng.randint(1, 1 + counts[IMAGES] // 5)
        if counts[ANNOTATED] < counts[IMAGES]:
            counts[ANNOTATED] = min(counts[IMAGES], counts[ANNOTATED] + step)
            counts[UNANNOTATED] = counts[IMAGES] - counts[ANNOTATED]
        elif counts[REJECTED] == 0 and rng.random() < 0.1:
            counts[REJECTED] = min(step, counts[IMAGES] - counts[APPROVED])
            counts[ANNOTATED] -= counts[REJECTED]
        else:
            counts[APPROVED] = min(counts[IMAGES], counts[APPROVED] + step)
            counts[REJECTED] = 0
        if counts[APPROVED] == counts[IMAGES]:
            job.status = "complete"
        return "changed"

    def _add_up(
        self, project: Project, at: str, labeler: int, former: int, deltas: list[int], flows: list[int]
    ) -> None:
        lost = [0] * 8
        for column, count in ((2, ANNOTATED), (4, APPROVED), (6, REJECTED)):
            if deltas[count] > 0:
                flows[column] = deltas[count]
            elif deltas[count] < 0:
                lost[column + 1] = -deltas[count]
        day, quarter = at[:10], f"{at[:14]}{int(at[14:16]) // 15 * 15:02}:00.000000"
        for person, moved in ((labeler, flows), (former, lost)):
            if not any(moved):
                continue
            for sums in (
                self.days_of_labelers[project.number, day, person],
                self.quarter_hours[project.workspace, quarter],
            ):
                for column, flow in enumerate(moved):
                    sums[column] += flow
