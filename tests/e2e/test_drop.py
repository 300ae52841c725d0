"""``rfsync drop``: asked for, told, done, and nothing else."""

from __future__ import annotations

import os
import pty
import re
import subprocess

from tests.e2e.conftest import COMMAND, LONG, Cli, batch


def answer(cli: Cli, text: str, code: int, *arguments: str) -> str:
    """Answers a command's question on a terminal; returns what it wrote on both streams."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=cli.folder, env=cli.env, stdin=theirs, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    os.close(theirs)
    os.write(ours, text.encode())
    out, _ = process.communicate(timeout=LONG)
    os.close(ours)
    assert process.returncode == code, out
    return out


def projects(cli: Cli) -> list[str]:
    return cli.database.column("SELECT project FROM projects ORDER BY project")


def test_it_shows_what_goes_asks_and_does_it(fresh: Cli) -> None:
    fresh.list(batch("a", 10), batch("b", 20))
    fresh.list(batch("g", 1), project="gears")
    fresh.configure(workspaces=[{"projects": ["widgets"]}])
    for project in ("widgets", "gears"):
        fresh.sync(target=f"acme/{project}")
    before = fresh.database.dump()
    what = r"rfsync: acme/widgets: 2 batches, 2 changes since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, 1 run\n"
    configured = "rfsync: acme/widgets: still configured, so the next sync begins a new history"
    out = answer(fresh, "n\n", 1, "drop", "acme/widgets")
    assert re.search(what, out)
    assert configured in out
    assert out.endswith("rfsync: nothing was dropped\n")
    # Nobody can be asked.
    done = fresh.run("drop", "acme/widgets", code=2)
    assert re.search(what, done.err)
    assert done.err.endswith("so nothing was dropped: rfsync drop acme/widgets --yes\n")
    assert fresh.database.dump() == before
    out = answer(fresh, "y\n", 0, "drop", "acme/gears")
    assert "still configured" not in out
    assert out.endswith("acme/gears was dropped\n")
    assert projects(fresh) == ["widgets"]


def test_what_was_dropped_is_nowhere_and_begins_anew(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["*"]}])
    cli.list(batch("a", 10), batch("b", 20))
    cli.list(batch("g", 1), project="gears")
    cli.run("sync")
    cli.list(batch("a", 5))
    cli.run("sync")
    done = cli.run("drop", "acme/widgets", "--yes")
    assert done.out == "acme/widgets was dropped\n"
    assert [row["project"] for row in cli.run("status", "--json").json] == ["gears"]
    assert cli.database.column("SELECT DISTINCT project FROM change_log") == ["gears"]
    cli.verify()
    cli.run("drop", "acme/widgets", "--yes", code=2)
    assert cli.run("sync", "--json").projects["widgets"]["added"] == 1
    cli.verify()
    done = cli.run("drop", "acme", "--yes")
    assert done.out == "acme/gears was dropped\nacme/widgets was dropped\n"
    assert {name for name, rows in cli.database.dump().items() if rows} == {"rfsync_version"}


def test_what_the_database_refuses_in_the_end_is_there_as_a_whole(cli: Cli) -> None:
    cli.list(batch("a", 10), batch("b", 20))
    cli.sync()
    before = cli.database.dump()
    cli.database.forbid("DELETE", "projects")
    done = cli.run("drop", "acme/widgets", "--yes", code=3)
    assert "error: dropping acme/widgets: forbidden" in done.err
    assert (done.out, cli.database.dump()) == ("", before)
    cli.verify()


def test_an_old_id_means_the_project_and_an_unknown_one_nothing(fresh: Cli) -> None:
    done = fresh.run("drop", "acme/widgets", "--yes", code=3)
    assert "there is no database" in done.err
    assert not fresh.database.path.exists()
    fresh.list(batch("a", 10))
    fresh.sync()
    fresh.run("rename", "acme", "newco")
    before = fresh.database.dump()
    for target, meant in (
        ("newco/widgts", "; did you mean newco/widgets?"),
        ("newc", "; did you mean newco?"),
        ("x", ""),
    ):
        what = f"the database has no {target}: rfsync status shows what it has{meant}\n"
        assert fresh.run("drop", target, "--yes", code=2).err == f"rfsync: error: {what}"
        assert fresh.run("rename", target, target + "2", code=2).err == f"rfsync: error: {what}"
    assert "TARGET" in fresh.run("drop", code=2).err
    assert fresh.database.dump() == before
    done = fresh.run("drop", "acme", code=2)
    assert "rfsync: acme is now newco: use the new id\n" in done.err
    done = fresh.run("drop", "acme/widgets", "--yes")
    assert "rfsync: acme/widgets is now newco/widgets: use the new id\n" in done.err
    assert done.out == "newco/widgets was dropped\n"
    assert projects(fresh) == []
