"""The daemon's HTTP endpoint over real sockets on loopback."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter

from rfsync.daemon import http as http_module
from rfsync.daemon.health import Health, Stale
from rfsync.daemon.http import Endpoint

LONG = 60.0
WELL = Health(True, 3, (), "ok", True, True)
ILL = Health(False, 1, (Stale("acme", "a", 901.5, "failed", "server", "HTTP 503"),), "no connection", True, False)


class Served:
    """An endpoint with the state that it serves."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.health: Callable[[], Health] = lambda: WELL
        self.ready = True
        self.registry = CollectorRegistry()
        Counter("rfsync_runs", "Runs that have ended.", ["outcome"], registry=self.registry).labels("changed").inc(2)
        self.endpoint = Endpoint((host, 0), self._health, lambda: self.ready, self.registry)
        self.address = self.endpoint.address

    def _health(self) -> Health:
        return self.health()

    def ask(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(*self.address, timeout=LONG)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=LONG)


@pytest.fixture(scope="module")
def _served() -> Iterator[Served]:
    served = Served()
    yield served
    served.endpoint.close()


@pytest.fixture
def served(_served: Served) -> Served:
    """One for all tests, since closing takes time; its state is reset."""
    _served.health, _served.ready = (lambda: WELL), True
    return _served


@pytest.mark.parametrize(("health", "status"), [(WELL, 200), (ILL, 503)])
def test_healthz_says_in_json_how_it_is(served: Served, health: Health, status: int) -> None:
    served.health = lambda: health
    code, headers, body = served.ask("/healthz")
    assert (code, headers["content-type"], headers["cache-control"]) == (status, "application/json", "no-store")
    said: Any = json.loads(body)
    assert said["ok"] is health.ok
    assert said["database"] == health.database
    assert [(one["workspace"], one["project"], one["error"]) for one in said["stale"]] == (
        [] if health.ok else [("acme", "a", "HTTP 503")]
    )


def test_readyz_says_whether_it_is_known_what_to_poll(served: Served) -> None:
    assert served.ask("/readyz")[::2] == (200, b'{"ready": true}\n')
    served.ready = False
    assert served.ask("/readyz")[::2] == (503, b'{"ready": false}\n')


def test_metrics_are_prometheus_text(served: Served) -> None:
    code, headers, body = served.ask("/metrics")
    assert (code, headers["content-type"].partition(";")[0]) == (200, "text/plain")
    assert "version=0.0.4" in headers["content-type"]
    assert b'rfsync_runs_total{outcome="changed"} 2.0\n' in body
    assert b"# EOF" not in body


def test_metrics_are_openmetrics_if_requested(served: Served) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    code, headers, body = served.ask("/metrics", headers={"Accept": accept})
    assert (code, headers["content-type"].partition(";")[0]) == (200, "application/openmetrics-text")
    assert b'rfsync_runs_total{outcome="changed"} 2.0\n' in body
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("path", ["/healthz?verbose=1", "/readyz?", "/metrics?name[]=rfsync_runs_total"])
def test_a_query_makes_no_difference(served: Served, path: str) -> None:
    assert served.ask(path)[0] == 200


