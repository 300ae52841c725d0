"""Projects that are renamed, deleted and back again: one project, one history, and no number that is not true."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rfsync.simulator import Status
from tests.e2e.conftest import Cli, batch, job


def projects(cli: Cli) -> list[tuple[Any, ...]]:
    """Of each its ids, batches, images and whether it has departed."""
    query = "SELECT workspace, project, batches, images, departed_at IS NOT NULL FROM projects ORDER BY 1, 2"
    return [(*row[:4], bool(row[4])) for row in cli.database.rows(query)]


def rename(cli: Cli, old: str, new: str, *records: object) -> None:
    """The same project under another id, as the API shows it; with what it has, or with these batches."""
    cli.world.rename(old, new)
    if records:
        cli.world.set(new, [*records])


def ledger(cli: Cli) -> list[tuple[Any, ...]]:
    return cli.database.rows("SELECT batch_id, change, images_delta FROM change_log ORDER BY id")


@pytest.mark.parametrize("named", [False, True], ids=["discovered", "named"])
def test_a_renamed_project_goes_on_with_its_history(cli: Cli, named: bool) -> None:
    cli.configure(workspaces=[{"projects": ["widgets"] if named else ["*"]}])
    cli.list(batch("a", 10), batch("b", 20))
    cli.list(batch("x", 1), project="gears")
    cli.run("sync")
    before = ledger(cli)
    rename(cli, "acme/widgets", "acme/sprockets")
    # A project that the configuration names is not looked for under every other id: that is for a TARGET to say.
    done = cli.run("sync", "--json", *(["acme/sprockets"] if named else []))
    assert done.projects["sprockets"]["outcome"] == "changed"
    assert done.projects["sprockets"]["images_delta"] == 0
    assert "widgets" not in done.projects
    assert "acme/widgets was renamed to acme/sprockets" in done.err
    assert ("acme", "sprockets", 2, 30, False) in projects(cli)
    assert ledger(cli) == before
    assert cli.database.rows("SELECT workspace, project FROM project_renames") == [("acme", "widgets")]
    history = cli.run("batches", "acme/sprockets", "--json").json
    assert [one["batch_id"] for one in history] == ["a", "b"]
    # Its former id means it from then on, wherever it is written.
    done = cli.run("sync", "--json", "acme/widgets")
    assert [*done.projects] == ["sprockets"]
    assert done.projects["sprockets"]["outcome"] == "unchanged"
    assert "acme/widgets is now acme/sprockets" in done.err
    cli.verify()


def test_a_rename_is_found_before_a_departure_and_with_what_changed_meanwhile(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["*"]}])
    cli.list(batch("a", 10), batch("b", 20))
    cli.list(project="gears")
    cli.run("sync")
    rename(cli, "acme/widgets", "acme/sprockets", batch("b", 15), batch("c", 7))
    done = cli.run("sync", "--json")
    assert sorted(done.projects) == ["gears", "sprockets"]
    assert done.projects["sprockets"]["images_delta"] == 7 - 5 - 10
    assert ledger(cli)[2:] == [("a", "removed", -10), ("b", "changed", -5), ("c", "added", 7)]
    cli.verify()


def test_a_project_without_listed_batches_is_asked_for_those_of_missing_ones(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["*"]}])
    cli.list(batch("a", 10), batch("b", 20))
    cli.list(batch("x", 1), project="gears")
    cli.run("sync")
    rename(cli, "acme/widgets", "acme/sprockets")
    cli.world.set("acme/sprockets", [])
    cli.world.set_batch("acme/sprockets", "a", 200, batch("a", 0, 1))
    cli.world.set_batch("acme/sprockets", "b", 200, batch("b", 0, 2))
    done = cli.run("sync", "--json")
    assert done.projects["sprockets"]["images_delta"] == -30
    assert projects(cli) == [("acme", "gears", 1, 1, False), ("acme", "sprockets", 2, 0, False)]
    cli.verify()


def test_two_projects_with_the_same_batches_that_are_both_there_stay_two(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["*"]}])
    cli.list(batch("a", 10))
    cli.run("sync")
    cli.list(batch("a", 10), project="copy")
    done = cli.run("sync", "--json")
    assert "acme/copy" in done.err
    assert "acme/widgets" in done.err
    assert projects(cli) == [("acme", "copy", 1, 10, False), ("acme", "widgets", 1, 10, False)]
    cli.verify()


def test_where_it_cannot_be_told_whether_the_other_is_there_nothing_is_written(cli: Cli) -> None:
    cli.list(batch("a", 10))
    cli.run("sync", "acme/widgets")
    cli.list(batch("a", 10), project="sprockets")
    before = cli.database.dump()
    cli.simulator.faults.add("/acme", Status(403))
    cli.simulator.faults.add("/acme/widgets/batches", Status(402))
    project = cli.sync(target="acme/sprockets", code=1)
    assert (project["outcome"], project["error_kind"], project["attempts"]) == ("failed", "auth", 1)
    assert "rfsync rename acme/widgets acme/sprockets" in project["error"]
    after = cli.database.dump()
    assert {table for table in before if before[table] != after[table]} == {"projects", "sync_runs"}
    assert ledger(cli) == [("a", "added", 10)]
    # The next run asks again.
    cli.simulator.faults.clear()
    cli.world.remove("acme/widgets")
    assert cli.sync(target="acme/sprockets")["outcome"] == "changed"
    assert projects(cli) == [("acme", "sprockets", 1, 10, False)]
    assert cli.database.column("SELECT count(*) FROM sync_runs") == [3]
    cli.verify()


def test_a_renamed_workspace_takes_its_projects_along(cli: Cli) -> None:
    cli.list(batch("a", 10))
    cli.list(batch("b", 20), project="gears")
    cli.configure(workspaces=[{"projects": ["*"]}])
    cli.run("sync")
    for project in ("widgets", "gears"):
        rename(cli, f"acme/{project}", f"newco/{project}")
    cli.configure(workspaces=[{"id": "newco", "projects": ["*"]}])
    done = cli.run("sync", "--json")
    assert sorted(done.projects) == ["gears", "widgets"]
    assert projects(cli) == [("newco", "gears", 1, 20, False), ("newco", "widgets", 1, 10, False)]
    assert cli.database.column("SELECT sum(changes) FROM workspace_daily WHERE workspace = 'newco'") == [2]
    assert len(ledger(cli)) == 2
    cli.verify()


def test_a_deleted_project_departs_in_one_observation(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["*"]}])
    cli.list(batch("a", 10, 1), batch("b", 20, 2))
    cli.world.set_jobs("acme/widgets", [job("j", 5)])
    cli.list(batch("x", 1), project="gears")
    cli.run("sync")
    cli.world.remove("acme/widgets")
    done = cli.run("sync", "--json")
    gone = done.projects["widgets"]
    assert (gone["outcome"], gone["removed"], gone["images_delta"], gone["num_jobs_delta"]) == ("changed", 2, -30, -3)
    assert (gone["jobs_changed"], cli.database.column("SELECT job_id FROM current_jobs")) == (1, [])
    assert "acme/widgets" in done.err
    assert projects(cli) == [("acme", "gears", 1, 1, False), ("acme", "widgets", 0, 0, True)]
    # It is looked for once a day; in between there is no run of it, and no word.
    requests, runs = len(cli.simulator.requests), cli.database.column("SELECT count(*) FROM sync_runs")
    done = cli.run("sync", "--json")
    assert [*done.projects] == ["gears"]
    assert "widgets" not in done.err
    assert [r.path for r in cli.simulator.requests[requests:]] == ["/acme", "/acme/gears/batches", "/acme/gears/jobs"]
    assert cli.database.column("SELECT count(*) FROM sync_runs") == [runs[0] + 1]
    assert [one["project"] for one in cli.run("status", "--json").json] == ["gears"]
    # Named, it is looked for at once; nothing has changed.
    project = cli.sync()
    assert (project["outcome"], project["removed"], project["error"]) == ("unchanged", 0, None)
    cli.verify()


def test_a_project_that_comes_back_is_restored(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["*"]}], removals={"confirm_limit": 2})
    cli.list(*(batch(one, 10) for one in "abcdef"))
    cli.list(project="gears")
    cli.run("sync")
    cli.world.remove("acme/widgets")
    assert cli.run("sync", "--json").projects["widgets"]["removed"] == 6
    cli.list(batch("a", 10), batch("new", 1))
    cli.world.set_batch("acme/widgets", "c", 200, batch("c", 3))
    back = cli.run("sync", "--json").projects["widgets"]
    assert (back["outcome"], back["restored"], back["added"]) == ("changed", 2, 1)
    assert "not asked for yet" in back["error"]
    assert projects(cli)[1] == ("acme", "widgets", 3, 14, False)
    assert cli.run("sync", "--json").projects["widgets"]["error"] is not None
    done = cli.run("sync", "--json").projects["widgets"]
    assert (done["outcome"], done["error"]) == ("unchanged", None)
    asked = [r.path.rpartition("/")[2] for r in cli.simulator.requests if len(r.path.split("/")) == 5]
    assert asked == ["b", "c", "d", "e", "f"]
    assert cli.sync()["outcome"] == "unchanged"
    cli.verify()


def test_a_404_of_a_project_that_is_still_listed_is_a_failure(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["widgets"]}])
    cli.list(batch("a", 10))
    cli.list(project="gears")
    cli.run("sync")
    cli.simulator.faults.add("/acme/widgets/batches", Status(404))
    project = cli.sync(code=1)
    assert (project["outcome"], project["error_kind"]) == ("failed", "not_found")
    assert "new in its workspace: acme/gears" in project["error"]
    # Nor does a list that is empty, or can't be had, say that it is gone.
    for answer in (Status(403), None):
        cli.simulator.faults.add("/acme/widgets/batches", Status(404))
        if answer is None:
            cli.world.set("acme", {"workspace": {"projects": []}})
        else:
            cli.simulator.faults.add("/acme", answer)
        assert cli.sync(code=1)["error_kind"] == "not_found"
    assert projects(cli) == [("acme", "widgets", 1, 10, False)]


def test_a_project_that_never_was_leaves_nothing_at_all(cli: Cli) -> None:
    cli.list(batch("a", 10))
    cli.sync()
    before = cli.database.dump()
    project = cli.sync(target="acme/typo", code=1)
    assert (project["outcome"], project["error_kind"], project["run_id"]) == ("failed", "not_found", None)
    assert cli.database.dump() == before


def test_a_rename_by_hand(cli: Cli) -> None:
    cli.list(batch("a", 10))
    cli.list(batch("x", 1), project="gears")
    cli.configure(workspaces=[{"projects": ["*"]}])
    cli.run("sync")
    before = ledger(cli)
    refused: list[tuple[list[str], str]] = [
        (["acme/widgets", "acme/gears"], "acme/gears was observed"),
        (["acme/typo", "acme/new"], "no acme/typo"),
        (["typo", "newco"], "no typo"),
        (["acme/widgets", "newco"], "both"),
        (["acme/widgets", "acme/widgets"], "already"),
    ]
    for arguments, said in refused:
        assert said in cli.run("rename", *arguments, code=2).err
    assert cli.run("rename", "acme/widgets", "acme/sprockets").out == "acme/widgets is now acme/sprockets\n"
    assert (
        cli.run("rename", "acme", "newco").out
        == "acme/gears is now newco/gears\nacme/sprockets is now newco/sprockets\n"
    )
    assert projects(cli) == [("newco", "gears", 1, 1, False), ("newco", "sprockets", 1, 10, False)]
    assert ledger(cli) == before
    cli.verify()


@pytest.mark.parametrize("command", ["batches", "changes", "totals", "report"])
def test_an_old_id_in_a_question_means_the_project(cli: Cli, command: str) -> None:
    cli.list(batch("a", 10))
    cli.sync()
    cli.run("rename", "acme/widgets", "newco/sprockets")
    for old, new in (("acme/widgets", "newco/sprockets"), ("acme", "newco")):
        output = ["-o", str(cli.folder / "report.html")] if command == "report" else ["--json"]
        done = cli.run(command, old, *output)
        assert f"{old} is now {new}: use the new id" in done.err
        if command != "report":
            assert {(one["workspace"], one["project"]) for one in done.json} == {("newco", "sprockets")}
    assert "is now" not in cli.run(command, "newco/sprockets", *output).err
    # Another project of that id is itself.
    cli.list(batch("b", 1))
    cli.sync()
    done = cli.run(command, "acme/widgets", *output)
    assert "is now" not in done.err


def test_an_empty_project_is_no_project_of_its_own_while_the_list_of_its_workspace_is_not_to_be_had(cli: Cli) -> None:
    cli.list(batch("a", 10))
    cli.list(project="gears")
    cli.sync()
    rename(cli, "acme/widgets", "acme/sprockets")
    cli.world.set("acme/sprockets", [])
    cli.world.set_batch("acme/sprockets", "a", 200, batch("a", 0, 1))
    cli.configure(api={"attempts": 1}, workspaces=[{"projects": ["sprockets"]}])
    cli.simulator.faults.add("/acme", Status(503))
    project = cli.sync(target="acme/sprockets", code=1)
    assert (project["outcome"], project["error_kind"]) == ("failed", "server")
    assert "its lists don't tell" in project["error"]
    # A key that may not list them: its own words, and the old project's, say enough.
    cli.simulator.faults.add("/acme", Status(403))
    assert cli.sync(target="acme/sprockets")["images_delta"] == -10
    assert projects(cli) == [("acme", "sprockets", 1, 0, False)]
    cli.verify()


def test_what_an_empty_project_answers_otherwise_says_nothing(cli: Cli) -> None:
    cli.list(batch("a", 10))
    cli.list(project="gears")
    cli.sync()
    cli.world.remove("acme/widgets")
    cli.list(project="new")
    cli.configure(workspaces=[{"projects": ["new"]}])
    cli.world.set_batch("acme/new", "a", 403, {"error": "no"})
    assert cli.sync(target="acme/new")["outcome"] == "unchanged"


def test_the_project_that_has_just_vanished_is_looked_for_before_those_that_departed_long_ago(cli: Cli) -> None:
    cli.configure(removals={"confirm_limit": 3}, workspaces=[{"projects": ["*"]}])
    for number in range(4):
        cli.list(batch(f"gone{number}", 1), project=f"gone{number}")
    cli.list(batch("w", 10))
    cli.list(project="gears")
    cli.run("sync")
    for number in range(4):
        cli.world.remove(f"acme/gone{number}")
    cli.run("sync")
    rename(cli, "acme/widgets", "acme/sprockets")
    cli.world.set("acme/sprockets", [])
    cli.world.set_batch("acme/sprockets", "w", 200, batch("w", 0, 1))
    assert cli.run("sync", "--json").projects["sprockets"]["images_delta"] == -10


def test_a_renamed_workspace_without_listed_batches_while_the_old_one_is_still_configured(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["widgets"]}, {"id": "newco", "projects": ["widgets"]}])
    cli.list(batch("a", 10))
    cli.sync()
    rename(cli, "acme/widgets", "newco/widgets")
    cli.world.set("newco/widgets", [])
    cli.world.set_batch("newco/widgets", "a", 200, batch("a", 0, 1))
    cli.run("sync", "newco")
    assert projects(cli) == [("newco", "widgets", 1, 0, False)]


def test_a_batch_alone_shows_a_rename_too(cli: Cli) -> None:
    cli.list(batch("a", 10), batch("b", 20))
    cli.sync()
    rename(cli, "acme/widgets", "acme/sprockets", batch("a", 7), batch("b", 20))
    project = cli.sync("--batch", "a", target="acme/sprockets")
    assert (project["outcome"], project["changed"], project["images_delta"]) == ("changed", 1, -3)
    assert projects(cli) == [("acme", "sprockets", 2, 27, False)]
    assert cli.sync(target="acme/sprockets")["outcome"] == "unchanged"
    cli.verify()


def test_a_departed_project_is_looked_for_at_once_after_a_rename_by_hand(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["widgets"]}])
    cli.list(batch("a", 10))
    cli.list(project="gears")
    cli.run("sync")
    rename(cli, "acme/widgets", "acme/sprockets")
    done = cli.run("sync")
    assert "New in its workspace, and not synced: acme/gears, acme/sprockets" in done.err
    cli.run("rename", "acme/widgets", "acme/sprockets")
    cli.configure(workspaces=[{"projects": ["sprockets"]}])
    done = cli.run("sync", "--json")
    assert (done.projects["sprockets"]["outcome"], done.projects["sprockets"]["restored"]) == ("changed", 1)


def test_a_departed_project_that_is_listed_again_and_answers_404_is_a_failure(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["*"]}])
    cli.list(batch("a", 10))
    cli.list(project="gears")
    cli.run("sync")
    cli.world.remove("acme/widgets")
    cli.run("sync")
    cli.list(batch("a", 10))
    cli.simulator.faults.add("/acme/widgets/batches", Status(404))
    assert cli.run("sync", "--json", code=1).projects["widgets"]["error_kind"] == "not_found"
    assert cli.run("sync", "--json").projects["widgets"]["restored"] == 1


def test_a_failed_run_under_an_old_id_does_not_take_that_id_away(cli: Cli) -> None:
    cli.configure(api={"attempts": 1})
    cli.list(batch("a", 10))
    cli.sync()
    cli.run("rename", "acme/widgets", "acme/sprockets")
    rename(cli, "acme/widgets", "acme/sprockets")
    cli.database.execute(
        "INSERT INTO projects (id, workspace, project) VALUES (99, 'acme', 'widgets')"
    )  # as a run leaves it that failed before anything was observed
    assert [*cli.run("sync", "--json", "acme/widgets").projects] == ["sprockets"]
    assert {one["project"] for one in cli.run("changes", "acme/widgets", "--json").json} == {"sprockets"}


def test_the_old_id_of_a_workspace_means_where_its_projects_are(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["*"]}])
    for project in ("widgets", "gears"):
        cli.list(batch(project, 10), project=project)
    cli.run("sync")
    cli.run("rename", "acme", "newco")
    for project in ("widgets", "gears"):
        rename(cli, f"acme/{project}", f"newco/{project}")
    done = cli.run("sync", "--json")
    assert sorted((p["workspace"], p["project"], p["outcome"]) for p in done.json["projects"]) == [
        *(("newco", "gears", "unchanged"), ("newco", "widgets", "unchanged")),
    ]
    assert "its projects are in newco now" in done.err


def test_an_import_under_an_old_id_is_of_the_renamed_project(cli: Cli) -> None:
    (cli.folder / "2026-01-01.json").write_text(json.dumps({"batches": [batch("a", 3)]}))
    (cli.folder / "2026-01-02.json").write_text(json.dumps({"batches": [batch("a", 4)]}))
    cli.run("import", "acme/widgets", "2026-01-01.json")
    cli.run("rename", "acme/widgets", "acme/sprockets")
    done = cli.run("import", "acme/widgets", "2026-01-02.json")
    assert "acme/widgets is now acme/sprockets" in done.err
    assert projects(cli) == [("acme", "sprockets", 1, 4, False)]


def test_a_dry_run_departs_as_the_run_would(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["*"]}])
    cli.list(batch("a", 10))
    cli.run("sync")
    cli.world.remove("acme/widgets")
    for number in range(7):
        cli.list(batch(f"n{number}", 1), project=f"new{number}")
    dry = cli.run("sync", "--dry-run", "--json").projects["widgets"]
    assert (dry["outcome"], dry["removed"], dry["run_id"]) == ("changed", 1, None)
    assert cli.run("sync", "--json").projects["widgets"]["removed"] == 1
