"""Memory, open files and threads of the daemon over 20,000 polls. See `python -m bench.soak --help`.

Its 100 projects are polled once a second, so that minutes stand for months.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import requests

from bench.databases import Postgres, Sqlite, create_schema
from bench.rounds import say
from bench.table import table
from rfsync.simulator import FixedWorld, Simulator

PROJECTS = 100
BATCHES = 50
#: Polls until caches are filled and threads started; growth counts from then on.
WARM_UP = 500
MAX_GROWTH_MIB = 5
_CONFIG = """
[database]
url = "{database}"
[api]
base_url = "{api}"
requests_per_second = 100000
[jobs]
sync = false
[schedule]
every = "1s"
jitter = "0s"
[daemon]
listen = "127.0.0.1:0"
[[workspaces]]
id = "acme"
"""


class Usage(NamedTuple):
    """Resources of the process after a number of polls."""

    polls: int
    mib: float
    files: int
    threads: int


def usage(pid: int, polls: int) -> Usage:
    """As Linux reports it; files and threads are the least of 20 samples, since polls and scrapes come and go."""
    samples = []
    for _ in range(20):
        status = Path(f"/proc/{pid}/status").read_text()
        found = {key: int(value) for key, value in re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)}
        samples.append((found["VmRSS"] / 1024, len([*Path(f"/proc/{pid}/fd").iterdir()]), found["Threads"]))
        time.sleep(0.05)
    return Usage(polls, samples[-1][0], min(files for _, files, _ in samples), min(threads for *_, threads in samples))


def finished_runs(url: str) -> int:
    """The daemon's own count."""
    text = requests.get(f"{url}/metrics", timeout=60).text
    return int(sum(float(value) for value in re.findall(r"^rfsync_runs_total\{.*\} (\S+)$", text, re.MULTILINE)))


def records(version: int) -> list[dict[str, object]]:
    """A project's list: with each version one batch changes, and the last one comes or goes."""
    made: list[dict[str, object]] = [{"id": f"b{i}", "images": i, "numJobs": 0} for i in range(BATCHES)]
    made[version % BATCHES]["images"] = version
    return made[: BATCHES - version % 2]


@contextlib.contextmanager
def daemon(folder: Path, database: str, api: str) -> Iterator[tuple[int, str]]:
    """Run the daemon; gives its process id and URL."""
    (folder / "rfsync.toml").write_text(_CONFIG.format(database=database, api=api))
    environment = {**os.environ, "ROBOFLOW_API_KEY": "any-key"}
    command = [sys.executable, "-m", "rfsync", "daemon", "--log-level", "info"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=log)
    try:
        url = None
        while url is None:
            url = re.search(r"health and metrics: (\S+)", (folder / "log").read_text())
            if process.poll() is not None:
                raise SystemExit((folder / "log").read_text())
            time.sleep(0.05)
        yield process.pid, url[1]
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait(60) != 0:
            raise SystemExit((folder / "log").read_text()[-2000:])


def soak(database: Sqlite, folder: Path, polls: int) -> list[Usage]:
    """Run that many polls; the usage about twenty times, the first after warming up."""
    world = FixedWorld({f"acme/p{number:03}": records(0) for number in range(PROJECTS)})
    usages: list[Usage] = []
    with Simulator(world) as api, daemon(folder, database.url, api.url) as (pid, url):
        done, changed = 0, 0
        while done < polls:
            time.sleep(0.2)
            changed += 1
            world.set(f"acme/p{changed % PROJECTS:03}", records(changed))
            done = finished_runs(url)
            due = usages[-1].polls + (polls - WARM_UP) // 20 if usages else WARM_UP
            if done >= min(due, polls):
                usages.append(usage(pid, done))
                say(f"{database.name}: {usages[-1]}")
    return usages


def main() -> int:
    """Print a table; return 1 if the daemon has grown."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--polls", type=int, default=20_000, help="(20,000)")
    options = parser.parse_args()
    rows, grown = [], False
    with tempfile.TemporaryDirectory(prefix="rfsync-soak-") as work:
        for make in (Sqlite, Postgres):
            folder = Path(work) / make.__name__
            folder.mkdir()
            with contextlib.closing(make(folder)) as database:
                database.clear()
                create_schema(database.url)
                usages = soak(database, folder, options.polls)
            first, last = usages[0], usages[-1]
            growth = last.mib - first.mib
            grown = grown or growth >= MAX_GROWTH_MIB or last.files > first.files or last.threads > first.threads
            rows.append([
                database.name, f"{last.polls:,}", f"{first.mib:.1f} MiB", f"{last.mib:.1f} MiB", f"{growth:+.1f} MiB",
                f"{first.files} → {last.files}", f"{first.threads} → {last.threads}",
            ])  # fmt: skip
    head = ["database", "polls", f"resident after {WARM_UP}", "at the end", "growth", "files", "threads"]
    print(table(head, rows))
    return int(grown)


if __name__ == "__main__":
    sys.exit(main())
