"""Which projects a command line and a configuration mean."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from rfsync.api.client import Response
from rfsync.config import Config, RemovalsConfig, WorkspaceConfig
from rfsync.errors import BadResponse, ConfigError, ErrorKind, FetchError
from rfsync.ledger.projects import KnownProject, ProjectPath
from rfsync.ledger.store import Store
from rfsync.parsing import parse_target
from rfsync.redaction import Secret
from rfsync.sync.result import Result
from rfsync.sync.targets import Selection, discover, make_workspaces, resolve, wanted
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces

ENV = {"ROBOFLOW_API_KEY": "default-key", "ACME_KEY": "acme-key", "HOME": "/nonexistent"}
KEY = Secret("acme-key")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class FakeFetcher:
    """Answers for each workspace with a body, or with an error."""

    def __init__(self, **answers: bytes | FetchError) -> None:
        self.answers = answers
        self.asked: list[tuple[tuple[str, ...], str]] = []

    def cancel(self) -> None:
        raise AssertionError("nobody asked to stop")

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        assert (etag, attempts) == (None, None)
        self.asked.append((segments, key.reveal()))
        answer = self.answers[segments[0]]
        if isinstance(answer, FetchError):
            raise answer
        return Response(200, bytearray(answer), None, "", datetime(2026, 1, 1, tzinfo=UTC), 1, len(answer))


class FakeStore:
    """The projects that the database has, and what became of their ids."""

    def __init__(self, known: dict[str, list[KnownProject]], renames: dict[str, dict[str, ProjectPath]]) -> None:
        self.known = known
        self.renames = renames
        self.projects = self

    def of_workspace(self, workspace: str) -> list[KnownProject]:
        return self.known.get(workspace, [])

    def find_renames(self, workspace: str) -> dict[str, ProjectPath]:
        return self.renames.get(workspace, {})


def resolved(
    selections: list[Selection],
    fetcher: FakeFetcher,
    known: dict[str, list[KnownProject]] | None = None,
    renames: dict[str, dict[str, ProjectPath]] | None = None,
) -> tuple[list[SyncTask], list[Result]]:
    """What ``resolve`` gives, with secrets taken out of messages."""
    store = cast("Store", FakeStore(known or {}, renames or {}))
    context = SyncContext(
        fetcher, make_workspaces(selections, fetcher), store, RemovalsConfig(), lambda: NOW,
        lambda text: text.replace("s3cret", "***"),
    )  # fmt: skip
    return resolve(selections, context)


def listing(*projects: object) -> bytes:
    return json.dumps({"workspace": {"name": "W", "projects": list(projects)}}).encode()


def named(*ids: str) -> bytes:
    return listing(*({"id": f"acme/{i}", "name": i.title()} for i in ids))


CONFIG = Config(
    workspaces=(
        WorkspaceConfig(
            id="acme", api_key_env="ACME_KEY", projects=("widgets", "gears", "scratch-1"), exclude=("scr*",)
        ),
        WorkspaceConfig(id="all"),
    )
)


LIST = ("widgets", "gears")
ALL = True


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        pytest.param([], {"acme": (LIST, False), "all": ((), ALL)}, id="none-is-all-that-is-configured"),
        pytest.param(["acme"], {"acme": (LIST, False)}, id="a-workspace-with-its-list"),
        pytest.param(["all"], {"all": ((), ALL)}, id="a-workspace-that-discovers"),
        pytest.param(["other"], {"other": ((), ALL)}, id="a-workspace-that-no-table-names"),
        pytest.param(["other/p"], {"other": (("p",), False)}, id="a-project-that-no-table-names"),
        pytest.param(["acme/nuts"], {"acme": (("nuts",), False)}, id="a-project-that-its-table-does-not-name"),
        pytest.param(
            ["acme/scratch-1"], {"acme": (("scratch-1",), False)}, id="an-excluded-project-named-all-the-same"
        ),
        pytest.param(["acme/b", "acme/a", "acme/b"], {"acme": (("b", "a"), False)}, id="each-once-in-the-order-given"),
        pytest.param(
            ["all/p", "acme/q", "all/r"],
            {"all": (("p", "r"), False), "acme": (("q",), False)},
            id="together-by-their-workspace",
        ),
        pytest.param(["acme/nuts", "acme"], {"acme": (("nuts", *LIST), False)}, id="a-project-and-the-list"),
        pytest.param(["all/p", "all"], {"all": (("p",), ALL)}, id="a-project-and-all-of-its-workspace"),
        pytest.param(["all", "all/p"], {"all": (("p",), ALL)}, id="all-of-a-workspace-and-one-of-its-projects"),
    ],
)
def test_what_the_targets_mean(targets: list[str], expected: dict[str, tuple[tuple[str, ...], bool]]) -> None:
    found = wanted(CONFIG, [parse_target(t) for t in targets], ENV)
    assert {w.workspace.id: (w.projects, w.discover) for w in found} == expected
    assert [w.workspace.id for w in found] == list(expected)
    for want in found:
        assert want.workspace == CONFIG.workspace(want.workspace.id)
        assert want.key.reveal() == ("acme-key" if want.workspace.id == "acme" else "default-key")


def test_nothing_configured_and_nothing_named_is_an_error_that_says_how() -> None:
    with pytest.raises(ConfigError, match="TARGET"):
        wanted(Config(), [], ENV)


@pytest.mark.parametrize("projects", [(), ("scratch-1", "scratch-2")], ids=["none-named", "all-excluded"])
def test_a_workspace_without_any_project_to_sync_is_an_error(projects: tuple[str, ...]) -> None:
    config = Config(workspaces=(WorkspaceConfig(id="acme", projects=projects, exclude=("scratch-*",)),))
    for targets in ([], [parse_target("acme")]):
        with pytest.raises(ConfigError, match="'acme' has no project"):
            wanted(config, targets, ENV)
    assert [w.projects for w in wanted(config, [parse_target("acme/p")], ENV)] == [("p",)]


def test_a_workspace_without_a_key_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match=r"'acme'.*ACME_KEY"):
        wanted(CONFIG, [], {"ROBOFLOW_API_KEY": "default-key", "HOME": "/nonexistent"})


@pytest.mark.parametrize(("mode", "readable"), [(0o644, True), (0o604, True), (0o640, False), (0o600, False)])
def test_a_key_file_that_every_user_can_read_is_a_warning_for_each_workspace_that_names_it(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, mode: int, readable: bool
) -> None:
    file = tmp_path / "key"
    file.write_text("s3cret-key\n")
    file.chmod(mode)
    workspaces = tuple(WorkspaceConfig(id=name, api_key_file=str(file)) for name in ("acme", "other"))
    targets = ["acme/a", "acme/b", "acme", "other/a"]
    wanted(Config(workspaces=workspaces), [parse_target(target) for target in targets], ENV)
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(":")[0] for line in lines] == (["acme", "other"] if readable else [])
    assert [line for line in lines if f"chmod o-r {file}" not in line or "s3cret" in line] == []


def test_a_key_that_is_not_from_the_file_is_no_reason_to_warn_of_it(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text("s3cret-key\n")
    file.chmod(0o644)
    workspace = WorkspaceConfig(id="acme", api_key_env="ACME_KEY", api_key_file=str(file))
    assert wanted(Config(workspaces=(workspace,)), [parse_target("acme")], ENV)[0].key == KEY
    assert caplog.records == []


def test_named_projects_are_not_asked_for() -> None:
    fetcher = FakeFetcher()
    want = [Selection(WorkspaceConfig(id="acme"), KEY, ("b", "a"), discover=False)]
    new = [SyncTask("acme", "b", KEY, new=True), SyncTask("acme", "a", KEY, new=True)]
    assert resolved(want, fetcher) == (new, [])
    assert fetcher.asked == []


def test_a_project_that_is_both_named_and_discovered_is_synced_once() -> None:
    fetcher = FakeFetcher(acme=named("widgets", "scratch-1", "gears"))
    workspace = WorkspaceConfig(id="acme", exclude=("scratch-*",))
    tasks, failures = resolved([Selection(workspace, KEY, ("gears", "scratch-1", "gone"), discover=True)], fetcher)
    assert sorted(task.project for task in tasks) == ["gears", "gone", "scratch-1", "widgets"]
    assert {task.project: task.name for task in tasks}["gears"] == "Gears"
    assert failures == []


def test_all_projects_of_a_workspace_are_discovered_but_for_the_excluded() -> None:
    fetcher = FakeFetcher(acme=named("widgets", "scratch-1", "gears", "old"))
    workspace = WorkspaceConfig(id="acme", exclude=("scratch-*", "old"))
    assert discover(workspace, KEY, Workspaces(fetcher)) == [
        SyncTask("acme", "widgets", KEY, "Widgets", listed=True),
        SyncTask("acme", "gears", KEY, "Gears", listed=True),
    ]
    assert fetcher.asked == [(("acme",), "acme-key")]


def test_a_project_without_a_usable_id_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    fetcher = FakeFetcher(acme=listing({"id": "acme/a"}, {"id": "acme/"}, 5))
    tasks = discover(WorkspaceConfig(id="acme"), KEY, Workspaces(fetcher))
    assert tasks == [SyncTask("acme", "a", KEY, listed=True)]
    assert [r.levelno for r in caplog.records] == [logging.WARNING] * 2
    assert "number 1 " in caplog.text


@pytest.mark.parametrize("answer", [named(), named("scratch-1")], ids=["empty", "all-excluded"])
def test_a_workspace_without_projects_is_a_warning(answer: bytes, caplog: pytest.LogCaptureFixture) -> None:
    workspaces = Workspaces(FakeFetcher(acme=answer))
    assert discover(WorkspaceConfig(id="acme", exclude=("scratch-*",)), KEY, workspaces) == []
    assert "acme: the workspace has no project" in caplog.text


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (FetchError(ErrorKind.AUTH, "HTTP 403 of s3cret", http_status=403, attempts=2), "auth"),
        (FetchError(ErrorKind.TIMEOUT, "too late", attempts=2), "timeout"),
        (b"{}", "bad_response"),
        (b"<html>s3cret", "bad_response"),
    ],
    ids=["refused", "late", "no-workspace", "no-json"],
)
def test_one_workspace_that_can_not_be_listed_fails_alone(
    answer: bytes | FetchError, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    fetcher = FakeFetcher(acme=answer, b=listing({"id": "b/p"}))
    want = [Selection(WorkspaceConfig(id=i), KEY, named, discover=True) for i, named in (("acme", ("p",)), ("b", ()))]
    want.append(Selection(WorkspaceConfig(id="c"), KEY, ("q",), discover=False))
    tasks, (failure,) = resolved(want, fetcher)
    assert [str(task) for task in tasks] == ["acme/p", "b/p", "c/q"]
    assert (failure.workspace, failure.project, failure.outcome, failure.error_kind) == ("acme", "*", "failed", kind)
    assert failure.error is not None
    assert failure.error.startswith("its projects can't be listed: ")
    assert "s3cret" not in failure.error + caplog.text
    assert not failure.ok
    assert failure.run_id is None
    assert failure.row.attempts == (answer.attempts if isinstance(answer, FetchError) else 1)
    (line,) = caplog.messages
    assert line.startswith("acme: ")
    assert kind in line
    assert failure.error in line


def test_a_workspace_that_describes_nothing_can_not_be_discovered() -> None:
    with pytest.raises(BadResponse):
        discover(WorkspaceConfig(id="acme"), KEY, Workspaces(FakeFetcher(acme=b"[]")))


def test_where_a_workspace_can_not_be_listed_what_was_synced_before_is_synced_still() -> None:
    workspace = WorkspaceConfig(id="acme", exclude=("old-*",))
    fetcher = FakeFetcher(acme=FetchError(ErrorKind.AUTH, "no", attempts=1))
    known = [KnownProject(project, observed=True) for project in ("gears", "old-1")]
    tasks, failures = resolved([Selection(workspace, KEY, (), discover=True)], fetcher, {"acme": known})
    assert [(str(task), task.new) for task in tasks] == [("acme/gears", False)]
    assert [failure.error_kind for failure in failures] == ["auth"]


def test_a_project_that_its_workspace_no_longer_lists_is_looked_for_if_it_was_ever_observed() -> None:
    fetcher = FakeFetcher(acme=named("gears"))
    known = [
        KnownProject("gears", observed=True),
        KnownProject("gone", observed=True),
        KnownProject("away", observed=True),
        KnownProject("never", observed=False),
        KnownProject("scratch-1", observed=True),
    ]
    workspace = WorkspaceConfig(id="acme", exclude=("scratch-*",))
    tasks, _ = resolved([Selection(workspace, KEY, (), discover=True)], fetcher, {"acme": known})
    assert [(task.project, task.listed, task.insist) for task in tasks] == [
        *(("gears", True, False), ("gone", False, False), ("away", False, False)),
    ]


def test_an_old_id_means_the_project_under_its_new_one(caplog: pytest.LogCaptureFixture) -> None:
    fetcher = FakeFetcher(acme=named("new", "reused"), elsewhere=named("moved"))
    renames = {"acme": {"old": ProjectPath("acme", "new"), "reused": ProjectPath("acme", "new"),
                        "left": ProjectPath("elsewhere", "moved")}}  # fmt: skip
    want = [
        Selection(WorkspaceConfig(id="acme"), KEY, ("old", "new", "reused", "left"), False, frozenset({"old"})),
        Selection(WorkspaceConfig(id="elsewhere"), Secret("other-key"), (), False),
    ]
    known = {"acme": [KnownProject("new", observed=True)]}
    tasks, failures = resolved(want, fetcher, known, renames)
    assert failures == []
    assert [str(task) for task in tasks] == ["acme/new", "acme/reused", "elsewhere/moved"]
    assert tasks[2].key == Secret("other-key")
    # The workspace has another project of that id now.
    assert (tasks[1].listed, tasks[1].new) == (True, True)
    assert caplog.messages == [
        "acme/old is now acme/new: use the new id",
        "acme/left is now elsewhere/moved: use the new id",
    ]
    assert fetcher.asked == [(("acme",), "acme-key")]
