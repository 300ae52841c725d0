"""What the shell opened for a command is written to as it is, whatever name -o has for it."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import COMMAND, LONG, Cli, batch

COMMANDS = ("status --format csv", "batches --format csv", "changes --format csv", "totals --format jsonl", "report")


def run(cli: Cli, line: str) -> str:
    """Runs a line of shell with ``rfsync`` in it; gives what it writes to standard output."""
    line = line.replace("rfsync", shlex.join(COMMAND), 1)
    done = subprocess.run(
        ["sh", "-c", line], cwd=cli.folder, env=cli.env, capture_output=True, text=True, check=False, timeout=LONG
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_log_had_is_kept(fresh: Cli, command: str) -> None:
    fresh.list(batch("b1", 5))
    fresh.run("sync", "acme/widgets")
    log = fresh.folder / "log"
    log.write_text("before\n")
    run(fresh, f"rfsync {command} -o /dev/stdout >> log")
    assert log.read_text().startswith("before\n")
    appended = log.read_text().removeprefix("before\n")
    assert "widgets" in appended
    assert run(fresh, f"rfsync {command} -o - | cat").splitlines()[:1] == appended.splitlines()[:1]
    assert sorted(path.name for path in Path(fresh.folder).iterdir()) == ["log", "rfsync.toml"]


def test_parquet_goes_through_the_shells_pipe(fresh: Cli) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    fresh.list(batch("b1", 5))
    fresh.run("sync", "acme/widgets")
    run(fresh, "rfsync batches --format parquet -o - | cat > batches")
    assert parquet.read_table(fresh.folder / "batches").column("images").to_pylist() == [5]
