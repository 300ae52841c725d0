"""A forked command does what a new Python does: same exit code, same output."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import LONG, Cli, Process


def ended(process: Process) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error, without the times of log lines."""
    out, err = process.communicate(timeout=LONG)
    return process.returncode, out, re.sub(r"^\S+Z (?=warning )", "", err)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--version",), 0),
        (("totals", "--help"), 0),
        (("init", "--config", "new/r\u00f6fsync.toml"), 2),
        (("status", "--no-such-option"), 2),
        (("sync", b"a/\xff"), 2),
        (("status",), 3),
        (("sync", "acme/widgets", "--dry-run", "--log-level", "debug", "--log-format", "nothing"), 2),
        (("sync", "acme/widgets", "--dry-run"), 1),
    ],
)
def test_it_does_what_a_new_python_does(fresh: Cli, arguments: tuple[str, ...], code: int) -> None:
    forked = ended(fresh.fork(*arguments))
    assert forked[0] == code, forked
    assert any(forked[1:])
    assert forked == ended(fresh.start(*arguments))


def test_its_streams_are_those_of_a_new_python(fresh: Cli) -> None:
    """A name that is no text is shown with backslashes, on both streams."""
    fresh.list({"id": "b1", "images": 1, "numJobs": 0, "name": "\u00e9\U0001f419"})
    for arguments in (["sync", "acme/widgets", "--dry-run"], ["changes", "a/\udc80"]):
        assert ended(fresh.fork(*arguments)) == ended(fresh.start(*arguments))
