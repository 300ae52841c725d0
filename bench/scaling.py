"""Measure polls of many projects, by one process and by several. See `python -m bench.scaling --help`."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Final, NamedTuple

from bench.api import Answers, Api, project_names
from bench.contenders import FLOOR, RFSYNC, Contender, Task, configure, rfsync_command
from bench.databases import Postgres, Sqlite
from bench.measure import PER_MIB, BrokenError, Usage, measure
from bench.rounds import say
from bench.table import MET, MISSED, table, write

LATENCY: Final = 0.05
#: One project in 20 has changes, in one batch in 20.
ANSWERS: Final = Answers(projects=2_000, batches=50, delay=LATENCY, share=0.05, every=20)
#: Times the bound, and MiB.
LIMIT, PEAK_LIMIT = 2.0, 300.0


class Layout(NamedTuple):
    """The processes that poll all projects once, and how many requests each sends at a time."""

    key: str
    processes: int
    concurrency: int
    #: `rfsync worker` or `rfsync sync`.
    command: str = "sync"

    @property
    def name(self) -> str:
        """For people."""
        several = f"{self.processes} × " if self.processes > 1 else ""
        return f"{several}`{self.command}`, concurrency {self.concurrency}"


LAYOUTS: Final = (
    Layout("sync-1", 1, 1),
    Layout("sync-8", 1, 8),
    Layout("sync-32", 1, 32),
    Layout("syncs-2", 2, 8),
    Layout("syncs-4", 4, 8),
    Layout("worker-1", 1, 8, "worker"),
    Layout("workers-2", 2, 8, "worker"),
    Layout("workers-4", 4, 8, "worker"),
)
#: What workers need beside the configuration of a sync. They find all projects due, and none twice: the next time is
#: midnight for all.
WORKERS: Final = """
[schedule]
cron = "0 0 * * *"
jitter = "0s"

[daemon]
listen = ""

[worker]
concurrency = {concurrency}
"""
#: The runs of the first poll are of yesterday.
YESTERDAY: Final = "UPDATE sync_runs SET started_at = started_at - {day}, finished_at = finished_at - {day}"
#: Runs of this poll that have ended.
ENDED: Final = "SELECT count(*) FROM sync_runs WHERE trigger = 'worker' AND outcome <> 'running'"
TIMEOUT: Final = 900.0


class Result(NamedTuple):
    """Seconds of wall and CPU time, and MiB of the largest process."""

    layout: Layout
    database: str
    floor: list[Usage]
    own: list[Usage]


class Bench:
    """2,000 projects on one database, polled by floor and rfsync in turn.

    Args:
        answers: those of the measured poll.
    """

    def __init__(self, api: Api, database: Sqlite, answers: Answers) -> None:
        self._api, self._database, self._answers = api, database, answers
        self._task = Task(database, api.url, project_names(answers.projects))

    def prepare(self) -> None:
        """Make a snapshot of each contender's database as its first poll leaves it."""
        before = self._answers._replace(share=0.0, every=1)
        for contender in (FLOOR, RFSYNC):
            self._api.serve(before)
            self._database.clear()
            if contender.prepare:
                contender.prepare(self._task)
            measure(contender.command(self._task), self._task.environment, self._database.home)
            self._database.snapshot(contender.name)

    def floor(self, concurrency: int) -> Usage:
        """One poll by the floor, which is one process."""
        task = self._task._replace(concurrency=concurrency)
        return self._poll(FLOOR, lambda: measure(FLOOR.command(task), task.environment, self._database.home))

    def own(self, layout: Layout) -> Usage:
        """One poll by rfsync, each process with its share of the projects."""
        configured = partial(configure, self._task._replace(concurrency=layout.concurrency))
        poll = self._syncs if layout.command == "sync" else self._workers

        def run() -> Usage:
            configured()
            return poll(layout)

        return self._poll(RFSYNC, run)

    def _syncs(self, layout: Layout) -> Usage:
        names, count = self._task.projects, layout.processes
        shares = [[f"acme/{name}" for name in names[number::count]] for number in range(count)]
        began = perf_counter()
        with ThreadPoolExecutor(count) as pool:
            used = list(pool.map(self._sync, range(count), shares))
        seconds = perf_counter() - began
        return Usage(seconds, sum(one.cpu for one in used), max(one.peak for one in used))

    def _sync(self, number: int, targets: list[str]) -> Usage:
        folder = self._database.home / f"process-{number}"
        folder.mkdir()
        return measure([*rfsync_command(), "sync", "--json", *targets], self._task.environment, folder)

    def _workers(self, layout: Layout) -> Usage:
        """Until every project was polled; then the workers are stopped, which is not counted."""
        with (self._database.home / "rfsync.toml").open("a") as file:
            file.write(WORKERS.format(concurrency=layout.concurrency))
        self._database.execute(YESTERDAY.format(day="interval '1 day'"))
        began = perf_counter()
        command = [*rfsync_command(), "worker", "--log-level", "warning"]
        home, environment = self._database.home, self._task.environment
        workers = [subprocess.Popen(command, cwd=home, env=environment) for _ in range(layout.processes)]
        try:
            while self._database.query(ENDED)[0] < self._answers.projects:
                if perf_counter() - began > TIMEOUT or any(map(_has_ended, workers)):
                    raise BrokenError(f"{self._database.query(ENDED)[0]} projects were polled")
                time.sleep(0.05)
            seconds = perf_counter() - began
        finally:
            for worker in workers:
                worker.terminate()
            used = [os.wait4(worker.pid, 0)[2] for worker in workers]
        cpu = sum(one.ru_utime + one.ru_stime for one in used)
        return Usage(seconds, cpu, max(one.ru_maxrss for one in used) / PER_MIB)

    def _poll(self, contender: Contender, run: Callable[[], Usage]) -> Usage:
        expected = self._api.serve(self._answers)
        self._database.restore(contender.name)
        usage = run()
        if (requests := self._api.requests()) != self._answers.requests:
            raise BrokenError(f"{requests} requests instead of {self._answers.requests}")
        for query in contender.totals:
            if (found := self._database.query(query)) != tuple(expected.batches):
                raise BrokenError(f"{query}: {found} instead of {tuple(expected.batches)}")
        used = f"{usage.seconds:.1f} s, {usage.cpu:.1f} s CPU, {usage.peak:.0f} MiB"
        say(f"{self._database.name}, {contender.name}: {used}")
        return usage


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    # Not by `poll`, which would take what it used from `wait4`.
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def report(results: list[Result], answers: Answers, databases: list[str]) -> str:
    """The table as Markdown."""
    head = [
        "processes", "database", "projects/s", "bound: latency", "bound: floor", "× bound", "at most",
        "CPU ms a project (floor, rfsync)", "MiB", "",
    ]  # fmt: skip
    command = shlex.join(["python", "-m", "bench.scaling", *sys.argv[1:]])
    system = ", ".join([f"Python {platform.python_version()}", *databases, f"{os.cpu_count()} cores"])
    changed = f"one project in {answers.every} has changed, in {answers.share:.0%} of its batches"
    what = (
        f"One poll of {answers.projects:,} projects of {answers.batches} batches, of which {changed}, from a stand-in "
        f"that takes {answers.delay * 1000:.0f} ms for each answer. The bound is the lower of two rates: concurrency ÷ "
        "latency, and that of the floor, one process that sends the same requests with the same concurrency, decodes, "
        "compares and writes in one transaction. Whole processes from start to exit; the stand-in and PostgreSQL use "
        "the same cores."
    )
    rows = [_row(result, answers) for result in results]
    return "\n\n".join([f"Made by `{command}` with {system}.", what, table(head, rows)])


