"""This worker's part in the queue that all workers share: it offers polls, and works on those that it gets."""

import asyncio
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import procrastinate
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from sqlalchemy import Connection

from rfsync.database.engine import LOCK_TIMEOUT
from rfsync.database.errors import translated
from rfsync.database.postgres import is_pooled
from rfsync.errors import Cancelled, DatabaseError
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.store import Store
from rfsync.sync.bugs import BUG
from rfsync.threads import ThreadPool, starting
from rfsync.worker.connector import Connector
from rfsync.worker.rescue import GONE_AFTER, QUEUE, read_jobs_of, rescue_jobs

log = logging.getLogger("rfsync.worker")

#: The task of a poll, as the queue knows it.
POLL: Final = "rfsync.poll"
#: How often a worker gives a sign of life, in seconds.
HEARTBEAT: Final = 10.0
#: How often the queue is asked for jobs, in seconds: where the server notifies of new ones, and where it can't.
_POLLING: Final = (5.0, 1.0)
#: Seconds until the queue is joined again after the database was away.
_PAUSE: Final = 1.0
#: Seconds for polls to end when the queue is left; after that they go on without a lock of the queue.
_GRACE: Final = 60.0
#: Seconds until a poll that was handed back is offered to all workers again, and how often that is done.
_HAND_BACK_PAUSE: Final = 2
_MAX_HAND_BACKS: Final = 30
#: Threads for statements of the queue.
_DATABASE_THREADS: Final = 4
#: Seconds between two looks whether the queue was left.
_LOOK: Final = 0.5
#: Longest name of a tick's owner.
_NAME_LENGTH: Final = 128


class HandBack(Exception):
    """A poll was not done, and is another worker's to do."""


class _ToOthers(procrastinate.BaseRetryStrategy):
    def get_retry_decision(
        self, *, exception: BaseException, job: procrastinate.jobs.Job
    ) -> procrastinate.RetryDecision | None:
        if not isinstance(exception, HandBack) or job.attempts >= _MAX_HAND_BACKS:
            return None  # it is deleted, and due again at the next tick
        return procrastinate.RetryDecision(retry_in={"seconds": _HAND_BACK_PAUSE})


