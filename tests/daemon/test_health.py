"""Whether the daemon is well, and if not, why."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from rfsync.daemon.daemon import Daemon
from rfsync.daemon.health import Health, Stale, health
from rfsync.errors import DatabaseError
from rfsync.ledger.runs import RunRow
from rfsync.redaction import Secret
from rfsync.sync.result import Result
from rfsync.sync.task import SyncTask


class Project:
    """What health asks of a project."""

    def __init__(
        self,
        name: str,
        *,
        stale: bool = False,
        age: float | None = 1.5,
        last: Result | None = None,
        running: bool = False,
    ) -> None:
        self.task = SyncTask("acme", name, Secret("the-key"))
        self.stale, self.age, self.last, self.running = stale, age, last, running
        self.succeeded = None if age is None else datetime(2026, 1, 1, tzinfo=UTC)


class FakeDaemon:
    """Says what it is told to."""

    def __init__(
        self, *projects: Project, alive: bool = True, unlisted: Mapping[str, tuple[str, str]] | None = None
    ) -> None:
        self._projects = {str(project.task): project for project in projects}
        self.alive = alive
        self._unlisted = unlisted or {}

    def projects(self) -> dict[str, Project]:
        return self._projects

    def age(self, project: Project) -> float | None:
        return project.age

    def is_stale(self, project: Project) -> bool:
        return project.stale

    def unlisted(self) -> Mapping[str, tuple[str, str]]:
        return self._unlisted


def ask(daemon: FakeDaemon, database: str | None = None) -> Health:
    asked = []

    def ping() -> None:
        asked.append(time.monotonic())
        if database is not None:
            raise DatabaseError(database)

    found = health(cast("Daemon", daemon), ping)
    assert len(asked) == 1
    return found


def failed(name: str) -> Result:
    return Result("acme", name, RunRow("failed", error_kind="server", error="HTTP 503"))


def test_it_is_well_where_all_is_fresh_and_the_database_answers() -> None:
    assert ask(FakeDaemon(Project("a"), Project("b", last=failed("b")))) == Health(True, 2, (), None)
    assert ask(FakeDaemon()).ok


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        (Project("b", stale=True, age=901.0, last=failed("b")), (901.0, "failed", "server", "HTTP 503")),
        (Project("b", stale=True, age=None, last=failed("b")), (None, "failed", "server", "HTTP 503")),
        (Project("b", stale=True, last=Result("acme", "b", RunRow("refused"))), (1.5, "refused", None, None)),
        (Project("b", stale=True, age=None, running=True), (None, None, None, "still running")),
        (Project("b", stale=True, age=None), (None, None, None, None)),
    ],
    ids=["failed", "never-succeeded", "refused", "hangs", "not-begun"],
)
def test_a_stale_project_is_named_with_why(project: Project, expected: tuple[object, ...]) -> None:
    found = ask(FakeDaemon(Project("a"), project))
    assert not found.ok
    (stale,) = found.stale
    assert (stale.workspace, stale.project) == ("acme", "b")
    assert (stale.last_success_age_seconds, stale.outcome, stale.error_kind, stale.error) == expected


def test_a_database_that_does_not_answer_is_named_with_why() -> None:
    assert ask(FakeDaemon(Project("a")), "no connection") == Health(False, 1, (), "no connection")


def test_a_workspace_that_could_not_be_listed_is_named_with_why() -> None:
    found = ask(FakeDaemon(unlisted={"other": ("auth", "HTTP 401")}))
    assert not found.ok
    assert found.stale == (Stale("other", "*", None, "failed", "auth", "HTTP 401"),)


def test_one_whose_projects_are_known_all_the_same_is_as_well_as_they_are() -> None:
    assert ask(FakeDaemon(Project("a"), unlisted={"acme": ("auth", "HTTP 401")})).ok


def test_a_daemon_that_starts_no_polls_any_more_is_not_well() -> None:
    assert not ask(FakeDaemon(Project("a"), alive=False)).ok


def test_it_is_said_in_json_without_any_key() -> None:
    found = ask(FakeDaemon(Project("a"), Project("b", stale=True, last=failed("b"))), "no connection")
    text = json.dumps(found.as_dict())
    said: Any = json.loads(text)
    assert said == {
        "ok": False,
        "projects": 2,
        "stale": [
            {
                "workspace": "acme",
                "project": "b",
                "last_success_age_seconds": 1.5,
                "outcome": "failed",
                "error_kind": "server",
                "error": "HTTP 503",
            }
        ],
        "database": "no connection",
    }
    assert "the-key" not in text