@pytest.mark.parametrize("path", ["/", "/health", "/healthz/", "/metrics/../healthz", "/%68ealthz"])
def test_anything_else_is_not_there(served: Served, path: str) -> None:
    code, headers, body = served.ask(path)
    assert (code, headers["content-type"]) == (404, "application/json")
    assert "/healthz" in json.loads(body)["error"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/nothing"])
def test_head_is_answered_as_get_but_for_the_body(served: Served, path: str) -> None:
    served.health = lambda: ILL
    code, headers, body = served.ask(path)
    head_code, head_headers, head_body = served.ask(path, "HEAD")
    assert (head_code, head_body) == (code, b"")
    assert head_headers["content-length"] == str(len(body)) == headers["content-length"]
    assert head_headers["content-type"] == headers["content-type"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(served: Served, method: str) -> None:
    assert served.ask("/healthz", method)[0] == 501


def test_the_server_header_does_not_name_python(served: Served) -> None:
    assert "python" not in served.ask("/healthz")[1]["server"].lower()


def test_clients_that_send_nothing_do_not_block_others(served: Served) -> None:
    silent = [served.connect() for _ in range(20)]
    for connection in silent[10:]:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
    assert [served.ask(path)[0] for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
    for connection in silent:
        connection.close()


def test_a_client_that_sends_nothing_is_disconnected(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_module._Handler, "timeout", 0.01)
    with served.connect() as connection:
        assert connection.recv(1) == b""
    with served.connect() as connection:
        connection.sendall(b"GET /healthz HT")
        assert connection.recv(1) == b""


def test_a_client_that_goes_away_is_logged_for_debugging_only(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    asked, gone = threading.Event(), threading.Event()

    def health() -> Health:
        asked.set()
        assert gone.wait(LONG)
        return Health(False, 1, ILL.stale * 20_000, "ok", ready=True, alive=True)

    served.health = health
    connection = served.connect()
    connection.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert asked.wait(LONG)
    # With a reset instead of an orderly close.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    gone.set()
    served.health = lambda: WELL
    assert served.ask("/healthz")[0] == 200
    assert [record.levelname for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_a_bug_is_logged_and_the_next_request_is_answered(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    def health() -> Health:
        raise ZeroDivisionError("nobody thought of that")

    served.health = health
    with pytest.raises(http.client.BadStatusLine):
        served.ask("/healthz")
    assert served.ask("/metrics")[0] == 200
    assert "nobody thought of that" in caplog.text
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize(
    "request_line",
    [b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"A" * 70_000],
)
def test_invalid_requests_do_no_harm(served: Served, caplog: pytest.LogCaptureFixture, request_line: bytes) -> None:
    with served.connect() as connection:
        connection.sendall(request_line)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(65_536):
                pass
        except ConnectionResetError:
            pass  # it did not read all of it
    assert served.ask("/healthz")[0] == 200
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


def test_requests_are_logged_at_debug_level_alone(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "rfsync.daemon")
    served.ask("/healthz?key=value")
    said = [record for record in caplog.records if "key=value" in record.getMessage()]  # others may still break off
    assert [record.levelname for record in said] == ["DEBUG"]
    assert "127.0.0.1" in said[0].getMessage()


def test_two_may_be_slow_and_a_third_is_answered(served: Served) -> None:
    slow = threading.Barrier(3)
    go_on = threading.Event()

    def health() -> Health:
        slow.wait(LONG)
        assert go_on.wait(LONG)
        return WELL

    served.health = health
    threads = [threading.Thread(target=served.ask, args=("/healthz",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    slow.wait(LONG)
    assert served.ask("/readyz")[0] == 200
    go_on.set()
    for thread in threads:
        thread.join(LONG)


def test_it_listens_on_ipv6() -> None:
    served = Served("::1")
    try:
        assert served.address[0] == "::1"
        assert served.ask("/healthz")[0] == 200
    finally:
        served.endpoint.close()


def test_an_address_that_is_taken_is_an_error(served: Served) -> None:
    with pytest.raises(OSError, match="in use"):
        Endpoint(served.address, lambda: WELL, lambda: True, CollectorRegistry())


def test_the_name_of_the_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask_dns(*_: object) -> str:
        raise AssertionError("DNS was asked")

    monkeypatch.setattr(socket, "getfqdn", ask_dns)
    Served().endpoint.close()


def test_it_closes_although_a_client_is_still_connected(served: Served) -> None:
    other = Served()
    silent = other.connect()
    other.endpoint.close()
    with pytest.raises(ConnectionRefusedError):
        other.connect()
    silent.close()
    assert served.ask("/healthz")[0] == 200
