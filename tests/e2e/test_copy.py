"""``rfsync copy``: to the other kind of database, and what the other commands say until it is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rfsync.copy.rows import copied_tables
from tests.e2e.conftest import Cli, Database, MakeCli, batch, job

#: Commands that use the database, with all that they need of the command line.
COMMANDS = (
    *(["sync", "acme/widgets"], ["sync", "acme/widgets", "--dry-run"], ["daemon"], ["status"], ["batches"], ["jobs"]),
    *(
        ["changes"],
        ["totals"],
        ["work"],
        ["progress"],
        ["report", "-o", "x.html"],
        ["verify"],
        ["prune"],
        ["dashboard"],
    ),
    *(["rename", "acme/a", "acme/b"], ["forget", "a@example.com"], ["drop", "acme/widgets", "--yes"]),
    *(["db", "upgrade"], ["db", "current"], ["db", "check"], ["import", "acme/widgets", "a-2026-01-01T00:00:00Z.json"]),
)


@pytest.fixture
def new_url(cli: Cli, new_postgres: Callable[[str | None], str], tmp_path: Path) -> str:
    return new_postgres(None) if cli.database.is_sqlite else f"sqlite:///{tmp_path / 'new.db'}"


def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the tables that are copied, whatever the order of their columns is."""
    names = [table.name for table in copied_tables()]
    columns = {table: ", ".join(f'"{name}"' for name in sorted(database.columns(table))) for table in names}
    return {table: sorted(database.rows(f"SELECT {names} FROM {table}"), key=repr) for table, names in columns.items()}


@pytest.mark.new_python
def test_the_new_database_goes_on_where_the_old_one_was(cli: Cli, make_cli: MakeCli, new_url: str) -> None:
    cli.list(batch("b1", 5), batch("b2", 7))
    cli.world.set_jobs("acme/widgets", [job("j1", 3)])
    cli.sync()
    cli.list(batch("b1", 4), batch("b2", 7))
    cli.sync()
    done = cli.run("copy", "--from", cli.database.url, "--to", new_url)
    assert done.err == ""
    assert "Copied " in done.out
    assert "the books of both balance" in done.out
    assert ("writer.sql" in done.out) == cli.database.is_sqlite
    new = make_cli(new_url)
    assert contents(new.database) == contents(cli.database)
    assert new.sync()["outcome"] == "unchanged"
    new.verify()
    again = cli.run("copy", "--from", cli.database.url, "--to", new_url, code=2)
    assert "has a history of its own" in again.err


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_until_it_has_ended_every_other_command_refuses_the_target(cli: Cli, make_cli: MakeCli, new_url: str) -> None:
    cli.list(batch("b1", 5))
    cli.sync()
    cli.database.execute("UPDATE batches SET images = 6")  # so that the copy can't be proved
    refused = cli.run("copy", "--from", cli.database.url, "--to", new_url, code=1)
    assert refused.out == ""
    assert "is not proved to be equal" in refused.err
    assert "batch b1: the ledger says 5 images" in refused.err
    new = make_cli(new_url)
    new.configure(workspaces=[{"projects": ["widgets"]}])
    (new.folder / "a-2026-01-01T00:00:00Z.json").write_text('{"batches": []}')
    for command, done in zip(COMMANDS, new.run_all(COMMANDS, code=3), strict=True):
        assert "a copy into the database has not ended" in done.err, command
    assert "a copy into the database has not ended" in new.run("check", code=1).out
    cli.database.execute("UPDATE batches SET images = 5")
    done = cli.run("copy", "--from", cli.database.url, "--to", new_url, "--log-format", "json")
    assert "it begins anew" in done.err
    assert new.sync()["outcome"] == "unchanged"


def test_what_is_wrong_on_the_command_line(fresh: Cli, tmp_path: Path) -> None:
    fresh.list(batch("b1", 5))
    fresh.sync()
    file = fresh.database.url
    password = "p@ss/w:rd+1"
    nobody = f"postgresql://someone:{quote(password, safe='')}@127.0.0.1:1/labels"
    for arguments, code, said in (
        (["--from", file], 2, "Missing option '--to'"),
        (["--from", file, "--to", file], 2, "name the same database"),
        (["--from", file, "--to", f"sqlite:///{tmp_path}/../{tmp_path.name}/fresh.db"], 2, "name the same database"),
        (["--from", file, "--to", nobody, "--database", file], 2, "leave out --database"),
        (["--from", "rfsync.db", "--to", nobody], 2, "--from can't be read: write sqlite:///rfsync.db"),
        (["--from", "sqlite:///none.db", "--to", file], 3, "there is no database"),
        (["--from", file, "--to", "sqlite:////nowhere/new.db"], 3, "its folder does not exist"),
        (["--from", file, "--to", nobody], 3, "postgresql://someone:***@127.0.0.1:1/labels"),
        (["--from", nobody, "--to", file], 3, "postgresql://someone:***@127.0.0.1:1/labels"),
    ):
        done = fresh.run("copy", *arguments, code=code)
        assert said in done.err, arguments
        assert password not in done.err + done.out
        assert quote(password, safe="") not in done.err + done.out
