"""The rows of the queries about annotation jobs: immutable, with the fields that the command line prints.

Fields are described in docstrings, so that ``help()`` shows them. A labeler or reviewer is a mail address, or
``person-N`` where that is not stored; None is nobody.
"""

from datetime import datetime
from typing import NamedTuple


class JobRow(NamedTuple):
    """An annotation job at a moment.

    Attributes:
        workspace, project: URL ids of its workspace and project.
        job_id: its id in the API.
        batch_id: batch that its images are from; None: not said.
        name: its name then; None: never reported.
        status: the API's word for its state then; None: never reported.
        labeler, reviewer: who labels and who reviews; None: nobody.
        num_images: images in the job.
        annotated, unannotated, approved, rejected: images by state, as the API counts them; they need not add up.
        created_at: as last reported by the API, also for a moment in the past; None: never reported.
        first_seen_at: time of the observation that showed it first.
        changed_at: time of the observation of its last change until that moment.
    """

    workspace: str
    project: str
    job_id: str
    batch_id: str | None
    name: str | None
    status: str | None
    labeler: str | None
    reviewer: str | None
    num_images: int
    annotated: int
    unannotated: int
    approved: int
    rejected: int
    created_at: datetime | None
    first_seen_at: datetime
    changed_at: datetime


class JobVersionRow(NamedTuple):
    """One version of one job.

    Attributes:
        workspace, project: URL ids of the job's workspace and project.
        job_id: its id in the API.
        batch_id: batch that its images are from; None: not said.
        valid_from: time of the observation that showed this version.
        valid_to: time of the observation that showed the next one, or the removal; None: it is still valid.
        name: None: never reported.
        status: the API's word for its state; None: never reported.
        labeler, reviewer: who labels and who reviews; None: nobody.
        num_images: images in the job.
        annotated, unannotated, approved, rejected: images by state, as the API counts them; they need not add up.
        change: what began it: ``added``, ``changed`` or ``restored``.
    """

    workspace: str
    project: str
    job_id: str
    batch_id: str | None
    valid_from: datetime
    valid_to: datetime | None
    name: str | None
    status: str | None
    labeler: str | None
    reviewer: str | None
    num_images: int
    annotated: int
    unannotated: int
    approved: int
    rejected: int
    change: str


class JobChangeRow(NamedTuple):
    """A row of the ledger of jobs: one change of one job.

    Attributes:
        workspace, project: URL ids of the job's workspace and project.
        id: number of the change, in the order of writing.
        run_id: number of the run that observed it.
        project_id: number of the project.
        job_id: the job's id in the API.
        batch_id: batch that its images are from, after the change; None: not said.
        observed_after: the change happened after this observation of the jobs; None: it was in the project's first.
        observed_at: the change happened until this observation, which showed it.
        change: ``added``, ``changed``, ``removed`` or ``restored``.
        status: the API's word for its state after the change, of a removed one as last known; None: never reported.
        labeler_id, reviewer_id: numbers of ``labeler`` and ``reviewer`` in ``people``.
        name: its name after the change; None: never reported.
        num_images, annotated, unannotated, approved, rejected: images after the change; 0 when removed.
        num_images_delta, annotated_delta, unannotated_delta, approved_delta, rejected_delta: by how much they changed.
        labeler, reviewer: who labels and who reviews after the change; None: nobody.
    """

    workspace: str
    project: str
    id: int
    run_id: int
    project_id: int
    job_id: str
    batch_id: str | None
    observed_after: datetime | None
    observed_at: datetime
    change: str
    status: str | None
    labeler_id: int | None
    reviewer_id: int | None
    name: str | None
    num_images: int
    annotated: int
    unannotated: int
    approved: int
    rejected: int
    num_images_delta: int
    annotated_delta: int
    unannotated_delta: int
    approved_delta: int
    rejected_delta: int
    labeler: str | None
    reviewer: str | None


class ProgressRow(NamedTuple):
    """A batch, and where its images are now.

    Attributes:
        workspace, project: URL ids of its workspace and project.
        batch_id: its id in the API; None: the jobs that name no batch.
        name: its name; None: never reported, or the batch is not known.
        images: images not yet in a job; 0 where only jobs name the batch.
        in_jobs: images in its jobs.
        annotated, approved, rejected: images by state in its jobs, as the API counts them.
        total: ``images`` and ``in_jobs``.
    """

    workspace: str
    project: str
    batch_id: str | None
    name: str | None
    images: int
    in_jobs: int
    annotated: int
    approved: int
    rejected: int
    total: int


class WorkRow(NamedTuple):
    """What was done in a period in a project, or in all projects as one; by everybody, or by one labeler.

    Attributes:
        workspace: URL id of the workspace; None: all projects as one, of several workspaces.
        project: URL id of the project; None: all projects as one.
        labeler: who labels; None: nobody, or everybody where labelers are not told apart.
        period: start of the period in the calendar, even if ``since`` is later.
        jobs_opened: jobs added, or given to this labeler.
        images_assigned: images in those, and images by which others grew.
        annotated_gained, approved_gained, rejected_gained: sums of the positive deltas, for the labeler after a change.
        annotated_lost, approved_lost, rejected_lost: sums of the negative deltas, as positive numbers, for the labeler
            before it. What a removed job takes along is not lost.
        observed: True if the jobs were read in the period. If not, what was done in it is unknown.
        complete: True if the period is over and lies wholly between ``since`` and ``until``.
    """

    workspace: str | None
    project: str | None
    labeler: str | None
    period: datetime
    jobs_opened: int
    images_assigned: int
    annotated_gained: int
    annotated_lost: int
    approved_gained: int
    approved_lost: int
    rejected_gained: int
    rejected_lost: int
    observed: bool
    complete: bool


class LabelerRow(NamedTuple):
    """What a labeler did between two moments, in all of the projects.

    Attributes:
        labeler: who labels; None: nobody.
        jobs_opened: jobs added, or given to this labeler.
        images_assigned: images in those, and images by which others grew.
        annotated_gained, approved_gained, rejected_gained: sums of the positive deltas, for the labeler after a change.
        annotated_lost, approved_lost, rejected_lost: sums of the negative deltas, as positive numbers, for the labeler
            before it.
    """

    labeler: str | None
    jobs_opened: int
    images_assigned: int
    annotated_gained: int
    annotated_lost: int
    approved_gained: int
    approved_lost: int
    rejected_gained: int
    rejected_lost: int
