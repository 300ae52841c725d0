"""The rules of a kind of record, the same for each: its rows, its ledger, its runs, and what is missing."""

from typing import Final, NamedTuple

from rfsync.ledger.record_types import BATCHES, JOBS, RecordType
from rfsync.ledger.rules.rule import Rule, any_of, barred, columns


class Books(NamedTuple):
    """A kind of record, and the words for its sums."""

    type_: RecordType
    #: What a ledger row has beside the counts: column -> SQL that says it of the row {0}.
    attributes: dict[str, str]
    #: The words around the counts of one record, and around the number of records and the sum of each count.
    count_words: str
    total_words: str
    #: Of a run: the words around its sums, and SQL for each of those columns over the ledger rows of a run.
    run_words: str
    run_sums: dict[str, str]

    @property
    def names(self) -> "_Names":
        """What it is called in the database."""
        type_ = self.type_
        return _Names(
            *(type_.kind.one, type_.kind.value, type_.key),
            *(str(model.__tablename__) for model in (type_.changes, type_.missing)),
        )


class _Names(NamedTuple):
    one: str
    table: str
    key: str
    ledger: str
    missing: str


def _number(change: str) -> str:
    return f"sum(CASE WHEN change = '{change}' THEN 1 ELSE 0 END)"


def _text(column: str, word: str) -> str:
    return f"coalesce('the {word} \"' || {{0}}.{column} || '\"', 'no {word}')"


def _person(column: str, word: str) -> str:
    return f"coalesce('the {word} person-' || {{0}}.{column}, 'no {word}')"


BOOKS: Final = (
    Books(
        type_=BATCHES,
        attributes={"name": _text("name", "name")},
        count_words="{} images and {} jobs",
        total_words="{} batches, {} images and {} jobs",
        run_words="{} batches added, {} changed, {} removed, {} restored, a sum of {} images and {} jobs",
        run_sums={change: _number(change) for change in ("added", "changed", "removed", "restored")}
        | {"images_delta": "sum(images_delta)", "num_jobs_delta": "sum(num_jobs_delta)"},
    ),
    Books(
        type_=JOBS,
        attributes={
            "name": _text("name", "name"),
            "status": _text("status", "status"),
            "batch_id": _text("batch_id", "batch"),
            "labeler_id": _person("labeler_id", "labeler"),
            "reviewer_id": _person("reviewer_id", "reviewer"),
        },
        count_words="{} images, {} annotated, {} unannotated, {} approved and {} rejected",
        total_words="{} jobs, {} images, {} annotated, {} unannotated, {} approved and {} rejected",
        run_words="{} changes of jobs",
        run_sums={"jobs_changed": "count(*)"},
    ),
)

_Named = tuple[str, Rule]


def rules_of(books: Books) -> dict[str, Rule]:
    """The rules of a kind of record."""
    return dict(rule(books) for rule in _RULES)


def _deltas(books: Books) -> _Named:
    one, table, key, ledger, _ = books.names
    counts = books.type_.counts
    return f"a {one}'s deltas sum up to its counts", Rule(
        f"the ledger says {{expected}}, the {one}'s row says {{found}}",
        books.count_words,
        f"""
SELECT r.project_id, '{one} ' || r.{key} AS what,
    CASE WHEN l.{key} IS NULL THEN 'nothing of it' ELSE {barred("l.{}", counts)} END AS expected,
    CASE WHEN r.removed_at IS NULL THEN {barred("r.{}", counts)} ELSE 'that it was removed' END AS found
FROM {table} r LEFT JOIN (
    SELECT project_id, {key}, {columns("sum({0}_delta) AS {0}", counts)} FROM {ledger} GROUP BY project_id, {key}
) l ON l.project_id = r.project_id AND l.{key} = r.{key}
WHERE l.{key} IS NULL OR {any_of("l.{0} <> CASE WHEN r.removed_at IS NULL THEN r.{0} ELSE 0 END", counts)}""",
    )


def _last_change(books: Books) -> _Named:
    one, table, key, ledger, _ = books.names
    described = " || ', ' || ".join(books.attributes.values())
    return f"a {one} is as its last change has it", Rule(
        f"its last change in the ledger has {{expected}}, the {one}'s row has {{found}}",
        "{}",
        f"""
SELECT r.project_id, '{one} ' || r.{key} AS what, {described.format("c")} AS expected, {described.format("r")} AS found
FROM {table} r JOIN {ledger} c
    ON c.project_id = r.project_id AND c.{key} = r.{key} AND c.observed_at = r.changed_at
WHERE {any_of("r.{0} <> c.{0} OR (r.{0} IS NULL) <> (c.{0} IS NULL)", books.attributes)}""",
    )


