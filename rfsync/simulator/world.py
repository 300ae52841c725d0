"""A simulated workspace: the same seed, start and time give the same state, to the byte."""

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from rfsync.simulator.life import ProjectLife
from rfsync.simulator.source import Record, UnknownObjectError, project_answer, project_record, workspace_answer

_STEP = timedelta(hours=1)


class World:
    """A :class:`Source`: one workspace with its projects, simulated hour by hour.

    The state depends only on seed, start and time, not on the number of calls; a project does not depend on the other
    projects. Thread-safe.
    """

    def __init__(
        self,
        seed: int = 1,
        *,
        start: datetime,
        workspace: str = "acme",
        projects: Sequence[str] = ("widgets", "gears", "scratch-tests"),
        clock: Callable[[], datetime] | None = None,
        unlisted_answer: bool = False,
    ) -> None:
        """Starts a world at ``start``.

        Args:
            seed: determines all random events.
            start: timezone-aware.
            workspace: its URL id.
            projects: their URL ids.
            clock: if given, each read first advances the world to its time (timezone-aware).
            unlisted_answer: emptied batches that are no longer listed still answer by their ids; else with 404.

        Raises:
            ValueError: ``start`` is naive.
        """
        self._lock = threading.RLock()
        self._start = self._now = _utc(start)
        self._hours = 0
        self._clock = clock
        self._unlisted_answer = unlisted_answer
        self._trash: dict[str, ProjectLife] = {}
        #: The only workspace.
        self.default_workspace = workspace
        self._lives = {project: ProjectLife(f"{seed}/{workspace}/{project}", self._start) for project in projects}

    @property
    def now(self) -> datetime:
        """The time up to which it was simulated, UTC."""
        with self._lock:
            return self._now

    def advance(self, to: datetime) -> None:
        """Simulates until ``to``; does nothing for a time before :attr:`now`, such as from a clock that was set back.

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

    def rename(self, project: str, new: str) -> None:
        """Gives a project another URL id; its batches and jobs keep theirs.

        Raises:
            KeyError: there is no such project.
        """
        with self._lock:
            self._lives = {new if name == project else name: life for name, life in self._lives.items()}
            if new not in self._lives:
                raise KeyError(project)

    def delete(self, project: str) -> None:
        """Moves a project to the trash, where its life stands still: it is not listed, and answers 404.

        Raises:
            KeyError: there is no such project.
        """
        with self._lock:
            self._trash[project] = self._lives.pop(project)

    def restore(self, project: str) -> None:
        """Takes a project out of the trash, as it was.

        Raises:
            KeyError: there is no such project in it.
        """
        with self._lock:
            self._lives[project] = self._trash.pop(project)

    def workspace(self, workspace: str) -> Record:
        """The workspace with its projects, in wire format."""
        with self._lock:
            self._tick()
            if workspace != self.default_workspace:
                raise UnknownObjectError(workspace)
            return workspace_answer(workspace, [self._project(project) for project in self._lives])

    def project(self, workspace: str, project: str) -> Record:
        """A project in wire format."""
        with self._lock:
            self._life(workspace, project)
            return project_answer(workspace, self._project(project))

    def batches(self, workspace: str, project: str) -> list[Record]:
        """A project's batches in wire format, ordered by id as a document store lists them."""
        with self._lock:
            return self._life(workspace, project).records()

    def batch(self, workspace: str, project: str, batch_id: str) -> Record:
        """A batch in wire format."""
        with self._lock:
            record = self._life(workspace, project).record(batch_id, unlisted=self._unlisted_answer)
        if record is None:
            raise UnknownObjectError(f"{workspace}/{project}/batches/{batch_id}")
        return record

    def jobs(self, workspace: str, project: str) -> list[Record]:
        """A project's annotation jobs in wire format, ordered by id."""
        with self._lock:
            return self._life(workspace, project).labeling.records()

    def job(self, workspace: str, project: str, job_id: str) -> Record:
        """An annotation job in wire format."""
        with self._lock:
            record = self._life(workspace, project).labeling.record(job_id)
        if record is None:
            raise UnknownObjectError(f"{workspace}/{project}/jobs/{job_id}")
        return record

    def _tick(self) -> None:
        if self._clock is not None:
            self.advance(self._clock())

    def _life(self, workspace: str, project: str) -> ProjectLife:
        self._tick()
        if workspace != self.default_workspace or project not in self._lives:
            raise UnknownObjectError(f"{workspace}/{project}")
        return self._lives[project]

    def _project(self, project: str) -> Record:
        life = self._lives[project]
        return project_record(
            f"{self.default_workspace}/{project}",
            images=life.images,
            unannotated=life.unannotated,
            created=life.created.timestamp(),
            updated=life.updated.timestamp(),
        )


def _utc(moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise ValueError(f"a time without a timezone: {moment.isoformat()}")
    return moment.astimezone(UTC)
