"""A source for tests that serves arbitrary content, valid or not."""

import threading
from collections.abc import Mapping
from typing import Literal, NamedTuple

from rfsync.simulator.source import Record, UnknownObjectError, project_answer, project_record, workspace_answer
from rfsync.simulator.wire import Answer, encode

#: An annotation job with the fields that the API documents. Its counts do not add up there either.
DOCUMENTED_JOB: Record = {
    "id": "q8Zt0mB1sVw3kXc5dYe7",
    "name": "week 12",
    "status": "assigned",
    "numImages": 25,
    "annotated": 12,
    "unannotated": 2,
    "approved": 0,
    "rejected": 0,
    "labeler": "ann@example.com",
    "reviewer": "bob@example.com",
    "sourceBatch": "PBq0projectInternalId/6VNbatchId",
    "project": "PBq0projectInternalId",
    "owner": "ownerUid",
    "createdBy": "API",
    "instructionsText": "boxes only",
    "created": {"_seconds": 1669148192, "_nanoseconds": 651000000},
}

_Kind = Literal["batches", "jobs"]


class _Listing(NamedTuple):
    """The answer of a list, and its records that have an id."""

    answer: Answer
    records: Mapping[str, bytes]


class FixedWorld:
    """A :class:`Source` whose state is set by a test; thread-safe.

    Values are serialized immediately, so later changes to the caller's objects have no effect.
    """

    def __init__(self, state: Mapping[str, object] | None = None, jobs: Mapping[str, object] | None = None) -> None:
        """Takes mappings from targets to values, as for :meth:`set` and :meth:`set_jobs`."""
        self._lock = threading.Lock()
        self._lists: dict[_Kind, dict[str, _Listing]] = {"batches": {}, "jobs": {}}
        self._by_id: dict[tuple[str, _Kind, str], Answer] = {}
        for target, value in (state or {}).items():
            self.set(target, value)
        for target, value in (jobs or {}).items():
            self.set_jobs(target, value)

    def set(self, target: str, value: object, *, bare: bool = False) -> None:
        """Sets the answer of a target's address, with status 200.

        Args:
            target: ``workspace/project`` for its batch list, ``workspace`` for ``GET /{workspace}``, which by
                default lists the projects that were set.
            value: for a batch list a list of records, served as ``{"batches": value}``; any other JSON value, or
                raw bytes, is served as is.
            bare: serve a list as is, too.
        """
        listing = _listing(value, None if bare or "/" not in target else "batches")
        with self._lock:
            self._lists["batches"][target] = listing

    def set_jobs(self, target: str, value: object, *, bare: bool = False) -> None:
        """Sets the answer of a project's job list, as :meth:`set` does that of its batch list.

        By default a project whose batch list was set has no jobs: ``{"jobs": []}``.
        """
        listing = _listing(value, None if bare else "jobs")
        with self._lock:
            self._lists["jobs"][target] = listing

    def set_batch(self, target: str, batch_id: str, status: int, body: object = None) -> None:
        """Sets the answer of a batch's own address; the body is a JSON value or raw bytes.

        By default a batch answers with its record in the list, or with 404.
        """
        with self._lock:
            self._by_id[target, "batches", batch_id] = Answer(status, encode(body))

    def set_job(self, target: str, job_id: str, status: int, body: object = None) -> None:
        """Sets the answer of a job's own address, as :meth:`set_batch` does that of a batch's."""
        with self._lock:
            self._by_id[target, "jobs", job_id] = Answer(status, encode(body))

    def remove(self, target: str) -> None:
        """Removes a target, its batches and its jobs; their addresses answer 404 from then on."""
        with self._lock:
            for lists in self._lists.values():
                lists.pop(target, None)
            self._by_id = {key: answer for key, answer in self._by_id.items() if key[0] != target}

    def rename(self, target: str, new: str) -> None:
        """Gives a project another id, as in the app: its batches and jobs keep theirs, the old address answers 404."""
        with self._lock:
            self._lists["batches"][new] = self._lists["batches"].pop(target)
            if target in self._lists["jobs"]:
                self._lists["jobs"][new] = self._lists["jobs"].pop(target)
            self._by_id = {(new if key[0] == target else key[0], *key[1:]): a for key, a in self._by_id.items()}

    @property
    def default_workspace(self) -> str:
        """The workspace of the first target, or ``""`` without any."""
        with self._lock:
            return next(iter(self._lists["batches"]), "").partition("/")[0]

    def workspace(self, workspace: str) -> object:
        """The value set for the workspace, else the list of its projects."""
        with self._lock:
            answers = self._lists["batches"]
            if workspace in answers:
                return answers[workspace].answer
            targets = [target for target in answers if target.startswith(workspace + "/")]
        if not targets:
            raise UnknownObjectError(workspace)
        return workspace_answer(workspace, [project_record(target) for target in targets])

    def project(self, workspace: str, project: str) -> object:
        """A project's own description, with counts of 0."""
        self.batches(workspace, project)
        return project_answer(workspace, project_record(f"{workspace}/{project}"))

    def batches(self, workspace: str, project: str) -> Answer:
        """The value set for the project."""
        target = f"{workspace}/{project}"
        with self._lock:
            if target not in self._lists["batches"]:
                raise UnknownObjectError(target)
            return self._lists["batches"][target].answer

    def batch(self, workspace: str, project: str, batch_id: str) -> object:
        """The :class:`Answer` set for the batch, else its record in the list."""
        return self._one(f"{workspace}/{project}", "batches", batch_id)

    def jobs(self, workspace: str, project: str) -> Answer:
        """The value set for the project's jobs, else an empty list."""
        target = f"{workspace}/{project}"
        with self._lock:
            if target in self._lists["jobs"]:
                return self._lists["jobs"][target].answer
            if target not in self._lists["batches"]:
                raise UnknownObjectError(target)
        return _listing([], "jobs").answer

    def job(self, workspace: str, project: str, job_id: str) -> object:
        """The :class:`Answer` set for the job, else its record in the list."""
        return self._one(f"{workspace}/{project}", "jobs", job_id)

    def _one(self, target: str, kind: _Kind, record_id: str) -> object:
        with self._lock:
            if (target, kind, record_id) in self._by_id:
                return self._by_id[target, kind, record_id]
            listing = self._lists[kind].get(target)
        if listing is None or record_id not in listing.records:
            raise UnknownObjectError(f"{target}/{kind}/{record_id}")
        return listing.records[record_id]


def _listing(value: object, under: _Kind | None) -> _Listing:
    """Args: ``under``: the field that a list is served in; None: serve it as is."""
    if not isinstance(value, list):
        return _Listing(Answer(200, encode(value)), {})
    parts = [encode(record) for record in value]
    records = {
        record["id"]: part
        for record, part in zip(value, parts, strict=True)
        if isinstance(record, dict) and isinstance(record.get("id"), str)
    }
    body = b"[" + b",".join(parts) + b"]"
    return _Listing(Answer(200, body if under is None else b'{"' + under.encode() + b'":' + body + b"}"), records)
