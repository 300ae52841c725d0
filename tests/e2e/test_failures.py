"""What can go wrong on the way to an answer, a project for each; none of them touches another."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from rfsync.simulator import (
    Body,
    Cut,
    Drip,
    EndlessHeaders,
    Exchange,
    Fault,
    FixedWorld,
    Redirect,
    Reset,
    Simulator,
    Stall,
    Status,
    Zeros,
)
from tests.e2e.conftest import COMMAND, Cli, batch, job

FAR = 3600
IN_AN_HOUR = format_datetime(datetime.now(UTC) + timedelta(seconds=FAR), usegmt=True)
#: Records that are fine each, but together are more than 64 bits can count.
LARGEST = [batch(f"b{number}", 2**53 - 1) for number in range(1_025)]


@dataclass(frozen=True)
class Failing:
    """What a project meets at each attempt, and what has to be said of it, with ``attempts = 2``."""

    fault: Fault
    kind: str
    attempts: int
    #: None: not said by the contract.
    status: int | None = None


def failures(other: Simulator) -> dict[str, Failing]:
    never = threading.Event()
    statuses = {
        **dict.fromkeys((401, 402, 403), ("auth", 1)),
        404: ("not_found", 1),
        **dict.fromkeys((400, 405, 423, 451), ("request", 1)),
        429: ("rate_limited", 2),
        **dict.fromkeys((408, 425, 500, 502, 503, 504), ("server", 2)),
        501: ("server", 1),
    }
    secure = other.url.replace("http://", "https://")
    return {
        **{f"status-{code}": Failing(Status(code), *expected, code) for code, expected in statuses.items()},
        "no-json-error": Failing(Status(403, body=b"<html>no</html>"), "auth", 1, 403),
        "wait-0": Failing(Status(429, retry_after="0"), "rate_limited", 2, 429),
        "wait-far": Failing(Status(429, retry_after=str(FAR)), "rate_limited", 1, 429),
        "wait-until-far": Failing(Status(503, retry_after=IN_AN_HOUR), "server", 1, 503),
        "wait-garbage": Failing(Status(503, retry_after="soon"), "server", 2, 503),
        "cut": Failing(Cut(after=30), "network", 2),
        "cut-before": Failing(Cut(after=0), "network", 2),
        "cut-chunk": Failing(Cut(after=10_000, chunked=True), "network", 2),
        "reset": Failing(Reset(), "network", 2),
        "reset-in-headers": Failing(Reset("in_headers"), "network", 2),
        "reset-in-body": Failing(Reset("in_body"), "network", 2),
        "drip": Failing(Drip(interval=0.2), "timeout", 2),
        "drip-endless": Failing(Drip(interval=0.05, endless=True), "timeout", 2),
        "stall": Failing(Stall(never), "timeout", 2),
        "stall-in-body": Failing(Stall(never, when="after_headers"), "timeout", 2),
        "too-large": Failing(Body(b'{"batches":[' + b" " * 300_000 + b"]}", encoding="gzip"), "bad_response", 1),
        "bomb": Failing(Zeros(1 << 28), "bad_response", 1),
        "no-gzip": Failing(Body(b"[]", headers=(("Content-Encoding", "gzip"),)), "bad_response", 1),
        "elsewhere": Failing(Redirect(f"{other.url}/acme/widgets/batches"), "request", 1),
        "elsewhere-no-scheme": Failing(Redirect(f"//{other.url.removeprefix('http://')}/"), "request", 1),
        "elsewhere-secure": Failing(Redirect(secure), "request", 1),
        "elsewhere-unheard": Failing(Redirect("http://127.0.0.1:1/"), "request", 1),
        "elsewhere-file": Failing(Redirect("file:///etc/passwd"), "request", 1),
        "in-circles": Failing(Redirect("/acme/in-circles/batches"), "request", 1),
        "hops-4": Failing(Redirect("/hop/1"), "request", 1),
        "nowhere": Failing(Status(302), "request", 1, 302),
    }


@dataclass(frozen=True)
class Passing:
    """What a project meets at first; then it is well."""

    faults: Sequence[Fault]
    attempts: int = 2


PASSING = {
    "healthy": Passing((), 1),
    "503-once": Passing([Status(503)]),
    "429-once": Passing([Status(429, retry_after="0")]),
    "cut-once": Passing([Cut(after=30)]),
    "reset-once": Passing([Reset()]),
    "moved": Passing([Redirect("/acme/moved/batches", 301)], 1),
    "moved-307": Passing([Redirect("batches", 307)], 1),
    "hops-3": Passing([Redirect("/hop/2", 308)], 1),
    "slow": Passing([Drip(interval=0.001, size=1_000)], 1),
}


@pytest.fixture
def other() -> Any:
    """Another server, which must not get the key."""
    with Simulator(FixedWorld({"acme/widgets": [batch("stolen", 1)]})) as other:
        yield other


def test_every_failure_is_told_and_leaves_the_others_alone(cli: Cli, other: Simulator) -> None:
    failing = failures(other)
    if not cli.database.is_sqlite:  # to wait once is enough
        failing = {project: one for project, one in failing.items() if one.kind != "timeout"}
    # A deadline that is far above what the others need, on the slowest of machines, and short all the same.
    api = {"attempts": 2, "deadline_seconds": 1.5, "max_response_bytes": 200_000, "concurrency": 100}
    cli.configure(api=api, workspaces=[{"projects": [*failing, *PASSING]}])
    cli.simulator.compress = False  # so that what is cut or drips is JSON
    for project in (*failing, *PASSING):
        cli.list(batch("b1", 10, 1), batch("b2", 20), project=project)
    cli.run("sync")
    before = state(cli, [*failing])
    for project, one in failing.items():
        cli.list(batch("b1", 99), project=project)
        cli.simulator.faults.add(f"/acme/{project}/batches", one.fault, times=None)
    for project, ok in PASSING.items():
        cli.list(batch("b1", 11, 1), batch("b2", 20), project=project)
        for fault in ok.faults:
            cli.simulator.faults.add(f"/acme/{project}/batches", fault)
    cli.simulator.faults.add("/hop/1", Redirect("/hop/2"), times=None)
    cli.simulator.faults.add("/hop/2", Redirect("/hop/3"), times=None)
    cli.simulator.faults.add("/hop/3", Redirect("/acme/hops-3/batches"), times=None)
    asked = len(cli.simulator.requests)
    done = cli.run("sync", "--json", code=1)

    assert done.json["ok"] is False
    names = ("outcome", "error_kind", "attempts", "changed")
    found = {project: tuple(one[name] for name in names) for project, one in done.projects.items()}
    expected: dict[str, tuple[Any, ...]] = {
        project: ("failed", one.kind, one.attempts, 0) for project, one in failing.items()
    }
    expected |= {project: ("changed", None, one.attempts, 1) for project, one in PASSING.items()}
    assert found == expected
    # One row each, which says the same; and nothing else.
    runs = """SELECT p.project, r.outcome, r.error_kind, r.attempts, r.changed FROM sync_runs r
        JOIN projects p ON p.id = r.project_id WHERE r.id IN (SELECT max(id) FROM sync_runs GROUP BY project_id)"""
    assert {row[0]: row[1:] for row in cli.database.rows(runs)} == expected
    assert cli.database.one("SELECT count(*) FROM sync_runs") == 2 * len(expected)
    assert state(cli, [*failing]) == before
    statuses = dict(
        cli.database.rows(
            "SELECT p.project, r.http_status FROM projects p JOIN sync_runs r ON r.project_id = p.id ORDER BY r.id"
        )
    )
    assert {project: statuses[project] for project, one in failing.items() if one.status} == {
        project: one.status for project, one in failing.items() if one.status
    }
    # People get a reason: in the row, in the JSON and on standard error; the API's own word where it had one.
    errors = dict(cli.database.rows("SELECT project, last_error FROM sync_health"))
    for project, one in failing.items():
        assert errors[project] == done.projects[project]["error"], project
        assert errors[project], project
        assert f"acme/{project}" in done.err, project
        if project.startswith("status-"):
            assert f"simulated status {one.status}" in errors[project]
    assert dict(cli.database.rows("SELECT project, consecutive_failures FROM sync_health")) == {
        **dict.fromkeys(failing, 1),
        **dict.fromkeys(PASSING, 0),
    }
    assert other.requests == []
    hops = [r.path for r in cli.simulator.requests[asked:] if r.path.startswith("/hop/")]
    assert sorted(hops) == ["/hop/1", "/hop/2", "/hop/2", "/hop/3", "/hop/3"]

    # All is well again: each is synced, and no failure has left a trace.
    cli.simulator.faults.clear()
    for project in failing:
        cli.list(batch("b1", 12, 1), batch("b2", 20), project=project)
    cli.run("sync", "--json")
    images = cli.database.rows("SELECT DISTINCT images FROM current_batches WHERE batch_id = 'b1' ORDER BY 1")
    assert images == [(11,), (12,)]
    assert set(cli.database.column("SELECT consecutive_failures FROM sync_health")) == {0}
    cli.balance()


def state(cli: Cli, projects: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """All that is stored of these projects but their runs."""
    ids = f"(SELECT id FROM projects WHERE project IN ({', '.join(map(repr, projects))}))"
    tables = {"projects": "id", "batches": "project_id", "batch_changes": "project_id", "project_daily": "project_id"}
    return {
        table: sorted(cli.database.rows(f"SELECT * FROM {table} WHERE {key} IN {ids}"), key=repr)
        for table, key in tables.items()
    }


@dataclass(frozen=True)
class CutHead:
    """An answer whose head ends in the middle of a line, with an orderly end of the connection."""

    def perform(self, exchange: Exchange) -> None:
        exchange.closing = True
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Len")


@dataclass(frozen=True)
class ClosingDrip:
    """An answer that drips for five seconds over a connection that ends with it, as many a proxy has it."""

    length: bool

    def perform(self, exchange: Exchange) -> None:
        exchange.closing = True
        exchange.start(exchange.answer, (("Content-Length", "102"),) if self.length else ())
        exchange.send(b"[]")
        for _ in range(100):
            exchange.pause(0.05)
            exchange.send(b" ")


@pytest.mark.parametrize(
    ("kind", "faults"),
    [
        ("timeout", [EndlessHeaders(interval=0.02), ClosingDrip(length=True), ClosingDrip(length=False)]),
        ("network", [CutHead()]),
        ("request", [Redirect("http://127.0.0.1:99999/"), Redirect("http://[::1/")]),
    ],
    ids=["deadline", "cut-head", "redirect-to-no-address"],
)
def test_an_answer_without_a_sound_head(fresh: Cli, kind: str, faults: list[Fault]) -> None:
    names = [f"p{number}" for number in range(len(faults))]
    fresh.configure(api={"deadline_seconds": 1.0}, workspaces=[{"projects": names}])
    fresh.simulator.compress = False
    for name, fault in zip(names, faults, strict=True):
        fresh.list(project=name)
        fresh.simulator.faults.add(f"/acme/{name}/batches", fault)
    done = fresh.run("sync", "--json", code=1)
    assert {name: one["error_kind"] for name, one in done.projects.items()} == dict.fromkeys(names, kind)


def test_nobody_listens(fresh: Cli) -> None:
    fresh.simulator.stop()
    fresh.configure(api={"attempts": 2})
    project = fresh.sync(code=1)
    assert (project["outcome"], project["error_kind"], project["attempts"]) == ("failed", "network", 2)
    assert project["run_id"] == fresh.database.one("SELECT id FROM sync_runs WHERE http_status IS NULL")


def test_an_api_that_is_down_is_not_hammered(fresh: Cli) -> None:
    names = [f"p{number:02}" for number in range(40)]
    fresh.configure(api={"attempts": 3, "concurrency": 4}, workspaces=[{"projects": names}])
    for name in names:
        fresh.list(batch("b1", 1), project=name)
    fresh.simulator.faults.add("*", Status(503), times=None)
    done = fresh.run("sync", "--json", code=1)
    # Those at work when the fifth has failed go on; of the others the 1st, 3rd, 6th, 11th and 20th are tried once.
    assert 5 * 3 < len(fresh.simulator.requests) < len(names) * 3 / 2
    assert {one["error_kind"] for one in done.projects.values()} == {"server"}
    spared = [one for one in done.projects.values() if one["attempts"] == 0]
    assert len(spared) > 20
    assert all(one["error"].startswith("not asked: the API has failed for each of ") for one in spared)
    assert done.err.count("asks it only now and then") == 1
    assert fresh.database.one("SELECT count(*) FROM sync_runs WHERE outcome = 'failed'") == len(names)
    fresh.simulator.faults.clear()
    assert {one["outcome"] for one in fresh.run("sync", "--json").projects.values()} == {"changed"}


def test_an_api_that_was_down_for_the_first_only_is_asked_for_all(fresh: Cli) -> None:
    names = [f"p{number:02}" for number in range(20)]
    fresh.configure(api={"concurrency": 1}, workspaces=[{"projects": names}])
    for name in names:
        fresh.list(batch("b1", 1), project=name)
    for name in names[:6]:
        fresh.simulator.faults.add(f"/acme/{name}/batches", Status(500))
    projects = fresh.run("sync", "--json", code=1).projects
    assert [name for name in names if projects[name]["outcome"] == "failed"] == names[:6]
    assert fresh.database.one("SELECT count(*) FROM sync_runs") == len(names)


def test_a_job_list_that_fails_is_told_and_the_batches_are_written(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.world.set_jobs("acme/widgets", [job("j1", 3)])
    fresh.simulator.faults.add("/acme/widgets/jobs", Status(500), times=2)
    project = fresh.sync(code=1)
    names = ("outcome", "images_delta", "error_kind", "jobs", "jobs_error_kind")
    assert [project[name] for name in names] == ["changed", 1, None, None, "server"]
    done = fresh.run("sync", "acme/widgets", code=1)
    assert done.out.splitlines()[1].split("  ")[-1] == "jobs: server"
    assert "acme/widgets: job list: server: HTTP 500" in done.err
    assert [fresh.sync()[name] for name in ("outcome", "jobs", "jobs_error_kind")] == ["changed", 1, None]


def test_a_key_that_sees_no_jobs_is_told_once_and_fails_only_where_they_are_wanted(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.simulator.faults.add("/acme/widgets/jobs", Status(403), times=None)
    told = fresh.run("sync", "acme/widgets", "--json")
    (line,) = told.warnings.splitlines()
    assert (
        "acme/widgets: this key sees no annotation jobs (scope annotation-job:read), and only batches are synced: "
        in line
    )
    silent = fresh.run("sync", "acme/widgets", "--json")
    assert silent.err == ""
    assert [done.projects["widgets"]["jobs_error_kind"] for done in (told, silent)] == ["auth", None]
    assert [request.path.rpartition("/")[2] for request in fresh.simulator.requests] == ["batches", "jobs", "batches"]
    fresh.configure(more="[jobs]\nsync = true\n")
    assert fresh.sync(code=1)["jobs_error_kind"] == "auth"


def test_the_database_refuses_one_project(cli: Cli) -> None:
    cli.configure(workspaces=[{"projects": ["widgets", "gears"]}])
    cli.list(batch("b1", 1))
    cli.list(batch("b1", 1), project="gears")
    cli.run("sync")
    before = state(cli, ["widgets"])
    cli.list(*LARGEST)
    cli.list(batch("b1", 2), project="gears")
    done = cli.run("sync", "--json", code=1)
    outcomes = {project: (one["outcome"], one["error_kind"]) for project, one in done.projects.items()}
    assert outcomes == {"widgets": ("failed", "database"), "gears": ("changed", None)}
    assert state(cli, ["widgets"]) == before
    cli.balance()


def test_a_write_that_fails_halfway_leaves_nothing(cli: Cli) -> None:
    cli.list(batch("b1", 1), batch("b2", 2))
    cli.sync()
    cli.list(batch("b1", 5), batch("b3", 3))
    before = cli.database.dump()
    for operation, table in (("INSERT", "batch_changes"), ("UPDATE", "projects")):
        cli.database.forbid(operation, table)
        project = cli.sync(code=1)
        assert (project["outcome"], project["error_kind"]) == ("failed", "database")
        cli.database.allow(operation, table)
    after = cli.database.dump()
    assert {table for table in before if before[table] != after[table]} == {"sync_runs"}
    assert len(after["sync_runs"]) == len(before["sync_runs"]) + 2
    assert cli.sync()["outcome"] == "changed"
    cli.balance()


# Tells the largest resident size that a command has had, in KiB (on Linux).
_MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit differs")
@pytest.mark.parametrize(
    "fault",
    [
        Zeros(1 << 30),
        Status(403, body=gzip.compress(bytes(1 << 24), 1) * 16, headers=(("Content-Encoding", "gzip"),)),
    ],
    ids=["answer", "error"],
)
def test_a_bomb_fills_no_memory(fresh: Cli, fault: Fault) -> None:
    fresh.configure(api={"max_response_bytes": 1_000_000})
    fresh.list()
    fresh.simulator.faults.add("*/batches", fault)
    command = [sys.executable, "-c", _MEASURED, *COMMAND, "sync", "acme/widgets"]
    measured = subprocess.run(command, cwd=fresh.folder, env=fresh.env, capture_output=True, text=True, check=True)
    code, size = map(int, measured.stdout.split())
    assert code == 1
    assert size < 200 * 1024
    assert fresh.database.one("SELECT count(*) FROM sync_runs WHERE outcome = 'failed'") == 1
