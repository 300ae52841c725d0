"""The commands that need no account: help, init, simulate, demo; and the official client against the stand-in."""

from __future__ import annotations

import importlib.util
import itertools
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
import requests

import rfsync
from rfsync.simulator import DOCUMENTED_JOB
from tests.e2e.conftest import LONG, Cli, batch

COMMANDS = (
    *("init", "check", "sync", "daemon", "status", "batches", "changes", "totals", "report", "dashboard", "import"),
    *("verify", "prune", "copy", "db", "simulate", "demo"),
)


@pytest.mark.new_python
def test_every_command_has_help_with_an_example(fresh: Cli) -> None:
    whole, *each = fresh.run_all([["--help"], *([name, "--help"] for name in COMMANDS)])
    assert [name for name in COMMANDS if f"  {name} " not in whole.out] == []
    assert [code for code in "0123" if not re.search(rf"^\s+{code}\s+\w", whole.out, re.MULTILINE)] == []
    for name, done in zip(COMMANDS, each, strict=True):
        assert f"rfsync {name}" in done.out.partition("Example")[2], name
        assert [o for o in ("--config", "--database", "--log-level", "--log-format") if o not in done.out] == [], name
        assert done.err == ""


@pytest.mark.new_python
def test_the_version(fresh: Cli) -> None:
    before, after = fresh.run_all([["--version"], ["sync", "--version"]])
    assert before.out.split()[-1] == after.out.split()[-1] == rfsync.__version__


def test_init_writes_a_file_that_loads_and_replaces_none(fresh: Cli) -> None:
    path = fresh.folder / "rfsync.toml"
    path.unlink()
    fresh.finish(fresh.start("init"))
    written = path.read_text()
    assert "[api]" in written
    path.write_text(written + "# mine\n")
    assert "--force" in fresh.run("init", code=2).err
    assert path.read_text().endswith("# mine\n")
    fresh.run("init", "--force")
    assert path.read_text() == written
    # Nothing but defaults: a workspace is still to be named, so nobody is asked.
    fresh.finish(fresh.start("check"))
    elsewhere = fresh.folder / "elsewhere.toml"
    fresh.run("init", "--config", str(elsewhere))
    assert elsewhere.read_text() == written


def test_the_stand_in_is_synced_until_it_is_stopped(fresh: Cli) -> None:
    process = fresh.start("simulate", "--listen", "127.0.0.1:0", "--seed", "7")
    assert process.stdout
    found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
    assert found
    fresh.configure(api={"base_url": found[0]})
    done = fresh.run("sync", "acme", "--json")
    assert {one["outcome"] for one in done.json["projects"]} == {"changed"}
    fresh.verify()
    answer = requests.get(f"{found[0]}/acme/widgets/jobs", params={"api_key": "any"}, timeout=LONG)
    assert answer.json()["jobs"] != []
    process.send_signal(signal.SIGINT)
    assert process.wait(LONG) == 0
    assert fresh.sync(code=1)["error_kind"] == "network"


def test_a_stand_in_with_two_workspaces_each_with_its_key(fresh: Cli) -> None:
    names = ["--workspace", "acme", "--workspace", "other", "--projects", "4"]
    assert "2 times" in fresh.run("simulate", *names, "--key", "one", "--key", "two", "--key", "3", code=2).err
    process = fresh.start(
        *("simulate", "--listen", "127.0.0.1:0", *names, "--key", "one", "--key", "two", "--no-jobs", "403")
    )
    assert process.stdout
    found = re.search(r"http://127\.0\.0\.1:\d+, with the workspaces acme, other", process.stdout.readline())
    assert found
    keys = {"acme": "one", "other": "two", "wrong": "none"}
    fresh.env |= {f"KEY_{name.upper()}": key for name, key in keys.items()}
    workspaces = [{"id": name, "projects": ["*"], "api_key_env": f"KEY_{name.upper()}"} for name in ("acme", "other")]
    fresh.configure(api={"base_url": found[0].partition(",")[0]}, workspaces=workspaces)
    done = fresh.run("sync", "--json")
    synced = sorted(f"{one['workspace']}/{one['project']} {one['outcome']}" for one in done.json["projects"])
    projects = ["gears", "project-4", "scratch-tests", "widgets"]
    assert synced == [f"{name}/{project} changed" for name in ("acme", "other") for project in projects]
    # A key opens its own workspace alone.
    fresh.configure(
        api={"base_url": found[0].partition(",")[0]},
        workspaces=[{"id": "acme", "projects": ["widgets"], "api_key_env": "KEY_WRONG"}],
    )
    assert fresh.sync(code=1)["error_kind"] == "auth"
    jobs = requests.get(f"{found[0].partition(',')[0]}/acme/widgets/jobs", params={"api_key": "one"}, timeout=LONG)
    assert jobs.status_code == 403
    process.send_signal(signal.SIGINT)
    assert process.wait(LONG) == 0


