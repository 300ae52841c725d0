"""The protocol of a source, which provides a simulator's content, and the formats that all sources share."""

from collections.abc import Sequence
from typing import Protocol

#: A JSON object of the API.
Record = dict[str, object]


class UnknownObjectError(LookupError):
    """A workspace, project, batch or job that does not exist; the simulator answers 404 with its message."""

    def __init__(self, name: str) -> None:
        """Takes the path of the requested object, such as ``acme/widgets``."""
        super().__init__(f"Object with ID '{name}' does not exist or cannot be loaded due to missing permissions.")


class Source(Protocol):
    """The content of a simulator; called for each request, from several threads at once.

    Each method returns a JSON value, served with status 200, or an :class:`~rfsync.simulator.Answer`, served as is, and
    raises :class:`UnknownObjectError` if the object does not exist.
    """

    @property
    def default_workspace(self) -> str:
        """The workspace of the API key, as returned by ``POST /``."""

    def workspace(self, workspace: str) -> object:
        """``{"workspace": {"name", "url", "projects": [project, …]}}``."""

    def project(self, workspace: str, project: str) -> object:
        """``{"workspace": {…}, "project": {…}, "versions": []}``."""

    def batches(self, workspace: str, project: str) -> object:
        """A list of batches, served as ``{"batches": […]}``."""

    def batch(self, workspace: str, project: str, batch_id: str) -> object:
        """One batch, served as is or as ``{"batch": …}``."""

    def jobs(self, workspace: str, project: str) -> object:
        """A list of annotation jobs, served as ``{"jobs": […]}``."""

    def job(self, workspace: str, project: str, job_id: str) -> object:
        """One annotation job, served as is or as ``{"job": …}``."""


def workspace_answer(workspace: str, projects: Sequence[Record]) -> Record:
    """The answer of ``GET /{workspace}``; projects as returned by :func:`project_record`."""
    return {"workspace": {"name": workspace.title(), "url": workspace, "members": 1, "projects": list(projects)}}


def project_answer(workspace: str, project: Record) -> Record:
    """The answer of ``GET /{workspace}/{project}``, without dataset versions."""
    return {"workspace": {"name": workspace.title(), "url": workspace}, "project": project, "versions": []}


def project_record(
    target: str, *, images: int = 0, unannotated: int = 0, created: float = 0.0, updated: float = 0.0
) -> Record:
    """A project in wire format.

    The fields are those read by the constructor of ``Project`` in the official ``roboflow`` package (1.7,
    ``roboflow/core/project.py``). ``target`` is ``workspace/project``, the times are seconds since 1970.
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
