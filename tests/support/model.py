"""What a project has to be stored as, kept in the simplest way: the state of both lists, and of the people in them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rig import START

from rfsync.records import Kind

LIMIT, REPEAT = 2, 2
DAY = timedelta(days=1)

#: A record as it is stored: its counts, then its texts and people (in lower case; "": nobody).
Values = tuple[Any, ...]
State = dict[str, Values]
#: As the API says it: None is not reported.
Said = tuple[Any, ...]

#: What is stored of a record that says nothing.
NOTHING: dict[Kind, Values] = {
    Kind.BATCH: (0, 0, None),
    Kind.JOB: (0, 0, 0, 0, 0, None, None, "", ""),
}
#: The places of a job's labeler and reviewer.
PEOPLE = (7, 8)
#: The places of what counts as work done.
WORK = {"annotated": 1, "approved": 3, "rejected": 4}


@dataclass(frozen=True)
class Listed:
    """An answer of a list, and what the API says of the records that it lacks."""

    records: dict[str, Said]
    by_id: dict[str, str | Said]
    #: Ids of records that break the rules; None: a record without any usable id.
    broken: tuple[str | None, ...] = ()

    @property
    def seen(self) -> dict[str, Said]:
        """The valid records."""
        return {i: said for i, said in self.records.items() if i not in self.broken}

    @property
    def is_bad(self) -> bool:
        """More than half of it is rejected."""
        return len(self.broken) > len(self.seen)


@dataclass
class Missing:
    """A record that the last observation lacked."""

    since: datetime
    #: 0: an applied observation lacked it; else which of the refused ones in a row did first.
    refusal: int = 0
    asked: datetime | None = None
    unlisted: bool = False
    #: Removed by the project's departure.
    removed: bool = False


@dataclass
class Books:
    """What has to be stored of one list."""

    kind: Kind
    current: State = field(default_factory=dict)
    #: Removed ones too.
    known: State = field(default_factory=dict)
    missing: dict[str, Missing] = field(default_factory=dict)
    #: Observations in a row that were refused.
    streak: int = 0
    #: What the project had when it departed; None: it is there.
    departed: State | None = None
    observed: bool = False
    #: In lower case: all whom a record has named, and those of the lists since the last switch of what is kept of them.
    people: set[str] = field(default_factory=set)
    shown: set[str] = field(default_factory=set)

    def take(self, record_id: str, said: Said) -> None:
        """Takes a record over as the API says it."""
        old = self.known.get(record_id, NOTHING[self.kind])
        new = [o if s is None else s for o, s in zip(old, said, strict=True)]
        if self.kind is Kind.JOB:
            for place in PEOPLE:
                new[place] = new[place].casefold()
                self.people |= {new[place]} - {""}
        self.current[record_id] = self.known[record_id] = tuple(new)

    def lacks(self, listed: Listed) -> list[str]:
        """What the list has not, of what exists."""
        return sorted(i for i in self.current if i not in listed.seen and i not in listed.broken)

    def comes_back(self, listed: Listed) -> set[str]:
        """What the list has not, of what the project had when it departed."""
        back = {i for i, row in self.missing.items() if row.removed} | {*(self.departed or ())}
        return {i for i in back if i not in listed.seen and i not in listed.broken}

    def refuses(self, listed: Listed, at: datetime) -> bool:
        """Whether too much vanished at once; then it is noted."""
        lacking = self.lacks(listed)
        vanished: dict[int, int] = {}
        for record_id in lacking:
            refusal = self.missing[record_id].refusal if record_id in self.missing else self.streak + 1
            vanished[refusal] = vanished.get(refusal, 0) + 1
        if not any(r and number > LIMIT and self.streak + 2 - r < REPEAT for r, number in vanished.items()):
            return False
        self.streak += 1
        kept = {i: row for i, row in self.missing.items() if not row.refusal or i in lacking}
        self.missing = {i: Missing(at, self.streak) for i in lacking} | kept
        return True

    def rows(self, listed: Listed, at: datetime) -> dict[str, Missing]:
        """What has to be known of missing records to ask for them."""
        back = {i: Missing(at, removed=True) for i in self.comes_back(listed)}
        return back | {i: Missing(at) for i in self.lacks(listed)} | self.missing

    def questions(self, listed: Listed, at: datetime) -> list[tuple[Any, ...]]:
        """Those to ask for; sorted, they are in the order in which that is done."""
        rows, long_ago = self.rows(listed, at), START - DAY
        found: list[tuple[Any, ...]] = []
        for i in [*self.lacks(listed), *self.comes_back(listed)]:
            since, asked = rows[i].since, rows[i].asked or long_ago
            if not rows[i].unlisted:
                found.append((False, since, asked, self.kind, i))
            elif asked + DAY <= at:
                found.append((True, asked, since, self.kind, i))
        return found

    def apply(self, listed: Listed, asked: set[str], at: datetime, *, allow_removals: bool) -> None:
        """Applies a list.

        Args:
            asked: ids of the records that are asked for.
        """
        lacking, back, rows = self.lacks(listed), self.comes_back(listed), self.rows(listed, at)
        self.missing = {i: row for i, row in self.missing.items() if i in listed.broken}
        self.streak, self.departed, self.observed = 0, None, True
        if allow_removals:
            for record_id in lacking:
                del self.current[record_id]
        else:
            for record_id in [*lacking, *back]:
                self.settle(record_id, rows[record_id], listed.by_id[record_id] if record_id in asked else None, at)
        for record_id, told in listed.seen.items():
            self.take(record_id, told)
            if self.kind is Kind.JOB:
                self.shown |= {told[place].casefold() for place in PEOPLE if told[place]}

    def settle(self, record_id: str, row: Missing, said: str | Said | None, at: datetime) -> None:
        """Takes over what the API says of a record that the list lacks; None: it was not asked."""
        row.refusal = 0
        if said == "gone":
            self.current.pop(record_id, None)
            return
        if said is not None and not isinstance(said, str):
            self.take(record_id, said)
            row.unlisted, row.asked, row.removed = True, at, False
        elif said is not None and not row.unlisted:
            row.asked = at
        self.missing[record_id] = row

    def depart(self) -> None:
        """Removes all, as the project is gone."""
        # What an earlier departure removed, and was not seen since, is still looked for when it is back.
        self.missing = {i: row for i, row in self.missing.items() if row.removed}
        self.departed, self.current, self.streak = self.current, {}, 0


@dataclass(frozen=True)
class Observed:
    """What the API answers to one run: a word is what is wrong with the job list, and None that it is not asked for."""

    batches: Listed
    jobs: Listed | str | None
    allow_removals: bool = False
    #: The key that it is asked with.
    key: str = "key"


@dataclass
class Model:
    """What has to be stored of a project."""

    batches: Books = field(default_factory=lambda: Books(Kind.BATCH))
    jobs: Books = field(default_factory=lambda: Books(Kind.JOB))
    observed: bool = False
    #: The project has a new id that the database does not know yet.
    renamed: bool = False
    #: Why the job list was not applied when it was last asked for; None: it was.
    jobs_error: str | None = None
    #: When which key was told that it may see no jobs; None: since then the list was applied.
    denied: tuple[datetime, str] | None = None

    def copy(self) -> Model:
        """Another one to go on with."""
        return deepcopy(self)

    @property
    def departed(self) -> bool:
        """Whether the project is gone."""
        return self.batches.departed is not None

    def is_denied(self, key: str, now: datetime) -> bool:
        """Whether this key is known to see no jobs; of a new id nothing is known."""
        if self.denied is None or self.renamed:
            return False
        at, denied = self.denied
        return key == denied and at <= now < at + DAY

    def state(self) -> tuple[State, State]:
        """The batches and the jobs that exist."""
        return dict(self.batches.current), dict(self.jobs.current)

    def is_recognised(self, observed: Observed) -> bool:
        """Whether the lists show, under a new id, that they are this project's."""
        lists = [(self.batches, observed.batches), (self.jobs, observed.jobs)]
        return any(
            isinstance(listed, Listed)
            and not listed.is_bad
            and (books.current if books.departed is None else books.departed).keys() & listed.seen.keys()
            for books, listed in lists
        )

    def observe(self, observed: Observed, at: datetime) -> str:
        """Applies the lists as the contract says; the outcome that it has to have."""
        before, batches, jobs = self.state(), observed.batches, observed.jobs
        if batches.is_bad:
            return "failed"
        if isinstance(jobs, Listed) and jobs.is_bad:
            jobs = "bad_response"
        if not observed.allow_removals and self.batches.refuses(batches, at):
            if isinstance(jobs, str):
                self.fail_jobs(jobs, at, observed.key)
            return "refused"
        if isinstance(jobs, Listed) and not observed.allow_removals and self.jobs.refuses(jobs, at):
            jobs = "refused"
        self.hear_of_jobs(jobs, at, observed.key)
        lists = [(self.batches, batches)] + ([(self.jobs, jobs)] if isinstance(jobs, Listed) else [])
        questions = [] if observed.allow_removals else [q for b, listed in lists for q in b.questions(listed, at)]
        asked = sorted(questions)[:LIMIT]
        for books, listed in lists:
            ids = {i for *_, kind, i in asked if kind is books.kind}
            books.apply(listed, ids, at, allow_removals=observed.allow_removals)
        self.observed, renamed, self.renamed = True, self.renamed, False
        return "changed" if self.state() != before or renamed else "unchanged"

    def hear_of_jobs(self, jobs: Listed | str | None, at: datetime, key: str) -> None:
        """Notes how the job list of an observation that is applied went."""
        if isinstance(jobs, Listed):
            self.jobs_error = self.denied = None
            return
        if jobs is not None:
            self.fail_jobs(jobs, at, key)
        # Of a project that is back, the next list is asked for what it lacks.
        self.jobs.missing |= {i: Missing(at, removed=True) for i in self.jobs.departed or ()}
        self.jobs.departed = None

    def fail_jobs(self, error: str, at: datetime, key: str) -> None:
        """Notes what is wrong with the job list."""
        self.jobs_error = error
        if error in {"auth", "not_found"}:
            self.denied = (at, key)

    def refresh(self, answers: dict[str, str | Said]) -> str:
        """Takes single batches over; the outcome that it has to have."""
        if self.departed or any(isinstance(said, str) for said in answers.values()):
            return "failed"
        before = self.state()
        for batch_id, said in answers.items():
            self.batches.take(batch_id, said)
            if batch_id in self.batches.missing and self.batches.missing[batch_id].removed:
                self.batches.missing[batch_id].removed = False
        return "changed" if self.state() != before else "unchanged"

    def depart(self) -> None:
        """Removes all, as the project is gone."""
        self.batches.depart()
        self.jobs.depart()


def moved(before: Books, after: Books) -> dict[tuple[str, str], int]:
    """What moved between two states of the jobs, by the labeler and the column of ``labeler_daily``."""
    flows: dict[tuple[str, str], int] = {}

    def add(labeler: str, flow: str, number: int) -> None:
        if number:
            flows[labeler, flow] = flows.get((labeler, flow), 0) + number

    for job_id, new in after.current.items():
        old = before.known.get(job_id)
        labeler, labeler_before = new[PEOPLE[0]], (old or new)[PEOPLE[0]]
        old_counts = old or NOTHING[Kind.JOB]
        if old is None or labeler != labeler_before:
            add(labeler, "jobs_opened", 1)
            add(labeler, "images_assigned", new[0])
        else:
            add(labeler, "images_assigned", max(new[0] - old[0], 0))
        for name, place in WORK.items():
            delta = new[place] - old_counts[place]
            add(labeler, f"{name}_gained", max(delta, 0))
            add(labeler_before, f"{name}_lost", max(-delta, 0))
    return flows
