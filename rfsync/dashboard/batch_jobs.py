"""The annotation jobs of one batch, and where its images are."""

from typing import NamedTuple

from sqlalchemy import Engine

from rfsync.dashboard.view import Batch
from rfsync.errors import ConfigError
from rfsync.history.place_rows import OpenJobRow
from rfsync.history.places import places_of
from rfsync.history.query import Query
from rfsync.schema.views import PERSON


class BatchJobs(NamedTuple):
    """What is known of a batch's jobs now."""

    #: Open or not, the latest first.
    jobs: list[OpenJobRow]
    #: Images of the batch by the fields of ``charts.PLACES``.
    places: dict[str, int]


def batch_jobs(engine: Engine, batch: Batch) -> BatchJobs | None:
    """Reads the jobs of a batch; None if the jobs of its project were never read.

    Raises:
        DatabaseError: the database can't be read.
    """
    try:
        query = Query(engine, batch.project)
    except ConfigError:
        return None
    query.values["batch_id"] = batch.batch_id
    batches = "LEFT JOIN batches b ON b.project_id = w.id AND b.batch_id = :batch_id"
    source = f"FROM scope p JOIN projects w ON w.id = p.id {batches} WHERE w.jobs_observed_at IS NOT NULL"
    found = list(query.rows("reading a batch", f"SELECT coalesce(b.images, 0) {source}", tuple))
    if not found:
        return None
    placed = places_of("j")
    people = "LEFT JOIN people l ON l.id = j.labeler_id LEFT JOIN people r ON r.id = j.reviewer_id"
    source = f"FROM scope p CROSS JOIN jobs j {people} WHERE j.project_id = p.id AND j.batch_id = :batch_id"
    sql = f"""
SELECT p.workspace, p.project, j.job_id, j.batch_id, j.name, j.status, {PERSON.format("l")}, {PERSON.format("r")},
    j.num_images, {", ".join(placed.values())}, coalesce(j.created_at, j.first_seen_at) AS opened_at, j.changed_at
{source} AND j.removed_at IS NULL ORDER BY opened_at DESC, j.job_id"""
    jobs = list(query.rows("reading the jobs of a batch", sql, OpenJobRow._make, times=(13, 14)))
    sums = {field: sum(getattr(job, field) for job in jobs) for field in placed}
    return BatchJobs(jobs, {"unassigned": found[0][0], **sums})
