"""The words that people script against, and the tree of errors."""

from __future__ import annotations

import errno
import os

import pytest

from rfsync import errors
from rfsync.errors import BadResponse, ErrorKind, FetchError, ListenError, RfsyncError


def test_the_kinds_of_errors_are_the_documented_words() -> None:
    assert [str(kind) for kind in ErrorKind] == [
        "auth", "not_found", "rate_limited", "request", "server", "network", "timeout", "bad_response", "database",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("host", "port", "number", "words"),
    [
        ("::1", 65_535, errno.EADDRINUSE, "such as --listen [::1]:65534"),
        ("127.0.0.1", 80, errno.EACCES, "port 80 needs more rights; write one above 1023, such as --listen 127.0.0.1:"),
        ("192.0.2.1", 8000, errno.EADDRNOTAVAIL, "--listen 192.0.2.1:8000: Cannot assign requested address"),
    ],
)
def test_an_address_that_can_not_be_listened_on(host: str, port: int, number: int, words: str) -> None:
    assert words in str(ListenError("--listen {}", host, port, OSError(number, os.strerror(number))))


def test_a_bad_response_is_a_fetch_that_failed() -> None:
    error = BadResponse("nonsense", rejected=3)
    assert isinstance(error, FetchError)
    assert (str(error), error.kind, error.rejected) == ("nonsense", ErrorKind.BAD_RESPONSE, 3)
    assert (error.http_status, error.attempts, error.response_bytes, error.retry_after) == (None, 0, None, None)


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("ConfigError", "RfsyncError"), ("DatabaseError", "RfsyncError"), ("TransientDatabaseError", "DatabaseError"),
        ("SchemaError", "DatabaseError"), ("FetchError", "RfsyncError"), ("BadResponse", "FetchError"),
        ("Cancelled", "RfsyncError"), ("ListenError", "ConfigError"),
    ],
)  # fmt: skip
def test_the_tree_is_the_one_drawn_in_the_module(name: str, base: str) -> None:
    assert getattr(errors, name).__bases__ == (getattr(errors, base),)
    assert name in str(errors.__doc__)
    assert issubclass(getattr(errors, name), RfsyncError)
