"""The first steps: the template, where the database comes to lie, and what ``check`` says of projects."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.conftest import KEY, Cli, batch


def uncomment(file: Path, *, only: str = "") -> None:
    """Takes a sign of a comment from each line of the last table, or from that of a key alone, as a person would."""
    before, start, table = file.read_text().partition("[[workspaces]]\n" if only else "# [[workspaces]]\n")
    file.write_text(before + re.sub(rf"(?m)^# (?={only})", "", start + table))


def test_the_template_does_what_one_expects_of_it(fresh: Cli) -> None:
    for project in ("widgets", "gears", "scratch-tests"):
        fresh.list(batch(f"of-{project}", 5), project=project)
    file = fresh.folder / "rfsync.toml"
    file.unlink()
    assert fresh.run("init").out == (
        "Wrote rfsync.toml. Uncomment the table at its end, enter your workspace, set ROBOFLOW_API_KEY, then: "
        "rfsync check\n"
    )
    assert "or uncomment the [[workspaces]] table of the configuration" in fresh.run("sync", code=2).err
    file.write_text(file.read_text().replace("https://api.roboflow.com", fresh.simulator.url))
    configuration = fresh.run("check", "--json").json["checks"][0]
    assert (configuration["found"], configuration["remedy"][:9]) == ("0 workspaces", "uncomment")
    uncomment(file)
    checks = {one["subject"]: one["found"] for one in fresh.run("check", "--json").json["checks"]}
    assert checks["acme"] == "3 projects"
    assert [name for name in checks if name.startswith("acme/")] == ["acme/widgets", "acme/gears", "acme/scratch-tests"]
    assert {*fresh.run("sync", "--json").projects} == {"widgets", "gears", "scratch-tests"}
    assert (fresh.folder / "rfsync.db").exists()

    uncomment(file, only="exclude = ")
    checks = {one["subject"]: one["found"] for one in fresh.run("check", "--json").json["checks"]}
    assert checks["acme"] == '3 projects, 1 excluded: scratch-tests by "scratch-*"'
    assert {*fresh.run("sync", "--json").projects} == {"widgets", "gears"}


def test_check_says_which_projects_are_left_out_and_which_are_not_there(fresh: Cli) -> None:
    for project in ("widgets", "gears", *(f"old-{number}" for number in range(12))):
        fresh.list(project=project)
    table = {"projects": ["*"], "exclude": ["old-1*", "scrach-*"]}
    fresh.configure(workspaces=[table])
    assert (
        'acme: 14 projects, 3 excluded: old-1 by "old-1*", old-10 by "old-1*", old-11 by "old-1*"; '
        'no project is excluded by "scrach-*"\n'
    ) in fresh.run("check").out
    fresh.configure(workspaces=[{**table, "exclude": ["old-*"]}])
    assert 'old-9 by "old-*" and 2 more\n' in fresh.run("check").out

    fresh.configure(workspaces=[{"projects": ["widgts", "nothing-like-it", "gears", "old-1"], "exclude": ["old-*"]}])
    done = fresh.run("check", code=1).out
    assert 'acme: 4 projects named, 1 excluded: old-1 by "old-*"\n' in done
    assert "acme/old-1:" not in done
    assert re.search("acme/widgts: not_found: .*; did you mean widgets\\?\n", done)
    assert re.search(
        "acme/nothing-like-it: not_found: .*; the workspace has widgets, gears, old-0, .* and 4 more\n", done
    )
    assert "→ correct projects in its [[workspaces]] table" in done

    fresh.configure(workspaces=[{"projects": ["old-1"], "exclude": ["old-*"]}])
    assert "→ take at least one of them out of exclude" in fresh.run("check", code=1).out


@pytest.mark.parametrize(
    ("table", "advice"),
    [
        ({"api_key_env": "NO_KEY"}, "export NO_KEY=…"),
        ({"api_key_file": "no.key"}, "write the key into the file that api_key_file names, readable only by you"),
        ({"api_key_env": "NO_KEY", "api_key_file": "no.key"}, "export NO_KEY=…, or write the key into the file"),
        ({}, "export ROBOFLOW_API_KEY=…"),
    ],
)
def test_the_advice_on_a_missing_key_fits_the_configuration(fresh: Cli, table: dict[str, object], advice: str) -> None:
    fresh.configure(workspaces=[table])
    done = fresh.run("check", "--json", code=1, env={"ROBOFLOW_API_KEY": ""} if not table else {})
    (key,) = [one for one in done.json["checks"] if one["what"] == "key"]
    assert key["remedy"].startswith(advice)


@pytest.fixture
def elsewhere(fresh: Cli) -> Path:
    """A configuration in another folder, with a database and a key file that stand in it by relative paths."""
    fresh.list(batch("b1", 5))
    folder = fresh.folder / "elsewhere"
    folder.mkdir()
    fresh.configure(workspaces=[{"projects": ["widgets"], "api_key_file": "roboflow.key"}])
    text = (fresh.folder / "rfsync.toml").read_text()
    (folder / "rfsync.toml").write_text(text.replace(fresh.database.url, "sqlite:///data.db"))
    (folder / "roboflow.key").write_text(KEY)
    (folder / "roboflow.key").chmod(0o600)
    (fresh.folder / "rfsync.toml").unlink()
    return folder


def test_relative_paths_start_from_the_folder_of_the_file(fresh: Cli, elsewhere: Path) -> None:
    named = {"RFSYNC_CONFIG": "elsewhere/rfsync.toml"}
    done = fresh.run("sync", env=named)
    database = elsewhere / "data.db"
    assert done.err == f"rfsync: made a new database, {database} (set by {elsewhere / 'rfsync.toml'})\n"
    # It is said once: cron would send a mail each time.
    assert fresh.run("sync", "--config", "elsewhere/rfsync.toml").err == ""
    found = {one["what"]: one for one in fresh.run("check", "--json", env=named).json["checks"]}
    assert found["database"]["subject"] == str(database)
    assert found["database"]["found"].endswith(f"(set by {elsewhere / 'rfsync.toml'})")
    assert found["key"]["found"].startswith("from elsewhere/roboflow.key")
    assert [path.name for path in fresh.folder.glob("*.db")] == []

    text = (elsewhere / "rfsync.toml").read_text()
    (elsewhere / "rfsync.toml").write_text(text.replace('url = "sqlite:///data.db"', ""))
    assert str(elsewhere / "rfsync.db") in fresh.run("sync", env=named).err
    for source, arguments, env in (
        ("--database", ["--database", "sqlite:///here.db"], {}),
        ("$RFSYNC_DATABASE_URL", [], {"RFSYNC_DATABASE_URL": "sqlite:///there.db"}),
    ):
        done = fresh.run("sync", *arguments, env={**named, **env})
        assert done.err.startswith(f"rfsync: made a new database, {fresh.folder}/")
        assert done.err.endswith(f"here.db (set by {source})\n")


@pytest.mark.new_python
def test_relative_paths_in_a_file_from_a_pipe_start_from_the_working_directory(fresh: Cli, elsewhere: Path) -> None:
    (elsewhere / "roboflow.key").rename(fresh.folder / "roboflow.key")
    shell = ["sh", "-c", 'cat elsewhere/rfsync.toml | "$@"', "sh"]
    fresh.finish(fresh.start("sync", "--config", "/dev/stdin", under=shell))
    assert (fresh.folder / "data.db").exists()
    fresh.finish(fresh.start("sync", "--config", "/dev/stdin", under=["sh", "-c", '"$@" <elsewhere/rfsync.toml', "sh"]))
    assert not (elsewhere / "data.db").exists()


def test_what_only_reads_makes_no_database_and_says_where_it_looked(fresh: Cli) -> None:
    file = fresh.folder / "rfsync.toml"
    file.write_text("")
    commands = [["status"], ["batches"], ["changes"], ["totals"], ["verify"], ["dashboard"], ["db", "current"]]
    commands += [["db", "check"], ["report", "-o", "report.html"], ["prune"], ["rename", "a", "b"]]
    for done in fresh.run_all(commands, code=3):
        assert done.err.startswith(
            f"rfsync: error: there is no database {fresh.folder / 'rfsync.db'} (set by {file}): rfsync sync makes it"
        )
    file.unlink()
    assert (
        f"{fresh.folder / 'rfsync.db'} (the default, as there is no configuration)" in fresh.run("status", code=3).err
    )
    assert [*fresh.folder.iterdir()] == []


def test_tables_made_in_a_file_of_another_program_are_told(fresh: Cli) -> None:
    with closing(sqlite3.connect(fresh.folder / "other.db")) as other:
        other.execute("CREATE TABLE theirs (id INTEGER)")
    fresh.list(batch("b1", 1))
    done = fresh.run("sync", "acme/widgets", "--database", "sqlite:///other.db")
    said = f"made the tables in a file that was there without them, {fresh.folder / 'other.db'} (set by --database)"
    assert said in done.err
    assert said not in fresh.run("sync", "acme/widgets", "--database", "sqlite:///other.db").err
