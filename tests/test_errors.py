"""The words that people script against, and the tree of errors."""

from __future__ import annotations

import pytest

from rfsync import errors
from rfsync.errors import BadResponse, ErrorKind, FetchError, RfsyncError


def test_the_kinds_of_errors_are_the_documented_words() -> None:
    assert [str(kind) for kind in ErrorKind] == [
        "auth", "not_found", "rate_limited", "request", "server", "network", "timeout", "bad_response", "database",
    ]  # fmt: skip


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
        ("Cancelled", "RfsyncError"),
    ],
)  # fmt: skip
def test_the_tree_is_the_one_drawn_in_the_module(name: str, base: str) -> None:
    assert getattr(errors, name).__bases__ == (getattr(errors, base),)
    assert name in str(errors.__doc__)
    assert issubclass(getattr(errors, name), RfsyncError)
