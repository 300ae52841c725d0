"""Heads of answers: which are accepted, as what, and how far a malformed one is read."""

from __future__ import annotations

import http.client
import io
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.api.head import BadHeadError, read_head

OK = b"HTTP/1.1 200 OK\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(b"", b"", id="none"),
        pytest.param(b"ETag: x\r\ndate:y\r\n", b"ETag: x\r\ndate: y\r\n", id="two"),
        pytest.param(b"ETag: x\nDate: y\n", b"ETag: x\r\nDate: y\r\n", id="line-feeds-alone"),
        pytest.param(b"ETag: \t x \t\r\n", b"ETag: x\r\n", id="blanks-around-the-value"),
        pytest.param(b"ETag:\r\n", b"ETag: \r\n", id="no-value"),
        pytest.param(b"ETag: a:b c\xe9\r\n", b"ETag: a:b c\xe9\r\n", id="any-bytes-in-a-value"),
        pytest.param(b"ETag: a\r\n\t b\r\n c\r\nX: y\r\n", b"ETag: a b c\r\nX: y\r\n", id="continued-lines"),
        pytest.param(b"Content-Length: 5\r\n", b"Content-Length: 5\r\n", id="a-length"),
        pytest.param(
            b"Content-Length: 5\r\nContent-length: 5\r\n", b"Content-Length: 5\r\n", id="the-same-length-twice"
        ),
        pytest.param(b"Content-Length: 5, 5\r\n", b"Content-Length: 5\r\n", id="the-same-length-in-a-list"),
        pytest.param(b"TRANSFER-encoding: Chunked\r\n", b"Transfer-Encoding: chunked\r\n", id="chunked"),
        pytest.param(
            b"Connection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            b"Connection: close\r\nTransfer-Encoding: chunked\r\n",
            id="chunked-and-a-length",
        ),
    ],
)
def test_a_sound_head_is_understood_in_one_way(fields: bytes, expected: bytes) -> None:
    file = io.BytesIO(OK + fields + b"\r\nbody")
    assert read_head(file) == OK + expected + b"\r\n"
    assert file.read() == b"body"


@pytest.mark.parametrize("line", [b"HTTP/1.1 200", b"HTTP/1.0 404 Not Found", b"HTTP/1.1  599 \xe9", b"HTTP/1.2 200 "])
def test_a_status_line_may_have_any_reason_or_none(line: bytes) -> None:
    assert read_head(io.BytesIO(line + b"\r\n\r\n")) == line + b"\r\n\r\n"


