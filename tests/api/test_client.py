"""The parts of the client that need no network."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3
from requests.structures import CaseInsensitiveDict

from rfsync.api.client import Client, Response, _without_key
from rfsync.api.deadline import DeadlineThread
from rfsync.config import ApiConfig
from rfsync.errors import BadResponse, ErrorKind, FetchError
from rfsync.redaction import Redactor, Secret
from rfsync.simulator import Fault, FixedWorld, Redirect, Simulator, Status

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
KEY = "s3cretKey123"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("https://h/a", "https://h/a"),
        ("https://h/a?api_key=k", "https://h/a"),
        ("https://h/a?x=1&api_key=k&y=&api_key=l#f", "https://h/a?x=1&y="),
        ("https://h/a?x=%26%20b", "https://h/a?x=%26+b"),
        ("https://h/a#api_key=k", "https://h/a"),
    ],
    ids=["no-query", "the-key-alone", "the-key-among-others", "encoded", "in-the-fragment"],
)
def test_a_redirect_is_followed_without_the_key_that_it_repeats(target: str, expected: str) -> None:
    assert _without_key(target) == expected


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    redactor = Redactor()
    redactor.add(KEY)
    made = Client(ApiConfig(max_wait_seconds=30, max_response_bytes=1000), redactor, lambda: NOON)
    yield made
    made.close()


def refusal(client: Client, status: int, wait: str | None = None) -> FetchError:
    raw = SimpleNamespace(read=lambda _, *, decode_content: b"")
    answer: Any = SimpleNamespace(status_code=status, headers={"Retry-After": wait}, raw=raw)
    with pytest.raises(FetchError) as caught:
        client._read(answer, NOON, conditional=False)
    return caught.value


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        pytest.param("/b", "https://h/b", id="path"),
        pytest.param("b?x=1#f", "https://h/a/b?x=1", id="relative"),
        pytest.param("https://H:443/b", "https://H:443/b", id="the-same-server-in-other-words"),
        pytest.param(f"https://h/b?api_key={KEY}", "https://h/b", id="with-the-key"),
        pytest.param("http://h/b", None, id="another-scheme"),
        pytest.param("https://h:444/b", None, id="another-port"),
        pytest.param("//evil.example/b", None, id="another-host"),
        pytest.param(f"https://evil.example/?{KEY}", None, id="another-host-with-the-key"),
        pytest.param("https://[::1", None, id="no-host"),
        pytest.param("https://h:99999/", None, id="no-port"),
    ],
)
def test_a_redirect_is_followed_to_the_same_server_alone(client: Client, location: str, expected: str | None) -> None:
    if expected is not None:
        assert client._redirected(client._route, "https://h/a/x", location, 302) == expected
        return
    with pytest.raises(FetchError, match="redirected to") as caught:
        client._redirected(client._route, "https://h/a/x", location, 302)
    assert (caught.value.kind, caught.value.http_status) == ("request", 302)
    assert KEY not in str(caught.value)


def test_a_workspaces_own_base_url_is_the_one_that_is_asked_and_that_its_errors_name() -> None:
    with Simulator(FixedWorld({"acme/a": []})) as one, Simulator(FixedWorld({"eu/a": [], "eu/b": []})) as other:
        client = Client(ApiConfig(base_url=one.url, attempts=1), Redactor(), lambda: NOON, {"eu": f"{other.url}/"})
        with closing(client):
            for workspace in ("acme", "eu"):
                assert client.get(workspace, "a", "batches", key=Secret(f"key-of-{workspace}")).status == 200
            for server, workspace in ((one, "acme"), (other, "eu")):
                assert [(r.path, r.headers["authorization"]) for r in server.requests] == [
                    (f"/{workspace}/a/batches", f"Bearer key-of-{workspace}")
                ]
            other.faults.add("*", Redirect(f"{one.url}/eu/b/batches"))
            setting = r"set base_url in the \[\[workspaces\]\] table of eu to the right one"
            with pytest.raises(FetchError, match=setting):
                client.get("eu", "b", "batches", key=Secret("key-of-eu"))
            assert len(one.requests) == 1
            other.stop()
            with pytest.raises(FetchError, match=f"no connection to {other.url}"):
                client.get("eu", "b", "batches", key=Secret("key-of-eu"))


def read(client: Client, status: int, chunks: list[bytes], *, conditional: bool = False, **headers: str) -> Response:
    raw = SimpleNamespace(stream=lambda _, *, decode_content: iter(chunks), read=lambda _, *, decode_content: b"")
    named = CaseInsensitiveDict({name.replace("_", "-"): value for name, value in headers.items()})
    answer: Any = SimpleNamespace(status_code=status, headers=named, raw=raw)
    return client._read(answer, NOON, conditional=conditional)


def test_a_body_is_read_whole_with_its_fingerprint(client: Client) -> None:
    response = read(client, 200, [b"ab", b"", b"c"], ETag='"x"')
    assert (response.status, bytes(response.body), response.size, response.etag) == (200, b"abc", 3, '"x"')
    assert response.fingerprint == hashlib.sha256(b"abc").hexdigest()
    assert response.sent_at == NOON


def test_a_304_is_an_answer_to_a_conditional_request_alone(client: Client) -> None:
    response = read(client, 304, [], conditional=True, ETag='"x"')
    assert (response.not_modified, bytes(response.body), response.etag) == (True, b"", '"x"')
    with pytest.raises(FetchError) as caught:
        read(client, 304, [])
    assert caught.value.kind is ErrorKind.REQUEST


def test_a_body_may_be_as_long_as_configured_and_no_longer(client: Client) -> None:
    assert read(client, 200, [b"x" * 600, b"x" * 400]).size == 1000
    with pytest.raises(BadResponse, match="max_response_bytes") as caught:
        read(client, 200, [b"x" * 600, b"x" * 401])
    assert (caught.value.http_status, caught.value.response_bytes) == (200, 1001)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Length": "0"},
        {"Transfer_Encoding": "chunked"},
        {"content_length": "0"},
    ],
    ids=["length", "chunked", "in-lower-case"],
)
def test_an_empty_body_is_complete_where_the_head_says_so(client: Client, headers: dict[str, str]) -> None:
    assert read(client, 200, [], conditional=False, **headers).size == 0


def test_an_empty_body_of_unknown_length_was_cut_short(client: Client) -> None:
    with pytest.raises(urllib3.exceptions.ProtocolError):
        read(client, 200, [])


@pytest.mark.parametrize(
    ("wait", "worth"),
    [(None, True), ("0", True), ("30", True), ("31", False), ("Fri, 02 Jan 2026 12:00:30 GMT", True), ("soon", True)],
)
def test_a_wait_that_is_asked_for_is_worth_it_up_to_the_longest_one(
    client: Client, wait: str | None, worth: bool
) -> None:
    error = refusal(client, 429, wait=wait)
    assert client._should_retry(error) is worth


class Noted:
    """A simulator's world of one project, and a client that notes its waits instead of waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.simulator = Simulator(FixedWorld({"acme/widgets": []}))
        self.settings = {"requests_per_second": 1e6, **settings}
        self.waits: list[float] = []
        self._monkeypatch = monkeypatch

    def get(self, *faults: Fault) -> Response:
        with self.simulator:
            for fault in faults:
                self.simulator.faults.add("*", fault)
            client = Client(ApiConfig(base_url=self.simulator.url, **self.settings), Redactor(), lambda: NOON)
            # The pauses between attempts alone: the rate limit keeps the one that it was made with.
            self._monkeypatch.setattr(client, "_pause", self.waits.append)
            with closing(client):
                return client.get("acme", "widgets", "batches", key=Secret(KEY))


