"""A database that can't be written to any more, in the middle of a sync or from its start."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from rfsync.simulator import Stall
from tests.conftest import PostgresServer
from tests.e2e.conftest import Cli, Database, Done, MakeCli, batch

_SMALL_FILES = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
os.execv(sys.argv[2], sys.argv[2:])
"""
_IN_A_SMALL_FOLDER = """
set -e
mount -t tmpfs -o size=$1 none "$2"
cp "$3" "$2/rfsync.db"
shift 3
code=0
"$@" || code=$?
cp "$SMALL"/rfsync.db* "$OUT"
exit $code
"""


@pytest.fixture
def filled(fresh: Cli) -> Cli:
    """An SQLite database with a few batches, and an API that has very many."""
    fresh.list(*(batch(f"b{number:05}", 1) for number in range(500)))
    fresh.sync()
    fresh.list(*(batch(f"b{number:05}", 2) for number in range(20_000)))
    return fresh


def only_runs_differ(before: Database | dict[str, list[tuple[object, ...]]], after: Database) -> bool:
    """Whether nothing was written but, at most, that something was tried."""
    assert isinstance(before, dict)
    now = after.dump()
    return {table for table in before if before[table] != now[table]} <= {"sync_runs"}


@pytest.mark.parametrize(("what", "mode"), [("file", 0o444), ("folder", 0o555)])
def test_a_file_or_folder_that_can_only_be_read(filled: Cli, tmp_path: Path, what: str, mode: int) -> None:
    folder = tmp_path / "read-only"
    folder.mkdir()
    path = folder / "rfsync.db"
    shutil.copy(filled.database.path, path)
    locked = path if what == "file" else folder
    before = Database(f"sqlite:///{path}").dump()
    for leftover in folder.glob("rfsync.db-*"):
        leftover.unlink()
    locked.chmod(mode)
    process = filled.fork("sync", "acme/widgets", "--database", f"sqlite:///{path}", by_the_mode=True)
    done = filled.finish(process, code=3)
    assert done.out == ""
    assert str(path) in done.err
    locked.chmod(0o755)
    assert Database(f"sqlite:///{path}").dump() == before
    assert filled.run("sync", "acme/widgets", "--database", f"sqlite:///{path}").code == 0


def test_a_disk_that_is_full_in_the_middle_of_a_commit(filled: Cli) -> None:
    """No file may grow beyond a size, which is how a quota shows itself too."""
    before = filled.database.dump()
    size = filled.database.path.stat().st_size + 200_000
    under = [sys.executable, "-c", _SMALL_FILES, str(size)]
    process = filled.start("sync", "--json", "acme/widgets", under=under)
    (project,) = filled.finish(process, code=1).json["projects"]
    assert (project["outcome"], project["error_kind"]) == ("failed", "database")
    assert only_runs_differ(before, filled.database)
    filled.verify()
    assert filled.sync()["added"] == 19_500
    filled.verify()


def _may_mount() -> bool:
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "-rm", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not _may_mount(), reason="needs unshare -rm: mounting a file system of one's own")
def test_a_file_system_that_is_full_in_the_middle_of_a_commit(filled: Cli, tmp_path: Path) -> None:
    before = filled.database.dump()
    small, out = tmp_path / "small", tmp_path / "out"
    small.mkdir()
    out.mkdir()
    size = filled.database.path.stat().st_size + 300_000
    under = ["unshare", "-rm", "sh", "-c", _IN_A_SMALL_FOLDER, "sh", str(size), str(small), str(filled.database.path)]
    url = f"sqlite:///{small / 'rfsync.db'}"
    env = {"SMALL": str(small), "OUT": str(out)}
    process = filled.start("sync", "--json", "acme/widgets", "--database", url, under=under, env=env)
    (project,) = filled.finish(process, code=1).json["projects"]
    assert (project["outcome"], project["error_kind"]) == ("failed", "database")
    assert "full" in project["error"]
    rescued = Database(f"sqlite:///{out / 'rfsync.db'}")
    assert only_runs_differ(before, rescued)
    assert filled.run("verify", "--database", rescued.url).code == 0


