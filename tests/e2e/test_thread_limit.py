"""The real commands while the system starts no threads, or not all of them, at first or for a while."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import requests

from rfsync.simulator import Drip, Stall
from tests.e2e.conftest import LONG, Cli, Done, MakeCli, batch
from tests.e2e.daemons import LISTEN, QUICK, Start, await_runs, runs

#: The command, where threads are not started whose names the file "limited" has a pattern for.
_LIMITED = """
import re, sys, threading
from pathlib import Path
from rfsync.cli import main

start = threading.Thread.start

def limited(thread):
    try:
        pattern = Path("limited").read_text()
    except FileNotFoundError:
        pattern = "(?!)"
    if re.search(pattern, thread.name):
        raise RuntimeError("can't start new thread")
    start(thread)

threading.Thread.start = limited
sys.exit(main(sys.argv[1:]))
"""
UNDER = [sys.executable, "-c", _LIMITED]
ALL = "."
REQUESTS = "process_request_thread"
#: All threads of a pool but its first.
MORE = r"^rfsync_[1-9]"
SERVERS = ("dashboard", "simulate")


def limit(cli: Cli, pattern: str) -> None:
    new = cli.folder / "limited.new"
    new.write_text(pattern)
    new.rename(cli.folder / "limited")


def lift(cli: Cli) -> None:
    (cli.folder / "limited").unlink()


def begin(cli: Cli, *arguments: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*UNDER, *arguments], cwd=cli.folder, env=cli.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    cli._started.append(process)
    return process


def fails(cli: Cli, *arguments: str) -> Done:
    """It ends with one line that says what is missing."""
    done = cli.finish(begin(cli, *arguments), code=1)
    assert done.err.splitlines()[-1].startswith("rfsync: error: can't start new thread: ")
    assert "ulimit -u" in done.err
    return done


# The daemon


@pytest.mark.parametrize("pattern", [ALL, "^rfsync-endpoint$", "^APScheduler$", "^rfsync_"])
def test_a_daemon_that_can_not_start_a_thread_that_it_needs_ends_with_an_error(fresh: Cli, pattern: str) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    limit(fresh, pattern)
    fails(fresh, "daemon")
    assert fresh.simulator.requests == []


def test_it_is_not_healthy_before_it_knows_what_to_poll_and_then_it_polls(fresh: Cli, start: Start) -> None:
    fresh.configure(
        api={"attempts": 100, "max_wait_seconds": 1.0}, workspaces=[{"projects": ["*"]}], more=QUICK + LISTEN
    )
    fresh.list(batch("b1", 1))
    limit(fresh, "^rfsync-deadlines$")
    daemon = start(fresh, under=UNDER)
    found = daemon.await_health(503)
    assert (found["ready"], found["alive"], found["projects"], found["stale"]) == (False, True, 0, [])
    assert daemon.get("/readyz")[0] == 503
    lift(fresh)
    assert daemon.await_health(200)["projects"] == 1
    await_runs(fresh, "widgets", "changed")
    daemon.stop()
    fresh.verify()


def test_no_request_goes_without_its_deadline(fresh: Cli, start: Start) -> None:
    fresh.configure(api={"deadline_seconds": 0.5}, workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    fresh.list(batch("b1", 1))
    limit(fresh, "^rfsync-deadlines$")
    daemon = start(fresh, under=UNDER)
    line = daemon.await_line("acme/widgets: network: ")
    assert "nothing was sent" in line["event"]
    assert "can't start new thread" in line["event"]
    assert fresh.simulator.requests == []
    fresh.simulator.compress = False
    fresh.simulator.faults.add("/acme/widgets/batches", Drip(interval=0.05, endless=True), times=1)
    lift(fresh)
    daemon.await_line("acme/widgets: timeout: ")
    await_runs(fresh, "widgets", "changed")
    daemon.stop()
    fresh.verify()


def test_it_polls_with_the_threads_that_it_has(fresh: Cli, start: Start) -> None:
    names = ["widgets", "gears", "springs"]
    fresh.configure(workspaces=[{"projects": names}], more=QUICK + LISTEN)
    for name in names:
        fresh.list(batch("b1", 1), project=name)
    limit(fresh, MORE)
    daemon = start(fresh, under=UNDER)
    for name in names:
        await_runs(fresh, name, "unchanged", 2)
    assert daemon.await_health(200)["projects"] == 3
    held = threading.Event()
    lift(fresh)
    # Others are polled while one hangs: there is more than one thread again.
    fresh.simulator.faults.add("/acme/widgets/batches", Stall(held), times=1)
    count = len(runs(fresh, "gears"))
    await_runs(fresh, "gears", "unchanged", count + 1)
    held.set()
    daemon.stop()
    assert any("going on with 1 of 8 threads" in line["event"] for line in daemon.lines)
    fresh.verify()


def test_a_request_to_it_that_gets_no_thread_is_dropped(fresh: Cli, start: Start) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    fresh.list(batch("b1", 1))
    daemon = start(fresh, under=UNDER)
    await_runs(fresh, "widgets", "changed")
    limit(fresh, REQUESTS)
    with pytest.raises(requests.ConnectionError):
        daemon.get("/healthz")
    daemon.await_line("a request of 127.0.0.1 was dropped: can't start new thread", level="warning")
    lift(fresh)
    daemon.await_health(200)
    daemon.stop()


def test_a_reload_without_threads_changes_nothing(fresh: Cli, start: Start) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    for name in ("widgets", "gears"):
        fresh.list(batch("b1", 1), project=name)
    daemon = start(fresh, under=UNDER)
    await_runs(fresh, "widgets", "changed")
    other_address = LISTEN.replace("127.0.0.1", "localhost")
    fresh.configure(workspaces=[{"projects": ["widgets", "gears"]}], more=QUICK + other_address)
    for pattern in (ALL, "^rfsync_"):
        limit(fresh, pattern)
        daemon.process.send_signal(signal.SIGHUP)
        daemon.await_line("the old configuration stays in force")
        lift(fresh)
        assert daemon.await_health(200)["projects"] == 1
        await_runs(fresh, "widgets", "unchanged", len(runs(fresh, "widgets")))
    daemon.process.send_signal(signal.SIGHUP)
    daemon.await_line("the configuration was read again")
    await_runs(fresh, "gears", "changed")
    # It stops in time, although the thread that would end it cannot be started.
    limit(fresh, ALL)
    daemon.stop()


def test_a_run_whose_lease_can_not_be_kept_does_not_begin(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres_template: str, start: Start
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    cli.configure(workspaces=[{"projects": ["widgets"]}], more=QUICK + LISTEN)
    cli.list(batch("b1", 1))
    limit(cli, "^rfsync-leases$")
    daemon = start(cli, under=UNDER)
    line = daemon.await_line("retrying the database: ")
    assert "the lease of a run can't be kept: can't start new thread" in line["event"]
    assert cli.database.one("SELECT count(*) FROM sync_runs") == 0
    lift(cli)
    await_runs(cli, "widgets", "changed")
    daemon.stop()
    cli.verify()


# The other commands


@pytest.mark.parametrize("command", ["sync acme/widgets", *(f"{c} --listen 127.0.0.1:0" for c in SERVERS), "demo"])
def test_a_command_that_gets_no_thread_ends_with_an_error(fresh: Cli, command: str) -> None:
    fresh.list(batch("b1", 1))
    fresh.sync()
    before = len(fresh.simulator.requests)
    limit(fresh, ALL)
    fails(fresh, *command.split())
    assert len(fresh.simulator.requests) == before


def test_a_sync_makes_do_with_one_thread(fresh: Cli) -> None:
    names = [f"p{number}" for number in range(5)]
    for name in names:
        fresh.list(batch("b1", 1), project=name)
    fresh.configure(workspaces=[{"projects": names}])
    limit(fresh, MORE)
    done = fresh.finish(begin(fresh, "sync", "--json"))
    assert {one["outcome"] for one in done.json["projects"]} == {"changed"}
    assert "going on with 1 of 5 threads" in done.err


def test_a_sync_is_stopped_without_a_thread_for_that(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.simulator.faults.add("/acme/widgets/batches", Stall(threading.Event()))
    process = begin(fresh, "sync", "acme/widgets")
    fresh.simulator.await_requests(1, LONG)
    limit(fresh, ALL)
    process.send_signal(signal.SIGTERM)
    done = fresh.finish(process, code=130)
    assert "stopped" in done.err
    assert runs(fresh, "widgets") == ["abandoned"]
