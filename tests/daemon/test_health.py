"""The health of the daemon, and what is wrong where something is."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from rfsync.daemon.daemon import Daemon
from rfsync.daemon.discovery import Unlisted
from rfsync.daemon.health import Health, Stale, health
from rfsync.daemon.polls import ProjectStatus
from rfsync.errors import DatabaseError
from rfsync.ledger.runs import RunRow
from rfsync.redaction import Secret
from rfsync.sync.result import Result
from rfsync.sync.task import SyncTask
from rfsync.version import __version__


def project(
    name: str, *, stale: bool = False, age: float | None = 1.5, last: Result | None = None, running: bool = False
) -> ProjectStatus:
    return ProjectStatus(
        SyncTask("acme", name, Secret("the-key")),
        is_running=running,
        is_stale=stale,
        failures=0,
        last=last,
        last_success=None if age is None else datetime(2026, 1, 1, tzinfo=UTC),
        last_success_age=age,
        next_run=None,
    )


class FakeDaemon:
    """Has the projects that it is given."""

    def __init__(
        self,
        *projects: ProjectStatus,
        alive: bool = True,
        ready: bool = True,
        unlisted: Mapping[str, Unlisted | None] | None = None,
    ) -> None:
        self._projects = {str(project.task): project for project in projects}
        self.is_alive = alive
        self.is_ready = ready
        self._unlisted = unlisted or {}

    def projects(self) -> dict[str, ProjectStatus]:
        return self._projects

    def listings(self) -> Mapping[str, Unlisted | None]:
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


def test_it_is_healthy_if_all_is_fresh_and_the_database_answers() -> None:
    assert ask(FakeDaemon(project("a"), project("b", last=failed("b")))) == Health(True, 2, (), "ok", True, True)
    assert ask(FakeDaemon()).ok


@pytest.mark.parametrize(
    ("sick", "expected"),
    [
        (project("b", stale=True, age=901.0, last=failed("b")), (901.0, "failed", "server", "HTTP 503")),
        (project("b", stale=True, age=None, last=failed("b")), (None, "failed", "server", "HTTP 503")),
        (project("b", stale=True, last=Result("acme", "b", RunRow("refused"))), (1.5, "refused", None, None)),
        (project("b", stale=True, age=None, running=True), (None, None, None, "still running")),
        (project("b", stale=True, age=None), (None, None, None, None)),
    ],
    ids=["failed", "never-succeeded", "refused", "hangs", "not-begun"],
)
def test_a_stale_project_is_named_with_its_reason(sick: ProjectStatus, expected: tuple[object, ...]) -> None:
    found = ask(FakeDaemon(project("a"), sick))
    assert not found.ok
    (stale,) = found.stale
    assert (stale.workspace, stale.project) == ("acme", "b")
    assert (stale.last_success_age_seconds, stale.outcome, stale.error_kind, stale.error) == expected


def test_a_database_that_does_not_answer_is_reported_with_its_reason() -> None:
    assert ask(FakeDaemon(project("a")), "no connection") == Health(False, 1, (), "no connection", True, True)


def test_a_workspace_that_could_not_be_listed_is_named_with_its_reason() -> None:
    found = ask(FakeDaemon(unlisted={"other": Unlisted("auth", "HTTP 401")}))
    assert not found.ok
    assert found.stale == (Stale("other", "*", None, "failed", "auth", "HTTP 401"),)


def test_a_workspace_with_known_projects_is_as_healthy_as_they_are() -> None:
    assert ask(FakeDaemon(project("a"), unlisted={"acme": Unlisted("auth", "HTTP 401")})).ok


def test_a_daemon_that_no_longer_starts_polls_is_not_healthy() -> None:
    assert ask(FakeDaemon(project("a"), alive=False)) == Health(False, 1, (), "ok", True, False)


def test_a_daemon_that_does_not_know_what_to_poll_is_not_healthy() -> None:
    assert ask(FakeDaemon(ready=False)) == Health(False, 0, (), "ok", False, True)


def test_the_json_contains_no_key() -> None:
    found = ask(FakeDaemon(project("a"), project("b", stale=True, last=failed("b"))), "no connection")
    text = json.dumps(asdict(found))
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
        "ready": True,
        "alive": True,
        "version": __version__,
    }
    assert "the-key" not in text