def test_a_server_that_crashes_between_two_transactions_and_comes_back(
    make_cli: MakeCli,
    new_postgres: Callable[[str | None], str],
    postgres_template: str,
    postgres_server: PostgresServer,
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    cli.configure(workspaces=[{"projects": ["widgets", "gears"]}])
    cli.list(batch("b1", 1))
    cli.list(batch("b1", 1), project="gears")
    cli.run("sync")
    cli.list(batch("b1", 2))
    cli.list(batch("b1", 2), project="gears")
    release = threading.Event()
    cli.simulator.faults.add("*", Stall(release), times=None)
    process = cli.fork("sync", "--json", "--log-level", "info")
    cli.await_lists(4)
    postgres_server.stop()
    release.set()
    assert process.stderr is not None
    assert any("retrying the database" in line for line in process.stderr)
    postgres_server.start()
    projects = cli.finish(process).projects
    assert {(one["outcome"], one["images_delta"]) for one in projects.values()} == {("changed", 1)}
    assert cli.database.column("SELECT DISTINCT outcome FROM sync_runs") == ["changed"]
    cli.verify()


def test_a_server_that_crashes_within_a_transaction(
    make_cli: MakeCli,
    new_postgres: Callable[[str | None], str],
    postgres_template: str,
    postgres_server: PostgresServer,
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    cli.list(batch("b1", 1))
    cli.sync()
    cli.list(batch("b1", 2))
    with contextlib.closing(psycopg.connect(cli.database.url)) as other:
        other.execute("SELECT 1 FROM projects FOR UPDATE")
        process = cli.fork("sync", "--json", "acme/widgets")
        query = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        while not cli.database.rows(query):
            pass
        postgres_server.stop()
        postgres_server.start()
        (project,) = cli.finish(process).json["projects"]
    assert (project["outcome"], project["images_delta"]) == ("changed", 1)
    cli.verify()


@pytest.mark.parametrize(("rights", "code"), [("SELECT", 1), (None, 3)], ids=["may-read", "may-nothing"])
def test_a_role_without_the_rights(
    make_cli: MakeCli,
    new_postgres: Callable[[str | None], str],
    postgres_template: str,
    rights: str | None,
    code: int,
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    cli.list(batch("b1", 1))
    cli.sync()
    cli.list(batch("b1", 2))
    before = cli.database.dump()
    role = cli.database.name
    with psycopg.connect(cli.database.url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        if rights:
            admin.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(sql.Identifier(role)))
    done = cli.run(
        *("sync", "acme/widgets", "--database", cli.database.url.replace("//postgres:", f"//{role}:")), code=code
    )
    assert "permission denied" in done.err
    assert ("database" in done.out) is bool(rights)
    assert cli.database.dump() == before
    with psycopg.connect(cli.database.url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


#: Commands that read.
READING = (["status", "--json"], ["batches", "--json"], ["totals", "--json"], ["verify", "--json"])


@contextlib.contextmanager
def only_readable(path: Path) -> Iterator[None]:
    """The file and its folder belong to somebody else."""
    path.parent.chmod(0o555)
    for one in path.parent.iterdir():
        one.chmod(0o444)
    yield
    path.parent.chmod(0o755)


def read_by_the_mode(cli: Cli, path: Path, code: int) -> list[Done]:
    started = [cli.fork(*command, "--database", f"sqlite:///{path}", by_the_mode=True) for command in READING]
    return [cli.finish(process, code) for process in started]


@pytest.fixture
def somebodys(fresh: Cli, tmp_path: Path) -> Path:
    """A database in a folder of its own."""
    fresh.list(batch("b1", 3))
    fresh.sync()
    folder = tmp_path / "somebodys"
    folder.mkdir()
    shutil.copy(fresh.database.path, folder)
    return folder / fresh.database.path.name


def test_a_file_of_somebody_else_is_read_while_it_is_in_use(fresh: Cli, somebodys: Path) -> None:
    with contextlib.closing(sqlite3.connect(somebodys)) as in_use:
        in_use.execute("UPDATE projects SET name = 'in the log'")
        in_use.commit()
        with only_readable(somebodys):
            status, batches, _, verified = read_by_the_mode(fresh, somebodys, 0)
    assert [row["images"] for row in status.json] == [3]
    assert [row["images"] for row in batches.json] == [3]
    assert verified.json["ok"]


def test_check_says_that_a_file_can_only_be_read(fresh: Cli, somebodys: Path) -> None:
    with contextlib.closing(sqlite3.connect(somebodys)) as in_use:
        in_use.execute("UPDATE projects SET name = 'in the log'")
        in_use.commit()
        with only_readable(somebodys):
            process = fresh.fork("check", "--json", "--database", f"sqlite:///{somebodys}", by_the_mode=True)
            checks = fresh.finish(process).json["checks"]
    assert "no permission to write" in next(check["found"] for check in checks if check["what"] == "database")


def test_a_file_of_somebody_else_that_is_not_in_use_is_told_with_what_is_missing(fresh: Cli, somebodys: Path) -> None:
    with only_readable(somebodys):
        for done in read_by_the_mode(fresh, somebodys, 3):
            assert done.out == ""
            assert done.err.startswith(
                f"rfsync: error: the database {somebodys} can't be read: SQLite needs fresh.db-wal"
            )
            assert done.err.count("\n") == 1
        assert [one.name for one in somebodys.parent.iterdir()] == [somebodys.name]
        somebodys.chmod(0o000)
        for done in read_by_the_mode(fresh, somebodys, 3):
            assert f"no permission to read {somebodys}" in done.err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: giving a file to somebody else")
def test_a_reader_leaves_no_log_behind_that_the_owner_could_not_write_to(fresh: Cli, somebodys: Path) -> None:
    os.chown(somebodys, 65_534, 65_534)
    somebodys.chmod(0o644)
    somebodys.parent.chmod(0o777)
    for done in read_by_the_mode(fresh, somebodys, 3):
        assert "can't be read: SQLite needs" in done.err
    assert [one.name for one in somebodys.parent.iterdir()] == [somebodys.name]


_ON_A_READ_ONLY_FILE_SYSTEM = """
set -e
mount -t tmpfs none "$1"
cp "$2" "$1/rfsync.db"
mount -o remount,ro "$1"
shift 2
exec "$@"
"""


@pytest.mark.skipif(not _may_mount(), reason="needs unshare -rm: mounting a file system of one's own")
def test_a_file_on_a_read_only_file_system_is_read(fresh: Cli, somebodys: Path, tmp_path: Path) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    under = ["unshare", "-rm", "sh", "-c", _ON_A_READ_ONLY_FILE_SYSTEM, "sh", str(mounted), str(somebodys)]
    started = [fresh.start(*c, "--database", f"sqlite:///{mounted}/rfsync.db", under=under) for c in READING]
    status, _, _, verified = [fresh.finish(process) for process in started]
    assert [row["images"] for row in status.json] == [3]
    assert verified.json["ok"]
