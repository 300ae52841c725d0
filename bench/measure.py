"""Time, CPU and memory of one process from its start to its exit."""

import os
import subprocess
import sys
import time
from pathlib import Path
from threading import Timer
from typing import NamedTuple

TIMEOUT_SECONDS = 900.0
PER_MIB = 1024 * 1024 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in KiB elsewhere


class BrokenError(Exception):
    """A contender failed, or its database does not hold what the API answered."""


class Usage(NamedTuple):
    seconds: float
    cpu: float
    """Seconds, user and system, without those of the PostgreSQL server."""
    peak: float
    """MiB resident. The kernel starts counting at the size of this runner, which therefore holds no data itself."""


def measure(command: list[str], environment: dict[str, str], folder: Path, timeout: float = TIMEOUT_SECONDS) -> Usage:
    """Run a command to its end in `folder`, and leave its outputs there."""
    with (folder / "output.txt").open("wb") as output, (folder / "errors.txt").open("wb") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=errors)
        timer = Timer(timeout, process.kill)
        timer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - start
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        said = "\n".join((folder / name).read_text(errors="replace") for name in ("output.txt", "errors.txt"))
        raise BrokenError(f"exit code {process.returncode}: {said.strip()[-2000:]}")
    return Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / PER_MIB)


def per_poll(usage: Usage, folder: Path) -> Usage:
    """Time and CPU of a poll as a process that stays measured them itself (`bench/repeat.py`)."""
    seconds, cpu = (folder / "output.txt").read_text().split()
    return Usage(float(seconds), float(cpu), usage.peak)
