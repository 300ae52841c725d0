"""Errors of requests: their kind, whether to try again, and messages free of secrets."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.api.deadline import Deadline
from rfsync.api.failures import _SHOWN, describe_error, network_error, retry_after, status_error
from rfsync.api.route import Route, origin
from rfsync.errors import Asked, BadResponse, ErrorKind, FetchError
from rfsync.redaction import Redactor

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)  # a Friday
KEY = "s3cretKey123"
ROUTE = Route("https://api.roboflow.com", "[api] base_url", {"proxies": {}, "verify": True})
REDACT = Redactor()
REDACT.add(KEY)


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
    assert retry_after(value, NOON) == expected


def test_a_wait_of_any_number_of_digits_is_a_long_one() -> None:
    for digits in (13, 400, 5000):
        seconds = retry_after("9" * digits, NOON)
        assert seconds is not None
        assert timedelta(days=1).total_seconds() < seconds < float("inf")


@settings(max_examples=12)
@given(st.text("0123456789 :,+-FriJanGMT.", max_size=30))
def test_whatever_a_header_says_it_means_nothing_or_a_time_that_is_not_negative(value: str) -> None:
    seconds = retry_after(value, NOON)
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
    assert (origin(one) == origin(other)) is same


@pytest.mark.parametrize(
    ("kind", "statuses", "again"),
    [
        ("auth", [401, 402, 403], False),
        ("not_found", [404], False),
        ("rate_limited", [429], True),
        ("request", [300, 301, 304, 400, 405, 409, 410, 418, 422, 423, 451, 499], False),
        ("server", [408, 425, 500, 502, 503, 504], True),
        ("server", [501, 505, 507, 511, 520, 599], False),
        ("bad_response", [201, 202, 204, 206, 299], False),
    ],
)
def test_each_status_is_of_the_documented_kind_and_tried_again_or_not(
    kind: str, statuses: list[int], again: bool
) -> None:
    for status in statuses:
        failure = status_error(status, b'{"error": "words"}', None, REDACT)
        assert failure.retryable is again
        assert (failure.kind, failure.http_status, failure.response_bytes) == (kind, status, 18)
        assert str(failure).startswith(f"HTTP {status}")
        assert "words" in str(failure)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, ("key", "scope")), (402, ("plan", "quota")), (403, ("permission",)), (404, ("may not see",)),
        (423, ("billing is paused",)), (429, ("requests_per_second",)),
    ],
)  # fmt: skip
def test_a_status_is_told_in_words_that_lead_to_the_right_place(status: int, words: tuple[str, ...]) -> None:
    text = str(status_error(status, b"", None, REDACT))
    assert [word for word in words if word not in text] == []


@pytest.mark.parametrize(
    "error",
    [
        {"error": "words", "hint": "go there"},
        {"error": {"message": "words", "type": "OAuthException", "hint": "go there"}},
    ],
)
def test_the_apis_own_hint_is_shown(error: object) -> None:
    for status in (401, 402, 423, 500, 200):
        body = json.dumps(error).encode()
        failure = status_error(status, body, None, REDACT)
        assert "(the API says: words; hint: go there)" in str(failure)
        answered = describe_error(BadResponse("the answer is none", body=body), REDACT)
        assert answered == "the answer is none: the API says 'words; hint: go there'"


@pytest.mark.parametrize("length", range(260, 300, 5))
def test_neither_message_nor_hint_shows_a_part_of_the_key_where_it_is_cut(length: int) -> None:
    text = "x" * length + KEY * 20 + "\n"
    shown = str(status_error(401, json.dumps({"error": text, "hint": text}).encode(), None, REDACT))
    assert KEY[:4] not in shown
    assert shown.isprintable()
    assert len(shown) < 800


@pytest.mark.parametrize("status", [201, 403, 503])
def test_no_error_repeats_the_key_after_the_api(status: int) -> None:
    error = status_error(status, json.dumps({"error": f"the key {KEY} may not"}).encode(), None, REDACT)
    assert "may not" in str(error)
    assert KEY not in f"{error} {error!r}"


@pytest.mark.parametrize(
    "address",
    ["ann@example.com", "Ann.O'Brien+x@localhost", '"ann smith"@example.com', "ann%40example.com", "änn@b.de"],
)
def test_no_error_repeats_the_address_of_a_person(address: str) -> None:
    said = [f"the labeler {address} may not", f"{address}", f"'{address}': no"]
    bodies = [json.dumps({"error": text, "hint": text}).encode() for text in said]
    bodies += [json.dumps([{"labeler": address, "reviewer": address}]).encode()[:-1]]
    for body in bodies:
        told = str(status_error(403, body, None, REDACT)), describe_error(BadResponse("no", body=body), REDACT)
        assert [part for part in ("ann", "änn", "Brien", "example", "localhost") if part in "".join(told)] == []
    assert "may not" in str(status_error(403, bodies[0], None, REDACT))


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
    error: Exception, kind: str, said: str
) -> None:
    found = network_error(error, Deadline(0.0), ROUTE, 60.0, REDACT)
    text = str(found)
    assert found.kind == kind
    assert found.retryable == (kind != "bad_response")
    assert said in text
    assert KEY not in text
    assert "api_key" not in text
    assert "\n" not in text
    late = Deadline(0.0)
    late.expired = True
    assert network_error(error, late, ROUTE, 60.0, REDACT).kind is ErrorKind.TIMEOUT


@pytest.mark.parametrize("room", range(1, len("SECRET")))
def test_an_address_is_cut_without_leaving_a_part_of_a_secret(room: int) -> None:
    error = FetchError(ErrorKind.NOT_FOUND, "no")
    address = "https://api.roboflow.com/"
    error.asked = Asked(f"{address}{'x' * (_SHOWN - room - len(address))}SECRET/batches", None)
    shown = describe_error(error, lambda text: text.replace("SECRET", "***"))
    assert "x*" in shown
