"""Repeated polls in one process, timed from within."""

import time
from collections.abc import Callable


def repeat(poll: Callable[[], None], polls: int) -> None:
    """Poll that often. The first poll warms up; of the others, print the mean wall and CPU time in seconds."""
    poll()
    if timed := polls - 1:
        seconds, cpu = time.perf_counter(), time.process_time()
        for _ in range(timed):
            poll()
        print((time.perf_counter() - seconds) / timed, (time.process_time() - cpu) / timed)