def test_the_demo_leaves_books_that_balance_and_a_report(fresh: Cli) -> None:
    done = fresh.finish(fresh.start("demo"), timeout=5 * LONG)
    assert done.err == ""
    path, report = fresh.folder / "rfsync-demo.db", fresh.folder / "rfsync-demo.html"
    assert f"The report is {report}: open it in a browser." in done.out
    assert "acme/scratch-tests" in report.read_text()
    sections = ["jobs that are open longest", "Where the images of the batches", "What labelers did", "balance"]
    jobs, progress, work = (done.out.split(one)[1].split(two)[0] for one, two in itertools.pairwise(sections))
    assert len(re.findall(r"^acme/\S+ .* (?:assigned|review) .*\d", jobs, re.MULTILINE)) == 5
    assert len(re.findall(r"^acme/\S+ .* \d", progress, re.MULTILINE)) == 5
    assert len(re.findall(r"^\w[\w.]*@example\.com +[\d,]+ +[\d,]+ +[\d,]+$", work, re.MULTILINE)) > 3
    with closing(sqlite3.connect(path)) as connection:
        runs, days = connection.execute(
            "SELECT (SELECT count(*) FROM sync_runs), (SELECT count(*) FROM project_totals_daily)"
        ).fetchone()
        last = connection.execute("SELECT observed_at, change FROM change_log ORDER BY id DESC LIMIT 10").fetchall()
        # The queries that it shows have to be ones that work.
        for query in re.findall(r"^  (SELECT .*?;)$", done.out, re.MULTILINE | re.DOTALL):
            assert connection.execute(query).fetchall()
    # So do the commands.
    shown = re.findall(r"^  \S+ (\w+ .*--database \S+)$", done.out, re.MULTILINE)
    assert [command.split()[0] for command in shown] == ["status", "jobs", "progress", "work", "verify"]
    assert all("acme/gears" in fresh.run(*command.split()).out for command in shown[:-1])
    assert runs > days > 60
    assert len(last) == 10
    assert "balance" in fresh.run("verify", "--database", f"sqlite:///{path}").out


_OFFICIAL = """
from roboflow import Roboflow
project = Roboflow(api_key="abc123").workspace("acme").project("widgets")
for batch in project.get_batches()["batches"]:
    print(batch["id"], batch["images"])
for job in project.get_annotation_jobs()["jobs"]:
    print(project.get_annotation_job(job["id"])["labeler"], job["annotated"])
"""


@pytest.mark.skipif(importlib.util.find_spec("roboflow") is None, reason="the official client is not installed")
def test_the_official_client_takes_the_stand_in_for_the_api(fresh: Cli) -> None:
    fresh.list(batch("b1", 5), batch("b2", 6))
    fresh.world.set_jobs("acme/widgets", [DOCUMENTED_JOB])
    env = {**fresh.env, "API_URL": fresh.simulator.url, "ROBOFLOW_CONFIG_DIR": "/nonexistent"}
    client = subprocess.run([sys.executable, "-c", _OFFICIAL], env=env, capture_output=True, text=True, timeout=LONG)
    assert client.returncode == 0, client.stderr
    assert client.stdout.splitlines()[-3:] == ["b1 5", "b2 6", "ann@example.com 12"]
