"""The rows of the queries about where images are, and where they went: immutable, as those of ``job_rows``."""

from datetime import datetime
from typing import NamedTuple


class PlacesRow(NamedTuple):
    """Where the images of a project, or of all projects as one, were at the end of a period; see ``image_places``.

    Attributes:
        workspace: URL id of the workspace; None: all projects as one, of several workspaces.
        project: URL id of the project; None: all projects as one.
        period: start of the period in the calendar, even if ``since`` is later.
        unassigned: images in no job; None: the project had not been observed by then.
        unannotated: images in a job and not annotated; None, as all that follow: its jobs had not been read by then.
        annotated: images annotated, and neither approved nor rejected.
        approved, rejected: images approved and rejected.
        observed: True if the jobs were read in the period.
        complete: True if the period is over and lies wholly between ``since`` and ``until``.
    """

    workspace: str | None
    project: str | None
    period: datetime
    unassigned: int | None
    unannotated: int | None
    annotated: int | None
    approved: int | None
    rejected: int | None
    observed: bool
    complete: bool


class RemovedJobsRow(NamedTuple):
    """The jobs of a project that were removed in some time, and where their images were before.

    Attributes:
        workspace, project: URL ids of the workspace and project.
        jobs: number of jobs.
        unannotated: their images that were not annotated.
        annotated: those that were annotated, and neither approved nor rejected.
        approved, rejected: those that were approved and rejected.
    """

    workspace: str
    project: str
    jobs: int
    unannotated: int
    annotated: int
    approved: int
    rejected: int


class JobPlacesRow(NamedTuple):
    """Where the images in the jobs of a project are now; see ``image_places``.

    Attributes:
        workspace, project: URL ids of the workspace and project.
        unannotated: images not annotated.
        annotated: images annotated, and neither approved nor rejected.
        approved, rejected: images approved and rejected.
    """

    workspace: str
    project: str
    unannotated: int
    annotated: int
    approved: int
    rejected: int


class OpenJobRow(NamedTuple):
    """A job that is not done, and how far it is; the four counts by state add up to ``num_images``.

    Attributes:
        workspace, project: URL ids of its workspace and project.
        job_id: its id in the API.
        batch_id: batch that its images are from; None: not said.
        name: its name; None: never reported.
        status: the API's word for its state; None: never reported.
        labeler, reviewer: who labels and who reviews; None: nobody.
        num_images: images in the job.
        unannotated: images not annotated.
        annotated: images annotated, and neither approved nor rejected.
        approved, rejected: images approved and rejected.
        opened_at: when it was created or, if that is unknown, the observation that showed it first.
        changed_at: time of the observation of its last change.
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
    unannotated: int
    annotated: int
    approved: int
    rejected: int
    opened_at: datetime
    changed_at: datetime


class StageRow(NamedTuple):
    """A batch, and when it got so far.

    Attributes:
        workspace, project: URL ids of its workspace and project.
        batch_id: its id in the API.
        name: its name; None: never reported.
        began_at: its upload or, if that is unknown, the observation that showed it first.
        first_job_at: when its first job was created or, if that is unknown, the observation that showed it; None: it
            has none, or had it already when the jobs were first read.
        first_annotated_at: the observation that showed the first annotated image in its jobs; None, likewise.
        last_approved_at: the observation that showed the last approved image in its jobs; None, likewise.
        first_job_seconds, first_annotated_seconds, last_approved_seconds: seconds from ``began_at`` to these.
    """

    workspace: str
    project: str
    batch_id: str
    name: str | None
    began_at: datetime
    first_job_at: datetime | None
    first_annotated_at: datetime | None
    last_approved_at: datetime | None
    first_job_seconds: float | None
    first_annotated_seconds: float | None
    last_approved_seconds: float | None


class FallRow(NamedTuple):
    """Where images of a batch went when its count fell; all rows of one fall add up to ``images_lost``.

    Attributes:
        workspace, project: URL ids of its workspace and project.
        batch_id: the batch's id in the API.
        name: its name; None: never reported.
        observed_after, observed_at: the two observations between which it fell.
        images_lost: by how much.
        into: ``job``, ``batch``, ``removed`` (with the batch, which was removed), or ``unexplained``.
        into_id: id of the job or batch; None: neither.
        into_name: its name; None: never reported, or neither.
        images: images that went there. Less than 0, of what is unexplained: jobs took more than the batch lost, so that
            it must have gained others meanwhile.
        jobs_observed: True if the jobs were read in that observation. If not, jobs can explain nothing.
    """

    workspace: str
    project: str
    batch_id: str
    name: str | None
    observed_after: datetime
    observed_at: datetime
    images_lost: int
    into: str
    into_id: str | None
    into_name: str | None
    images: int
    jobs_observed: bool