def test_attempts_are_spread_over_about_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    noted = Noted(monkeypatch)
    assert noted.get(*[Status(503)] * 4).attempts == 5
    for wait, least in zip(noted.waits, (0.5, 2.0, 8.0, 32.0), strict=True):
        assert least <= wait <= 1.5 * least
    # Not all clients come back at the same moment.
    again = Noted(monkeypatch)
    again.get(*[Status(503)] * 4)
    assert again.waits != noted.waits


@pytest.mark.parametrize(
    ("asked", "longest", "least"),
    [
        pytest.param("0", 60.0, (0.5, 2.0, 8.0, 32.0), id="0-is-no-reason-to-hurry"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 60.0, (0.5, 2.0, 8.0, 32.0), id="nor-is-a-date-long-ago"),
        pytest.param("5", 60.0, (5.0, 5.0, 8.0, 32.0), id="longer-than-the-backoff-at-first"),
        pytest.param("Fri, 02 Jan 2026 12:00:30 GMT", 60.0, (30.0, 30.0, 30.0, 32.0), id="a-date"),
        pytest.param("6", 6.0, (6.0, 6.0, 6.0, 6.0), id="no-wait-is-longer-than-the-longest"),
        pytest.param(None, 3.0, (0.5, 2.0, 3.0, 3.0), id="nor-is-the-backoff"),
        pytest.param("0", 0.0, (0.0, 0.0, 0.0, 0.0), id="no-waits-at-all"),
    ],
)
def test_a_wait_is_as_long_as_asked_for_and_no_shorter_than_the_backoff(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, longest: float, least: tuple[float, ...]
) -> None:
    noted = Noted(monkeypatch, max_wait_seconds=longest)
    noted.get(*[Status(429, retry_after=asked)] * 4)
    for number, (wait, shortest) in enumerate(zip(noted.waits, least, strict=True)):
        assert shortest <= wait <= min(shortest + 0.25 * 4**number, longest)


