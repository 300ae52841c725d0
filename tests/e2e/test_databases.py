"""Databases that are not as they should be, and the commands that make them so."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Event
from urllib.parse import quote

import psycopg
import pytest

from rfsync.simulator import Stall
from tests.e2e.conftest import LONG, Cli, Database, MakeCli, batch

#: Commands that need a database, with all that they need of the command line.
COMMANDS = (["sync", "acme/widgets"], ["sync", "acme/widgets", "--dry-run"], ["status"])


@pytest.mark.new_python
def test_a_postgres_that_nobody_answers_for(make_cli: MakeCli) -> None:
    password = "p@ss/w:rd+1"
    cli = make_cli(f"postgresql://someone:{quote(password, safe='')}@127.0.0.1:1/labels")
    for done in cli.run_all([COMMANDS[0], ["db", "upgrade", "--log-level", "debug"]], code=3):
        assert done.out == ""
        assert done.err
        for secret in (password, quote(password, safe="")):
            assert secret not in done.err
    assert cli.simulator.requests == []
    checked = cli.run("check", code=1)
    assert password not in checked.out + checked.err
    assert quote(password, safe="") not in checked.out + checked.err


def test_a_postgres_without_a_schema_is_left_alone(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str]
) -> None:
    cli = make_cli(new_postgres(None))
    for done in cli.run_all(COMMANDS, code=3):
        assert "rfsync db upgrade" in done.err
    assert cli.simulator.requests == []
    assert cli.database.rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []
    cli.run("db", "upgrade")
    before = cli.database.dump()
    cli.run("db", "upgrade")
    assert cli.database.dump() == before
    cli.list(batch("b1", 1))
    assert cli.sync()["added"] == 1
    cli.database.execute("ALTER TABLE batches DROP COLUMN uploaded_at CASCADE")
    assert "uploaded_at" in cli.run("db", "check", code=1).out


def test_a_newer_schema_is_not_touched(cli: Cli) -> None:
    cli.database.execute("UPDATE rfsync_version SET version_num = '9999'")
    before = cli.database.dump()
    for done in cli.run_all([["sync", "acme/widgets"], ["status"], ["db", "upgrade"]], code=3):
        assert done.out == ""
        assert "9999" in done.err
    assert cli.simulator.requests == []
    assert cli.database.dump() == before


def test_a_damaged_file_is_told_with_the_way_out(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.sync()
    whole = fresh.database.path.read_bytes()
    fresh.database.path.write_bytes(whole[: len(whole) // 2])
    damaged = fresh.database.path.read_bytes()
    assert "the file is damaged: restore a backup" in fresh.run("status", code=3).err
    assert fresh.database.path.read_bytes() == damaged


def test_a_file_that_is_no_database(make_cli: MakeCli, tmp_path: Path) -> None:
    path = tmp_path / "letter.db"
    content = b"this is no database, but a letter to a friend. " * 200
    path.write_bytes(content)
    cli = make_cli(f"sqlite:///{path}")
    for done in cli.run_all(COMMANDS, code=3):
        assert done.out == ""
        assert done.err
    assert cli.simulator.requests == []
    assert path.read_bytes() == content


def test_a_missing_database_is_made_only_by_what_writes(fresh: Cli, make_cli: MakeCli, tmp_path: Path) -> None:
    for done in fresh.run_all([["status"], ["db", "check"]], code=3):
        assert done.out == ""
    assert not fresh.database.path.exists()
    nowhere = make_cli(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    assert nowhere.run("sync", "acme/widgets", code=3).err
    assert not (tmp_path / "no").exists()


def test_a_line_end_behind_the_url_is_no_part_of_the_files_name(fresh: Cli) -> None:
    """As an environment file written on Windows leaves it."""
    fresh.list(batch("b1", 1))
    fresh.run("sync", "acme/widgets", env={"RFSYNC_DATABASE_URL": "sqlite:///cr.db\r"})
    assert {one.name for one in fresh.folder.glob("cr.db*")} == {"cr.db", "cr.db-runs"}
    done = fresh.run("status", "--database", "postgresql://user:hunter22@host/name?sslmod=require", code=2)
    assert "sslmod" in done.err
    assert "hunter22" not in done.err


@pytest.mark.new_python
def test_what_a_migration_makes_is_what_a_first_sync_makes(fresh: Cli, make_cli: MakeCli, tmp_path: Path) -> None:
    migrated = make_cli(f"sqlite:///{tmp_path / 'migrated.db'}")
    migrated.run("db", "upgrade")
    current, checked = migrated.run_all([["db", "current"], ["db", "check"]])
    assert "(head)" in current.out
    assert checked.err == ""
    fresh.list(batch("b1", 1))
    fresh.sync()
    schema = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY 1, 2"
    assert migrated.database.rows(schema) == fresh.database.rows(schema)
    assert migrated.sync()["added"] == 1
    migrated.balance()


def contents(database: Database) -> dict[str, str]:
    """The hash of each file of an SQLite database."""
    path = database.path
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in path.parent.glob(f"{path.name}*")}


def test_a_dry_run_makes_no_database(fresh: Cli) -> None:
    fresh.list(*(batch(f"b{number:02}", number) for number in range(23)))
    done = fresh.run("sync", "acme/widgets", "--dry-run")
    assert done.err == ""
    assert sum("added" in line and " b" in line for line in done.out.splitlines()) == 20
    assert "3 more" in done.out
    printed = fresh.run("sync", "acme/widgets", "--dry-run", "--json").json
    (project,) = printed["projects"]
    assert (project["run_id"], project["outcome"], project["added"]) == (None, "changed", 23)
    assert (project["images_delta"], printed["ok"]) == (253, True)
    fresh.world.remove("acme/widgets")
    fresh.run("sync", "acme/widgets", "--dry-run", code=1)
    assert contents(fresh.database) == {}


def test_a_dry_run_exits_as_the_sync_would(make_cli: MakeCli, tmp_path: Path) -> None:
    somebodys = tmp_path / "somebodys.db"
    Database(f"sqlite:///{somebodys}").execute("CREATE TABLE letters (id INTEGER PRIMARY KEY)")
    for path in (tmp_path / "no" / "such" / "folder.db", somebodys):
        cli = make_cli(f"sqlite:///{path}")
        cli.list(batch("b1", 1))
        codes = []
        for arguments in (["--dry-run"], []):
            process = cli.fork("sync", "acme/widgets", *arguments)
            process.communicate(timeout=LONG)
            codes.append(process.returncode)
        assert codes[0] == codes[1], path.name


def test_a_dry_run_changes_nothing(cli: Cli) -> None:
    cli.configure(removals={"confirm_limit": 2}, workspaces=[{"projects": ["widgets", "gears"]}])
    cli.list(*(batch(one, 10, 1) for one in "abcde"))
    cli.list(batch("a", 1), project="gears")
    cli.run("sync")
    before = cli.database.dump()
    files = contents(cli.database) if cli.database.is_sqlite else {}
    cli.list(*(batch(one, 9, 1) for one in "abcf"))
    cli.list(batch("a", 2), project="gears")
    done = cli.run("sync", "--dry-run")
    assert ["removed" in done.out, "added" in done.out, "more" in done.out] == [True, True, False]
    projects = cli.run("sync", "--dry-run", "--json").projects
    expected = {"outcome": "changed", "run_id": None, "added": 1, "changed": 3, "removed": 2, "images_delta": -14}
    assert {name: projects["widgets"][name] for name in expected} == expected
    assert projects["gears"]["images_delta"] == 1
    alone = cli.sync("--dry-run", "--batch", "a")
    assert (alone["outcome"], alone["run_id"], alone["images_delta"]) == ("changed", None, -1)
    # It exits as it would, and a refused one does not count as the first of two.
    cli.list(batch("a", 10, 1))
    refused = cli.sync("--dry-run", code=1)
    assert (refused["outcome"], refused["run_id"]) == ("refused", None)
    assert cli.sync("--dry-run", "--allow-removals")["removed"] == 4
    assert cli.database.dump() == before
    if cli.database.is_sqlite:
        assert contents(cli.database) == files
    assert cli.sync(code=1)["outcome"] == "refused"


def test_a_postgres_that_lives_in_tokyo_and_writes_dates_its_own_way(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres_template: str
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    cli.database.execute(f"ALTER DATABASE {cli.database.name} SET timezone = 'Asia/Tokyo'")
    latest = {"_seconds": 253_402_300_799}  # the year 9999, which is 10000 in Tokyo already
    cli.list(batch("a", 1), batch("b", 2, uploaded=latest))
    first = cli.run("sync", "--json", "acme/widgets").json
    day = cli.database.one("SELECT day FROM project_totals_daily")
    assert first["started_at"][:10] <= day <= first["finished_at"][:10]
    observed = cli.database.one("SELECT observed_at FROM projects").replace(" ", "T") + "Z"
    assert first["started_at"] <= observed <= first["finished_at"]
    cli.list(batch("a", 1))
    assert cli.sync()["removed"] == 1
    cli.list(batch("a", 1), batch("b", 3, uploaded=latest))
    assert cli.sync()["restored"] == 1
    cli.balance()
    reading = [["status"], ["batches"], ["changes"], ["totals", "--by", "day"], ["verify"]]
    before = [done.out for done in cli.run_all([[*command, "--json"] for command in reading])]
    cli.database.execute(f"ALTER DATABASE {cli.database.name} SET datestyle = 'SQL, DMY'")
    assert [done.out for done in cli.run_all([[*command, "--json"] for command in reading])] == before
    assert cli.sync()["outcome"] == "unchanged"


def test_a_postgres_that_goes_away_in_the_middle(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres: str, postgres_template: str
) -> None:
    """All connections are cut, while the answer is waited for; the run goes on with new ones."""
    cli = make_cli(new_postgres(postgres_template))
    cli.list(batch("b1", 1))
    cli.sync()
    cli.list(batch("b1", 2))
    release = Event()
    cli.simulator.faults.add("*", Stall(release))
    process = cli.fork("sync", "--json", "acme/widgets")
    cli.await_lists(2)
    with psycopg.connect(postgres, autocommit=True) as connection:
        cut = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (cli.database.name,)
        )
        assert cut.fetchall() == [(True,)]
    release.set()
    (project,) = cli.finish(process).json["projects"]
    assert (project["outcome"], project["images_delta"]) == ("changed", 1)
    assert cli.database.column("SELECT outcome FROM sync_runs ORDER BY id") == ["changed", "changed"]
    cli.balance()
