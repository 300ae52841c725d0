"""Where images are: in no job, in a job and not annotated, annotated, approved, or rejected.

The API's counts of a job need not add up, and nobody has said whether ``annotated`` still counts what was approved or
rejected. Here each image is in one place, so that the places of a job add up to its ``num_images``:

- ``approved`` is at most ``num_images``, and ``rejected`` at most what is left of it.
- ``annotated`` is without those two, and at most what is left. They are taken off, as if it counted them, unless the
  counts themselves tell that it does not: it is less than their sum, or all four add up to ``num_images``.
- The rest is ``unannotated``.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from sqlalchemy import Engine

from rfsync.history.arguments import Time
from rfsync.history.periods import By, Period
from rfsync.history.place_rows import JobPlacesRow, PlacesRow
from rfsync.history.query import Query, Targets
from rfsync.history.span import job_observations, observed_periods
from rfsync.history.totals import NEVER, define_observed, define_totals, first_of_series
from rfsync.history.utc_days import split_periods

#: The places of the images in jobs.
PLACES: Final = ("unannotated", "annotated", "approved", "rejected")


def places_of(row: str) -> dict[str, str]:
    """SQL for each of ``PLACES`` of a job, or a row of its ledger; ``num_images`` is their sum."""
    images, annotated, decided = f"{row}.num_images", f"{row}.annotated", f"{row}.approved + {row}.rejected"
    apart = f"{annotated} < {decided} OR {annotated} + {row}.unannotated + {decided} = {images}"
    undecided = f"CASE WHEN {apart} THEN {annotated} ELSE {annotated} - ({decided}) END"
    left = f"{images} - ({decided})"
    found = {
        "annotated": f"CASE WHEN {left} <= 0 THEN 0 WHEN {undecided} < {left} THEN {undecided} ELSE {left} END",
        "approved": f"CASE WHEN {row}.approved < {images} THEN {row}.approved ELSE {images} END",
        "rejected": f"CASE WHEN {row}.approved >= {images} THEN 0 WHEN {left} >= 0 THEN {row}.rejected "
        f"ELSE {images} - {row}.approved END",
    }
    return {"unannotated": " - ".join([images, *(f"({sql})" for sql in found.values())]), **found}


def job_places(engine: Engine, targets: Targets = None) -> list[JobPlacesRow]:
    """Where the images in jobs are now, by workspace and project; projects that have no jobs have no row.

    Raises:
        ConfigError: a target is malformed.
        DatabaseError: the database can't be read.
    """
    sums = ", ".join(f"CAST(sum({sql}) AS bigint)" for sql in places_of("j").values())
    sql = f"""
SELECT p.workspace, p.project, {sums} FROM scope p JOIN jobs j ON j.project_id = p.id WHERE j.removed_at IS NULL
GROUP BY p.workspace, p.project ORDER BY p.workspace, p.project"""
    return list(Query(engine, targets).rows("reading where the images are", sql, JobPlacesRow._make))


def image_places(
    engine: Engine,
    targets: Targets = None,
    *,
    by: By = "day",
    since: Time | None = None,
    until: Time | None = None,
    tz: str = "UTC",
    summed: bool = False,
    now: Time | None = None,
) -> Iterator[PlacesRow]:
    """Where the images were at the end of each period, without gaps; by workspace, project and period.

    Each image of a job is in one place, as far as the API's counts tell: ``approved`` and ``rejected`` are as counted,
    at most all of the job's; ``annotated`` is without them, whether or not the API's still counts them; the rest is
    ``unannotated``. So the places add up to the images in no job and the images in jobs.

    Args:
        by: ISO weeks begin on Monday.
        since: inclusive; None: each project's first observation.
        until: exclusive; None: now; it is never later than that.
        tz: the calendar's time zone; a day of it may have 23 or 25 hours.
        summed: all projects as one.
        now: None: the clock's time.

    Raises:
        ConfigError: a target is malformed or unknown, so are ``by`` or ``tz``, a time is none, ``since`` is not before
            ``until``, or there are too many periods.
        DatabaseError: the database can't be read.
    """
    wanted, seen = observed_periods(engine, targets, by, since, until, tz, now)
    if not wanted:
        return iter(())
    first = first_of_series(seen, summed=summed)
    first_read = first_of_series(job_observations(engine, targets), summed=summed)
    query = Query(engine, targets)
    define_totals(query, targets, wanted, seen, summed=summed, first_looks=True)
    define_observed(query, split_periods(wanted), "", summed=summed, jobs=True)
    _define_places(query, wanted)

    def make(row: Iterable[Any]) -> PlacesRow | None:
        workspace, project, series, n, images, observed, *places = row
        period, begun = wanted[n], first.get(series, NEVER)
        if since is None and period.until <= begun:
            return None
        unassigned = images if begun < period.until else None
        known = places if first_read.get(series, NEVER) < period.until else [None] * len(PLACES)
        complete = period.whole and (since is not None or begun <= period.start)
        return PlacesRow._make((workspace, project, period.start, unassigned, *known, observed == 1, complete))

    sql = f"""