class Queue:
    """The queue, joined by a thread for as long as this worker works.

    Args:
        store: of a PostgreSQL database with procrastinate's tables.
        concurrency: polls at once.
        poll: does a poll, in a thread; True: it is done, False: another worker is to do it. The second argument tells
            whether the workspace's list had the project just now.
        gone_after: after which a worker without a sign of life is gone.
        heartbeat: how often this one gives a sign of life, in seconds.

    Raises:
        ThreadError: the system starts not a single thread.
    """

    def __init__(
        self,
        store: Store,
        concurrency: int,
        poll: Callable[[ProjectPath, bool], bool],
        *,
        gone_after: timedelta = GONE_AFTER,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self._store = store
        self._concurrency = concurrency
        self._poll = poll
        self._gone_after = gone_after
        self._heartbeat = heartbeat
        self._database_threads = ThreadPool(_DATABASE_THREADS, "rfsync-queue")
        self._poll_threads = ThreadPool(concurrency, "rfsync")
        self._app = procrastinate.App(connector=Connector(store, self._database_threads))
        self._task: Any = self._app.task(name=POLL, queue=QUEUE, pass_context=True, retry=_ToOthers())(self._do)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._serving: asyncio.Task[None] | None = None
        self._is_open = threading.Event()
        self._is_stopped = False
        self._thread: threading.Thread | None = None
        #: Jobs that this process works on, and the workers that it was in the queue.
        self._working: set[int] = set()
        self._workers: set[int] = set()
        #: Jobs that the queue has as this process's and that it did not work on at the last look.
        self._suspected: set[int] = set()

    def start(self, until: Callable[[Callable[[], None]], None]) -> None:
        """Joins the queue.

        Args:
            until: called in the thread, with a function that returns when the queue was left.

        Raises:
            ThreadError: the system starts no thread for it.
        """
        self._thread = threading.Thread(target=until, args=[self._run], name="rfsync-worker", daemon=True)
        with starting():
            self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True until it was left."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Takes no more jobs; those that it works on are ended by who does them, and then it is left."""
        self._is_stopped = True
        if self._is_open.is_set() and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def offer(self, path: ProjectPath, tick: datetime, *, listed: bool) -> bool:
        """Fires a tick of a project: puts a poll into the queue, once for all workers.

        Args:
            listed: the workspace's list has it.

        Returns:
            False: another worker was first, or a poll of the project is waiting already.

        Raises:
            DatabaseError: the database refused or vanished.
            Cancelled: the queue was left.
        """
        timestamp = int(tick.timestamp())
        job = self._deferrer(path, listed=listed, timestamp=timestamp).job
        defer = partial(self._app.job_manager.defer_periodic_job, job, periodic_id(path), timestamp)
        return self._call(defer)

    def offer_now(self, path: ProjectPath, *, listed: bool) -> bool:
        """Puts a poll of a project into the queue, whatever its schedule says; see ``offer``."""
        return self._call(self._deferrer(path, listed=listed, timestamp=0).defer_async)

    def rescue(self) -> list[tuple[str, str]]:
        """Puts polls into the queue again that nobody works on; returns their workspaces and projects.

        Raises:
            DatabaseError: the database refused or vanished.
            Cancelled: the store was stopped.
        """

        def rescue(connection: Connection) -> tuple[set[int], list[tuple[str, str]]]:
            mine = read_jobs_of(connection, self._workers) if self._workers else set()
            idle = mine - self._working
            return idle, rescue_jobs(connection, idle & self._suspected, self._gone_after)

        # One that is about to begin or to end is none: it would not be there the next time.
        self._suspected, rescued = self._store.transact("looking for polls that nobody works on", rescue)
        return rescued

    def _deferrer(self, path: ProjectPath, **values: object) -> Any:
        name = str(path)
        values = {**path._asdict(), **values}
        return self._task.configure(lock=name, queueing_lock=name, task_kwargs=values)

    def _call(self, work: Callable[[], Coroutine[Any, Any, int | None]]) -> bool:
        """Runs what puts a job into the queue; True: it is there, False: it was not needed."""
        deadline = time.monotonic() + 2 * LOCK_TIMEOUT
        if not self._is_open.wait(LOCK_TIMEOUT):
            raise DatabaseError("the queue does not answer")
        if self._loop is None or not self.is_alive:
            raise Cancelled
        coroutine = work()
        try:
            job = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # the loop was closed just now
            coroutine.close()
            raise Cancelled from None
        while self.is_alive:
            with suppress(TimeoutError):
                try:
                    return job.result(_LOOK) is not None
                except AlreadyEnqueued:
                    return False
                except CancelledError:
                    raise Cancelled from None
            if time.monotonic() > deadline:
                raise DatabaseError("the queue does not answer")
        raise Cancelled

    async def _do(
        self, context: procrastinate.JobContext, *, workspace: str, project: str, listed: bool, timestamp: int
    ) -> None:
        """One job. It carries no key: each worker has those of its own configuration."""
        del timestamp  # which procrastinate wants of what is fired by a tick
        job_id = context.job.id or 0
        self._working.add(job_id)
        if context.job.worker_id is not None:
            self._workers.add(context.job.worker_id)
        try:
            poll = partial(self._poll, ProjectPath(workspace, project), listed)
            done = await asyncio.get_running_loop().run_in_executor(self._poll_threads, poll)
        except Exception:
            log.exception("%s/%s: %s", workspace, project, BUG)
            return
        finally:
            self._working.discard(job_id)
        if not done:
            raise HandBack

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._is_open.set()
            self._database_threads.shutdown(wait=False)
            self._poll_threads.shutdown(wait=False)

    async def _serve(self) -> None:
        """Works on jobs until it is stopped; joins the queue again where the database was away."""
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_log_unhandled)
        self._is_open.set()
        while not self._is_stopped:
            self._serving = asyncio.create_task(self._work())
            if self._is_stopped:
                self._cancel()
            try:
                await self._serving
            except asyncio.CancelledError:
                continue
            except (DatabaseError, ConnectorException) as error:
                log.warning("the queue was left, and is joined again: %s", error)
            except Exception:
                log.exception(BUG)
            else:
                log.warning("the queue was left, and is joined again")
            if not self._is_stopped:
                await asyncio.sleep(_PAUSE)

    async def _work(self) -> None:
        pooled = await asyncio.get_running_loop().run_in_executor(self._database_threads, self._is_pooled)
        await self._app.run_worker_async(
            queues=[QUEUE],
            concurrency=self._concurrency,
            fetch_job_polling_interval=_POLLING[pooled],
            abort_job_polling_interval=86_400.0,  # nobody aborts jobs
            shutdown_graceful_timeout=_GRACE,
            listen_notify=not pooled,
            delete_jobs="always",
            install_signal_handlers=False,
            update_heartbeat_interval=self._heartbeat,
            stalled_worker_timeout=self._gone_after.total_seconds(),
        )

    def _is_pooled(self) -> bool:
        with translated("opening the queue"), self._store.engine.connect() as connection:
            return is_pooled(connection)

    def _cancel(self) -> None:
        if self._serving is not None:
            self._serving.cancel()


def periodic_id(path: ProjectPath) -> str:
    """By which the queue knows the ticks of a project."""
    name = str(path)
    return name if len(name) <= _NAME_LENGTH else hashlib.sha256(name.encode()).hexdigest()


def _log_unhandled(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs what nothing waits for: above all, that the end of a job could not be written down."""
    error = context.get("exception")
    if isinstance(error, (DatabaseError, ConnectorException)):
        log.warning("the queue could not be brought up to date: %s", error)
    else:
        log.error("%s: %s", BUG, context.get("message"), exc_info=error)
