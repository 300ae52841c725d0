"""Why there are no annotation jobs in the database, and what it would take."""

from typing import Final

from sqlalchemy import Engine

from rfsync.errors import ErrorKind
from rfsync.history.query import Query, Targets

#: What the API answers where a key may not see jobs.
_DENIED: Final = {ErrorKind.AUTH, ErrorKind.NOT_FOUND}


def why_no_jobs(engine: Engine, targets: Targets = None) -> str | None:
    """One sentence for people; None if the jobs of one of the projects were read, or there is no project.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    sql = "SELECT w.jobs_observed_at, w.jobs_error_kind FROM scope p JOIN projects w ON w.id = p.id"
    rows = list(Query(engine, targets).rows("looking for jobs", sql, tuple))
    if not rows or any(observed is not None for observed, _ in rows):
        return None
    kinds = sorted({kind for _, kind in rows if kind is not None}, key=lambda kind: (kind not in _DENIED, kind))
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