def _times(books: Books) -> _Named:
    one, table, key, ledger, _ = books.names
    return f"a {one}'s times are those of its changes", Rule(
        "by the ledger it was {expected}; its row says {found}",
        "first seen at {} and last changed at {}{}",
        f"""
SELECT r.project_id, '{one} ' || r.{key} AS what,
    l.first_at || '|' || l.last_at
    || CASE WHEN l.removed_at = l.last_at THEN '|, when it was removed' ELSE '|' END AS expected,
    r.first_seen_at || '|' || r.changed_at
    || CASE WHEN r.removed_at IS NOT NULL THEN '|, when it was removed' ELSE '|' END AS found
FROM {table} r JOIN (
    SELECT project_id, {key}, min(observed_at) AS first_at, max(observed_at) AS last_at,
        max(CASE WHEN change = 'removed' THEN observed_at END) AS removed_at
    FROM {ledger} GROUP BY project_id, {key}
) l ON l.project_id = r.project_id AND l.{key} = r.{key}
WHERE r.first_seen_at <> l.first_at OR r.changed_at <> l.last_at
    OR (r.removed_at IS NOT NULL) <> (l.removed_at IS NOT NULL AND l.removed_at = l.last_at)""",
    )


def _unlisted(books: Books) -> _Named:
    one, table, key, _, missing = books.names
    return f"an unlisted {one} exists, and is missing from the list", Rule(
        "its row says that it exists without being listed, and has to be {expected}; it is {found}",
        "{}",
        f"""
SELECT r.project_id, '{one} ' || r.{key} AS what, 'in the table {missing}, and not removed' AS expected,
    CASE WHEN r.removed_at IS NULL THEN 'not in that table' ELSE 'removed' END AS found
FROM {table} r LEFT JOIN {missing} m ON m.project_id = r.project_id AND m.{key} = r.{key}
WHERE r.unlisted_at IS NOT NULL AND (r.removed_at IS NOT NULL OR m.{key} IS NULL)""",
    )


def _continuity(books: Books) -> _Named:
    one, _, key, ledger, _ = books.names
    counts = books.type_.counts
    return f"each change of a {one} continues the one before", Rule(
        "by the change before it and its own deltas it has to be {expected}; it says {found}",
        "{}, with " + books.count_words,
        f"""
SELECT project_id, 'change ' || id || ' of {one} ' || {key} AS what,
    CASE WHEN before_change IS NULL THEN 'added' WHEN before_change = 'removed' THEN 'restored'
        ELSE 'changed or removed' END
    || '|' || {barred("(before_{0} + {0}_delta)", counts)} AS expected,
    change || '|' || {barred("{}", counts)} AS found
FROM (SELECT c.*, {columns("coalesce(lag(c.{0}) OVER w, 0) AS before_{0}", counts)},
        lag(c.change) OVER w AS before_change
    FROM {ledger} c WINDOW w AS (PARTITION BY c.project_id, c.{key} ORDER BY c.observed_at)) c
WHERE {any_of("{0} <> before_{0} + {0}_delta", counts)}
    OR (change = 'added') <> (before_change IS NULL)
    OR (change = 'restored') <> (before_change IS NOT NULL AND before_change = 'removed')""",
    )


def _parents(books: Books) -> _Named:
    one, table, key, ledger, _ = books.names
    return f"a change is of a {one} that is there", Rule(
        f"the ledger has {{expected}}, the table {table} has {{found}}",
        "{} changes of it",
        f"""
SELECT c.project_id, '{one} ' || c.{key} AS what, '' || count(*) AS expected, 'no row' AS found
FROM {ledger} c LEFT JOIN {table} r ON r.project_id = c.project_id AND r.{key} = c.{key}
WHERE r.{key} IS NULL GROUP BY c.project_id, c.{key}""",
    )


def _runs(books: Books) -> _Named:
    one, _, _, ledger, _ = books.names
    return f"a change of a {one} is of a run that is there", Rule(
        "the ledger has {expected}, the table sync_runs has {found}",
        "{} changes of it",
        f"""
SELECT c.project_id, 'run ' || c.run_id AS what, '' || count(*) AS expected, 'no row' AS found
FROM {ledger} c LEFT JOIN sync_runs r ON r.id = c.run_id
WHERE r.id IS NULL GROUP BY c.project_id, c.run_id""",
    )