def test_the_rate_limit_is_for_each_key(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(Client, "_pause", lambda _, seconds: waits.append(seconds))
    with Simulator(FixedWorld({"acme/widgets": []})) as simulator:
        client = Client(ApiConfig(base_url=simulator.url, requests_per_second=0.001), Redactor(), lambda: NOON)
        with closing(client):
            for key in ("one", "one", "another", "another"):
                client.get("acme", "widgets", "batches", key=Secret(key))
    assert [round(wait / 1000, 1) for wait in waits] == [1.0, 1.0]


def test_only_what_may_pass_should_retry_for(client: Client) -> None:
    assert not client._should_retry(refusal(client, 403))
    assert not client._should_retry(BadResponse("nonsense"))
    assert not client._should_retry(ValueError("a bug"))


@pytest.mark.parametrize("proxy", ["http://me:{}@127.0.0.1:99999", "http://me:{}@[::1", "me:{}@127.0.0.1:1"])
def test_a_proxy_that_can_not_be_read_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy.format("pass%2Fw0rd of it"))
    client = Client(ApiConfig(attempts=1), Redactor(), lambda: datetime.now(UTC))
    with pytest.raises(FetchError) as caught:
        client.get("acme", key=Secret("a-key"))
    client.close()
    assert caught.value.kind == ErrorKind.NETWORK
    assert "w0rd" not in str(caught.value)


def test_a_304_has_no_body_and_so_no_bytes() -> None:
    assert Response(304, bytearray(), None, "", NOON, 1).response_bytes is None
    assert Response(200, bytearray(), None, "", NOON, 1).response_bytes == 0
    assert Response(200, bytearray(), None, "", NOON, 1, size=5).response_bytes == 5


def test_only_a_304_says_that_nothing_was_modified() -> None:
    assert Response(304, bytearray(), None, "", NOON, 1).not_modified
    assert not Response(200, bytearray(), None, "", NOON, 1).not_modified


def test_the_deadline_is_for_all_addresses_of_a_host_together(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def connect(self: socket.socket, address: object) -> None:
        timeout = self.gettimeout()
        assert timeout is not None
        tried.append(timeout)
        raise TimeoutError

    class Impatient(socket.socket):
        pass

    Impatient.connect = connect  # type: ignore[assignment,method-assign]
    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [address] * 3)
    monkeypatch.setattr(socket, "socket", Impatient)
    client = Client(ApiConfig(deadline_seconds=5, attempts=1), Redactor(), lambda: datetime.now(UTC))
    with pytest.raises(FetchError) as caught:
        client.get("acme", key=Secret("a-key"))
    client.close()
    assert caught.value.kind == ErrorKind.TIMEOUT
    assert len(tried) == 3
    assert tried == sorted(tried, reverse=True)
    assert all(0 < timeout <= 5 for timeout in tried)


def test_the_thread_that_ends_requests_is_started_anew_if_it_has_died() -> None:
    deadlines = DeadlineThread()
    died = threading.Thread(target=int)
    died.start()
    died.join()
    deadlines._thread = died
    with deadlines.limit(0.0) as deadline:
        while not deadline.expired:
            pass
    deadlines.stop()