@pytest.mark.parametrize("status", [b"204", b"304"])
def test_an_answer_that_has_no_body_has_no_length_of_one(status: bytes) -> None:
    head = b"HTTP/1.1 " + status + b" X\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nETag: x\r\n\r\n"
    assert read_head(io.BytesIO(head)) == b"HTTP/1.1 " + status + b" X\r\nETag: x\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "said"),
    [
        pytest.param(b"<html>\r\n", "status line: b'<html>'", id="no-http"),
        pytest.param(b"\r\n", "status line", id="an-empty-line-first"),
        pytest.param(b"HTTP/2 200\r\n", "status line", id="http-2"),
        pytest.param(b"ICY 200 OK\r\n", "status line", id="another-protocol"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n", "status line", id="four-digits"),
        pytest.param(b"HTTP/1.1 099 OK\r\n", "status line", id="below-100"),
        pytest.param(b"HTTP/1.1 OK\r\n", "status line", id="no-status"),
        pytest.param("HTTP/1.1 \u0662\u0660\u0660 OK\r\n".encode(), "status line", id="digits-of-another-script"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n", "another protocol", id="101"),
        pytest.param(OK + b"no colon here\r\n", "no header: b'no colon here'", id="no-colon"),
        pytest.param(OK + b": x\r\n", "no header", id="no-name"),
        pytest.param(OK + b"Content-Length : 5\r\n", "no header", id="a-blank-before-the-colon"),
        pytest.param(OK + b"X(y): 5\r\n", "no header", id="a-name-that-none-may-have"),
        pytest.param(OK + b" folded: 5\r\n", "no header", id="nothing-to-continue"),
        pytest.param(OK + b"X: a\rContent-Length: 5\r\n", "characters", id="a-carriage-return-alone"),
        pytest.param(OK + b"ETag: a\0b\r\n", "characters", id="nul"),
        pytest.param(b"HTTP/1.1 200 O\rK\r\n", "characters", id="in-the-status-line"),
        pytest.param(OK + b"Content-Length: -1\r\n\r\n", "Content-Length: b'-1'", id="negative"),
        pytest.param(OK + b"Content-Length: +5\r\n\r\n", "Content-Length", id="a-sign"),
        pytest.param(OK + b"Content-Length: 1_0\r\n\r\n", "Content-Length", id="as-python-writes-it"),
        pytest.param(OK + b"Content-Length:\r\n\r\n", "Content-Length", id="empty"),
        pytest.param(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", "Content-Length", id="5000-digits"),
        pytest.param(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "b'5, 6'", id="two-lengths"),
        pytest.param(OK + b"Content-Length: 5, 6\r\n\r\n", "b'5, 6'", id="two-in-a-list"),
        pytest.param(OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "Transfer-Encoding", id="another-coding"),
        pytest.param(OK + b"Transfer-Encoding: chu\r\n nked\r\n\r\n", "b'chu nked'", id="a-coding-in-two-lines"),
        pytest.param(OK + b"X: y\r\n" + OK, "no header: b'HTTP/1.1 200 OK'", id="a-status-line-inside"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "Encoding", id="chunked-twice"
        ),
        pytest.param(OK + b"X: " + b"y" * 65_536, "longer than 65,536 bytes", id="an-endless-line"),
        pytest.param(OK + b"X: y\r\n" * 100, "more than 100 lines", id="too-many-lines"),
        pytest.param(HINTS * 21, "interim", id="too-many-interim-answers"),
        pytest.param(b"HTTP/1.1 103 Hints\r\nno colon\r\n", "no header", id="in-an-interim-answer"),
    ],
)
def test_a_malformed_head_is_read_no_further(head: bytes, said: str) -> None:
    class Held(io.BytesIO):
        """A connection over which no more comes: whoever reads on, waits."""

        def readline(self, limit: int | None = -1, /) -> bytes:
            line = super().readline(limit)
            assert line, "read on"
            return line

    with pytest.raises(BadHeadError) as caught:
        read_head(Held(head))
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("end", range(len(HINTS + OK + b"ETag: x\r\n\r\n")))
def test_a_head_that_is_cut_is_a_lost_connection(end: int) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        read_head(io.BytesIO((HINTS + OK + b"ETag: x\r\n\r\n")[:end]))


@pytest.mark.parametrize("interim", [HINTS, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Wait\r\n\r\n" * 20])
def test_interim_answers_are_skipped(interim: bytes) -> None:
    file = io.BytesIO(interim + OK + b"ETag: x\r\n\r\nbody")
    assert read_head(file) == OK + b"ETag: x\r\n\r\n"
    assert file.read() == b"body"


PARTS = [
    *(OK, b"HTTP/1.1 304 X\r\n", b"HTTP/1.1 103 X\r\n", b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b",", b"\0", b"x"),
    *(b"Content-Length:", b"Transfer-Encoding:", b"chunked", b"5", b"-5", b"Connection: close\r\n", b"From x\r\n"),
]


@settings(max_examples=200)
@given(st.lists(st.one_of(st.sampled_from(PARTS), st.binary(max_size=4)), max_size=12))
def test_whatever_comes_is_refused_or_understood_as_the_standard_library_does(parts: list[bytes]) -> None:
    with suppress(BadHeadError, http.client.RemoteDisconnected):
        head = read_head(io.BytesIO(b"".join(parts)))
        message = http.client.parse_headers(io.BytesIO(head.partition(b"\r\n")[2]))
        assert (message.defects, message.get_payload()) == ([], "")
        assert len(message.keys()) == head.count(b"\r\n") - 2
        assert len(message.get_all("content-length", []) + message.get_all("transfer-encoding", [])) <= 1
