"""The proof that the books balance: every sum that is promised, recomputed by the database from the ledger."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

from rfsync.database.errors import translated

#: Findings of one kind that are named; of the rest the number.
NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not balance."""

    #: Which rule is broken, as a word of ``RULES``.
    rule: str
    workspace: str
    project: str
    #: What exactly: a batch, a day, a run.
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.workspace}/{self.project} {self.what}: {self.rule}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, and what is wrong with it."""

    projects: int
    batches: int
    changes: int
    findings: tuple[Finding, ...]
    #: How many findings there are in all, more than are named.
    total: int

    @property
    def ok(self) -> bool:
        """Whether the books balance."""
        return self.total == 0


# Each gives project_id, what, expected, found. {day} is the UTC day of c.observed_at; IS DISTINCT FROM is spelt out,
# since SQLite has it only since 3.39.
RULES: Final[dict[str, str]] = {
    "a batch's deltas sum up to its counts": """
SELECT b.project_id, 'batch ' || b.batch_id AS what,
    CASE WHEN b.removed_at IS NULL THEN b.images ELSE 0 END || ' images, '
    || CASE WHEN b.removed_at IS NULL THEN b.num_jobs ELSE 0 END || ' jobs' AS expected,
    coalesce(l.images, 0) || ' images, ' || coalesce(l.jobs, 0) || ' jobs' AS found
FROM batches b LEFT JOIN (
    SELECT project_id, batch_id, sum(images_delta) AS images, sum(num_jobs_delta) AS jobs
    FROM batch_changes GROUP BY project_id, batch_id
) l ON l.project_id = b.project_id AND l.batch_id = b.batch_id
WHERE l.batch_id IS NULL OR l.images <> CASE WHEN b.removed_at IS NULL THEN b.images ELSE 0 END
    OR l.jobs <> CASE WHEN b.removed_at IS NULL THEN b.num_jobs ELSE 0 END""",
    "each change continues the one before": """
SELECT project_id, 'change ' || id || ' of batch ' || batch_id AS what,
    (before_images + images_delta) || ' images, ' || (before_jobs + num_jobs_delta) || ' jobs, after '
    || coalesce(before_change, 'nothing') AS expected,
    images || ' images, ' || num_jobs || ' jobs, ' || change AS found
FROM (SELECT c.*, coalesce(lag(c.images) OVER w, 0) AS before_images,
        coalesce(lag(c.num_jobs) OVER w, 0) AS before_jobs, lag(c.change) OVER w AS before_change
    FROM batch_changes c WINDOW w AS (PARTITION BY c.project_id, c.batch_id ORDER BY c.observed_at)) c
WHERE images <> before_images + images_delta OR num_jobs <> before_jobs + num_jobs_delta
    OR (change = 'added') <> (before_change IS NULL)
    OR (change = 'restored') <> (before_change IS NOT NULL AND before_change = 'removed')""",
    "a change is of a batch that is there": """
SELECT c.project_id, 'batch ' || c.batch_id AS what, 'a row' AS expected, 'none' AS found
FROM batch_changes c LEFT JOIN batches b ON b.project_id = c.project_id AND b.batch_id = c.batch_id
WHERE b.batch_id IS NULL GROUP BY c.project_id, c.batch_id""",
    "a batch's name is that of its last change": """
SELECT b.project_id, 'batch ' || b.batch_id AS what, coalesce(c.name, 'none') AS expected,
    coalesce(b.name, 'none') AS found
FROM batches b JOIN batch_changes c
    ON c.project_id = b.project_id AND c.batch_id = b.batch_id AND c.observed_at = b.changed_at
WHERE b.name <> c.name OR (b.name IS NULL) <> (c.name IS NULL)""",
    "a batch's times are those of its changes": """
SELECT b.project_id, 'batch ' || b.batch_id AS what,
    'first ' || l.first_at || ', last ' || l.last_at AS expected,
    'first ' || b.first_seen_at || ', last ' || b.changed_at || coalesce(', removed ' || b.removed_at, '') AS found
