"""The people of reported jobs, as numbers."""

from collections.abc import Iterable, Mapping
from typing import cast

from rfsync.api.answers import Reported
from rfsync.records import Batch, Job, Kind, Record, ReportedJob
from rfsync.redaction import has_address


def addresses_of(records: Iterable[Reported]) -> set[str]:
    """All that names a person in these records."""
    jobs = [record for record in records if isinstance(record, ReportedJob)]
    people = {job.labeler for job in jobs} | {job.reviewer for job in jobs}
    creators = {job.created_by for job in jobs}  # few are different
    return {name for name in people if name} | {name for name in creators if name and has_address(name)}


def with_numbers(kind: Kind, records: Iterable[Reported], numbers: Mapping[str, int]) -> Iterable[Record]:
    """The records as the ledger compares them: batches as they are, jobs with the numbers of their people.

    Args:
        numbers: of the people, by ``addresses_of``; 0 is nobody.
    """
    if kind is Kind.BATCH:
        return cast("Iterable[Batch]", records)
    return (_job(job, numbers) for job in cast("Iterable[ReportedJob]", records))


def _job(job: ReportedJob, numbers: Mapping[str, int]) -> Job:
    labeler, reviewer, created_by = job.labeler, job.reviewer, job.created_by
    if created_by is not None and created_by in numbers and has_address(created_by):
        created_by = f"person-{numbers[created_by]}"
    return Job(
        job.id, job.batch_id, job.name, job.status,
        None if labeler is None else numbers.get(labeler, 0), None if reviewer is None else numbers.get(reviewer, 0),
        created_by, job.created_us, job.num_images, job.annotated, job.unannotated, job.approved, job.rejected,
    )  # fmt: skip
