"""Cron's lines, of the documentation and of ``deploy/``, run as cron runs them: with its environment and its ``%``."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rfsync.simulator import Status
from tests.e2e.conftest import KEY, LONG, Cli, batch

TOP = Path(__file__).parents[2]
#: File -> fields before the command: a file of the system's has the user, too.
CRONTABS = {"README.md": 5, "docs/operations.md": 5, "deploy/cron/rfsync": 6}


def commands(name: str) -> list[str]:
    """The commands of a crontab, or of the one in a page."""
    text = (TOP / name).read_text()
    if name.endswith(".md"):
        (text,) = re.findall(r"```cron\n(.*?)```", text, re.DOTALL)
    lines = [line for line in text.splitlines() if re.match(r"[*\d]", line)]
    return [line.split(None, CRONTABS[name])[-1] for line in lines]


@pytest.fixture
def home(fresh: Cli) -> Path:
    """A home with what the README has one install."""
    fresh.list(batch("b1", 5))
    program = fresh.folder / ".venvs" / "rfsync" / "bin" / "rfsync"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m rfsync "$@"\n')
    program.chmod(0o755)
    data = fresh.folder / "rfsync-data"
    data.mkdir()
    fresh.configure(workspaces=[{"projects": ["*"], "api_key_file": "roboflow.key"}])
    text = (fresh.folder / "rfsync.toml").read_text()
    (data / "rfsync.toml").write_text(text.replace(fresh.database.url, "sqlite:///rfsync.db"))
    (data / "roboflow.key").write_text(f"{KEY}\n")
    (data / "roboflow.key").chmod(0o600)
    (fresh.folder / "rfsync.toml").unlink()
    fresh.simulator.keys = [KEY]
    fresh.database.url = f"sqlite:///{data / 'rfsync.db'}"
    return fresh.folder


def run(command: str, home: Path) -> tuple[int, str]:
    """Runs a command as cron does; gives its exit code, and what cron would mail."""
    for folder in ("/etc/rfsync", "/var/lib/rfsync"):
        command = command.replace(folder, str(home / "rfsync-data"))
    command = command.replace("/opt/rfsync", str(home / ".venvs" / "rfsync"))
    line, _, stdin = re.sub(r"(?<!\\)%", "\n", command).replace(r"\%", "%").partition("\n")
    env = {"HOME": str(home), "LOGNAME": "somebody", "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=home, env=env, input=stdin, capture_output=True, text=True, timeout=LONG
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", [name for name in CRONTABS if name != "README.md"])  # which has the same lines
def test_the_lines_of_a_crontab_work_as_they_stand_and_mail_only_what_is_wrong(
    fresh: Cli, home: Path, name: str
) -> None:
    poll, watch = commands(name)
    log = home / "rfsync-data" / "sync.log"
    assert run(poll, home) == (0, "")
    assert fresh.database.one("SELECT images FROM projects") == 5
    first = log.read_text()
    assert first.startswith(f"rfsync: made a new database, {fresh.database.path} (")
    assert len(first.splitlines()) == 1
    assert run(poll, home) == (0, "")
    assert run(watch, home) == (0, "")
    assert log.read_text() == first

    fresh.simulator.faults.add("/acme/widgets/batches", Status(401), times=None)
    fresh.database.execute("UPDATE projects SET observed_at = '2026-01-01 00:00:00.000000'")
    assert run(poll, home) == (1, "")
    assert "acme/widgets" in log.read_text().removeprefix(first)
    code, mail = run(watch, home)
    assert code == 1
    assert mail.startswith("rfsync: acme/widgets was last observed ")
    assert KEY not in log.read_text() + mail


def test_the_pages_have_the_same_lines() -> None:
    assert commands("README.md") == commands("docs/operations.md")