FROM batches b JOIN (
    SELECT project_id, batch_id, min(observed_at) AS first_at, max(observed_at) AS last_at,
        max(CASE WHEN change = 'removed' THEN observed_at END) AS removed_at
    FROM batch_changes GROUP BY project_id, batch_id
) l ON l.project_id = b.project_id AND l.batch_id = b.batch_id
WHERE b.first_seen_at <> l.first_at OR b.changed_at <> l.last_at
    OR (b.removed_at IS NOT NULL) <> (l.removed_at IS NOT NULL AND l.removed_at = l.last_at)""",
    "a project's totals are those of its batches": """
SELECT p.id AS project_id, 'totals' AS what,
    coalesce(b.batches, 0) || ' batches, ' || coalesce(b.images, 0) || ' images, ' || coalesce(b.jobs, 0) || ' jobs'
    AS expected,
    p.batches || ' batches, ' || p.images || ' images, ' || p.num_jobs || ' jobs' AS found
FROM projects p LEFT JOIN (
    SELECT project_id, count(*) AS batches, sum(images) AS images, sum(num_jobs) AS jobs
    FROM batches WHERE removed_at IS NULL GROUP BY project_id
) b ON b.project_id = p.id
WHERE p.batches <> coalesce(b.batches, 0) OR p.images <> coalesce(b.images, 0) OR p.num_jobs <> coalesce(b.jobs, 0)""",
    "a day's sums are those of its changes": """
SELECT l.project_id, 'day ' || l.day AS what,
    l.changes || ' changes, +' || l.added || ' -' || l.removed || ' batches, images +' || l.gained || ' -' || l.lost
    || ', jobs +' || l.jobs_gained || ' -' || l.jobs_lost AS expected,
    coalesce(d.changes || ' changes, +' || d.batches_added || ' -' || d.batches_removed || ' batches, images +'
    || d.images_gained || ' -' || d.images_lost || ', jobs +' || d.jobs_gained || ' -' || d.jobs_lost, 'no row')
    AS found
FROM (SELECT c.project_id, {day} AS day, count(*) AS changes,
        sum(CASE WHEN c.change IN ('added', 'restored') THEN 1 ELSE 0 END) AS added,
        sum(CASE WHEN c.change = 'removed' THEN 1 ELSE 0 END) AS removed,
        sum(CASE WHEN c.images_delta > 0 THEN c.images_delta ELSE 0 END) AS gained,
        -sum(CASE WHEN c.images_delta < 0 THEN c.images_delta ELSE 0 END) AS lost,
        sum(CASE WHEN c.num_jobs_delta > 0 THEN c.num_jobs_delta ELSE 0 END) AS jobs_gained,
        -sum(CASE WHEN c.num_jobs_delta < 0 THEN c.num_jobs_delta ELSE 0 END) AS jobs_lost
    FROM batch_changes c GROUP BY c.project_id, {day}) l
LEFT JOIN project_daily d ON d.project_id = l.project_id AND d.day = l.day
WHERE d.day IS NULL OR d.changes <> l.changes OR d.batches_added <> l.added OR d.batches_removed <> l.removed
    OR d.images_gained <> l.gained OR d.images_lost <> l.lost
    OR d.jobs_gained <> l.jobs_gained OR d.jobs_lost <> l.jobs_lost""",
    "a day's totals are the sum of all days before": """
SELECT project_id, 'day ' || day AS what,
    sum_batches || ' batches, ' || sum_images || ' images, ' || sum_jobs || ' jobs' AS expected,
    batches || ' batches, ' || images || ' images, ' || num_jobs || ' jobs' AS found
FROM (SELECT d.*, sum(d.batches_added - d.batches_removed) OVER w AS sum_batches,
        sum(d.images_gained - d.images_lost) OVER w AS sum_images, sum(d.jobs_gained - d.jobs_lost) OVER w AS sum_jobs
    FROM project_daily d WINDOW w AS (PARTITION BY d.project_id ORDER BY d.day)) d