SELECT s.workspace, s.project, t.series, t.n, t.images, p.seen, {", ".join(f"p.{name}" for name in PLACES)}
FROM total t JOIN places p ON p.series = t.series AND p.n = t.n JOIN series s ON s.id = t.series
ORDER BY s.workspace, s.project, t.n"""
    return filter(None, query.rows("reading where the images are", sql, make))


def _define_places(query: Query, wanted: list[Period]) -> None:
    """Add the CTE ``places (series, n, seen, *PLACES)``, with a row for each series and period.

    Of the versions of a job within a period only the last one counts, until the period in which there is another.
    """
    query.values["places_since"] = wanted[0].since
    counts = "num_images, {0}.annotated, {0}.unannotated, {0}.approved, {0}.rejected"
    of_job, of_row = (f"{row}.{counts.format(row)}" for row in ("j", "c"))
    before = "c.project_id = j.project_id AND c.job_id = j.job_id AND c.observed_at < :places_since"
    within = "c.project_id = p.id AND c.observed_at >= w.since AND c.observed_at < w.until"
    query.define(
        "version",
        f"""SELECT p.series, -1 AS n, j.project_id, j.job_id, j.changed_at AS at, {of_job}
    FROM member p CROSS JOIN jobs j
    WHERE j.project_id = p.id AND j.changed_at < :places_since AND j.removed_at IS NULL
    UNION ALL
    SELECT p.series, -1, c.project_id, c.job_id, c.observed_at, {of_row}
    FROM member p CROSS JOIN jobs j {query.dialect.seek("job_changes", "c", before, latest_by="observed_at")}
    WHERE j.project_id = p.id AND j.first_seen_at < :places_since AND j.changed_at >= :places_since
    UNION ALL
    SELECT p.series, w.n, c.project_id, c.job_id, c.observed_at, {of_row}
    FROM period w CROSS JOIN member p {query.dialect.seek("job_changes", "c", within)}""",
    )
    query.define(
        "followed",
        "SELECT v.*, lead(v.n) OVER (PARTITION BY v.project_id, v.job_id ORDER BY v.n, v.at) AS next_n FROM version v",
    )
    sums = ", ".join(f"sum({sql}) AS {name}" for name, sql in places_of("v").items())
    query.define(
        "placed",
        f"""SELECT series, n, next_n, {sums} FROM followed v WHERE next_n IS NULL OR next_n > n
    GROUP BY series, n, next_n""",
        materialized=True,
    )
    places = ", ".join(PLACES)
    query.define(
        f"place_part (series, n, seen, {places})",
        f"""SELECT series, CASE WHEN n < 0 THEN 0 ELSE n END, 0, {places} FROM placed
    UNION ALL SELECT series, next_n, 0, {", ".join(f"-{name}" for name in PLACES)} FROM placed WHERE next_n IS NOT NULL
    UNION ALL SELECT series, n, seen, 0, 0, 0, 0 FROM jobs_observed
    UNION ALL SELECT series, n, seen, 0, 0, 0, 0 FROM jobs_observed_in_part""",
    )
    each = ", ".join(f"sum({name}) AS {name}" for name in PLACES)
    query.define("place_cell", f"SELECT series, n, max(seen) AS seen, {each} FROM place_part GROUP BY series, n")
    running = ", ".join(f"CAST(sum({name}) OVER until_then AS bigint) AS {name}" for name in PLACES)
    query.define(
        "places",
        f"SELECT series, n, seen, {running} FROM place_cell WINDOW until_then AS (PARTITION BY series ORDER BY n)",
    )
