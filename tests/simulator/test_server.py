"""The simulator's HTTP: endpoints, keys, ETags, compression and threads, as a raw client sees them."""

import gzip
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import trustme

from rfsync.simulator import Cut, FixedWorld, Reset, Simulator, World, Worlds

LIST = "/acme/widgets/batches"
KEY = {"Authorization": "Bearer any"}
RECORDS: list[dict[str, Any]] = [{"id": "b1", "images": 3, "name": "Größe M"}, {"id": "a/b ü?", "images": 1}]


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.body = response.read()
        self.headers = {name.lower(): value for name, value in response.getheaders()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def connect(simulator: Simulator) -> "closing[http.client.HTTPConnection]":
    address = urlsplit(simulator.url)
    assert address.hostname
    return closing(http.client.HTTPConnection(address.hostname, address.port, timeout=5))


def server_side(authority: trustme.CA) -> ssl.SSLContext:
    """The context of a server with a certificate for 127.0.0.1, issued by the authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def get(simulator: Simulator, path: str = LIST, headers: Mapping[str, str] = KEY, method: str = "GET") -> Reply:
    with connect(simulator) as client:
        client.request(method, path, headers=dict(headers))
        return Reply(client.getresponse())


@pytest.fixture
def fixed() -> FixedWorld:
    return FixedWorld({"acme/widgets": RECORDS, "acme/gears": []})


@pytest.fixture
def simulator(fixed: FixedWorld) -> Iterator[Simulator]:
    with Simulator(fixed) as simulator:
        yield simulator


def test_a_list_a_batch_and_a_workspace(simulator: Simulator) -> None:
    reply = get(simulator)
    assert (reply.status, reply.json) == (200, {"batches": RECORDS})
    assert reply.headers["content-length"] == str(len(reply.body))
    assert "Größe".encode() in reply.body
    assert get(simulator, LIST + "/b1").json == RECORDS[0]
    assert get(simulator, LIST + "/a%2Fb%20%C3%BC%3F").json == RECORDS[1]
    assert get(simulator, "/acme/gears/batches").json == {"batches": []}
    projects = get(simulator, "/acme").json["workspace"]["projects"]
    assert [project["id"] for project in projects] == ["acme/widgets", "acme/gears"]
    assert get(simulator, "/acme/gears").json["project"]["id"] == "acme/gears"


def test_a_batch_can_come_wrapped(fixed: FixedWorld) -> None:
    with Simulator(fixed, wrapped=True) as simulator:
        assert get(simulator, LIST + "/b1").json == {"batch": RECORDS[0]}


@pytest.mark.parametrize(("size", "token"), [(1, {"continuationToken": "b1"}), (2, {}), (3, {})])
def test_a_list_can_come_in_pages(fixed: FixedWorld, size: int, token: dict[str, str]) -> None:
    with Simulator(fixed, page_size=size) as simulator:
        assert get(simulator).json == {"batches": RECORDS[:size], **token}


def test_an_unknown_object_is_404_with_a_json_error(simulator: Simulator) -> None:
    for path in ("/nobody", "/acme/nothing", "/acme/nothing/batches", LIST + "/b9", LIST + "/b1/more", "/acme/x/y"):
        reply = get(simulator, path)
        assert reply.status == 404
        assert reply.json["error"]["status"] == 404
        assert "does not exist" in reply.json["error"]["message"]
    assert get(simulator, LIST, method="POST").status == 404


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        (LIST, {"Authorization": "Bearer s3cret"}, 200),
        (LIST, {"Authorization": "bearer s3cret"}, 200),
        (LIST + "?api_key=s3cret", {}, 200),
        (LIST, {"Authorization": "Bearer wr0ng"}, 401),
        (LIST + "?api_key=wr0ng", {}, 401),
        (LIST + "?api_key=s3cret", {"Authorization": "Bearer wr0ng"}, 401),
        (LIST + "?api_key=", {}, 401),
        (LIST, {}, 401),
    ],
)
def test_keys(fixed: FixedWorld, path: str, headers: dict[str, str], status: int) -> None:
    with Simulator(fixed, keys={"s3cret"}) as simulator:
        reply = get(simulator, path, headers)
    assert reply.status == status
    if status == 401:
        error = reply.json["error"]
        assert error["message"] == "This API key does not exist (or has been revoked)."
        assert (error["status"], error["type"]) == (401, "OAuthException")
        assert b"wr0ng" not in reply.body


@pytest.mark.parametrize(
    ("workspace", "key", "status"),
    [("acme", "one", 200), ("other", "two", 200), ("other", "one", 404), ("acme", "two", 404), ("acme", "three", 401)],
)
def test_each_workspace_can_have_its_own_key(workspace: str, key: str, status: int) -> None:
    worlds = Worlds([World(start=datetime(2026, 1, 1, tzinfo=UTC), workspace=name) for name in ("acme", "other")])
    with Simulator(worlds, keys={"one": "acme", "two": "other"}) as simulator:
        for path in ("", "/widgets", "/widgets/batches"):
            answer = requests.get(f"{simulator.url}/{workspace}{path}", params={"api_key": key}, timeout=60)
            assert answer.status_code == status, path
        found = requests.post(f"{simulator.url}/", params={"api_key": key}, timeout=60).json()
    assert found.get("workspace") == {"one": "acme", "two": "other"}.get(key)


def test_without_keys_any_key_that_is_not_empty_is_accepted(simulator: Simulator) -> None:
    assert get(simulator, LIST + "?api_key=x", {}).status == 200
    assert get(simulator, LIST, {}).status == 401


def test_an_unchanged_answer_is_304(simulator: Simulator, fixed: FixedWorld) -> None:
    tag = get(simulator).headers["etag"]
    for header in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        reply = get(simulator, headers={**KEY, "If-None-Match": header})
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    fixed.set("acme/widgets", RECORDS[:1])
    reply = get(simulator, headers={**KEY, "If-None-Match": tag})
    assert reply.status == 200
    assert reply.headers["etag"] != tag
    assert "etag" not in get(simulator, "/nobody").headers


def test_tags_and_compression_can_be_turned_off(fixed: FixedWorld) -> None:
    with Simulator(fixed, etag=False, compress=False) as simulator:
        reply = get(simulator, headers={**KEY, "If-None-Match": "*", "Accept-Encoding": "gzip"})
    assert (reply.status, reply.json) == (200, {"batches": RECORDS})
    assert not {"etag", "content-encoding"} & reply.headers.keys()


def test_gzip_only_for_those_who_ask(simulator: Simulator) -> None:
    plain = get(simulator)
    zipped = get(simulator, headers={**KEY, "Accept-Encoding": "deflate, GZIP;q=0.5"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert gzip.decompress(zipped.body) == plain.body
    assert zipped.headers["etag"] == plain.headers["etag"]
    for header in ("identity", "gzip;q=0", "gzip; q=0.0", ""):
        assert "content-encoding" not in get(simulator, headers={**KEY, "Accept-Encoding": header}).headers


def test_a_connection_is_kept_and_requests_are_recorded(simulator: Simulator) -> None:
    with connect(simulator) as client:
        client.request("POST", "/?api_key=one", body=b"some body")
        assert Reply(client.getresponse()).json["workspace"] == "acme"
        socket = client.sock
        client.request("GET", "/nobody?api_key=two&x=%C3%BC", headers={"X-Test": "yes"})
        assert Reply(client.getresponse()).status == 404
        client.request("GET", LIST, headers={**KEY, "If-None-Match": "*"})
        assert Reply(client.getresponse()).status == 304
        assert client.sock is socket
    first, second, third = simulator.await_requests(3)
    assert (first.method, first.path, first.query) == ("POST", "/", {"api_key": "one"})
    assert (second.method, second.path, second.query) == ("GET", "/nobody", {"api_key": "two", "x": "ü"})
    assert second.headers["x-test"] == "yes"
    assert first.at <= second.at <= third.at
    assert simulator.requests == [first, second, third]
    with pytest.raises(TimeoutError, match="3 of 4"):
        simulator.await_requests(4, timeout=0)


def test_a_fixed_world_serves_any_shape(simulator: Simulator, fixed: FixedWorld) -> None:
    for shape in ({}, {"batches": None}, None, 7, "text", {"error": "no"}):
        fixed.set("acme/widgets", shape)
        assert get(simulator).json == shape
    fixed.set("acme/widgets", [1, "two", {"id": 3}])
    assert get(simulator).json == {"batches": [1, "two", {"id": 3}]}
    fixed.set("acme/widgets", RECORDS, bare=True)
    assert get(simulator).json == RECORDS
    assert get(simulator, LIST + "/b1").json == RECORDS[0]
    fixed.set("acme/widgets", b'{"batches": [')
    assert get(simulator).body == b'{"batches": ['
    assert get(simulator, LIST + "/b1").status == 404
    fixed.set("acme/widgets", [{"id": "x", "name": "lone \ud800"}])
    assert get(simulator).json["batches"][0]["name"] == "lone \ud800"
    fixed.set("acme", {"workspace": None})
    assert get(simulator, "/acme").json == {"workspace": None}


def test_a_fixed_world_serves_any_answer_for_a_batch(simulator: Simulator, fixed: FixedWorld) -> None:
    fixed.set_batch("acme/widgets", "b1", 403, {"error": "no"})
    fixed.set_batch("acme/widgets", "b9", 200, b"raw")
    reply = get(simulator, LIST + "/b1")
    assert (reply.status, reply.json) == (403, {"error": "no"})
    assert get(simulator, LIST + "/b9").body == b"raw"
    fixed.remove("acme/widgets")
    assert get(simulator).status == 404
    assert get(simulator, LIST + "/b1").status == 404


def test_a_world_moves_on_between_two_requests() -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)
    times = iter([start, datetime(2026, 2, 5, tzinfo=UTC)])
    with Simulator(World(start=start, clock=lambda: next(times))) as simulator:
        first, second = get(simulator), get(simulator)
    assert first.status == second.status == 200
    assert first.headers["etag"] != second.headers["etag"]


def test_no_thread_is_left_and_it_starts_again_on_its_port(
    fixed: FixedWorld, capfd: pytest.CaptureFixture[str]
) -> None:
    before = set(threading.enumerate())
    simulator = Simulator(fixed)
    with pytest.raises(RuntimeError, match="before it is started"):
        _ = simulator.url
    simulator.stop()
    simulator.start()
    with pytest.raises(RuntimeError, match="already"):
        simulator.start()
    url = simulator.url
    with connect(simulator) as idle:
        idle.request("GET", LIST, headers=KEY)
        assert Reply(idle.getresponse()).status == 200
        simulator.stop()
        assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        get(simulator)
    with simulator:
        assert simulator.url == url
        assert get(simulator).status == 200
    assert set(threading.enumerate()) == before
    assert capfd.readouterr().err == ""


def test_it_listens_on_the_loopback_address_only(simulator: Simulator) -> None:
    assert simulator.url.startswith("http://127.0.0.1:")


def test_it_can_serve_https(fixed: FixedWorld, capfd: pytest.CaptureFixture[str]) -> None:
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    before = set(threading.enumerate())
    with Simulator(fixed, tls=server_side(authority)) as simulator:
        address = urlsplit(simulator.url)
        assert (address.scheme, address.hostname) == ("https", "127.0.0.1")
        assert address.hostname
        with (
            # One that never shakes hands and one that doesn't speak TLS keep nobody waiting.
            socket.create_connection((address.hostname, address.port), timeout=5),
            socket.create_connection((address.hostname, address.port), timeout=5) as plain,
            closing(http.client.HTTPSConnection(address.hostname, address.port, timeout=5, context=trusting)) as client,
        ):
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            client.request("GET", LIST, headers=KEY)
            assert Reply(client.getresponse()).json == {"batches": RECORDS}
            used = client.sock
            client.request("GET", "/nobody", headers=KEY)
            assert Reply(client.getresponse()).status == 404
            assert client.sock is used
            simulator.faults.add("*", Cut(5))
            client.request("GET", LIST, headers=KEY)
            with pytest.raises(http.client.IncompleteRead):
                client.getresponse().read()
            simulator.faults.add("*", Reset())
            client.request("GET", LIST, headers=KEY)
            with pytest.raises(ConnectionResetError):
                client.getresponse()
            assert len(simulator.requests) == 4
            simulator.stop()
    assert set(threading.enumerate()) == before
    assert capfd.readouterr().err == ""


def test_a_client_that_does_not_trust_it_is_not_an_error(fixed: FixedWorld, capfd: pytest.CaptureFixture[str]) -> None:
    with Simulator(fixed, tls=server_side(trustme.CA())) as simulator:
        address = urlsplit(simulator.url)
        assert address.hostname
        with (
            closing(http.client.HTTPSConnection(address.hostname, address.port, timeout=5)) as client,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            client.request("GET", LIST, headers=KEY)
        assert simulator.requests == []
    assert capfd.readouterr().err == ""
