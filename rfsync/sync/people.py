"""The people of reported jobs, as numbers."""

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import msgspec

from rfsync.api.answers import Reported
from rfsync.records import Batch, Job, Kind, Record, ReportedJob
from rfsync.redaction import hide_addresses


def addresses_of(records: Iterable[Reported]) -> set[str]:
    """All that names a person in these records."""
    return {address for record in records if isinstance(record, ReportedJob) for address in _addresses_of(record)}


def _addresses_of(job: ReportedJob) -> Iterator[str]:
    if job.labeler:
        yield job.labeler
    if job.reviewer:
        yield job.reviewer
    if job.created_by and _has_address(job.created_by):
        yield job.created_by


def _has_address(text: str) -> bool:
    """True for an address, and for a name with one beside it."""
    return hide_addresses(text) != text


def with_numbers(kind: Kind, records: Iterable[Reported], numbers: Mapping[str, int]) -> Iterable[Record]:
    """The records as the ledger compares them: batches as they are, jobs with the numbers of their people.

    Args:
        numbers: of the people, by ``addresses_of``; 0 is nobody.
    """
    if kind is Kind.BATCH:
        return cast("Iterable[Batch]", records)
    return (_job(job, numbers) for job in cast("Iterable[ReportedJob]", records))


def _job(job: ReportedJob, numbers: Mapping[str, int]) -> Job:
    values = msgspec.structs.asdict(job)
    created_by = job.created_by
    if created_by is not None and created_by in numbers and _has_address(created_by):
        values["created_by"] = f"person-{numbers[created_by]}"
    for name in ("labeler", "reviewer"):
        said = values.pop(name)
        values[f"{name}_id"] = None if said is None else numbers.get(said, 0)
    return Job(**values)
