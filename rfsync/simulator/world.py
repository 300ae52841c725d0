"""A workspace that lives: the same seed, start and time give the same state, to the byte."""

import random
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from rfsync.simulator.life import ProjectLife
from rfsync.simulator.source import Record, UnknownObjectError, project_answer, project_record, workspace_answer

_STEP = timedelta(hours=1)


class World:
    """One workspace with its projects, which live on an hour at a time while its clock goes on.

    The state depends only on seed, start and time, never on how many calls led there; and a project's life does not
    depend on which others there are. Safe to use from many threads.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        start: datetime,
        workspace: str = "acme",
        projects: Sequence[str] = ("widgets", "gears", "scratch-tests"),
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        """Begin a world at ``start``.

        Args:
            seed: another seed is another life.
            start: timezone-aware.
            workspace: its URL id.
            projects: their URL ids.
            clock: when given, each reading first advances the world to what it tells (timezone-aware).

        Raises:
            ValueError: ``start`` is naive.
        """
        self._lock = threading.RLock()
        self._start = self._now = _utc(start)
        self._hours = 0
        self._clock = clock
        self._workspace = workspace
        self._lives = {
            # Seeded by text, which Python hashes alike in every process and release.
            project: ProjectLife(random.Random(f"{seed}/{workspace}/{project}"), self._start)  # noqa: S311
            for project in projects
        }

    @property
    def now(self) -> datetime:
        """The time up to which it has lived, UTC."""
        with self._lock:
            return self._now

    @property
    def default_workspace(self) -> str:
        """The one workspace there is."""
        return self._workspace

    def advance(self, to: datetime) -> None:
        """Live on until ``to``; a time before :attr:`now`, as of a clock set back, changes nothing.

        Raises:
            ValueError: ``to`` is naive.
        """
        to = _utc(to)
        with self._lock:
            self._now = max(self._now, to)
            hours = (self._now - self._start) // _STEP
            for hour in range(self._hours, hours):
                for life in self._lives.values():
                    life.live_hour(self._start + hour * _STEP)
            self._hours = hours

    def workspace(self, workspace: str) -> Record:
        """Give the workspace with its projects, in wire format.

        Raises:
            UnknownObjectError: there is no such workspace.
        """
        with self._lock:
            self._tick()
            if workspace != self._workspace:
                raise UnknownObjectError(workspace)
            return workspace_answer(workspace, [self._project(project) for project in self._lives])

    def project(self, workspace: str, project: str) -> Record:
        """Give one project, in wire format.

        Raises:
            UnknownObjectError: there is no such project.
        """
        with self._lock:
            self._life(workspace, project)
            return project_answer(workspace, self._project(project))

    def batches(self, workspace: str, project: str) -> list[Record]:
        """Give a project's batches in wire format, in order of id as a document store lists them.

        Raises:
            UnknownObjectError: there is no such project.
        """
        with self._lock:
            return self._life(workspace, project).records()

    def batch(self, workspace: str, project: str, batch_id: str) -> Record:
        """Give one batch in wire format.

        Raises:
            UnknownObjectError: there is no such project, or the list does not have the batch.
        """
        with self._lock:
            record = self._life(workspace, project).record(batch_id)
        if record is None:
            raise UnknownObjectError(f"{workspace}/{project}/batches/{batch_id}")
        return record

    def _tick(self) -> None:
        if self._clock is not None:
            self.advance(self._clock())

    def _life(self, workspace: str, project: str) -> ProjectLife:
        self._tick()
        if workspace != self._workspace or project not in self._lives:
            raise UnknownObjectError(f"{workspace}/{project}")
        return self._lives[project]

    def _project(self, project: str) -> Record:
        life = self._lives[project]
        return project_record(
            f"{self._workspace}/{project}",
            images=life.images,
            unannotated=life.unannotated,
            created=life.created.timestamp(),
            updated=life.updated.timestamp(),
        )


def _utc(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        msg = f"a time without a timezone: {moment.isoformat()}"
        raise ValueError(msg)
    return moment.astimezone(UTC)