WHERE batches <> sum_batches OR images <> sum_images OR num_jobs <> sum_jobs""",
    "a day has changes": """
SELECT d.project_id, 'day ' || d.day AS what, 'changes on it' AS expected, 'none' AS found
FROM project_daily d LEFT JOIN (SELECT DISTINCT c.project_id, {day} AS day FROM batch_changes c) l
    ON l.project_id = d.project_id AND l.day = d.day
WHERE l.day IS NULL""",
    "a workspace's day is the sum of its projects' days": """
SELECT (SELECT min(p.id) FROM projects p WHERE p.workspace = s.workspace) AS project_id,
    'day ' || day || ' of all of ' || workspace AS what,
    changes || ' changes, +' || added || ' -' || removed || ' batches, images +' || gained || ' -' || lost
    || ', jobs +' || jobs_gained || ' -' || jobs_lost AS expected,
    w_changes || ' changes, +' || w_added || ' -' || w_removed || ' batches, images +' || w_gained || ' -' || w_lost
    || ', jobs +' || w_jobs_gained || ' -' || w_jobs_lost AS found
FROM (SELECT workspace, day, sum(changes) AS changes, sum(added) AS added, sum(removed) AS removed,
        sum(gained) AS gained, sum(lost) AS lost, sum(jobs_gained) AS jobs_gained, sum(jobs_lost) AS jobs_lost,
        sum(w_changes) AS w_changes, sum(w_added) AS w_added, sum(w_removed) AS w_removed, sum(w_gained) AS w_gained,
        sum(w_lost) AS w_lost, sum(w_jobs_gained) AS w_jobs_gained, sum(w_jobs_lost) AS w_jobs_lost
    FROM (SELECT p.workspace, d.day, d.changes, d.batches_added AS added, d.batches_removed AS removed,
            d.images_gained AS gained, d.images_lost AS lost, d.jobs_gained, d.jobs_lost, 0 AS w_changes,
            0 AS w_added, 0 AS w_removed, 0 AS w_gained, 0 AS w_lost, 0 AS w_jobs_gained, 0 AS w_jobs_lost
        FROM project_daily d JOIN projects p ON p.id = d.project_id
        UNION ALL
        SELECT workspace, day, 0, 0, 0, 0, 0, 0, 0, changes, batches_added, batches_removed, images_gained,
            images_lost, jobs_gained, jobs_lost
        FROM workspace_daily) both_sides
    GROUP BY workspace, day) s
WHERE changes <> w_changes OR added <> w_added OR removed <> w_removed OR gained <> w_gained OR lost <> w_lost
    OR jobs_gained <> w_jobs_gained OR jobs_lost <> w_jobs_lost""",
    "a run's sums are those of its changes": """
SELECT r.project_id, 'run ' || r.id AS what,
    '+' || coalesce(l.added, 0) || ' ~' || coalesce(l.changed, 0) || ' -' || coalesce(l.removed, 0) || ' '
    || coalesce(l.restored, 0) || ' restored, images ' || coalesce(l.images, 0) || ', jobs ' || coalesce(l.jobs, 0)
    AS expected,
    '+' || r.added || ' ~' || r.changed || ' -' || r.removed || ' ' || r.restored || ' restored, images '
    || r.images_delta || ', jobs ' || r.num_jobs_delta || ', ' || r.outcome AS found
