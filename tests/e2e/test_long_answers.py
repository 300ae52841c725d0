"""Long answers of the history, and whoever reads them: a pipe that is closed, a file, a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tty

import pytest
from rig import Rig, record

from rfsync.text import printable
from tests.e2e.conftest import COMMAND, LONG, Cli, Database, MakeCli, batch


@pytest.fixture(scope="module")
def ledger(shared_database_url: str) -> str:
    """The URL of one of 100,001 rows, more than any pipe holds; to be read only."""
    with contextlib.closing(Rig(shared_database_url)) as rig:
        rig.listed = [record("b1", 1)]
        assert rig.sync().ok
    database = Database(shared_database_url)
    # Moments of 2020, a second apart.
    series, moment = (
        ("(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i FROM n)",
         "strftime('%Y-%m-%d %H:%M:%S.000000', '2020-01-01', '+' || i || ' seconds')"),
        ("(SELECT generate_series(1, 100000) AS i)", "timestamptz '2020-01-01 00:00:00+00' + i * interval '1 second'"),
    )[not database.is_sqlite]  # fmt: skip
    columns = "run_id, project_id, batch_id, images, num_jobs, name"
    database.execute(
        f"""INSERT INTO batch_changes ({columns}, images_delta, num_jobs_delta, change, observed_at)
        SELECT {columns}, 0, 0, 'changed', {moment} FROM batch_changes CROSS JOIN {series} AS series"""
    )
    return shared_database_url


@pytest.fixture
def long(make_cli: MakeCli, ledger: str) -> Cli:
    return make_cli(ledger)


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_whoever_has_read_enough_may_go(long: Cli, form: str) -> None:
    process = long.start("changes", "--format", form)
    assert process.stdout
    assert process.stderr
    first = process.stdout.readline()
    assert first.startswith({"table": "OBSERVED", "json": "[", "jsonl": '{"workspace"', "csv": "workspace,"}[form])
    process.stdout.close()
    assert process.wait(LONG) == 0
    assert process.stderr.read() == ""


def test_a_long_answer_is_whole(long: Cli) -> None:
    rows = [json.loads(line) for line in long.run("changes", "--format", "jsonl").out.splitlines()]
    assert len(rows) == 100_001
    assert rows[0]["observed_at"] == "2020-01-01T00:00:01.000000Z"
    assert [row["observed_at"] for row in rows] == sorted(row["observed_at"] for row in rows)


def test_a_file_that_is_half_written_goes_when_the_command_is_stopped(long: Cli) -> None:
    path = long.folder / "rows.json"
    path.write_text("before")
    process = long.start("changes", "-o", "rows.json")
    while not (written := [*long.folder.glob(".rfsync-*")]) or not written[0].stat().st_size:
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert "stopped" in long.finish(process, code=130).err
    assert path.read_text() == "before"
    assert [*long.folder.glob(".rfsync-*")] == []


#: Of a batch: clears the screen, turns the direction of writing, rings the bell, and begins a line of its own.
STEERING = "a\x1b[2J\u202eb\x9b\x07\n"


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_no_name_steers_a_terminal(fresh: Cli, form: str) -> None:
    fresh.list(batch(f"b{STEERING}", 1, name=STEERING))
    fresh.run("sync", "acme/widgets")
    for command in ("batches", "changes"):
        shown = on_a_terminal(fresh, command, "--format", form)
        assert [line for line in shown.split("\n") if printable(line) != line] == [], command
        assert "[2J" in shown


def on_a_terminal(cli: Cli, *arguments: str) -> str:
    """What a command writes to a terminal, which has no colours."""
    ours, theirs = os.openpty()
    tty.setraw(theirs)  # which would make CR LF of a line's end
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=cli.folder, env={**cli.env, "NO_COLOR": "1"}, stdout=theirs, stderr=subprocess.PIPE
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # as a terminal says that nobody writes to it any more
            while some := os.read(ours, 65_536):
                shown += some
        os.close(ours)
        assert process.wait(LONG) == 0
    return shown.decode()
