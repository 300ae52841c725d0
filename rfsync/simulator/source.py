"""What a simulator serves: the protocol of a source, and the shapes that every source answers in."""

from collections.abc import Sequence
from typing import Protocol

#: A JSON object of the API.
Record = dict[str, object]


class UnknownObjectError(LookupError):
    """A workspace, project or batch that does not exist; the simulator answers 404 with its message."""

    def __init__(self, name: str) -> None:
        """Take the path of what was asked for, as in ``acme/widgets``."""
        super().__init__(f"Object with ID '{name}' does not exist or cannot be loaded due to missing permissions.")


class Source(Protocol):
    """What a simulator reads at each request, from many threads at once.

    Each method gives a JSON value, served with status 200, or an :class:`~rfsync.simulator.Answer`, served exactly as
    it is. Each raises :class:`UnknownObjectError` for what does not exist.
    """

    @property
    def default_workspace(self) -> str:
        """The workspace that a key belongs to, as ``POST /`` tells it."""
        ...

    def workspace(self, workspace: str) -> object:
        """``{"workspace": {"name", "url", "projects": [project, …]}}``."""
        ...

    def project(self, workspace: str, project: str) -> object:
        """``{"workspace": {…}, "project": {…}, "versions": []}``."""
        ...

    def batches(self, workspace: str, project: str) -> object:
        """Give a list of batches, served as ``{"batches": […]}``."""
        ...

    def batch(self, workspace: str, project: str, batch_id: str) -> object:
        """Give one batch, served bare or under ``{"batch": …}``."""
        ...


def workspace_answer(workspace: str, projects: Sequence[Record]) -> Record:
    """Give the answer of ``GET /{workspace}``, of projects as :func:`project_record` makes them."""
    return {"workspace": {"name": workspace.title(), "url": workspace, "members": 1, "projects": list(projects)}}


def project_answer(workspace: str, project: Record) -> Record:
    """Give the answer of ``GET /{workspace}/{project}``, which has the project once and no dataset versions."""
    return {"workspace": {"name": workspace.title(), "url": workspace}, "project": project, "versions": []}


def project_record(target: str, *, images: int, unannotated: int, created: float, updated: float) -> Record:
    """Give one project in wire format.

    The fields are those that the constructor of ``Project`` in the official ``roboflow`` package (1.7,
    ``roboflow/core/project.py``) reads. ``target`` is ``workspace/project``, the times are seconds since 1970.
    """
    return {
        "id": target,
        "type": "object-detection",
        "name": target.rpartition("/")[2].replace("-", " ").title(),
        "created": created,
        "updated": updated,
        "images": images,
        "unannotated": unannotated,
        "annotation": "parts",
        "public": False,
        "splits": {},
        "classes": {},
        "colors": {},
    }
