"""The parts of the client that need no network."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from rfsync.api.client import Client, RateLimit, Response, _origin, _retry_after, _RetryableError, _without_key
from rfsync.api.deadline import Watch
from rfsync.config import ApiConfig
from rfsync.errors import BadResponse, ErrorKind, FetchError
from rfsync.redaction import Redactor, Secret

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)  # a Friday
KEY = "s3cretKey123"


class FakeClock:
    """Time that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_the_first_caller_does_not_wait_and_the_next_ones_do_in_turn() -> None:
    clock = FakeClock()
    limit = RateLimit(4, clock.monotonic, clock.sleep)
    for _ in range(4):
        limit.wait()
    assert clock.slept == [0.25, 0.25, 0.25]


def test_a_caller_that_comes_late_does_not_wait_and_saves_up_nothing() -> None:
    clock = FakeClock()
    limit = RateLimit(4, clock.monotonic, clock.sleep)
    limit.wait()
    clock.now += 60
    limit.wait()
    limit.wait()
    assert clock.slept == [0.25]


def test_callers_that_come_at_once_are_let_through_one_after_the_other() -> None:
    slept: list[float] = []
    limit = RateLimit(2, lambda: 1000.0, slept.append)  # all of them before any has waited
    for _ in range(4):
        limit.wait()
    assert slept == [0.5, 1.0, 1.5]


@settings(max_examples=12)
@given(st.lists(st.floats(0, 1), max_size=8), st.sampled_from([0.5, 4, 1000]))
def test_no_two_callers_are_let_through_closer_together_than_allowed(pauses: list[float], per_second: float) -> None:
    clock = FakeClock()
    limit = RateLimit(per_second, clock.monotonic, clock.sleep)
    through = []
    for pause in pauses:
        clock.now += pause
        limit.wait()
        through.append(clock.now)
    assert all(b - a >= 1 / per_second - 1e-9 for a, b in pairwise(through))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, None, id="no-header"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("120", 120.0, id="seconds"),
        pytest.param(" 7 ", 7.0, id="blanks-around"),
        pytest.param("007", 7.0, id="leading-zeros"),
        pytest.param("Fri, 02 Jan 2026 12:01:30 GMT", 90.0, id="date"),
        pytest.param("Friday, 02-Jan-26 12:01:30 GMT", 90.0, id="date-of-rfc-850"),
        pytest.param("Fri Jan  2 12:01:30 2026", 90.0, id="date-of-asctime"),
        pytest.param("Fri, 02 Jan 2026 13:01:30 +0100", 90.0, id="date-with-an-offset"),
        pytest.param("Fri, 02 Jan 2026 12:01:30 -0000", 90.0, id="date-of-no-zone"),
        pytest.param("Fri, 02 Jan 2026 12:00:00 GMT", 0.0, id="now"),
        pytest.param("Thu, 01 Jan 1970 00:00:00 GMT", 0.0, id="long-ago"),
        pytest.param("", None, id="empty"),
        pytest.param("soon", None, id="a-word"),
        pytest.param("-5", None, id="negative"),
        pytest.param("1.5", None, id="fractional"),
        pytest.param("\u0665", None, id="digits-of-another-script"),
        pytest.param("Fri, 99 Jan 2026 12:00:00 GMT", None, id="no-such-day"),
        pytest.param("Fri, 02 Jan 99999 12:00:00 GMT", None, id="no-such-year"),
        pytest.param("2026-01-02T12:01:30Z", None, id="another-format"),
        pytest.param(
            "Fri, 02 Jan 2026 12:01:30 +99999999999999999999", None, id="no-such-offset",
        ),
    ],
)  # fmt: skip
def test_how_long_the_api_asks_to_wait(value: str | None, expected: float | None) -> None:
    assert _retry_after(value, NOON) == expected


def test_a_wait_of_any_number_of_digits_is_a_long_one() -> None:
    for digits in (13, 400, 5000):
        seconds = _retry_after("9" * digits, NOON)
        assert seconds is not None
        assert timedelta(days=1).total_seconds() < seconds < float("inf")


@settings(max_examples=12)
@given(st.text("0123456789 :,+-FriJanGMT.", max_size=30))
def test_whatever_a_header_says_it_means_nothing_or_a_time_that_is_not_negative(value: str) -> None:
    seconds = _retry_after(value, NOON)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("https://h/a", "https://h/b?x#y", True, id="paths"),
        pytest.param("https://h", "https://h:443/", True, id="https-has-port-443"),
        pytest.param("http://h", "http://h:80/", True, id="http-has-port-80"),
        pytest.param("https://H", "HTTPS://h", True, id="case"),
        pytest.param("https://h", "https://user@h", True, id="a-user-is-no-part-of-it"),
        pytest.param("https://[::1]:443", "https://[::1]", True, id="ipv6"),
        pytest.param("https://h", "http://h", False, id="schemes"),
        pytest.param("http://h:443", "https://h:443", False, id="schemes-at-one-port"),
        pytest.param("https://h", "https://h:444", False, id="ports"),
        pytest.param("https://h", "https://h.evil.example", False, id="a-host-that-begins-alike"),
        pytest.param("https://h", "https://evil.h", False, id="a-host-that-ends-alike"),
        pytest.param("https://h", "https://h@evil.example", False, id="a-user-that-looks-like-a-host"),
        pytest.param("https://h", "https://h:443@evil.example", False, id="a-password-that-looks-like-a-port"),
        pytest.param("https://h", "https://h\\@evil.example", False, id="a-backslash"),
        pytest.param("https://h", "//h/", False, id="no-scheme"),
        pytest.param("https://h", "", False, id="nothing"),
        pytest.param(
            "http://h", "http://h:0/", False, id="port-0",
        ),
    ],
)  # fmt: skip
def test_a_server_is_its_scheme_host_and_port(one: str, other: str, same: bool) -> None:
    assert (_origin(one) == _origin(other)) is same


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


