"""``python -m rfsync`` without the start of Python: forked from a process that has imported everything already.

Each command is a process of its own all the same, with its own arguments, environment, folder, streams and exit code.
It can't show that a command imports what it needs; tests marked ``new_python`` do.
"""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import runpy
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Self

import pytest


@functools.cache
def fork_server() -> ForkServerContext:
    """Makes processes by forking one that has imported what commands and victims need; the first call starts it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preload"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where it finds ``preload``
        forkserver.ensure_running()
    return context


class Forked:
    """A running command, with what the tests need of ``subprocess.Popen``. Times are in seconds.

    Args:
        by_the_mode: a file's mode stops it even if it is the superuser's.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, env: Mapping[str, str], *, by_the_mode: bool = False
    ) -> None:
        self.args = ["rfsync", *map(os.fsdecode, arguments)]
        (out, its_out), (err, its_err) = os.pipe(), os.pipe()
        self.stdout = open(out, encoding="utf-8")  # noqa: PTH123, SIM115 closed by __exit__
        self.stderr = open(err, encoding="utf-8")  # noqa: PTH123, SIM115 closed by __exit__
        with Connection(its_out, readable=False) as stdout, Connection(its_err, readable=False) as stderr:
            self._process = fork_server().Process(
                target=_main, args=(self.args, folder, dict(env), {1: stdout, 2: stderr}, by_the_mode), daemon=True
            )
            self._process.start()

    @property
    def returncode(self) -> int | None:
        """The exit code; None: it goes on."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float) -> int:
        """The exit code, once it has ended.

        Raises:
            TimeoutError: it goes on for longer.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise TimeoutError
        return self.returncode

    def communicate(self, timeout: float) -> tuple[str, str]:
        """What it writes until its end, to standard output and to standard error.

        Raises:
            TimeoutError: it goes on for longer, and was killed.
        """
        with ThreadPoolExecutor() as pool:
            reading = [pool.submit(stream.read) for stream in (self.stdout, self.stderr)]
            try:
                out, err = (one.result(timeout) for one in reading)
            except TimeoutError:
                self.kill()
                raise
        self._process.join()
        return out, err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Closes its pipes and waits for its end."""
        self.stdout.close()
        self.stderr.close()
        self._process.join()
        self._process.close()


def _heed_modes() -> None:
    """Gives up CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, by which a file's mode does not matter to the superuser."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        sets = (ctypes.c_uint32 * 6)()  # what is effective, permitted and inherited, of the first 32 and of the others
        assert libc.capget(header, sets) == 0
        for number in range(3):
            sets[number] &= ~(1 << 1 | 1 << 2)
        assert libc.capset(header, sets) == 0


def _main(
    arguments: list[str], folder: Path, env: dict[str, str], streams: dict[int, Connection], by_the_mode: bool
) -> None:
    """In the fork: what a new Python would set up, and ``rfsync/__main__.py``."""
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(folder)
    for number, pipe in streams.items():
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.argv = arguments
    if by_the_mode:
        _heed_modes()
    runpy.run_module("rfsync", run_name="__main__", alter_sys=True)
