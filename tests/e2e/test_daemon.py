"""The real daemon against the simulator: outages, restarts, reloads, a changed clock, and its end."""

from __future__ import annotations

import json
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rfsync.simulator import Reset, Stall, Status
from tests.conftest import PostgresServer
from tests.e2e.conftest import LONG, Cli, MakeCli, batch
from tests.e2e.daemons import LISTEN, QUICK, Start, await_any_request, await_runs, runs

NO_KEY = '[[workspaces]]\nid = "other"\napi_key_env = "NOT_SET"\n'


@pytest.mark.new_python
def test_it_polls_on_its_schedule_and_logs_what_changes(cli: Cli, start: Start) -> None:
    cli.configure(workspaces=[{"projects": ["*"], "exclude": ["scratch"]}], more=QUICK + LISTEN)
    for project in ("widgets", "gears", "scratch"):
        cli.list(batch("b1", 1), batch("b2", 2, 3), project=project)
    daemon = start(cli, level="debug")
    for project in ("widgets", "gears"):
        await_runs(cli, project, "unchanged", 2)
    cli.list(batch("b1", 5), batch("b2", 2, 3))
    line = daemon.await_line("1 changed", level="info")
    assert (line["workspace"], line["project"], line["event"]) == (
        "acme",
        "widgets",
        "acme/widgets: 0 added, 1 changed, 0 removed, 0 restored, images +4, jobs +0",
    )
    counts = {
        name: line[name] for name in ("outcome", "batches", "changed", "images_delta", "num_jobs_delta", "attempts")
    }
    assert counts == {
        "outcome": "changed",
        "batches": 2,
        "changed": 1,
        "images_delta": 4,
        "num_jobs_delta": 0,
        "attempts": 1,
    }
    assert daemon.get("/readyz") == (200, '{"ready": true}\n')
    assert daemon.await_health(200)["projects"] == 2
    await_runs(cli, "widgets", "unchanged", 3)
    found = daemon.metrics()
    widgets = ("acme", "widgets")
    assert found["rfsync_project_images"] == {widgets: 7.0, ("acme", "gears"): 3.0}
    assert found["rfsync_project_jobs"][widgets] == 3.0
    assert found["rfsync_project_batches"][widgets] == 2.0
    assert found["rfsync_database_up"] == {(): 1.0}
    assert found["rfsync_runs_total"][*widgets, "changed"] == 2.0
    assert found["rfsync_ledger_rows_total"][*widgets, "changed"] == 1.0
    assert found["rfsync_ledger_rows_total"][*widgets, "added"] == 2.0
    assert found["rfsync_phase_seconds_count"][("fetch",)] >= 6
    assert found["process_open_fds"][()] > 0
    daemon.stop()
    # An unchanged poll is one line at debug level, with the run that it is of.
    unchanged = [line for line in daemon.lines if line["event"] == "acme/gears: unchanged"]
    assert {line["level"] for line in unchanged} == {"debug"}
    ids = cli.database.column(
        "SELECT r.id FROM sync_runs r JOIN projects p ON p.id = r.project_id WHERE project = 'gears'"
    )
    assert [line["run_id"] for line in unchanged] == sorted(ids)[1 : 1 + len(unchanged)]
    assert cli.database.column("SELECT DISTINCT trigger FROM sync_runs") == ["schedule"]
    assert runs(cli, "scratch") == []
    cli.verify()


def test_an_outage_is_reported_while_it_lasts(fresh: Cli, start: Start) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets", "gears"]}], more=QUICK + LISTEN)
    fresh.list(batch("b1", 1))
    fresh.list(batch("b1", 1), project="gears")
    daemon = start(fresh)
    await_runs(fresh, "widgets", "changed")
    assert daemon.await_health(200)["stale"] == []
    fresh.simulator.faults.add("/acme/widgets/batches", Reset(), times=None)
    (stale,) = daemon.await_health(503)["stale"]
    assert (stale["workspace"], stale["project"], stale["error_kind"]) == ("acme", "widgets", "network")
    assert stale["last_success_age_seconds"] >= 3
    assert "connection" in stale["error"]
    assert daemon.metrics()["rfsync_project_stale"] == {("acme", "widgets"): 1.0, ("acme", "gears"): 0.0}
    fresh.simulator.faults.clear()
    fresh.list(batch("b1", 2))
    assert daemon.await_health(200)["stale"] == []
    daemon.stop()
    # The first failure is an error, those that follow within the hour are warnings.
    levels = [line["level"] for line in daemon.lines if line["event"].startswith("acme/widgets: network")]
    assert levels == ["error", *["warning"] * (len(levels) - 1)]
    # Each failure put the next poll off for longer; the other project kept its pace.
    assert runs(fresh, "gears").count("unchanged") > runs(fresh, "widgets").count("failed") + 1
    assert runs(fresh, "widgets")[-1] in {"changed", "unchanged"}
    fresh.verify()