# What the answers and the errors mean


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    redactor = Redactor()
    redactor.add(KEY)
    made = Client(ApiConfig(max_wait_seconds=30, max_response_bytes=1000), redactor, lambda: NOON)
    yield made
    made.close()


def refusal(client: Client, status: int, body: bytes = b"", wait: str | None = None) -> Exception:
    raw = SimpleNamespace(read=lambda _, *, decode_content: body)
    answer: Any = SimpleNamespace(status_code=status, headers={"Retry-After": wait}, raw=raw)
    return client._refusal(answer)


@pytest.mark.parametrize(
    ("kind", "statuses", "again"),
    [
        ("auth", [401, 402, 403], False),
        ("not_found", [404], False),
        ("rate_limited", [429], True),
        ("request", [300, 301, 304, 400, 405, 409, 410, 418, 422, 451, 499], False),
        ("server", [408, 425, 500, 502, 503, 504], True),
        ("server", [501, 505, 507, 511, 520, 599], False),
        ("bad_response", [201, 202, 204, 206, 299], False),
    ],
)
def test_each_status_is_of_the_documented_kind_and_tried_again_or_not(
    client: Client, kind: str, statuses: list[int], again: bool
) -> None:
    for status in statuses:
        error = refusal(client, status, b'{"error": "words"}')
        assert isinstance(error, _RetryableError) is again
        failure = error.error if isinstance(error, _RetryableError) else error
        assert isinstance(failure, FetchError)
        assert (failure.kind, failure.http_status, failure.response_bytes) == (kind, status, 18)
        assert str(failure).startswith(f"HTTP {status}")
        assert "words" in str(failure)


@pytest.mark.parametrize("status", [201, 403, 503])
def test_no_error_repeats_the_key_after_the_api(client: Client, status: int) -> None:
    error = refusal(client, status, json.dumps({"error": f"the key {KEY} may not"}).encode())
    assert "may not" in str(error)
    assert KEY not in f"{error} {error!r}"


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
        assert client._redirected("https://h/a/x", location, 302) == expected
        return
    with pytest.raises(FetchError, match="redirected to") as caught:
        client._redirected("https://h/a/x", location, 302)
    assert (caught.value.kind, caught.value.http_status) == ("request", 302)
    assert KEY not in str(caught.value)


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
    assert client._is_worth_waiting(error) is worth


def test_only_what_may_pass_is_worth_waiting_for(client: Client) -> None:
    assert not client._is_worth_waiting(refusal(client, 403))
    assert not client._is_worth_waiting(BadResponse("nonsense"))
    assert not client._is_worth_waiting(ValueError("a bug"))


def unreachable() -> requests.ConnectionError:
    """As requests raises it where nobody listens; its text shows the whole URL."""
    pool: Any = SimpleNamespace(host="api.roboflow.com", port=443)
    cause = urllib3.exceptions.NewConnectionError(pool, "Connection refused")
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, f"/acme?api_key={KEY}", cause))


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        pytest.param(unreachable(), "network", "no connection to https://api.roboflow.com:443", id="nobody-listens"),
        pytest.param(OSError("Network is unreachable"), "network", "unreachable", id="no-network"),
        pytest.param(requests.exceptions.SSLError("certificate"), "network", "TLS failed: certificate", id="tls"),
        pytest.param(requests.ConnectTimeout(KEY), "timeout", "deadline_seconds", id="connecting-takes-too-long"),
        pytest.param(urllib3.exceptions.ReadTimeoutError(None, "", ""), "timeout", "60 s", id="reading-does"),  # type: ignore[arg-type]
        pytest.param(TimeoutError(), "timeout", "60 s", id="the-socket-does"),
        pytest.param(urllib3.exceptions.IncompleteRead(5, 7), "network", "in the middle", id="cut-short"),
        pytest.param(urllib3.exceptions.ProtocolError("reset"), "network", "in the middle", id="reset"),
        pytest.param(urllib3.exceptions.DecodeError("gzip"), "bad_response", "decompressed", id="not-gzip-at-all"),
        pytest.param(ValueError(f"bad\n{KEY}"), "network", "bad", id="anything-else"),
    ],
)
def test_each_error_of_the_network_is_of_the_documented_kind_in_one_line_without_the_key(
    client: Client, error: Exception, kind: str, said: str
) -> None:
    found, text = client._translate(error, Watch(0.0))
    assert found == kind
    assert said in text
    assert KEY not in text
    assert "api_key" not in text
    assert "\n" not in text
    late = Watch(0.0)
    late.expired = True
    assert client._translate(error, late)[0] is ErrorKind.TIMEOUT


@pytest.mark.parametrize("proxy", ["http://me:{}@127.0.0.1:99999", "http://me:{}@[::1", "me:{}@127.0.0.1:1"])
def test_a_proxy_that_can_not_be_read_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy.format("pass%2Fw0rd of it"))
    client = Client(ApiConfig(attempts=1), Redactor(), lambda: datetime.now(UTC))
    with pytest.raises(FetchError) as caught:
        client.get("acme", key=Secret("a-key"))
    client.close()
    assert caught.value.kind == ErrorKind.NETWORK
    assert "w0rd" not in str(caught.value)


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
