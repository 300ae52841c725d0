"""The cases that are measured, and their limits."""

from typing import NamedTuple, Self

from bench.api import Answers
from bench.contenders import CORE, FLOOR, MERGE, RFSYNC, SCD2, Contender


class Case(NamedTuple):
    key: str
    answers: Answers
    floor_limit: float | None = None
    """Times the floor; None: the time is only shown."""
    initial: bool = False
    """Starts from an empty database."""
    rivals: tuple[Contender, ...] = ()
    """Measured too, beside floor and rfsync."""
    core_limit: float | None = None
    """Times plain SQLAlchemy Core; None: the time is only shown."""
    peak: float | None = None
    """MiB of resident memory at most."""

    @property
    def name(self) -> str:
        projects, batches, share, *_ = self.answers
        data = f"{batches:,} batches" if projects == 1 else f"{projects} projects of {batches} batches"
        if self.answers.jobs:
            data += f" and {self.answers.jobs:,} jobs"
        change = f"{share * 100:g} % changed" if share else "nothing changed"
        if self.answers.shuffled:
            change = "only their order changed"
        if self.initial:
            change = "initial load"
        return f"{data}, {change}" + (", per poll of a process that stays" if self.answers.polls > 1 else "")

    @property
    def before(self) -> Answers:
        """The answers that the database already holds before a poll that is not the first."""
        return self.answers._replace(share=0.0, shuffled=False, polls=1)

    @property
    def contenders(self) -> tuple[Contender, ...]:
        return (FLOOR, RFSYNC, *self.rivals)

    def quick(self) -> Self:
        """A small version of the case, without limits: it shows only that everything works."""
        answers = self.answers
        small = answers._replace(
            projects=min(answers.projects, 8),
            batches=_fewer(answers.batches),
            jobs=_fewer(answers.jobs),
            polls=min(answers.polls, 3),
        )
        return self._replace(answers=small, floor_limit=None, core_limit=None, peak=None)


def _fewer(number: int) -> int:
    return max(number // 100, min(number, 100))


THOUSAND = Answers(batches=1_000)
HUNDRED_THOUSAND = Answers(batches=100_000)
BOTH = HUNDRED_THOUSAND._replace(jobs=20_000)
MILLION = Answers(batches=1_000_000)
MANY = Answers(projects=200, batches=50, delay=0.05)
#: The first poll of a process that stays is not timed.
STAYING = MANY._replace(delay=0.001, polls=21)
PEAK = 1.1 * 1024

ALL = (CORE, MERGE, SCD2)
#: rfsync has to be faster, by the two digits that the table shows.
AHEAD = 0.99
WITHIN_A_QUARTER = 1.25

#: Cases with the same data stand together, since their starting point is prepared once. The largest come last.
CASES = (
    Case("1k-initial", THOUSAND, 4.0, initial=True, rivals=(CORE,), core_limit=AHEAD),
    Case("1k-0", THOUSAND, 4.0, rivals=(CORE,), core_limit=AHEAD),
    Case("1k-1", THOUSAND._replace(share=0.01), 4.0, rivals=(CORE,)),
    Case("100k-initial", HUNDRED_THOUSAND, 2.7, initial=True, rivals=ALL, core_limit=AHEAD),
    Case("100k-0", HUNDRED_THOUSAND, 1.4, rivals=(CORE,), core_limit=AHEAD),
    Case("100k-0-shuffled", HUNDRED_THOUSAND._replace(shuffled=True), rivals=(CORE,)),
    Case("100k-0.1", HUNDRED_THOUSAND._replace(share=0.001), 2.0, rivals=(CORE,), core_limit=WITHIN_A_QUARTER),
    Case("100k-1", HUNDRED_THOUSAND._replace(share=0.01), 2.0, rivals=ALL, core_limit=WITHIN_A_QUARTER),
    Case("100k-jobs-initial", BOTH, initial=True),
    Case("100k-jobs-0", BOTH, 1.4),
    Case("100k-jobs-1", BOTH._replace(share=0.01), 2.0),
    Case("many-initial", MANY, 1.7, initial=True),
    Case("many-0", MANY, 1.7),
    Case("many-2", MANY._replace(share=0.02), 1.7),
    Case("staying-0", STAYING, 3.0),
    Case("staying-2", STAYING._replace(share=0.02), 3.0),
    Case("1m-initial", MILLION, 2.6, initial=True, rivals=(CORE,), core_limit=AHEAD, peak=PEAK),
    Case("1m-0.1", MILLION._replace(share=0.001), 1.2, rivals=(CORE,), core_limit=AHEAD, peak=PEAK),
)
