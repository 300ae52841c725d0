"""Why annotation jobs are not in the database, or not up to date, and what it would take."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import Engine

from rfsync.errors import ErrorKind
from rfsync.history.query import Query, Targets

#: What the API answers where a key may not see jobs.
_DENIED: Final = {ErrorKind.AUTH, ErrorKind.NOT_FOUND}


class JobListRow(NamedTuple):
    """Whether the jobs of a project are known.

    Attributes:
        observed: True if its batches were ever observed.
        jobs_observed_at: last observation that had its jobs; None: none yet.
        jobs_error_kind: why they were not applied when last asked for; None: they were, or were never asked for.
    """

    observed: bool
    jobs_observed_at: datetime | None
    jobs_error_kind: str | None


def job_lists(engine: Engine, targets: Targets = None) -> list[JobListRow]:
    """Whether the jobs of each project are known.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    sql = """
SELECT CASE WHEN w.observed_at IS NULL THEN 0 ELSE 1 END, w.jobs_observed_at, w.jobs_error_kind
FROM scope p JOIN projects w ON w.id = p.id"""
    rows = Query(engine, targets).rows("looking for jobs", sql, JobListRow._make, times=(1,))
    return [row._replace(observed=row.observed == 1) for row in rows]


def why_no_jobs(engine: Engine, targets: Targets = None, *, is_off: bool = False) -> str | None:
    """One sentence for people; None if the jobs of one of the projects were read, or there is no project.

    Args:
        is_off: jobs are not asked for any more, as ``[jobs] sync`` says.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    rows = job_lists(engine, targets)
    if not rows or any(row.jobs_observed_at is not None for row in rows):
        return None
    return jobs_off(rows) if is_off else _why_none(rows)


def jobs_off(rows: Sequence[JobListRow]) -> str:
    """What ``[jobs] sync = false`` means for what is shown of the jobs of projects, for people."""
    last = max((row.jobs_observed_at for row in rows if row.jobs_observed_at is not None), default=None)
    if last is None:
        return "annotation jobs are not asked for: [jobs] sync is false"
    at = f"{last:%Y-%m-%d %H:%M:%S} UTC"
    return f"annotation jobs were last observed at {at}: they are not asked for, [jobs] sync is false"


def missing_jobs(rows: Sequence[JobListRow], *, is_off: bool = False) -> str:
    """Which of the projects that were observed have no jobs, or old ones, and why, for people; empty: none has.

    Args:
        is_off: jobs are not asked for any more, as ``[jobs] sync`` says.
    """
    if is_off:
        return _sentence(jobs_off(rows))
    observed = [row for row in rows if row.observed]
    unknown = [row for row in observed if row.jobs_observed_at is None]
    if not unknown:
        sentences = []
    elif len(unknown) == len(observed):
        sentences = [_sentence(_why_none(unknown))]
    else:
        sentences = [f"Without the jobs of {len(unknown):,} of {len(observed):,} projects: {_why_none(unknown)}."]
    kinds = [row.jobs_error_kind for row in observed if row.jobs_error_kind and row.jobs_observed_at is not None]
    if kinds:
        projects = "1 project" if len(kinds) == 1 else f"{len(kinds):,} projects"
        listed = ", ".join(sorted(set(kinds)))
        sentences.append(f"The jobs of {projects} are out of date: the last list could not be read ({listed}).")
    return " ".join(sentences)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _why_none(rows: Sequence[JobListRow]) -> str:
    """Why the jobs of none of the projects were read."""
    kinds = sorted({row.jobs_error_kind for row in rows if row.jobs_error_kind}, key=lambda k: (k not in _DENIED, k))
    if not kinds:
        return (
            "annotation jobs were never asked for: it takes a sync by this version of rfsync, and [jobs] sync that is "
            "not false"
        )
    if kinds[0] in _DENIED:
        return (
            f"the key may see no annotation jobs ({kinds[0]}): it takes one with the scope annotation-job:read; "
            "rfsync check tells more"
        )
    return f"no list of annotation jobs could be read yet ({kinds[0]}): rfsync check tells why"
