"""What is measured, and how many times the floor's time rfsync may take for it."""

from typing import NamedTuple

from bench.api import Answers


class Case(NamedTuple):
    key: str
    name: str
    answers: Answers
    at_most: float | None = None
    """Times the floor; None where the time is only shown."""
    initial: bool = False
    peak: float | None = None
    """MiB of resident memory at most."""
    dlt: bool = False

    @property
    def before(self) -> Answers:
        """What the database already holds when a poll that is not the first begins."""
        return self.answers._replace(share=0.0, shuffled=False)


THOUSAND = Answers(batches=1_000)
HUNDRED_THOUSAND = Answers(batches=100_000)
MILLION = Answers(batches=1_000_000)
MANY = Answers(projects=200, batches=50, delay=0.05)
GIB = 1024.0

#: Cases with the same data stand together, since what they start from is prepared once; the largest come last.
CASES = (
    Case("1k-initial", "1,000 batches, initial load", THOUSAND, 3.0, initial=True),
    Case("1k-0", "1,000 batches, nothing changed", THOUSAND, 3.0),
    Case("1k-1", "1,000 batches, 1 % changed", THOUSAND._replace(share=0.01), 3.0),
    Case("100k-initial", "100,000 batches, initial load", HUNDRED_THOUSAND, 2.5, initial=True, dlt=True),
    Case("100k-0", "100,000 batches, nothing changed", HUNDRED_THOUSAND, 0.6),
    Case("100k-0-shuffled", "100,000 batches, only their order changed", HUNDRED_THOUSAND._replace(shuffled=True)),
    Case("100k-0.1", "100,000 batches, 0.1 % changed", HUNDRED_THOUSAND._replace(share=0.001), 1.3),
    Case("100k-1", "100,000 batches, 1 % changed", HUNDRED_THOUSAND._replace(share=0.01), 1.3, dlt=True),
    Case("many-initial", "200 projects of 50 batches, initial load", MANY, 1.5, initial=True),
    Case("many-0", "200 projects of 50 batches, nothing changed", MANY, 1.5),
    Case("many-2", "200 projects of 50 batches, 2 % changed", MANY._replace(share=0.02), 1.5),
    Case("1m-initial", "1,000,000 batches, initial load", MILLION, 2.5, initial=True, peak=1.1 * GIB),
    Case("1m-0.1", "1,000,000 batches, 0.1 % changed", MILLION._replace(share=0.001), 1.0, peak=1.1 * GIB),
)