def test_a_database_that_crashes_under_it(
    make_cli: MakeCli,
    new_postgres: Callable[[str | None], str],
    postgres_template: str,
    postgres_server: PostgresServer,
    start: Start,
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    cli.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    cli.list(batch("b1", 1))
    daemon = start(cli)
    await_runs(cli, "widgets", "unchanged")
    postgres_server.stop()
    assert daemon.await_health(503)["database"]
    assert daemon.metrics()["rfsync_database_up"] == {(): 0.0}
    daemon.await_line("retrying the database")
    postgres_server.start()
    cli.list(batch("b1", 2))
    daemon.await_health(200)
    await_runs(cli, "widgets", "changed", 2)
    daemon.stop()
    # Abandoned: its beginning was committed, but the answer was lost.
    assert set(runs(cli, "widgets")) <= {"changed", "unchanged", "abandoned"}
    cli.verify()


def test_a_reload_takes_what_is_new_and_a_wrong_one_changes_nothing(fresh: Cli, start: Start) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    fresh.list(batch("b1", 1))
    fresh.list(batch("b1", 1), project="gears")
    daemon = start(fresh)
    await_runs(fresh, "widgets", "unchanged")
    right = (fresh.folder / "rfsync.toml").read_text()
    for wrong in ("[nonsense]\n", "[api]\nattempts = 0\n", "[[workspaces]]\nid = 'b'\napi_key_env = 'NOT_SET'\n"):
        (fresh.folder / "rfsync.toml").write_text(
            right.replace("[api]", "[old]") + wrong if "api" in wrong else right + wrong
        )
        daemon.process.send_signal(signal.SIGHUP)
        assert "stays in force" in daemon.await_line("", level="error")["event"]
    count = len(runs(fresh, "widgets"))
    await_runs(fresh, "widgets", "unchanged", count)
    # A poll that is going on is not ended by a reload, and its project is not polled beside it.
    held = threading.Event()
    before = len(fresh.simulator.requests)
    fresh.simulator.faults.add("/acme/widgets/batches", Stall(held))
    fresh.simulator.await_requests(before + 1, LONG)
    (fresh.folder / "rfsync.toml").write_text(right.replace('["widgets"]', '["widgets", "gears"]'))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.await_line("the configuration was read again")
    await_runs(fresh, "gears", "unchanged", 2)
    assert fresh.database.one("SELECT count(*) FROM sync_runs WHERE outcome = 'running'") == 1
    held.set()
    ended = len(runs(fresh, "widgets"))
    await_runs(fresh, "widgets", "unchanged", ended + 1)
    assert "abandoned" not in runs(fresh, "widgets")
    daemon.stop(signal.SIGINT)
    fresh.verify()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_slow_api_does_not_delay_its_end(fresh: Cli, start: Start, number: signal.Signals) -> None:
    fresh.configure(
        api={"deadline_seconds": 600.0}, workspaces=[{"projects": ["widgets", "gears"]}], more=QUICK + LISTEN
    )
    fresh.list(batch("b1", 1))
    fresh.list(batch("b1", 1), project="gears")
    fresh.simulator.faults.add("/acme/widgets/batches", Stall(threading.Event()), times=None)
    daemon = start(fresh)
    fresh.await_lists(2)
    await_runs(fresh, "gears", "changed")
    daemon.stop(number)
    assert runs(fresh, "widgets") == ["abandoned"]
    assert fresh.database.column("SELECT outcome FROM sync_runs WHERE outcome = 'running'") == []
    fresh.verify()


# The daemon with a clock that a file puts forward or back, also for APScheduler; the monotonic clock stays as it is.
_BY_ANOTHER_CLOCK = """
import datetime as real, sys
from pathlib import Path
import apscheduler.executors.base, apscheduler.schedulers.base
import rfsync.cli.options
from rfsync.cli import main

class Clock(real.datetime):
    @classmethod
    def now(cls, tz=None):
        return real.datetime.now(tz) + real.timedelta(seconds=float(Path("clock").read_text() or 0))

for module in (apscheduler.executors.base, apscheduler.schedulers.base, rfsync.cli.options):
    module.datetime = Clock
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("jump", [-86_400, 365 * 86_400], ids=["back-by-a-day", "ahead-by-a-year-and-back"])
def test_a_clock_that_is_set_stops_nothing(fresh: Cli, start: Start, jump: int) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    fresh.list(batch("b1", 1))
    clock = fresh.folder / "clock"
    clock.write_text("0")
    daemon = start(fresh, under=[sys.executable, "-c", _BY_ANOTHER_CLOCK])
    await_runs(fresh, "widgets", "unchanged")
    for seconds in (jump, 0):
        set_clock(clock, seconds)
        daemon.await_line("the clock was changed")
        count = len(runs(fresh, "widgets"))
        while len(runs(fresh, "widgets")) < count + 2:
            await_any_request(fresh)
    fresh.list(batch("b1", 2))
    await_runs(fresh, "widgets", "changed", 2)
    assert daemon.await_health(200)["stale"] == []
    daemon.stop()
    fresh.verify()


def set_clock(clock: Path, seconds: int) -> None:
    """Changes the file atomically."""
    new = clock.with_suffix(".new")
    new.write_text(str(seconds))
    new.rename(clock)


def test_two_hundred_projects(cli: Cli, start: Start) -> None:
    names = [f"p{number:03}" for number in range(200)]
    for name in names:
        cli.list(batch("b1", 1), batch("b2", 2), project=name)
    # One of them is broken for ever, one has a key that may not see it.
    cli.simulator.faults.add("/acme/p007/batches", Status(500), times=None)
    cli.simulator.faults.add("/acme/p008/batches", Status(403), times=None)
    cli.configure(workspaces=[{"projects": ["*"]}], more='[schedule]\nevery = "5s"\njitter = "2s"\n' + LISTEN)
    daemon = start(cli)
    unchanged = "SELECT count(DISTINCT project_id) FROM sync_runs WHERE outcome = 'unchanged'"
    while cli.database.one(unchanged) < len(names) - 2:
        await_any_request(cli)
    assert cli.database.one("SELECT count(*) FROM current_batches") == 2 * (len(names) - 2)
    assert daemon.metrics()["rfsync_project_consecutive_failures"][("acme", "p007")] >= 1
    stale = {one["project"] for one in json.loads(daemon.get("/healthz")[1])["stale"]}
    assert stale <= {"p007", "p008"}
    # Never two of a project at a time.
    overlapping = """SELECT count(*) FROM sync_runs a JOIN sync_runs b ON a.project_id = b.project_id AND a.id < b.id
        WHERE b.started_at < a.finished_at"""
    assert cli.database.one(overlapping) == 0
    daemon.stop()
    cli.verify()


def test_a_database_that_is_taken_away_under_it_and_replaced_by_a_backup(fresh: Cli, start: Start) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    fresh.list(batch("b1", 1))
    daemon = start(fresh)
    await_runs(fresh, "widgets", "unchanged")
    path = fresh.database.path
    backup, old = path.with_name("backup"), path.with_name("old")
    fresh.database.execute(f"VACUUM INTO '{backup}'")
    old.mkdir()
    for one in path.parent.glob(f"{path.name}*"):
        one.rename(old / one.name)
    daemon.await_line("was removed or renamed while it was in use")
    daemon.process.send_signal(signal.SIGHUP)
    daemon.await_line("the old configuration stays in force")
    assert not path.exists()
    fresh.list(batch("b1", 2))
    backup.rename(path)
    daemon.await_line(f"another file has taken the place of the database {path}, and is written from now on")
    daemon.await_line("1 changed")
    await_runs(fresh, "widgets", "unchanged", count=2)
    daemon.await_health(200)
    daemon.stop()
    assert len([line for line in daemon.lines if "is written from now on" in line["event"]]) == 1
    fresh.verify()


def test_it_says_why_it_can_not_start(fresh: Cli) -> None:
    assert re.search("nothing to sync", fresh.run("daemon", code=2).err)
    for command, code, words in (
        (["daemon"], 2, "nothing to sync"),
        (["sync", "--nonsense"], 2, "No such option '--nonsense'"),
        (["status", "--database", "sqlite:///no/such/folder.db"], 3, "no/such/folder.db"),
    ):
        (line,) = fresh.run(*command, "--log-format", "json", code=code).err.splitlines()
        said = json.loads(line)
        assert (said["level"], words in said["event"]) == ("error", True)
    # So is what a watchdog says, and that a database was made.
    fresh.configure(workspaces=[{"projects": ["widgets", "gears"]}])
    fresh.list(batch("b1", 1))
    made = json.loads(fresh.run("sync", "acme/widgets", "--log-format", "json").err)
    late = json.loads(
        fresh.run("status", "--max-age", "1d", "--log-format", "json", "--log-level", "error", code=1).err
    )
    assert ("made a new database" in made["event"], late["event"]) == (True, "acme/gears was never observed")
    lines = [json.loads(line) for line in fresh.run("drop", "acme", "--log-format", "json", code=2).err.splitlines()]
    assert [line["event"].partition(":")[0] for line in lines] == [
        "acme/widgets", "acme/widgets", "there is no terminal to ask on, so nothing was dropped"
    ]  # fmt: skip
    fresh.configure(workspaces=[{"projects": ["widgets"]}], more='[daemon]\nlisten = "192.0.2.1:1"\n')
    assert "192.0.2.1:1" in fresh.run("daemon", code=2).err
