"""A bug in one project or workspace ends that one alone, at whatever stage it is met."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

from tests.e2e.conftest import KEY, LONG, Cli, Done, batch
from tests.e2e.daemons import LISTEN, QUICK, Start, await_runs

#: The command, with a bug at a stage of its run for each project or workspace that is called after it.
_BROKEN = """
import sys
from rfsync.api import answers, client
from rfsync.cli import main
from rfsync.ledger import store, transaction
from rfsync.sync import run

def break_(where, name, is_met, error=NotImplementedError):
    original = getattr(where, name)
    def broken(*arguments, **options):
        if is_met(*arguments, **options):
            raise error("nobody thought of \\x1b[2J " + sys.argv[0] + "\\nand of more")
        return original(*arguments, **options)
    setattr(where, name, broken)

def project_of(connection, run_id):
    query = f"SELECT project FROM projects p JOIN sync_runs r ON p.id = r.project_id WHERE r.id = {run_id}"
    return connection.exec_driver_sql(query).scalar()

break_(store, "read_snapshot", lambda connection, path: path.project == "bad-begin")
break_(client.Client, "_attempt", lambda self, route, url, *_: "/bad-request/" in url)
break_(answers, "_check_utf8", lambda body: b"bad-answer" in body)
break_(answers, "_check_utf8", lambda body: b"no-memory" in body, MemoryError)
break_(answers, "decode_json", lambda body: b"bad-listing" in body)
break_(transaction.Transaction, "apply", lambda self, *_: self._run.path.project in {"bad-write", "bad-record"})
break_(store, "read_end", lambda connection, run_id: project_of(connection, run_id) == "bad-record")
break_(run, "log_outcome", lambda context, run, result: result.project == "bad-log")
sys.argv[0] = sys.argv.pop(1)
sys.exit(main(sys.argv[1:]))
"""
#: What the row of each has for its kind; None: no row could be written.
KINDS = {
    "bad-begin": "database",
    "bad-request": "request",
    "bad-answer": "bad_response",
    "bad-write": "database",
    "bad-record": "database",
}
BUG = "this is a bug in rfsync, please report it: NotImplementedError: nobody thought of \ufffd[2J ***"
TRACEBACK = "this is a bug in rfsync, please report it:\nTraceback"
UNDER = [sys.executable, "-c", _BROKEN]


def run(cli: Cli, *arguments: str, code: int, secret: str = KEY) -> Done:
    process = subprocess.Popen(
        [*UNDER, secret, *arguments],
        cwd=cli.folder,
        env=cli.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        out, err = process.communicate(timeout=LONG)
    assert process.returncode == code, (out, err)
    assert KEY not in out + err
    assert "\x1b" not in err
    return Done(code, out, err)


def prepare(cli: Cli, more: str = "") -> None:
    """Projects with a bug at each stage before two good ones; one at a time, in that order."""
    projects = [*KINDS, "bad-log", "widgets", "gears"]
    for project in projects:
        cli.list(batch(project, 1), batch("b2", 2), project=project)
    cli.configure(api={"concurrency": 1}, workspaces=[{"projects": projects}], more=more)


def test_a_bug_in_one_project_is_told_and_leaves_the_others_alone(cli: Cli) -> None:
    prepare(cli)
    done = run(cli, "sync", "--json", code=1)
    for project, kind in KINDS.items():
        one = done.projects[project]
        assert (one["outcome"], one["error_kind"], one["error"]) == ("failed", kind, BUG), project
        assert f"acme/{project}: {TRACEBACK}" in done.err
    assert "Traceback" in done.err
    assert not done.json["ok"]
    for project in ("widgets", "gears"):
        assert done.projects[project]["outcome"] == "changed"
    # What was committed before the bug stands, and is told as it is.
    assert done.projects["bad-log"]["outcome"] == "changed"
    assert done.projects["bad-log"]["images_delta"] == 3
    stored = cli.database.rows(
        "SELECT project, outcome, error_kind, error FROM sync_runs r JOIN projects p ON p.id = r.project_id ORDER BY 1"
    )
    recorded = {p: k for p, k in KINDS.items() if p not in {"bad-begin", "bad-record"}}
    assert stored == sorted(
        [(p, "failed", kind, BUG) for p, kind in recorded.items()]
        + [(p, "changed", None, None) for p in ("widgets", "gears", "bad-log")]
        + [("bad-record", "running", None, None)]
    )
    cli.verify()


def test_a_dry_run_and_a_single_batch_tell_a_bug_in_the_same_way(fresh: Cli) -> None:
    prepare(fresh)
    done = run(fresh, "sync", "--json", "--dry-run", code=1)
    outcomes = {project: one["outcome"] for project, one in done.projects.items()}
    assert outcomes == {**dict.fromkeys(KINDS, "failed"), **dict.fromkeys(("bad-log", "widgets", "gears"), "changed")}
    done = run(fresh, "sync", "--json", "acme/bad-write", "--batch", "b2", code=1)
    assert done.projects["bad-write"]["error"] == BUG


def test_a_lack_of_memory_is_no_bug_and_ends_one_project_alone(fresh: Cli) -> None:
    fresh.list(batch("no-memory", 1))
    fresh.list(batch("b1", 1), project="gears")
    done = run(fresh, "sync", "--json", "acme/widgets", "acme/gears", code=1)
    assert (done.projects["widgets"]["outcome"], done.projects["widgets"]["error_kind"]) == ("failed", "bad_response")
    assert "not enough memory" in done.projects["widgets"]["error"]
    assert "concurrency" in done.err
    assert "Traceback" not in done.err
    assert done.projects["gears"]["outcome"] == "changed"


def test_a_bug_while_one_workspace_is_listed_leaves_the_others_alone(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.world.set("other/bad-listing", [batch("c1", 1)])
    fresh.configure(workspaces=[{"id": "other", "projects": ["*"]}, {"projects": ["*"]}])
    # Known from before: it is synced although it can't be listed now.
    fresh.run("sync", "other/bad-listing")
    done = run(fresh, "sync", "--json", code=1)
    found = {(one["workspace"], one["project"]): (one["outcome"], one["error"]) for one in done.json["projects"]}
    assert found == {
        ("other", "*"): ("failed", BUG),
        ("other", "bad-listing"): ("unchanged", None),
        ("acme", "widgets"): ("changed", None),
    }
    checked = run(fresh, "check", "--json", code=1).json["checks"]
    assert [(one["subject"], one["ok"]) for one in checked if one["what"] in {"workspace", "project"}] == [
        ("other", False),
        ("acme", True),
        ("acme/widgets", True),
    ]


def test_a_bug_in_one_project_does_not_end_the_check_of_the_others(fresh: Cli) -> None:
    prepare(fresh)
    checks = run(fresh, "check", "--json", code=1).json["checks"]
    projects = {one["subject"]: one for one in checks if one["what"] == "project"}
    assert {name for name, one in projects.items() if not one["ok"]} == {"acme/bad-request", "acme/bad-answer"}
    assert projects["acme/bad-answer"]["found"] == BUG


def test_the_daemon_tells_a_bug_and_polls_the_others(cli: Cli, start: Start) -> None:
    prepare(cli, QUICK + LISTEN)
    daemon = start(cli, under=[*UNDER, KEY])
    await_runs(cli, "widgets", "unchanged", 2)
    await_runs(cli, "bad-answer", "failed", 2)
    # Its end could not be written: the next poll finds that it is over, although the process lives.
    cli.database.expire_leases("bad-record")
    await_runs(cli, "bad-record", "abandoned")
    stale: dict[str, Any] = {one["project"]: one for one in daemon.await_health(503)["stale"]}
    assert stale.keys() <= KINDS.keys()
    assert daemon.metrics()["rfsync_run_errors_total"]["acme", "bad-answer", "bad_response"] >= 2
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(timeout=LONG) == 0
    cli.verify()


def test_an_import_tells_a_bug_and_takes_no_later_file(fresh: Cli) -> None:
    for day in (1, 2):
        (fresh.folder / f"2026-01-0{day}T00:00:00Z.json").write_text('[{"id": "b1", "images": 1}]')
    files = ["2026-01-01T00:00:00Z.json", "2026-01-02T00:00:00Z.json"]
    done = run(fresh, "import", "acme/bad-write", *files, code=1, secret="no key")
    assert done.err.count(TRACEBACK) == 1
    bug = BUG.replace("***", "no key")
    assert done.err.splitlines()[-1] == f"rfsync: error: {bug}"
    assert fresh.database.rows("SELECT outcome, error FROM sync_runs") == [("failed", bug)]