def _run_sums(books: Books) -> _Named:
    _, table, _, ledger, _ = books.names
    return f"a run's sums are those of its changes of {table}", Rule(
        "the ledger has, of this run, {expected}; the run's row says {found}",
        books.run_words + ", and the outcome {}",
        f"""
SELECT r.project_id, 'run ' || r.id AS what,
    {barred("coalesce(l.{}, 0)", books.run_sums)} || '|'
    || CASE WHEN l.run_id IS NOT NULL THEN 'changed' ELSE r.outcome END AS expected,
    {barred("r.{}", books.run_sums)} || '|' || r.outcome AS found
FROM sync_runs r LEFT JOIN (
    SELECT run_id, {", ".join(f"{total} AS {name}" for name, total in books.run_sums.items())}
    FROM {ledger} GROUP BY run_id
) l ON l.run_id = r.id
WHERE {any_of("coalesce(l.{0}, 0) <> r.{0}", books.run_sums)} OR (l.run_id IS NOT NULL AND r.outcome <> 'changed')""",
    )


def _time(books: Books) -> _Named:
    one, table, key, ledger, _ = books.names
    return f"time goes forward in the changes of {table}", Rule(
        "it has to be {expected}; it is of {found}",
        "{}",
        f"""
SELECT project_id, 'change ' || id || ' of {one} ' || {key} AS what,
    'of ' || before || ' or later, as the change before it' AS expected, '' || observed_at AS found
FROM (SELECT c.project_id, c.id, c.{key}, c.observed_at,
        lag(c.observed_at) OVER (PARTITION BY c.project_id ORDER BY c.id) AS before FROM {ledger} c) c
WHERE observed_at < before
UNION ALL
SELECT p.id, 'last change of a {one}',
    coalesce('of ' || p.written_at || ' at the latest, by written_at of the project''s row',
        'none, since the project''s row says that nothing was written'), '' || l.last_at
FROM projects p JOIN (SELECT project_id, max(observed_at) AS last_at FROM {ledger} GROUP BY project_id) l
    ON l.project_id = p.id
WHERE p.written_at IS NULL OR l.last_at > p.written_at""",
    )


def _totals(books: Books) -> _Named:
    _, table, _, _, _ = books.names
    type_ = books.type_
    sums = {type_.number_column: "count(*)"}
    sums |= {total: f"sum({count})" for total, count in zip(type_.sum_columns, type_.counts, strict=True)}
    return f"a project's totals are those of its {table}", Rule(
        f"its {table} add up to {{expected}}, the project's row says {{found}}",
        books.total_words,
        f"""
SELECT p.id AS project_id, 'totals' AS what, {barred("coalesce(r.{}, 0)", sums)} AS expected,
    {barred("p.{}", sums)} AS found
FROM projects p LEFT JOIN (
    SELECT project_id, {", ".join(f"{total} AS {name}" for name, total in sums.items())}
    FROM {table} WHERE removed_at IS NULL GROUP BY project_id
) r ON r.project_id = p.id
WHERE {any_of("p.{0} <> coalesce(r.{0}, 0)", sums)}""",
    )


def _departed(books: Books) -> _Named:
    _, table, _, _, _ = books.names
    number = books.type_.number_column
    return f"a departed project has no {table}", Rule(
        "the project's row says that it is gone, and should have {expected}; it has {found}",
        f"{{}} {table}",
        f"""
SELECT id AS project_id, 'departed at ' || departed_at AS what, '0' AS expected, '' || {number} AS found
FROM projects WHERE departed_at IS NOT NULL AND {number} <> 0""",
    )


def _missing(books: Books) -> _Named:
    _, table, _, _, missing = books.names
    missing_number = f"{books.type_.prefix}missing"
    return f"missing {table} are counted", Rule(
        f"the table {missing} has {{expected}}, the project's row says {{found}}",
        f"{{}} {table}",
        f"""
SELECT p.id AS project_id, 'missing {table}' AS what, '' || coalesce(m.missing, 0) AS expected,
    '' || p.{missing_number} AS found
FROM projects p LEFT JOIN (SELECT project_id, count(*) AS missing FROM {missing} GROUP BY project_id) m
    ON m.project_id = p.id
WHERE p.{missing_number} <> coalesce(m.missing, 0)""",
    )


#: Each gives the name of a rule and the rule.
_RULES: Final = (
    *(_deltas, _last_change, _times, _unlisted),
    *(_continuity, _parents, _runs, _run_sums, _time),
    *(_totals, _departed, _missing),
)
