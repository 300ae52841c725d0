"""What surrounds a sync does not change what it says: proxies, closed pipes, closed streams, odd keys."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.conftest import Cli, batch

pytestmark = pytest.mark.new_python


def test_loopback_is_not_asked_through_a_proxy(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.env["http_proxy"] = fresh.env["HTTP_PROXY"] = "http://127.0.0.1:9"
    assert fresh.sync()["outcome"] == "changed"


def test_a_key_that_is_also_a_word_of_the_output_leaves_the_json_as_it_is(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.env["ROBOFLOW_API_KEY"] = "acme"
    project = fresh.sync()
    assert (project["workspace"], project["outcome"]) == ("acme", "changed")


def test_a_reader_that_goes_away_does_not_change_the_exit_code(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.run("db", "upgrade")
    for arguments in (["sync", "acme/widgets"], ["sync", "acme/widgets", "--json"], ["status"]):
        process = fresh.start(*arguments)
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=30) == 0, arguments
        assert process.stderr is not None
        assert process.stderr.read() in {"", b""}
        process.stderr.close()


def test_closed_streams_are_no_reason_to_crash(fresh: Cli) -> None:
    command = f"{sys.executable} -m rfsync sync nothing-here/x >&- 2>&-"
    env = {k: v for k, v in fresh.env.items() if k != "ROBOFLOW_API_KEY"}
    assert subprocess.run(["sh", "-c", command], env=env, timeout=30).returncode == 2
