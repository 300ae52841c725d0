"""Several simulated workspaces behind one address."""

from collections.abc import Sequence

from rfsync.simulator.source import UnknownObjectError
from rfsync.simulator.world import World


class Worlds:
    """A :class:`~rfsync.simulator.Source` of several: each request is answered by the world of its workspace."""

    def __init__(self, worlds: Sequence[World]) -> None:
        """Takes one or more worlds, each with its own workspace."""
        self._worlds = {world.default_workspace: world for world in worlds}
        #: The workspace of a key that opens all of them.
        self.default_workspace = worlds[0].default_workspace

    def workspace(self, workspace: str) -> object:
        """A workspace with its projects, in wire format."""
        return self._world(workspace).workspace(workspace)

    def project(self, workspace: str, project: str) -> object:
        """A project in wire format."""
        return self._world(workspace).project(workspace, project)

    def batches(self, workspace: str, project: str) -> object:
        """A project's batches in wire format."""
        return self._world(workspace).batches(workspace, project)

    def batch(self, workspace: str, project: str, batch_id: str) -> object:
        """A batch in wire format."""
        return self._world(workspace).batch(workspace, project, batch_id)

    def jobs(self, workspace: str, project: str) -> object:
        """A project's annotation jobs, in wire format."""
        return self._world(workspace).jobs(workspace, project)

    def job(self, workspace: str, project: str, job_id: str) -> object:
        """An annotation job in wire format."""
        return self._world(workspace).job(workspace, project, job_id)

    def _world(self, workspace: str) -> World:
        if workspace not in self._worlds:
            raise UnknownObjectError(workspace)
        return self._worlds[workspace]
