"""Each fault as a raw client sees it: http.client if there is an answer, otherwise a socket."""

import gzip
import http.client
import json
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.parse import urlsplit

import pytest

from rfsync.simulator import (
    Answer,
    Body,
    Bytes,
    Cut,
    Drip,
    EndlessHeaders,
    Exchange,
    Fault,
    Faults,
    FixedWorld,
    Interim,
    Redirect,
    Reset,
    Simulator,
    Stall,
    Status,
    Surplus,
    Zeros,
)

LIST = "/acme/widgets/batches"
TRUE = b'{"batches":[{"id":"b1","images":3}]}'


@pytest.fixture(autouse=True)
def _quiet_and_tidy(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """No fault may print a traceback or leave a thread behind."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before
    assert capfd.readouterr().err == ""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(FixedWorld({"acme/widgets": [{"id": "b1", "images": 3}]})) as simulator:
        yield simulator


@contextmanager
def asked(simulator: Simulator, *faults: Fault, headers: str = "") -> Iterator[socket.socket]:
    """A socket with a request that meets the faults."""
    for fault in faults:
        simulator.faults.add("/acme/*", fault)
    address = urlsplit(simulator.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as client:
        client.sendall(f"GET {LIST} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n{headers}\r\n".encode())
        yield client


@contextmanager
def answered(simulator: Simulator, fault: Fault, headers: str = "") -> Iterator[http.client.HTTPResponse]:
    """The answer with the fault, after reading its head."""
    with asked(simulator, fault, headers=headers) as client, closing(http.client.HTTPResponse(client)) as response:
        response.begin()
        yield response


def read_to_end(client: socket.socket, received: bytearray) -> None:
    while piece := client.recv(4096):
        received += piece


def test_faults_are_taken_by_path_in_order_and_the_given_number_of_times() -> None:
    faults = Faults()
    one, two, ever = Status(500), Status(502), Status(503)
    faults.add("/acme/*/batches", one, times=2)
    faults.add("/acme/widgets/*", two)
    faults.add("/other/*", ever, times=None)
    assert [faults.take(LIST) for _ in range(4)] == [one, one, two, None]
    assert [faults.take("/other/x") for _ in range(9)] == [ever] * 9
    faults.clear()
    assert faults.take("/other/x") is None
    with pytest.raises(ValueError, match="times"):
        faults.add("*", one, times=0)


def test_status(simulator: Simulator) -> None:
    with answered(simulator, Status(429, retry_after="7", headers=(("X-More", "1"),))) as response:
        assert (response.status, response.getheader("Retry-After"), response.getheader("X-More")) == (429, "7", "1")
        assert json.loads(response.read())["error"]["status"] == 429
    with answered(simulator, Status(401, hint="add a scope")) as response:
        assert json.loads(response.read())["error"]["hint"] == "add a scope"
    with answered(simulator, Status(599, body=b"<html>")) as response:
        assert (response.status, response.read(), response.getheader("Retry-After")) == (599, b"<html>", None)


def test_a_status_without_a_body_leaves_the_connection_usable(simulator: Simulator) -> None:
    simulator.faults.add("*", Status(304))
    address = urlsplit(simulator.url)
    assert address.hostname
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=5)) as client:
        for status, body in ((304, b""), (200, TRUE)):
            client.request("GET", LIST + "?api_key=k")
            response = client.getresponse()
            assert (response.status, response.read()) == (status, body)


def test_redirect(simulator: Simulator) -> None:
    with answered(simulator, Redirect("http://127.0.0.2:1/x", 307)) as response:
        assert (response.status, response.getheader("Location")) == (307, "http://127.0.0.2:1/x")
        assert response.read() == b""


def test_body(simulator: Simulator) -> None:
    with answered(simulator, Body(b"<html>", "text/html", status=201)) as response:
        assert (response.status, response.getheader("Content-Type"), response.read()) == (201, "text/html", b"<html>")
    with answered(simulator, Body(b"[]", encoding="gzip")) as response:
        assert response.getheader("Content-Encoding") == "gzip"
        assert gzip.decompress(response.read()) == b"[]"
    with answered(simulator, Body(b"no gzip", headers=(("Content-Encoding", "gzip"),))) as response:
        assert (response.getheader("Content-Encoding"), response.read()) == ("gzip", b"no gzip")


@pytest.mark.parametrize("after", [0, 10, len(TRUE), 1000])
@pytest.mark.parametrize("chunked", [False, True])
def test_cut(simulator: Simulator, after: int, chunked: bool) -> None:
    with answered(simulator, Cut(after, chunked=chunked)) as response:
        assert response.status == 200
        assert (response.getheader("Content-Length") is None) is chunked
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
        assert caught.value.partial == TRUE[:after]


def test_cut_also_cuts_a_compressed_body(simulator: Simulator) -> None:
    with answered(simulator, Cut(12), headers="Accept-Encoding: gzip\r\n") as response:
        assert response.getheader("Content-Encoding") == "gzip"
        with pytest.raises(http.client.IncompleteRead) as caught:
            response.read()
        assert caught.value.partial[:2] == b"\x1f\x8b"


def test_drip_of_the_true_body(simulator: Simulator) -> None:
    with answered(simulator, Drip(interval=0.001, size=9)) as response:
        assert response.read() == TRUE


def test_drip_waits_before_each_piece() -> None:
    done: list[object] = []

    class Noted(Exchange):
        def send(self, data: bytes) -> None:
            done.append(data)

        def pause(self, seconds: float) -> None:
            done.append(seconds)

    with socket.socket() as unused:
        Drip(interval=7, size=2).perform(Noted(unused, Answer(200, b"abcde"), Answer(304), threading.Event()))
    assert done[1:] == [7, b"ab", 7, b"cd", 7, b"e"]


def test_drip_without_end_ends_with_the_server(simulator: Simulator) -> None:
    with answered(simulator, Drip(interval=0.001, size=3, endless=True)) as response:
        assert response.read(10) == b" " * 10
        simulator.stop()
        with pytest.raises((http.client.IncompleteRead, OSError)):
            response.read()


def test_endless_headers_end_with_the_server(simulator: Simulator) -> None:
    with asked(simulator, EndlessHeaders(interval=0.001, size=5)) as client:
        data = b""
        while b"X-Fill-2: more\r\n" not in data:
            data += client.recv(4096)
        assert data.startswith(b"HTTP/1.1 200 OK\r\nX-Fill-0: more\r\n")
        assert b"\r\n\r\n" not in data
        simulator.stop()


def test_interim_answers_come_before_the_answer(simulator: Simulator) -> None:
    with asked(simulator, Interim((103, 102)), headers="Connection: close\r\n") as client:
        received = bytearray()
        read_to_end(client, received)
    *interim, (status, body) = [head.partition(b" ")[::2] for head in bytes(received).split(b"HTTP/1.1 ")[1:]]
    assert [head[0] for head in interim] == [b"103", b"102"]
    assert all(head[1].endswith(b"\r\n\r\n") for head in interim)
    assert (status, body.partition(b"\r\n\r\n")[2]) == (b"200", TRUE)


@pytest.mark.parametrize("size", [0, 500])
def test_surplus(simulator: Simulator, size: int) -> None:
    with asked(simulator, Surplus(Answer(200, b"[]"), size), headers="Connection: close\r\n") as client:
        received = bytearray()
        read_to_end(client, received)
    first, _, second = bytes(received).rpartition(b"HTTP/1.1 200 OK")
    assert first.partition(b"\r\n\r\n")[2].rstrip() == TRUE
    assert size in {0, len(first)}
    assert second.endswith(b"Content-Length: 2\r\n\r\n[]")


def test_bytes_are_all_that_ever_comes(simulator: Simulator) -> None:
    with asked(simulator, Bytes(b"neither head nor body")) as client:
        assert client.recv(100) == b"neither head nor body"
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        simulator.stop()


@pytest.mark.parametrize(("when", "seen"), [("before_headers", b""), ("in_headers", b"HTTP"), ("in_body", TRUE[:9])])
def test_reset(simulator: Simulator, when: str, seen: bytes) -> None:
    with asked(simulator, Reset(when)) as client:  # type: ignore[arg-type]
        received = bytearray()
        with pytest.raises(ConnectionResetError):
            read_to_end(client, received)
    data = bytes(received)
    assert seen in data
    assert TRUE not in data
    assert (b"\r\n\r\n" in data) is (when == "in_body")


def test_stall_before_the_head_sends_the_answer_at_the_time_of_the_request(simulator: Simulator) -> None:
    event = threading.Event()
    with asked(simulator, Stall(event)) as client:
        simulator.await_requests(1)
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.settimeout(5)
        with asked(simulator) as other, closing(http.client.HTTPResponse(other)) as response:
            response.begin()
            assert response.read() == TRUE
        event.set()
        with closing(http.client.HTTPResponse(client)) as response:
            response.begin()
            assert response.read() == TRUE


def test_stall_after_the_head(simulator: Simulator) -> None:
    event = threading.Event()
    with answered(simulator, Stall(event, "after_headers")) as response:
        assert response.status == 200
        event.set()
        assert response.read() == TRUE


def test_a_stalled_answer_can_be_a_304(simulator: Simulator) -> None:
    event = threading.Event()
    event.set()
    with answered(simulator, Stall(event), headers="If-None-Match: *\r\n") as response:
        assert response.status == 304


@pytest.mark.parametrize("when", ["before_headers", "after_headers"])
def test_a_stalled_answer_ends_with_the_server(simulator: Simulator, when: str) -> None:
    with asked(simulator, Stall(threading.Event(), when)) as client:  # type: ignore[arg-type]
        simulator.await_requests(1)
        simulator.stop()
        received = bytearray()
        read_to_end(client, received)
        assert TRUE not in received


def test_zeros(simulator: Simulator) -> None:
    size = 5_000_001
    with answered(simulator, Zeros(size)) as response:
        assert response.getheader("Content-Encoding") == "gzip"
        body = response.read()
    assert len(body) < size / 100
    assert zlib.decompress(body, wbits=16 + zlib.MAX_WBITS) == bytes(size)


@pytest.mark.parametrize("fault", [Drip(0, endless=True), EndlessHeaders(0), Zeros(1 << 40), Drip(0.001)])
def test_a_client_that_disconnects_is_not_an_error(simulator: Simulator, fault: Fault) -> None:
    with asked(simulator, fault) as client:
        assert client.recv(1) == b"H"
    with asked(simulator) as client:
        assert client.recv(1) == b"H"
