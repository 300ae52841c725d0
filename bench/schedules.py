"""Simulate a day of many schedules by the policy itself, without network and database: `python -m bench.schedules`.

Each project is polled when `rfsync.daemon.policy` says so, and as many at once as there are threads in all processes. A
poll sends two requests, each after its turn by the rate limit of its workspace's key, and holds its thread until the
end. Nothing waits in the simulation: it goes from event to event.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from heapq import heapify, heapreplace
from pathlib import Path
from typing import NamedTuple

from bench.rounds import say
from bench.table import table, write
from rfsync.daemon.policy import next_due, tick_delay
from rfsync.schedule import Interval, Schedule, shared

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
JITTER = timedelta(seconds=10)
#: Of the API, in seconds: the least, and what is added on average.
LATENCY, MORE_LATENCY = 0.05, 0.03
#: Of the transactions of a poll, in seconds.
WRITE = 0.02
REQUESTS = 2
#: Share of the projects whose polls fail for an hour, somewhere in the day.
FAILING = 0.01
OUTAGE = timedelta(hours=1)


class Scenario(NamedTuple):
    """Who polls what."""

    name: str
    #: Polls at once, over all processes.
    threads: int
    #: Projects of the first workspace's key; the others are spread evenly over the other keys.
    large: int = 0
    #: One daemon that starts everything at once, instead of workers that share ticks.
    is_daemon: bool = False
    per_second: float = 10.0


class Outcome(NamedTuple):
    """The day as it went."""

    polls: int
    #: Polls that began, in the busiest second, and on average.
    peak: int
    mean: float
    #: Seconds between due and begun: of half of the polls, of all but a hundredth, of all.
    median: float
    late: float
    latest: float
    #: The longest wait for a turn of the rate limit, in seconds.
    turn: float
    #: Share of the threads' time that was spent on requests and writing, and on waiting for turns.
    busy: float
    waiting: float


SCENARIOS = (
    Scenario("workers, 8 threads in all", 8),
    Scenario("workers, 64 threads in all", 64),
    Scenario("workers, 64 threads in all; 20 % of the projects have the same key", 64, large=20_000),
    Scenario("one daemon, concurrency 64, that starts at 00:00", 64, is_daemon=True),
)


class Day:
    """The state of a simulated day. Times are in seconds since `START`, but for those of the policy.

    Args:
        keys: workspaces, each with its own key.
    """

    def __init__(self, scenario: Scenario, projects: int, every: timedelta, keys: int) -> None:
        self._scenario = scenario
        self._random = random.Random(20)  # noqa: S311 - seeded on purpose
        self._interval = 1 / scenario.per_second
        self._names = [f"acme/project-{number}" for number in range(projects)]
        self._keys = [0 if n < scenario.large else 1 + n % (keys - 1) for n in range(projects)]
        self._next_turn = [0.0] * keys
        self._failures = [0] * projects
        self._schedules: list[Schedule] = [Interval(every)] * projects
        self._due = [START] * projects
        if not scenario.is_daemon:
            self._schedules = [shared(Interval(every), name) for name in self._names]
            self._due = [schedule.after(START) for schedule in self._schedules]
        failing = self._random.sample(range(projects), int(projects * FAILING))
        self._fails_at = {number: START + DAY * self._random.random() for number in failing}

    def run(self) -> Outcome:
        """Go from the first poll to the last of the day."""
        queue = [(self._starts_at(number), number) for number in range(len(self._names))]
        heapify(queue)
        threads = [0.0] * self._scenario.threads
        end, polls, busy, waiting, turn = DAY.total_seconds(), 0, 0.0, 0.0, 0.0
        lateness: list[float] = []
        begun: Counter[int] = Counter()
        while queue and queue[0][0] < end:
            at, number = queue[0]
            begins = max(at, threads[0])
            polls += 1
            begun[int(begins)] += 1
            lateness.append(begins - (self._due[number] - START).total_seconds())
            ends, waited = self._poll(number, begins)
            heapreplace(threads, ends)
            busy += ends - begins - waited
            waiting += waited
            turn = max(turn, waited)
            self._after(number, begins, ends)
            heapreplace(queue, (self._starts_at(number), number))
        lateness.sort()
        total = self._scenario.threads * end
        return Outcome(
            polls, max(begun.values()), polls / end, lateness[polls // 2], lateness[polls * 99 // 100], lateness[-1],
            turn, busy / total, waiting / total,
        )  # fmt: skip

    def _poll(self, number: int, at: float) -> tuple[float, float]:
        """When a poll that begins then ends, and how long it waits for turns."""
        key, waited = self._keys[number], 0.0
        for _ in range(REQUESTS):
            wait = max(self._next_turn[key] - at, 0.0)
            self._next_turn[key] = at + wait + self._interval
            waited += wait
            at += wait + LATENCY + self._random.expovariate(1 / MORE_LATENCY)
        return at + WRITE, waited

    def _after(self, number: int, begins: float, ends: float) -> None:
        began, now = START + timedelta(seconds=begins), START + timedelta(seconds=ends)
        fails_at = self._fails_at.get(number)
        failed = fails_at is not None and fails_at <= began < fails_at + OUTAGE
        self._failures[number] = self._failures[number] + 1 if failed else 0
        due = next_due(self._schedules[number], self._due[number], began, now, self._failures[number])
        self._due[number] = max(due, now)

    def _starts_at(self, number: int) -> float:
        due = self._due[number]
        if self._scenario.is_daemon:
            delay = JITTER * self._random.random() if due > START else timedelta()
        else:
            delay = tick_delay(self._names[number], due, JITTER)
        return (due + delay - START).total_seconds()


def simulate(scenario: Scenario, projects: int, every: timedelta, keys: int) -> Outcome:
    """A scenario, with as large a share of the projects for the large key as it has of 100,000."""
    began = time.monotonic()
    fitted = scenario._replace(large=scenario.large * projects // 100_000)
    outcome = Day(fitted, projects, every, keys).run()
    say(f"{scenario.name}: {outcome.polls:,} polls, simulated in {time.monotonic() - began:.0f} s")
    return outcome


def report(results: list[tuple[Scenario, Outcome]], projects: int, every: timedelta, keys: int) -> str:
    """The table as Markdown."""
    head = [
        "who polls", "polls", "begun in a second: mean", "peak", "late: half", "99 %", "all", "longest wait for turns",
        "threads busy", "waiting for turns",
    ]  # fmt: skip
    rows = [
        [
            scenario.name, f"{outcome.polls:,}", f"{outcome.mean:.0f}", f"{outcome.peak:,}", _span(outcome.median),
            _span(outcome.late), _span(outcome.latest), _span(outcome.turn), f"{outcome.busy:.0%}",
            f"{outcome.waiting:.0%}",
        ]
        for scenario, outcome in results
    ]  # fmt: skip
    command = shlex.join(["python", "-m", "bench.schedules", *sys.argv[1:]])
    minutes = every / timedelta(minutes=1)
    what = (
        f"{projects:,} projects of {keys} keys, each polled every {minutes:g} minutes, for a day. A poll sends "
        f"{REQUESTS} requests of {LATENCY * 1000:.0f} ms and more ({(LATENCY + MORE_LATENCY) * 1000:.0f} on average), "
        f"at most {SCENARIOS[0].per_second:g} a second for each key, and writes for {WRITE * 1000:.0f} ms. One project "
        f"in {1 / FAILING:.0f} fails for an hour. Late is a poll that begins after it was due; up to "
        f"{JITTER.total_seconds():g} s of that are the jitter's."
    )
    return "\n\n".join([f"Made by `{command}`.", what, table(head, rows)])


def _span(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.schedules", description=__doc__.splitlines()[0])
    parser.add_argument("--projects", type=int, default=100_000, help="schedules (100,000)")
    parser.add_argument("--minutes", type=float, default=60, help="the interval of each (60)")
    parser.add_argument("--keys", type=int, default=100, help="workspaces, each with its own key (100)")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table into this file too")
    options = parser.parse_args()
    every = timedelta(minutes=options.minutes)
    with ProcessPoolExecutor(min(len(SCENARIOS), os.cpu_count() or 1)) as pool:
        outcomes = pool.map(partial(simulate, projects=options.projects, every=every, keys=options.keys), SCENARIOS)
        results = list(zip(SCENARIOS, outcomes, strict=True))
    text = report(results, options.projects, every, options.keys)
    print(text)
    if options.markdown:
        write(options.markdown, text, "schedules")
    return 0


if __name__ == "__main__":
    sys.exit(main())
