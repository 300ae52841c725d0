"""Many projects, side by side."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, as_completed, wait
from typing import Final

from rfsync.ledger.projects import ProjectPath
from rfsync.sync.circuit_breaker import CircuitBreaker
from rfsync.sync.result import Result
from rfsync.sync.run import sync
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.threads import ThreadPool

#: Seconds for open transactions to be committed when the sync is stopped.
_GRACE: Final = 1.0
#: Seconds between two interruptions of those that are still open then.
_INTERRUPT_INTERVAL: Final = 0.05


def sync_all(
    context: SyncContext, tasks: Sequence[SyncTask], concurrency: int, breaker: CircuitBreaker
) -> Iterator[Result]:
    """Syncs projects side by side, and yields each result as it comes.

    When it is stopped before the end, no further run begins, requests end at once, and open transactions are given a
    moment to be committed before they are interrupted.

    Args:
        breaker: the context's fetcher; defers projects while their API is down.

    Raises:
        ThreadError: the system starts not a single thread.
    """
    deferred: list[SyncTask] = []

    def sync_or_defer(task: SyncTask) -> Result | None:
        if breaker.should_defer(task.workspace):
            deferred.append(task)
            return None
        return sync(context, task)

    # In threads even for a single project: the main thread has to react to signals at any time, and would not while
    # the database works.
    with ThreadPool(max(1, min(concurrency, len(tasks))), "rfsync") as pool:
        futures: list[Future[Result | None]] = []
        try:
            # New projects first: one may be another's new id, which must not be taken for departed before.
            renamed: set[ProjectPath | None] = set()
            futures += (pool.submit(sync_or_defer, task) for task in tasks if task.new)
            for result in _results(futures):
                renamed.add(result.old)
                yield result
            done = len(futures)
            rest = [task for task in tasks if not task.new and task.path not in renamed]
            futures += (pool.submit(sync_or_defer, task) for task in rest)
            yield from _results(futures[done:])
            breaker.start_last_round()
            done = len(futures)
            futures += (pool.submit(sync, context, task) for task in deferred)
            yield from _results(futures[done:])
        except BaseException:
            for future in futures:
                future.cancel()
            context.fetcher.cancel()
            context.store.stop()
            seconds = _GRACE
            while wait(futures, seconds).not_done:
                context.store.interrupt()
                seconds = _INTERRUPT_INTERVAL
            raise


def _results(futures: Iterable[Future[Result | None]]) -> Iterator[Result]:
    for future in as_completed(futures):
        result = future.result()
        if result is not None:
            yield result
