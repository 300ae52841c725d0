"""One process from its start to its exit: how long, how much work, how much memory."""

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
    """A contender failed, or left something else in its database than the API told it."""


class Usage(NamedTuple):
    seconds: float
    cpu: float
    """Seconds, user and system; the PostgreSQL server's own are not in it."""
    peak: float
    """MiB resident. The kernel starts counting at what this runner has, so the runner holds no data itself."""


def measure(command: list[str], environment: dict[str, str], folder: Path) -> Usage:
    """Run to the end in `folder`, where its outputs are left too."""
    with (folder / "output.txt").open("wb") as output, (folder / "errors.txt").open("wb") as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=errors)
        timer = Timer(TIMEOUT_SECONDS, process.kill)
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
