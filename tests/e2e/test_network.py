"""The network itself: TLS, redirects between servers, waits that the API asks for, connections that are kept open."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from rfsync.simulator import Cut, Drip, Exchange, Fault, FixedWorld, Redirect, Reset, Simulator, Stall, Status
from tests.e2e.conftest import HOST, Cli, MakeCli, batch, tls, without_jobs

RETRIED = (408, 425, 429, 500, 502, 503, 504)


class Slammer(socketserver.ThreadingTCPServer):
    """Closes each connection when TLS has hardly begun: with an orderly end, or with a reset."""

    daemon_threads = True

    def __init__(self, *, reset: bool) -> None:
        super().__init__((HOST, 0), socketserver.BaseRequestHandler)
        self.reset = reset
        self.connections = 0

    def finish_request(self, request: Any, client_address: object) -> None:
        self.connections += 1
        request.recv(1 << 16)  # the client's first word, whole
        request.sendall(b"\x16\x03\x03\x00\x50\x02")  # and the first byte of 80 in reply
        if self.reset:
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def shutdown_request(self, request: Any) -> None:
        request.close()


@contextmanager
def slamming(*, reset: bool) -> Iterator[Slammer]:
    with Slammer(reset=reset) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def only(projects: dict[str, dict[str, Any]]) -> tuple[Any, ...]:
    """What is said of the only project, but for the reason."""
    (project,) = projects.values()
    return project["outcome"], project["error_kind"], project["attempts"]


# TLS


def test_nothing_is_asked_over_tls_that_is_not_sound(
    make_cli: MakeCli, authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    then = datetime(2020, 1, 1, tzinfo=UTC)
    certificates = {
        "untrusted": trustme.CA().issue_cert(HOST),
        "another-host": authority.issue_cert("api.example", "127.0.0.2"),
        "expired": authority.issue_cert(HOST, not_before=then, not_after=then + timedelta(days=90)),
    }
    world = FixedWorld({"acme/widgets": [batch("b1", 1)]})
    servers = {name: Simulator(world, tls=tls(certificate)) for name, certificate in certificates.items()}
    servers["no-tls"] = Simulator(world)
    with (
        contextlib.ExitStack() as stack,
        slamming(reset=False) as closing,
        slamming(reset=True) as resetting,
        # Nobody ever takes the connections that this one is offered.
        socket.create_server((HOST, 0)) as stalled,
    ):
        for server in servers.values():
            stack.enter_context(server)
        urls = {name: server.url.replace("http://", "https://") for name, server in servers.items()}
        addresses = {"closed": closing.server_address, "reset": resetting.server_address}
        addresses["stalled"] = stalled.getsockname()
        urls |= {name: f"https://{HOST}:{address[1]}" for name, address in addresses.items()}
        started = {}
        for name, url in urls.items():
            cli = make_cli(f"sqlite:///{tmp_path / name}.db")
            deadline = 0.5 if name == "stalled" else 30.0
            cli.configure(api={"base_url": url, "attempts": 2, "deadline_seconds": deadline})
            started[name] = cli, cli.fork("sync", "acme/widgets", "--json", env=trusting)
        done = {name: cli.finish(process, 1) for name, (cli, process) in started.items()}
        assert {name: server.requests for name, server in servers.items()} == {name: [] for name in servers}
        assert (closing.connections, resetting.connections) == (2, 2)
    kinds = {name: "timeout" if name == "stalled" else "network" for name in urls}
    assert {name: only(one.projects) for name, one in done.items()} == {
        name: ("failed", kind, 2) for name, kind in kinds.items()
    }
    errors = {name: one.projects["widgets"]["error"] for name, one in done.items()}
    assert {name: error for name, error in errors.items() if "TLS" not in error} == {}
    assert "[api] deadline_seconds" in errors["stalled"]
    assert "expired" in errors["expired"]
    # Only who does not trust the authority may have to name another.
    assert [name for name, error in errors.items() if "$REQUESTS_CA_BUNDLE" in error] == ["untrusted"]
    assert HOST in errors["another-host"]
    for name, (cli, _) in started.items():
        assert cli.database.column("SELECT error FROM sync_runs") == [errors[name]]


@pytest.mark.new_python
def test_over_sound_tls_one_connection_is_kept(
    make_cli: MakeCli, authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    shaken: list[object] = []
    projects = ["widgets", "gears", "nuts"]
    world = FixedWorld({f"acme/{project}": [batch("b1", 1)] for project in projects})
    cli = make_cli(f"sqlite:///{tmp_path / 'tls.db'}")
    with Simulator(world, tls=tls(authority.issue_cert(HOST), shaken)) as secure:
        cli.configure(api={"base_url": secure.url, "concurrency": 1}, workspaces=[{"projects": projects}])
        done = cli.run("sync", "--json", env=trusting)
        assert {name: one["outcome"] for name, one in done.projects.items()} == dict.fromkeys(projects, "changed")
        both = [f"/acme/{project}/{kind}" for project in projects for kind in ("batches", "jobs")]
        assert [request.path for request in secure.requests] == both
    assert len(shaken) == 1
    cli.balance()


def test_over_tls_an_answer_breaks_as_it_does_without(
    make_cli: MakeCli, authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    never = threading.Event()
    faults: dict[str, tuple[Fault, str]] = {
        "cut": (Cut(after=30), "network"),
        "cut-chunk": (Cut(after=30, chunked=True), "network"),
        "reset": (Reset(), "network"),
        "reset-in-body": (Reset("in_body"), "network"),
        "drip": (Drip(interval=0.05, endless=True), "timeout"),
        "stall": (Stall(never), "timeout"),
    }
    projects = ["healthy", *faults]
    world = FixedWorld({f"acme/{project}": [batch("b1", 1)] for project in projects})
    cli = make_cli(f"sqlite:///{tmp_path / 'tls.db'}")
    with Simulator(world, tls=tls(authority.issue_cert(HOST)), compress=False) as secure:
        for name, (fault, _) in faults.items():
            secure.faults.add(f"/acme/{name}/batches", fault)
        api = {"base_url": secure.url, "deadline_seconds": 1.0, "concurrency": 100}
        cli.configure(api=api, workspaces=[{"projects": projects}])
        done = cli.run("sync", "--json", code=1, env=trusting)
    assert {name: one["error_kind"] for name, one in done.projects.items()} == {
        "healthy": None,
        **{name: kind for name, (_, kind) in faults.items()},
    }
    # TLS itself had no part in it.
    assert [name for name, one in done.projects.items() if "TLS" in (one["error"] or "")] == []


# Redirects


def test_no_redirect_leads_from_tls_to_plain_http_or_back(
    make_cli: MakeCli, simulator: Simulator, authority: trustme.CA, trusting: dict[str, str], tmp_path: Path
) -> None:
    shaken: list[object] = []
    names = ["to-the-other", "to-its-own-port", "to-itself", "to-itself-in-capitals", "to-its-path"]
    world = FixedWorld({f"acme/{name}": [batch("b1", 1)] for name in names})
    refused = ("failed", "request", 1)
    with (
        Simulator(world, tls=tls(authority.issue_cert(HOST), shaken)) as secure,
        Simulator(world) as plain,
    ):
        for server, other, scheme in ((plain, secure, "https"), (secure, plain, "http")):
            address = server.url.partition("://")[2]
            targets = {
                "to-the-other": other.url,
                "to-its-own-port": f"{scheme}://{address}",
                "to-itself": server.url,
                "to-itself-in-capitals": server.url.replace("http", "HTTP"),
                "to-its-path": "",
            }
            for name, target in targets.items():
                path = f"/acme/{name}/batches"
                server.faults.add(path, Redirect(f"{target}{path}", 307))
            cli = make_cli(f"sqlite:///{tmp_path / scheme}.db")
            cli.configure(api={"base_url": server.url, "attempts": 2}, workspaces=[{"projects": names}])
            before = other.requests, len(shaken)
            done = cli.run("sync", "--json", code=1, env=trusting)
            found = {n: (o["outcome"], o["error_kind"], o["attempts"]) for n, o in done.projects.items()}
            assert found == {
                **dict.fromkeys(names, ("changed", None, 1)), "to-the-other": refused, "to-its-own-port": refused,
            }  # fmt: skip
            assert other.requests == before[0]
            if server is plain:
                assert len(shaken) == before[1] == 0
            assert len(without_jobs(server.requests)) == len(names) + 3


def test_a_redirect_in_circles_is_followed_three_times_and_not_tried_again(fresh: Cli) -> None:
    codes = {str(code): code for code in (301, 302, 303, 307, 308)}
    fresh.configure(api={"attempts": 3}, workspaces=[{"projects": [*codes]}])
    for name, code in codes.items():
        here, there = f"/acme/{name}/batches", f"/there/{name}"
        fresh.simulator.faults.add(here, Redirect(there, code), times=None)
        fresh.simulator.faults.add(there, Redirect(here, code), times=None)
    done = fresh.run("sync", "--json", code=1)
    assert {(o["error_kind"], o["attempts"]) for o in done.projects.values()} == {("request", 1)}
    for name in codes:
        asked = [r.path for r in fresh.simulator.requests if f"/{name}" in r.path]
        assert asked == [f"/acme/{name}/batches", f"/there/{name}"] * 2


# Waits


class InTwoSeconds:
    """Asks to be left alone until the second after next begins: for more than one second, for two at most."""

    def __init__(self, code: int) -> None:
        self.code = code

    def perform(self, exchange: Exchange) -> None:
        Status(self.code, retry_after=in_seconds(2)).perform(exchange)


def in_seconds(seconds: int) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@dataclass(frozen=True)
class Asked:
    """A wait that the API asks for, by its header."""

    fault: Fault
    #: Seconds; None: too long to be waited for.
    wait: float | None


def test_a_wait_that_is_asked_for_is_waited_for_or_ends_the_run(fresh: Cli) -> None:
    day = 86_400
    asked: dict[str, Asked] = {}
    for code in RETRIED:
        asked[f"{code}-seconds"] = Asked(Status(code, retry_after="1"), 1.0)
        # The date is on the clock that can be set, arrivals are on the one that can't: they may differ a hair.
        asked[f"{code}-date"] = Asked(InTwoSeconds(code), 0.99)
        asked[f"{code}-seconds-far"] = Asked(Status(code, retry_after=str(day)), None)
        asked[f"{code}-date-far"] = Asked(Status(code, retry_after=in_seconds(day)), None)
        asked[f"{code}-little-too-far"] = Asked(Status(code, retry_after="6"), None)
    api = {"attempts": 3, "max_wait_seconds": 5.0, "concurrency": 100}
    fresh.configure(api=api, workspaces=[{"projects": ["*"]}])
    for name, one in asked.items():
        fresh.list(batch("b1", 1), project=name)
        fresh.simulator.faults.add(f"/acme/{name}/batches", one.fault)
    done = fresh.run("sync", "--json", code=1)
    found = {n: (o["outcome"], o["error_kind"], o["attempts"]) for n, o in done.projects.items()}
    too_far = {code: ("failed", "rate_limited" if code == 429 else "server", 1) for code in RETRIED}
    assert found == {
        name: too_far[int(name[:3])] if one.wait is None else ("changed", None, 2) for name, one in asked.items()
    }
    for name, one in asked.items():
        first, *more = (r.at for r in fresh.simulator.requests if r.path == f"/acme/{name}/batches")
        assert len(more) == (0 if one.wait is None else 1), name
        assert [at - first for at in more if at - first < (one.wait or 0)] == [], name


def test_the_deadline_is_each_attempts_own_and_attempts_are_counted(fresh: Cli) -> None:
    fresh.configure(api={"attempts": 3, "deadline_seconds": 0.6})
    fresh.list(batch("b1", 1))
    fresh.simulator.compress = False  # so that blanks may be all that ever comes
    fresh.simulator.faults.add("*", Drip(interval=0.05, endless=True), times=None)
    project = fresh.sync(code=1)
    assert (project["outcome"], project["error_kind"], project["attempts"]) == ("failed", "timeout", 3)
    assert len(fresh.simulator.requests) == 3


# Connections that are kept open


class ClosedAfterwards:
    """The true answer, whole, over a connection that is said to stay open and does not."""

    def perform(self, exchange: Exchange) -> None:
        exchange.reply(exchange.normal)
        exchange.closing = True


class ClosedInstead:
    """No answer at all, but the end of the connection: as if it had been closed a moment before it was used again."""

    def perform(self, exchange: Exchange) -> None:
        exchange.closing = True


def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing_or_one_attempt(fresh: Cli) -> None:
    projects = ["first", "second", "third"]
    # So seldom that the end of the connection has come when the next request is due.
    api = {"attempts": 2, "concurrency": 1, "requests_per_second": 4.0}
    fresh.configure(api=api, workspaces=[{"projects": projects}])
    for project in projects:
        fresh.list(batch("b1", 1), project=project)
    fresh.simulator.faults.add("/acme/first/batches", ClosedAfterwards())
    fresh.simulator.faults.add("/acme/third/batches", ClosedInstead())
    done = fresh.run("sync", "--json")
    assert {n: (o["outcome"], o["attempts"]) for n, o in done.projects.items()} == {
        "first": ("changed", 1),  # the pool has seen the end, and opened a new one for its job list
        "second": ("changed", 1),
        "third": ("changed", 2),  # it could not know
    }
    fresh.balance()
