"""Which projects are synced, with which key, by which configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rfsync.simulator import FixedWorld, Simulator, Status
from tests.e2e.conftest import KEY, Cli, batch

#: What is wrong with a configuration: the file's text, and words that the message has to have.
WRONG_FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "attempts": ("[api]\nattempts = 0", ("[api]", "attempts")),
    "unknown-key": ("[api]\nbaseurl = 'x'", ("[api]", "baseurl")),
    "plain-http": ('[api]\nbase_url = "http://api.example.com"', ("[api]", "base_url", "https")),
    "cron": ('[schedule]\ncron = "* * *"', ("[schedule]", "cron")),
    "duration": ("[retention]\nunchanged_runs = 30", ("[retention]", "unchanged_runs")),
    "database": ('[database]\nurl = "mysql://root@host/labels"', ("[database]", "url")),
    "no-toml": ("[api\nattempts = 1", ("TOML",)),
    "no-id": ('[[workspaces]]\nprojects = ["widgets"]', ("[[workspaces]]", "id")),
    "key-in-file": (f'[[workspaces]]\nid = "acme"\napi_key = "{KEY}"', ("[[workspaces]]", "api_key_env")),
    "key-as-variable": (f'[[workspaces]]\nid = "acme"\napi_key_env = "{KEY}"', ("[[workspaces]]", "api_key_env")),
}


def synced(cli: Cli, *arguments: str, code: int = 0) -> list[str]:
    """Which projects a sync was about, in no order."""
    printed = cli.run("sync", "--json", *arguments, code=code).json
    return sorted(f"{one['workspace']}/{one['project']}" for one in printed["projects"])


def untouched(cli: Cli) -> bool:
    """Whether nobody was asked, and no database was made."""
    return not cli.simulator.requests and not [*cli.database.path.parent.glob(cli.database.path.name + "*")]


def test_all_projects_of_a_workspace_but_the_excluded(fresh: Cli) -> None:
    for project in ("widgets", "gears", "scratch-1", "scratch-2"):
        fresh.list(batch("b1", 1), project=project)
    fresh.configure(workspaces=[{"projects": ["*"], "exclude": ["scratch-*"]}])
    assert synced(fresh) == ["acme/gears", "acme/widgets"]
    names = "SELECT project, name FROM projects ORDER BY project"
    assert fresh.database.rows(names) == [("gears", "Gears"), ("widgets", "Widgets")]
    # A new one is found, and a name once known stays.
    fresh.list(project="springs")
    assert synced(fresh, "acme") == ["acme/gears", "acme/springs", "acme/widgets"]
    assert synced(fresh, "acme/gears", "acme/gears") == ["acme/gears"]
    assert fresh.database.rows(names)[0] == ("gears", "Gears")
    fresh.balance()


def test_a_workspace_that_cannot_be_listed_fails_alone(fresh: Cli) -> None:
    fresh.world.set("other/things", [batch("b1", 1)])
    fresh.list(batch("b1", 1))
    fresh.configure(workspaces=[{"projects": ["*"]}, {"id": "other", "projects": ["things"]}])
    fresh.simulator.faults.add("/acme", Status(403))
    printed = fresh.run("sync", "--json", code=1).json
    ((outcome, kind),) = ((p["outcome"], p["error_kind"]) for p in printed["projects"] if p["workspace"] == "acme")
    assert (outcome, kind) == ("failed", "auth")
    assert fresh.database.rows("SELECT workspace, project FROM current_batches") == [("other", "things")]


def test_a_target_that_no_table_names(fresh: Cli) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets"]}])
    fresh.list(batch("b1", 1))
    fresh.list(batch("b1", 1), project="gears")
    fresh.world.set("other/things", [batch("b1", 1)])
    assert synced(fresh, "acme/gears", "other") == ["acme/gears", "other/things"]
    assert synced(fresh, "acme") == ["acme/widgets"]


def test_each_workspace_has_its_own_key(fresh: Cli) -> None:
    official = fresh.folder / "nobody" / ".config" / "roboflow" / "config.json"
    official.parent.mkdir(parents=True)
    official.write_text(json.dumps({"workspaces": {"w": {"url": "cli", "apiKey": "key-of-the-cli"}}}))
    (fresh.folder / "key.txt").write_text("key-in-a-file\n")
    # What HTTP libraries like to find, and to send instead.
    (fresh.folder / "nobody" / ".netrc").write_text("default login somebody password secret\n")
    for workspace in ("acme", "file", "cli"):
        fresh.world.set(f"{workspace}/widgets", [])
    tables: list[dict[str, Any]] = [
        {"id": "acme", "api_key_env": "ACME_KEY"},
        {"id": "file", "api_key_file": str(fresh.folder / "key.txt")},
        {"id": "cli", "api_key_env": "NOT_SET"},
    ]
    fresh.configure(workspaces=[{**table, "projects": ["widgets"]} for table in tables])
    fresh.run("sync", env={"ACME_KEY": "key-of-acme"})
    sent = {r.path.split("/")[1]: r.headers.get("authorization") for r in fresh.simulator.requests}
    assert sent == {"acme": "Bearer key-of-acme", "file": "Bearer key-in-a-file", "cli": "Bearer key-of-the-cli"}
    assert all(not r.query for r in fresh.simulator.requests)


def test_without_a_key_nothing_is_done(fresh: Cli) -> None:
    del fresh.env["ROBOFLOW_API_KEY"]
    fresh.configure(workspaces=[{"projects": ["widgets"]}])
    done = fresh.run("sync", code=2)
    assert done.out == ""
    assert "acme" in done.err
    assert "ROBOFLOW_API_KEY" in done.err
    assert untouched(fresh)


def test_a_wrong_command_line_does_nothing(fresh: Cli) -> None:
    for project in ("widgets", "gears"):
        fresh.list(project=project)
    fresh.configure(workspaces=[{"projects": ["widgets", "gears"]}, {"id": "other", "projects": ["*"]}])
    commands = [
        ["sync", "a/b/c"],
        ["sync", "--no-such-option"],
        ["sync", "--batch", "b1"],
        ["sync", "acme/widgets", "acme/gears", "--batch", "b1"],
        ["sync", "--config", "no-such.toml", "acme/widgets"],
        ["sync", "--database", "mysql://root@host/labels", "acme/widgets"],
        ["--log-level", "loud", "sync"],
        ["status", "--max-age", "soon"],
    ]
    for done in fresh.run_all(commands, code=2):
        assert done.out == ""
        assert done.err
    assert untouched(fresh)


def test_a_wrong_configuration_names_its_key_and_table(fresh: Cli, tmp_path: Path) -> None:
    commands = []
    for name, (text, _) in WRONG_FILES.items():
        file = tmp_path / f"{name}.toml"
        file.write_text(text)
        commands.append(["sync", "acme/widgets", "--config", str(file)])
    for (name, (_, words)), done in zip(WRONG_FILES.items(), fresh.run_all(commands, code=2), strict=True):
        assert done.out == ""
        assert [word for word in words if word not in done.err] == [], (name, done.err)
        assert KEY not in done.err
    assert untouched(fresh)


def test_nothing_to_sync(fresh: Cli) -> None:
    assert "TARGET" in fresh.run("sync", code=2).err
    assert untouched(fresh)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_the_command_line_beats_the_environment_which_beats_the_file(fresh: Cli, tmp_path: Path, before: bool) -> None:
    fresh.list(batch("b1", 1))
    made = fresh.database.path.parent
    config = fresh.folder / "rfsync.toml"
    config.rename(tmp_path / "elsewhere.toml")
    env = {"RFSYNC_CONFIG": str(tmp_path / "elsewhere.toml"), "RFSYNC_DATABASE_URL": f"sqlite:///{made / 'env.db'}"}
    options = ["--database", f"sqlite:///{made / 'option.db'}", "--log-level", "info", "--log-format", "json"]
    command = ["sync", "acme/widgets"]
    done = fresh.run(*(options + command if before else command + options), env=env)
    assert [one.name for one in made.glob("*.db")] == ["option.db"]
    made_it, *lines = [json.loads(line) for line in done.err.splitlines()]
    assert made_it["event"] == f"made a new database, {made / 'option.db'} (set by --database)"
    assert [(one["level"], one["workspace"], one["project"]) for one in lines] == [("info", "acme", "widgets")]
    if before:
        fresh.run(*command, env=env)
        assert sorted(one.name for one in made.glob("*.db")) == ["env.db", "option.db"]
        fresh.run(*command, "--config", str(tmp_path / "elsewhere.toml"))
        assert sorted(one.name for one in made.glob("*.db")) == ["env.db", "fresh.db", "option.db"]


def test_a_workspace_at_another_address_is_asked_there_and_its_outage_is_its_own(fresh: Cli) -> None:
    names = [f"p{number:02}" for number in range(12)]
    eu = FixedWorld({f"eu/{name}": [batch("b1", 2)] for name in names})
    fresh.env["EU_KEY"] = "key-for-the-other"
    with Simulator(eu, keys=["key-for-the-other"]) as other:
        fresh.simulator.keys = [KEY]
        own = {"id": "eu", "base_url": other.url, "api_key_env": "EU_KEY"}
        fresh.configure(api={"concurrency": 4}, workspaces=[own, {"projects": ["*"]}])
        for name in names:
            fresh.list(batch("b1", 1), project=name)
        done = fresh.run("sync", "--json")
        assert len(done.json["projects"]) == 2 * len(names)
        assert {request.path.split("/")[1] for request in other.requests} == {"eu"}
        assert {request.path.split("/")[1] for request in fresh.simulator.requests} == {"acme"}
        assert fresh.run("check").code == 0
    for name in names:
        fresh.list(batch("b1", 3), project=name)
    done = fresh.run("sync", "--json", code=1)
    outcomes = {(one["workspace"], one["outcome"]) for one in done.json["projects"]}
    assert outcomes == {("acme", "changed"), ("eu", "failed")}
    errors = [one["error"] for one in done.json["projects"] if one["workspace"] == "eu"]
    assert [error for error in errors if other.url not in error] == []
    assert f"not asked: the API at {other.url} has failed for each of " in "".join(errors)
    fresh.balance()
