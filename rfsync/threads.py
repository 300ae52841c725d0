"""Threads, on a system that may not start any more of them."""

import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar

from rfsync.errors import ThreadError

log = logging.getLogger("rfsync")

_P = ParamSpec("_P")
_T = TypeVar("_T")


@contextmanager
def starting() -> Iterator[None]:
    """Surrounds the start of a thread that has to be there.

    Raises:
        ThreadError: the system starts no more.
    """
    try:
        yield
    except RuntimeError as error:
        if "new thread" not in str(error):
            raise
        raise ThreadError(_described(error)) from None


class ThreadPool(Executor):
    """A pool that makes do with the threads that it has, if the system starts no more, and tries again each time.

    The standard library's raises an error from ``submit`` then, although it has queued the function and may call it;
    and it loses count of its idle threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._most = threads
        self._name = name
        self._changed = threading.Condition()
        self._work: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._is_shut = False
        #: The number of threads that a warning was about.
        self._told = 0

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """See ``concurrent.futures.Executor``.

        Raises:
            ThreadError: there is not a single thread.
            RuntimeError: the pool was shut down.
        """
        future: Future[_T] = Future()
        with self._changed:
            if self._is_shut:
                raise RuntimeError("the pool was shut down")
            self._start_threads(len(self._work) + 1 - self._idle)
            self._work.append((future, partial(fn, *args, **kwargs)))
            self._changed.notify()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See ``concurrent.futures.Executor``."""
        with self._changed:
            self._is_shut = True
            while cancel_futures and self._work:
                self._work.pop()[0].cancel()
            self._changed.notify_all()
            threads = self._threads
        for thread in threads if wait else ():
            thread.join()

    @property
    def is_alive(self) -> bool:
        """True if no thread has died."""
        return all(thread.is_alive() for thread in self._threads)

    def _start_threads(self, number: int) -> None:
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        for count in range(len(self._threads), min(len(self._threads) + number, self._most)):
            thread = threading.Thread(target=self._run, name=f"{self._name}_{count}", daemon=True)
            try:
                with starting():
                    thread.start()
            except ThreadError as error:
                if not count:
                    raise
                if self._told != count:
                    log.warning("going on with %d of %d threads: %s", count, self._most, error)
                self._told = count
                return
            self._threads.append(thread)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._work or self._is_shut)
                self._idle -= 1
                if not self._work:
                    return
                work = self._work.popleft()
            _call(*work)
            del work  # it would be kept while the thread waits for the next


def _call(future: Future[Any], function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


def exit_after(seconds: float, code: int) -> Callable[[], object]:
    """Ends the process after that time, whatever still hangs; only for the main thread.

    Returns:
        calls it off.
    """
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    try:
        timer.start()
    except RuntimeError:
        # Only second best: a signal waits until the main thread has come back from what it calls in C.
        signal.signal(signal.SIGALRM, lambda *_: os._exit(code))
        signal.setitimer(signal.ITIMER_REAL, seconds)
        return partial(signal.setitimer, signal.ITIMER_REAL, 0)
    return timer.cancel


def _described(error: RuntimeError) -> str:
    return (
        f"{error}: the system allows this process, its user or its container no more of them "
        "(ulimit -u, TasksMax of systemd, the limit of pids)"
    )
