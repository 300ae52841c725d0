"""Does the daemon stay the same size? 20,000 polls of the real process, with its memory, files and threads on the way.

The clock is a fast one: 100 projects are polled once a second, so that minutes stand for months.
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

from bench.stages import PostgresStage, Stage
from rfsync.simulator import FixedWorld, Simulator

PROJECTS = 100
BATCHES = 50
#: Polls until then are the daemon's youth: caches fill, threads start.
YOUTH = 500
_CONFIG = """
[database]
url = "{database}"
[api]
base_url = "{api}"
requests_per_second = 100000
[schedule]
every = "1s"
jitter = "0s"
[daemon]
listen = "127.0.0.1:0"
[[workspaces]]
id = "acme"
"""


class Size(NamedTuple):
    """Of a process at a moment."""

    polls: int
    kib: int
    files: int
    threads: int


def size(pid: int, polls: int) -> Size:
    """As Linux tells it; of files and threads the least of some looks, since polls and scrapes come and go."""
    looks = []
    for _ in range(20):
        status = Path(f"/proc/{pid}/status").read_text()
        found = {key: int(value) for key, value in re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)}
        looks.append((found["VmRSS"], len([*Path(f"/proc/{pid}/fd").iterdir()]), found["Threads"]))
        time.sleep(0.05)
    return Size(polls, looks[-1][0], min(look[1] for look in looks), min(look[2] for look in looks))


def polls(url: str) -> int:
    """Runs that have ended, by the daemon's own count."""
    text = requests.get(f"{url}/metrics", timeout=60).text
    return int(sum(float(value) for value in re.findall(r"^rfsync_runs_total\{.*\} (\S+)$", text, re.MULTILINE)))


def records(number: int) -> list[dict[str, object]]:
    """What a project lists the n-th time: a batch of it changes, another comes and goes."""
    made: list[dict[str, object]] = [{"id": f"b{i}", "images": i, "numJobs": 0} for i in range(BATCHES)]
    made[number % BATCHES]["images"] = number
    return made[: BATCHES - number % 2]


@contextlib.contextmanager
def daemon(folder: Path, database: str, api: str) -> Iterator[tuple[int, str]]:
    """The process, by its id, and its URL."""
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
        yield process.pid, url[1]
    finally:
        process.send_signal(signal.SIGTERM)
        if process.wait(60) != 0:
            raise SystemExit((folder / "log").read_text()[-2000:])


def soak(stage: Stage, folder: Path, until: int) -> list[Size]:
    """The daemon's size from the end of its youth on, about twenty times."""
    world = FixedWorld({f"acme/p{number:03}": records(0) for number in range(PROJECTS)})
    sizes: list[Size] = []
    with Simulator(world) as api, daemon(folder, stage.url, api.url) as (pid, url):
        done, changed = 0, 0
        while done < until:
            time.sleep(0.2)
            changed += 1
            world.set(f"acme/p{changed % PROJECTS:03}", records(changed))
            done = polls(url)
            if done >= YOUTH and (not sizes or done >= sizes[-1].polls + (until - YOUTH) // 20 or done >= until):
                sizes.append(size(pid, done))
                print(f"{stage.name}: {sizes[-1]}", file=sys.stderr)
    return sizes


def main() -> int:
    """Prints a table; 1 where the daemon has grown."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--polls", type=int, default=20_000)
    options = parser.parse_args()
    grown = False
    print("| database | polls | resident after 500 | at the end | growth | files | threads |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="rfsync-soak-") as work:
        for make in (Stage, PostgresStage):
            folder = Path(work) / make.__name__
            folder.mkdir()
            with contextlib.closing(make(folder)) as stage:
                stage.clear()
                if stage.name != "SQLite":
                    upgrade = [sys.executable, "-m", "rfsync", "db", "upgrade", "--database", stage.url]
                    subprocess.run(upgrade, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                sizes = soak(stage, folder, options.polls)
            first, last = sizes[0], sizes[-1]
            files, threads = last.files - first.files, last.threads - first.threads
            growth = (last.kib - first.kib) / 1024
            grown = grown or growth >= 5 or files > 0 or threads > 0
            print(
                f"| {stage.name} | {last.polls:,} | {first.kib / 1024:.1f} MiB | {last.kib / 1024:.1f} MiB | "
                f"{growth:+.1f} MiB | {first.files} → {last.files} | {first.threads} → {last.threads} |"
            )
    return int(grown)


if __name__ == "__main__":
    sys.exit(main())