FROM sync_runs r LEFT JOIN (
    SELECT run_id, sum(CASE WHEN change = 'added' THEN 1 ELSE 0 END) AS added,
        sum(CASE WHEN change = 'changed' THEN 1 ELSE 0 END) AS changed,
        sum(CASE WHEN change = 'removed' THEN 1 ELSE 0 END) AS removed,
        sum(CASE WHEN change = 'restored' THEN 1 ELSE 0 END) AS restored,
        sum(images_delta) AS images, sum(num_jobs_delta) AS jobs
    FROM batch_changes GROUP BY run_id
) l ON l.run_id = r.id
WHERE coalesce(l.added, 0) <> r.added OR coalesce(l.changed, 0) <> r.changed
    OR coalesce(l.removed, 0) <> r.removed OR coalesce(l.restored, 0) <> r.restored
    OR coalesce(l.images, 0) <> r.images_delta OR coalesce(l.jobs, 0) <> r.num_jobs_delta
    OR (l.run_id IS NOT NULL AND r.outcome <> 'changed')""",
    "a departed project has no batches": """
SELECT id AS project_id, 'departed ' || departed_at AS what, '0 batches' AS expected, batches || ' batches' AS found
FROM projects WHERE departed_at IS NOT NULL AND batches <> 0""",
    "an unlisted batch exists, and is missing from the list": """
SELECT b.project_id, 'batch ' || b.batch_id AS what, 'not removed, missing' AS expected,
    CASE WHEN b.removed_at IS NULL THEN 'not missing' ELSE 'removed' END AS found
FROM batches b LEFT JOIN missing_batches m ON m.project_id = b.project_id AND m.batch_id = b.batch_id
WHERE b.unlisted_at IS NOT NULL AND (b.removed_at IS NOT NULL OR m.batch_id IS NULL)""",
    "missing batches are counted": """
SELECT p.id AS project_id, 'missing' AS what, '' || coalesce(m.missing, 0) AS expected, '' || p.missing AS found
FROM projects p LEFT JOIN (SELECT project_id, count(*) AS missing FROM missing_batches GROUP BY project_id) m
    ON m.project_id = p.id
WHERE p.missing <> coalesce(m.missing, 0)""",
    "time goes forward": """
SELECT project_id, 'change ' || id AS what, 'not before ' || before AS expected, '' || observed_at AS found
FROM (SELECT c.project_id, c.id, c.observed_at,
        lag(c.observed_at) OVER (PARTITION BY c.project_id ORDER BY c.id) AS before FROM batch_changes c) c
WHERE observed_at < before
UNION ALL
SELECT p.id, 'last change', 'not after ' || p.written_at, '' || l.last_at
FROM projects p JOIN (SELECT project_id, max(observed_at) AS last_at FROM batch_changes GROUP BY project_id) l
    ON l.project_id = p.id
WHERE p.written_at IS NULL OR l.last_at > p.written_at""",
}

_DAY: Final = {
    "sqlite": "substr(c.observed_at, 1, 10)",
    "postgresql": "CAST(c.observed_at AT TIME ZONE 'UTC' AS date)",
}

_COUNTS: Final = """SELECT (SELECT count(*) FROM projects) AS projects, (SELECT count(*) FROM batches) AS batches,
    (SELECT count(*) FROM batch_changes) AS changes"""


def verify(engine: Engine) -> Verdict:
    """Checks every rule against one snapshot of the database, as transactions of an engine that only reads have it.

    Raises:
        DatabaseError: the database can't be read.
    """
    with translated("verifying the database"), engine.connect() as connection, connection.begin():
        findings: list[Finding] = []
        total = 0
        for rule, query in RULES.items():
            for number, finding in enumerate(_findings(connection, rule, query)):
                total += 1
                if number < NAMED:
                    findings.append(finding)
        counts = connection.execute(text(_COUNTS)).one()
    return Verdict(counts.projects, counts.batches, counts.changes, tuple(findings), total)


def _findings(connection: Connection, rule: str, query: str) -> Iterator[Finding]:
    named = (
        "SELECT p.workspace, p.project, f.what, f.expected, f.found "  # noqa: S608 RULES is all there is
        f"FROM ({query.format(day=_DAY[connection.dialect.name])}) f LEFT JOIN projects p ON p.id = f.project_id "
        "ORDER BY p.workspace, p.project, f.what"
    )
    return (Finding(rule, *row) for row in connection.execute(text(named)))
