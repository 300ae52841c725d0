"""A source for tests that serves arbitrary content, valid or not."""

import threading
from collections.abc import Mapping

from rfsync.simulator.source import UnknownObjectError, project_answer, project_record, workspace_answer
from rfsync.simulator.wire import Answer, encode


class FixedWorld:
    """A :class:`Source` whose state is set by a test; thread-safe.

    Values are serialized immediately, so later changes to the caller's objects have no effect.
    """

    def __init__(self, state: Mapping[str, object] | None = None) -> None:
        """Takes a mapping from targets to values, as for :meth:`set`."""
        self._lock = threading.Lock()
        self._answers: dict[str, Answer] = {}
        self._records: dict[str, dict[str, bytes]] = {}
        self._by_id: dict[tuple[str, str], Answer] = {}
        for target, value in (state or {}).items():
            self.set(target, value)

    def set(self, target: str, value: object, *, bare: bool = False) -> None:
        """Sets the answer of a target's address, with status 200.

        Args:
            target: ``workspace/project`` for its batch list, ``workspace`` for ``GET /{workspace}``, which by
                default lists the projects that were set.
            value: for a batch list a list of records, served as ``{"batches": value}``; any other JSON value, or
                raw bytes, is served as is.
            bare: serve a list as is, too.
        """
        records: dict[str, bytes] = {}
        if not isinstance(value, list):
            body = encode(value)
        else:
            parts = [encode(record) for record in value]
            for record, part in zip(value, parts, strict=True):
                if isinstance(record, dict) and isinstance(record.get("id"), str):
                    records[record["id"]] = part
            body = b"[" + b",".join(parts) + b"]"
            if "/" in target and not bare:
                body = b'{"batches":' + body + b"}"
        with self._lock:
            self._answers[target] = Answer(200, body)
            self._records[target] = records

    def set_batch(self, target: str, batch_id: str, status: int, body: object = None) -> None:
        """Sets the answer of a batch's own address; the body is a JSON value or raw bytes.

        By default a batch answers with its record in the list, or with 404.
        """
        with self._lock:
            self._by_id[target, batch_id] = Answer(status, encode(body))

    def remove(self, target: str) -> None:
        """Removes a target and its batches; their addresses answer 404 from then on."""
        with self._lock:
            self._answers.pop(target, None)
            self._records.pop(target, None)
            self._by_id = {key: answer for key, answer in self._by_id.items() if key[0] != target}

    def rename(self, target: str, new: str) -> None:
        """Gives a project another id, as in the app: its batches keep theirs, and the old address answers 404."""
        with self._lock:
            self._answers[new] = self._answers.pop(target)
            self._records[new] = self._records.pop(target)
            self._by_id = {(new if key[0] == target else key[0], key[1]): a for key, a in self._by_id.items()}

    @property
    def default_workspace(self) -> str:
        """The workspace of the first target, or ``""`` without any."""
        with self._lock:
            return next(iter(self._answers), "").partition("/")[0]

    def workspace(self, workspace: str) -> object:
        """The value set for the workspace, else the list of its projects."""
        with self._lock:
            if workspace in self._answers:
                return self._answers[workspace]
            targets = [target for target in self._answers if target.startswith(workspace + "/")]
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
            if target not in self._answers:
                raise UnknownObjectError(target)
            return self._answers[target]

    def batch(self, workspace: str, project: str, batch_id: str) -> object:
        """The :class:`Answer` set for the batch, else its record in the list."""
        target = f"{workspace}/{project}"
        with self._lock:
            if (target, batch_id) in self._by_id:
                return self._by_id[target, batch_id]
            record = self._records.get(target, {}).get(batch_id)
        if record is None:
            raise UnknownObjectError(f"{target}/batches/{batch_id}")
        return record
