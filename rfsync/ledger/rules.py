"""The rules that the database has to satisfy, as queries for what breaks them, and the words for that."""

from typing import Final, NamedTuple


class Rule(NamedTuple):
    """A rule."""

    #: What breaks it, in words: ``{expected}`` and ``{found}`` are the query's.
    says: str
    #: The words around the values of the query's expected and found, which are separated by |; a value without any is
    #: in words already.
    words: str
    #: Gives project_id, what, expected, found. ``{day}`` is the UTC day of c.observed_at; IS DISTINCT FROM is spelt
    #: out, since SQLite has it only since 3.39.
    query: str


_COUNTS: Final = "{} images and {} jobs"
_TOTALS: Final = "{} batches, {} images and {} jobs"
_DAY: Final = "{} changes: {} batches added, {} removed, {} images gained, {} lost, {} jobs gained, {} lost"
_RUN: Final = (
    "{} batches added, {} changed, {} removed, {} restored, a sum of {} images and {} jobs, and the outcome {}"
)

#: The rule that is about a workspace, and not about the project that its findings name.
OF_WORKSPACE: Final = "a workspace's day is the sum of its projects' days"

RULES: Final[dict[str, Rule]] = {
    "a batch's deltas sum up to its counts": Rule(
        "the ledger says {expected}, the batch's row says {found}",
        _COUNTS,
        """
SELECT b.project_id, 'batch ' || b.batch_id AS what,
    coalesce(l.images || '|' || l.jobs, 'nothing of it') AS expected,
    CASE WHEN b.removed_at IS NULL THEN b.images || '|' || b.num_jobs ELSE 'that it was removed' END AS found
FROM batches b LEFT JOIN (
    SELECT project_id, batch_id, sum(images_delta) AS images, sum(num_jobs_delta) AS jobs
    FROM batch_changes GROUP BY project_id, batch_id
) l ON l.project_id = b.project_id AND l.batch_id = b.batch_id
WHERE l.batch_id IS NULL OR l.images <> CASE WHEN b.removed_at IS NULL THEN b.images ELSE 0 END
    OR l.jobs <> CASE WHEN b.removed_at IS NULL THEN b.num_jobs ELSE 0 END""",
    ),
    "each change continues the one before": Rule(
        "by the change before it and its own deltas it has to be {expected}; it says {found}",
        "{}, with {} images and {} jobs",
        """
SELECT project_id, 'change ' || id || ' of batch ' || batch_id AS what,
    CASE WHEN before_change IS NULL THEN 'added' WHEN before_change = 'removed' THEN 'restored'
        ELSE 'changed or removed' END
    || '|' || (before_images + images_delta) || '|' || (before_jobs + num_jobs_delta) AS expected,
    change || '|' || images || '|' || num_jobs AS found
FROM (SELECT c.*, coalesce(lag(c.images) OVER w, 0) AS before_images,
        coalesce(lag(c.num_jobs) OVER w, 0) AS before_jobs, lag(c.change) OVER w AS before_change
    FROM batch_changes c WINDOW w AS (PARTITION BY c.project_id, c.batch_id ORDER BY c.observed_at)) c
WHERE images <> before_images + images_delta OR num_jobs <> before_jobs + num_jobs_delta
    OR (change = 'added') <> (before_change IS NULL)
    OR (change = 'restored') <> (before_change IS NOT NULL AND before_change = 'removed')""",
    ),
    "a change is of a batch that is there": Rule(
        "the ledger has {expected}, the table batches has {found}",
        "{} changes of it",
        """
SELECT c.project_id, 'batch ' || c.batch_id AS what, '' || count(*) AS expected, 'no row' AS found
FROM batch_changes c LEFT JOIN batches b ON b.project_id = c.project_id AND b.batch_id = c.batch_id
WHERE b.batch_id IS NULL GROUP BY c.project_id, c.batch_id""",
    ),
    "a batch's name is that of its last change": Rule(
        "its last change in the ledger has {expected}, the batch's row has {found}",
        "{}",
        """
SELECT b.project_id, 'batch ' || b.batch_id AS what, coalesce('the name "' || c.name || '"', 'no name') AS expected,
    coalesce('the name "' || b.name || '"', 'no name') AS found
FROM batches b JOIN batch_changes c
    ON c.project_id = b.project_id AND c.batch_id = b.batch_id AND c.observed_at = b.changed_at
WHERE b.name <> c.name OR (b.name IS NULL) <> (c.name IS NULL)""",
    ),
    "a batch's times are those of its changes": Rule(
        "by the ledger it was {expected}; its row says {found}",
        "first seen at {} and last changed at {}{}",
        """
SELECT b.project_id, 'batch ' || b.batch_id AS what,
    l.first_at || '|' || l.last_at
    || CASE WHEN l.removed_at = l.last_at THEN '|, when it was removed' ELSE '|' END AS expected,
    b.first_seen_at || '|' || b.changed_at
    || CASE WHEN b.removed_at IS NOT NULL THEN '|, when it was removed' ELSE '|' END AS found
FROM batches b JOIN (
    SELECT project_id, batch_id, min(observed_at) AS first_at, max(observed_at) AS last_at,
        max(CASE WHEN change = 'removed' THEN observed_at END) AS removed_at
    FROM batch_changes GROUP BY project_id, batch_id
) l ON l.project_id = b.project_id AND l.batch_id = b.batch_id
WHERE b.first_seen_at <> l.first_at OR b.changed_at <> l.last_at
    OR (b.removed_at IS NOT NULL) <> (l.removed_at IS NOT NULL AND l.removed_at = l.last_at)""",
    ),
    "a project's totals are those of its batches": Rule(
        "its batches add up to {expected}, the project's row says {found}",
        _TOTALS,
        """
SELECT p.id AS project_id, 'totals' AS what,
    coalesce(b.batches, 0) || '|' || coalesce(b.images, 0) || '|' || coalesce(b.jobs, 0) AS expected,
    p.batches || '|' || p.images || '|' || p.num_jobs AS found
FROM projects p LEFT JOIN (
    SELECT project_id, count(*) AS batches, sum(images) AS images, sum(num_jobs) AS jobs
    FROM batches WHERE removed_at IS NULL GROUP BY project_id
) b ON b.project_id = p.id
WHERE p.batches <> coalesce(b.batches, 0) OR p.images <> coalesce(b.images, 0) OR p.num_jobs <> coalesce(b.jobs, 0)""",
    ),
    "a day's sums are those of its changes": Rule(
        "the ledger has {expected}; the day's row in project_daily has {found}",
        _DAY,
        """
SELECT l.project_id, 'day ' || l.day AS what,
    l.changes || '|' || l.added || '|' || l.removed || '|' || l.gained || '|' || l.lost || '|' || l.jobs_gained
    || '|' || l.jobs_lost AS expected,
    coalesce(d.changes || '|' || d.batches_added || '|' || d.batches_removed || '|' || d.images_gained || '|'
        || d.images_lost || '|' || d.jobs_gained || '|' || d.jobs_lost, 'nothing: it is not there') AS found
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
    ),
    "a day's totals are the sum of all days before": Rule(
        "the days until then add up to {expected}, the day's row in project_daily says {found}",
        _TOTALS,
        """
SELECT project_id, 'day ' || day AS what, sum_batches || '|' || sum_images || '|' || sum_jobs AS expected,
    batches || '|' || images || '|' || num_jobs AS found
FROM (SELECT d.*, sum(d.batches_added - d.batches_removed) OVER w AS sum_batches,
        sum(d.images_gained - d.images_lost) OVER w AS sum_images, sum(d.jobs_gained - d.jobs_lost) OVER w AS sum_jobs
    FROM project_daily d WINDOW w AS (PARTITION BY d.project_id ORDER BY d.day)) d
WHERE batches <> sum_batches OR images <> sum_images OR num_jobs <> sum_jobs""",
    ),
    "a day has changes": Rule(
        "the ledger has {expected} on it, the table project_daily has {found}",
        "{}",
        """
SELECT d.project_id, 'day ' || d.day AS what, 'no change' AS expected, 'a row of it' AS found
FROM project_daily d LEFT JOIN (SELECT DISTINCT c.project_id, {day} AS day FROM batch_changes c) l
    ON l.project_id = d.project_id AND l.day = d.day
WHERE l.day IS NULL""",
    ),
    OF_WORKSPACE: Rule(
        "its projects' days add up to {expected}; the day's row in workspace_daily has {found}",
        _DAY,
        """
SELECT (SELECT min(p.id) FROM projects p WHERE p.workspace = s.workspace) AS project_id,
    'day ' || day || ' of all of ' || workspace AS what,
    changes || '|' || added || '|' || removed || '|' || gained || '|' || lost || '|' || jobs_gained || '|' || jobs_lost
    AS expected,
    w_changes || '|' || w_added || '|' || w_removed || '|' || w_gained || '|' || w_lost || '|' || w_jobs_gained
    || '|' || w_jobs_lost AS found
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
    ),
    "a run's sums are those of its changes": Rule(
        "the ledger has, of this run, {expected}; the run's row says {found}",
        _RUN,
        """
SELECT r.project_id, 'run ' || r.id AS what,
    coalesce(l.added, 0) || '|' || coalesce(l.changed, 0) || '|' || coalesce(l.removed, 0) || '|'
    || coalesce(l.restored, 0) || '|' || coalesce(l.images, 0) || '|' || coalesce(l.jobs, 0) || '|'
    || CASE WHEN l.run_id IS NOT NULL THEN 'changed' ELSE r.outcome END AS expected,
    r.added || '|' || r.changed || '|' || r.removed || '|' || r.restored || '|' || r.images_delta || '|'
    || r.num_jobs_delta || '|' || r.outcome AS found
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
    ),
    "a change is of a run that is there": Rule(
        "the ledger has {expected}, the table sync_runs has {found}",
        "{} changes of it",
        """
SELECT c.project_id, 'run ' || c.run_id AS what, '' || count(*) AS expected, 'no row' AS found
FROM batch_changes c LEFT JOIN sync_runs r ON r.id = c.run_id
WHERE r.id IS NULL GROUP BY c.project_id, c.run_id""",
    ),
    "a departed project has no batches": Rule(
        "the project's row says that it is gone, and should have {expected}; it has {found}",
        "{} batches",
        """
SELECT id AS project_id, 'departed at ' || departed_at AS what, '0' AS expected, '' || batches AS found
FROM projects WHERE departed_at IS NOT NULL AND batches <> 0""",
    ),
    "an unlisted batch exists, and is missing from the list": Rule(
        "its row says that it exists without being listed, and has to be {expected}; it is {found}",
        "{}",
        """
SELECT b.project_id, 'batch ' || b.batch_id AS what, 'in the table missing_batches, and not removed' AS expected,
    CASE WHEN b.removed_at IS NULL THEN 'not in that table' ELSE 'removed' END AS found
FROM batches b LEFT JOIN missing_batches m ON m.project_id = b.project_id AND m.batch_id = b.batch_id
WHERE b.unlisted_at IS NOT NULL AND (b.removed_at IS NOT NULL OR m.batch_id IS NULL)""",
    ),
    "missing batches are counted": Rule(
        "the table missing_batches has {expected}, the project's row says {found}",
        "{} batches",
        """
SELECT p.id AS project_id, 'missing batches' AS what, '' || coalesce(m.missing, 0) AS expected,
    '' || p.missing AS found
FROM projects p LEFT JOIN (SELECT project_id, count(*) AS missing FROM missing_batches GROUP BY project_id) m
    ON m.project_id = p.id
WHERE p.missing <> coalesce(m.missing, 0)""",
    ),
    "time goes forward": Rule(
        "it has to be {expected}; it is of {found}",
        "{}",
        """
SELECT project_id, 'change ' || id AS what, 'of ' || before || ' or later, as the change before it' AS expected,
    '' || observed_at AS found
FROM (SELECT c.project_id, c.id, c.observed_at,
        lag(c.observed_at) OVER (PARTITION BY c.project_id ORDER BY c.id) AS before FROM batch_changes c) c
WHERE observed_at < before
UNION ALL
SELECT p.id, 'last change',
    coalesce('of ' || p.written_at || ' at the latest, by written_at of the project''s row',
        'none, since the project''s row says that nothing was written'), '' || l.last_at
FROM projects p JOIN (SELECT project_id, max(observed_at) AS last_at FROM batch_changes GROUP BY project_id) l
    ON l.project_id = p.id
WHERE p.written_at IS NULL OR l.last_at > p.written_at""",
    ),
}
