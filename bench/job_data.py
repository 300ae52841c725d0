"""Seeded job lists like Roboflow's, and later versions of them. Shares no code with rfsync."""

import random
from typing import NamedTuple

from bench.data import FIRST_UPLOAD, LAST_UPLOAD, Batch, new_id

LABELERS = [f"labeler-{number:03}@example.com" for number in range(160)]
REVIEWERS = [f"reviewer-{number:02}@example.com" for number in range(40)]
#: Every project's internal id, which is not its URL id.
PROJECT = "PBq0rm2AbTfT5eKIhJcg"


class Job(NamedTuple):
    id: str
    batch: str
    created: int
    """Milliseconds since 1970, as of a batch."""
    status: str
    labeler: str
    reviewer: str
    num_images: int
    annotated: int
    unannotated: int
    approved: int
    rejected: int


class JobTotals(NamedTuple):
    """The totals of the jobs that every contender's database must have after a poll."""

    jobs: int
    num_images: int
    annotated: int
    unannotated: int
    approved: int
    rejected: int


def first_jobs(count: int, batches: list[Batch], seed: int) -> list[Job]:
    """A project's initial jobs, at any stage, sorted by id."""
    rng = random.Random(f"jobs {seed}")  # noqa: S311 - seeded on purpose
    jobs = [_new(rng, batches) for _ in range(count)]
    for _ in range(4):
        jobs = [_moved(job, rng) if rng.random() < 0.5 else job for job in jobs]
    return sorted(jobs)


def later_jobs(jobs: list[Job], batches: list[Batch], share: float, seed: str) -> list[Job]:
    """The project after `share` of its jobs changed: one in ten is new, of the others somebody worked on the images."""
    rng = random.Random(f"later jobs {seed}")  # noqa: S311 - seeded on purpose
    touched = round(len(jobs) * share)
    added = touched // 10
    after = list(jobs)
    for at in rng.sample(range(len(jobs)), touched - added):
        after[at] = _moved(after[at], rng)
    return sorted(after + [_new(rng, batches) for _ in range(added)])


def job_totals(projects: list[list[Job]]) -> JobTotals:
    every = [job for jobs in projects for job in jobs]
    return JobTotals(len(every), *(sum(getattr(job, name) for job in every) for name in JobTotals._fields[1:]))


def job_body(jobs: list[Job]) -> bytes:
    return b'{"jobs":[%s]}' % ",".join(map(_json, jobs)).encode()


def _new(rng: random.Random, batches: list[Batch]) -> Job:
    images, created = rng.randint(1, 200), rng.randrange(FIRST_UPLOAD, LAST_UPLOAD)
    people = rng.choice(LABELERS), rng.choice(REVIEWERS)
    return Job(new_id(rng), rng.choice(batches).id, created, "assigned", *people, images, 0, images, 0, 0)


def _moved(job: Job, rng: random.Random) -> Job:
    """The job after some annotation, some review and, one time in ten, with another labeler: it always differs."""
    annotated = _some(job.unannotated, rng)
    approved = _some(job.annotated, rng)
    rejected = rng.randint(0, job.annotated - approved)
    left = job.unannotated - annotated
    reviewed = job.approved + approved + job.rejected + rejected
    moved = job._replace(
        status="complete" if reviewed == job.num_images else "review" if not left else "assigned",
        labeler=rng.choice(LABELERS) if rng.random() < 0.1 else job.labeler,
        annotated=job.annotated + annotated - approved - rejected,
        unannotated=left,
        approved=job.approved + approved,
        rejected=job.rejected + rejected,
    )
    # A finished one gets another image.
    return moved if moved != job else job._replace(unannotated=job.unannotated + 1, num_images=job.num_images + 1)


def _some(images: int, rng: random.Random) -> int:
    """Of so many images; all of them one time in three, so that jobs end."""
    return images if rng.random() < 1 / 3 else rng.randint(0, images)


def _json(job: Job) -> str:
    """One record, with the documented fields in the documented order."""
    seconds, milliseconds = divmod(job.created, 1000)
    return (
        f'{{"id":"{job.id}","name":"Job of {job.id[:4]}","status":"{job.status}","numImages":{job.num_images},'
        f'"annotated":{job.annotated},"unannotated":{job.unannotated},"approved":{job.approved},'
        f'"rejected":{job.rejected},"labeler":"{job.labeler}","reviewer":"{job.reviewer}",'
        f'"sourceBatch":"{PROJECT}/{job.batch}","project":"{PROJECT}","owner":"oX9k2LmPq7RsTuVwYz31","createdBy":"API",'
        f'"instructionsText":"boxes","created":{{"_seconds":{seconds},"_nanoseconds":{milliseconds * 1_000_000}}}}}'
    )