def _row(result: Result, answers: Answers) -> list[str]:
    layout, projects = result.layout, answers.projects
    by_latency = layout.processes * layout.concurrency / LATENCY
    by_floor = projects / median(usage.seconds for usage in result.floor)
    own = projects / median(usage.seconds for usage in result.own)
    ratio, peak = min(by_latency, by_floor) / own, max(usage.peak for usage in result.own)
    is_limited = layout.processes == 1 and layout.command == "sync"
    met = (MET if ratio <= LIMIT and peak <= PEAK_LIMIT else MISSED) if is_limited else ""
    cpu = [median(usage.cpu for usage in used) / projects * 1000 for used in (result.floor, result.own)]
    return [
        layout.name, result.database, f"{own:.0f}", f"{by_latency:.0f}", f"{by_floor:.0f}", f"{ratio:.2f}",
        f"{LIMIT:g}, {PEAK_LIMIT:.0f} MiB" if is_limited else "", f"{cpu[0]:.1f}, {cpu[1]:.1f}", f"{peak:.0f}", met,
    ]  # fmt: skip


def selected(database: Sqlite, pattern: str) -> list[Layout]:
    """The layouts that a pattern means; workers need PostgreSQL."""
    name = database.name.lower()
    possible = [one for one in LAYOUTS if one.command == "sync" or name == "postgresql"]
    return [one for one in possible if any(fnmatch(key, pattern) for key in (one.key, f"{one.key}/{name}"))]


def main() -> int:
    """Measure what the options select."""
    keys = ", ".join(layout.key for layout in LAYOUTS)
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__, epilog=f"Layouts: {keys}.")
    parser.add_argument("--runs", type=int, default=3, help="rounds for each layout (3)")
    parser.add_argument("--projects", type=int, default=ANSWERS.projects, help="projects (2,000)")
    parser.add_argument("--only", metavar="PATTERN", default="*", help="e.g. 'sync-*' or '*/sqlite': LAYOUT/DATABASE")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table into this file too")
    options = parser.parse_args()
    answers, results = ANSWERS._replace(projects=options.projects), []
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rfsync-bench-")))
        databases = [stack.enter_context(closing(make(work))) for make in (Sqlite, Postgres)]
        api = stack.enter_context(Api())
        for database in databases:
            chosen = selected(database, options.only)
            if not chosen:
                continue
            bench = Bench(api, database, answers)
            bench.prepare()
            for layout in chosen:
                at_once = layout.processes * layout.concurrency
                pairs = [(bench.floor(at_once), bench.own(layout)) for _ in range(options.runs)]
                results.append(Result(layout, database.name, [a for a, _ in pairs], [b for _, b in pairs]))
            database.drop_snapshots()
        text = report(results, answers, [database.version() for database in databases])
    print(text)
    if options.markdown:
        write(options.markdown, text, "scaling")
    return 0


if __name__ == "__main__":
    sys.exit(main())
