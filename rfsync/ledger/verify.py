"""The proof that the books balance: every sum that is promised, recomputed by the database from the ledger."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, text

from rfsync.database.errors import translated
from rfsync.ledger.flows import DAY, QUARTER_HOUR
from rfsync.ledger.rules import RULES

#: Findings of one kind that are named; of the rest the number.
NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not balance."""

    #: Which rule is broken, as a word of ``RULES``.
    rule: str
    #: None: it is of no project, or of one that is not there.
    workspace: str | None
    project: str | None
    #: What exactly: a batch, a job, a day, a run, a person.
    what: str
    expected: str
    found: str

    def __str__(self) -> str:
        says = RULES[self.rule].says.format(expected=self.expected, found=self.found)
        project = "" if self.workspace is None else f"{self.workspace}/{self.project} "
        return f"{project}{self.what}: {says}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was looked at, and what is wrong with it."""

    projects: int
    batches: int
    #: Of batches.
    changes: int
    jobs: int
    job_changes: int
    findings: tuple[Finding, ...]
    #: How many findings there are in all, more than are named.
    total: int

    @property
    def ok(self) -> bool:
        """Whether the books balance."""
        return self.total == 0


_COUNTS: Final = """SELECT (SELECT count(*) FROM projects) AS projects, (SELECT count(*) FROM batches) AS batches,
    (SELECT count(*) FROM batch_changes) AS changes, (SELECT count(*) FROM jobs) AS jobs,
    (SELECT count(*) FROM job_changes) AS job_changes"""


def verify(engine: Engine) -> Verdict:
    """Checks every rule against one snapshot of the database, as transactions of an engine that only reads have it.

    Raises:
        DatabaseError: the database can't be read.
    """
    with translated("verifying the database"), engine.connect() as connection, connection.begin():
        return check(connection)


def check(connection: Connection) -> Verdict:
    """Checks every rule within the transaction of the connection."""
    findings: list[Finding] = []
    total = 0
    for rule in RULES:
        for number, finding in enumerate(_findings(connection, rule)):
            total += 1
            if number < NAMED:
                findings.append(finding)
    counts = connection.execute(text(_COUNTS)).one()
    return Verdict(**counts._asdict(), findings=tuple(findings), total=total)


def _findings(connection: Connection, rule: str) -> Iterator[Finding]:
    _, words, query = RULES[rule]
    dialect = connection.dialect.name
    query = query.format(day=DAY[dialect], quarter_hour=QUARTER_HOUR[dialect])
    named = (
        "SELECT p.workspace, p.project, f.what, f.expected, f.found "  # noqa: S608 RULES is all there is
        f"FROM ({query}) f LEFT JOIN projects p ON p.id = f.project_id "
        "ORDER BY p.workspace, p.project, f.what"
    )
    for workspace, project, what, expected, found in connection.execute(text(named)):
        yield Finding(rule, workspace, project, what, _in_words(words, expected), _in_words(words, found))


#: A number of one before the plural that ``Rule.words`` has.
_ONE: Final = re.compile(r"(?<![\w.])(-?1 )(image|job|change|batch)(?:es|s)\b")


def _in_words(words: str, values: str) -> str:
    """Values of a rule's query, with words around them."""
    parts = values.split("|")
    if words == "{}" or len(parts) != words.count("{}") or values == "no row":
        return values  # in words already
    return _ONE.sub(r"\1\2", words.format(*parts))
