"""What a driver raises is the database's failure, of whatever type, and what our own code raises is not."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime

import psycopg
import pytest
from rig import Rig, record
from sqlalchemy import Connection, make_url, select, text, update
from sqlalchemy.exc import StatementError

from rfsync.database.engine import open_engine
from rfsync.database.url import parse_url
from rfsync.errors import DatabaseError, ErrorKind, FetchError
from rfsync.ledger.bulk import LedgerContext
from rfsync.ledger.record_types import RecordType
from rfsync.ledger.verify import verify
from rfsync.schema import upgrade as schema
from rfsync.schema.models import Project
from tests.e2e.conftest import MakeCli, make_cli, simulator, world

__all__ = ["make_cli", "simulator", "world"]


def test_a_value_that_the_driver_cannot_send(rig: Rig) -> None:
    told = pytest.raises(DatabaseError, match=r"^testing: UnicodeEncodeError: .*surrogates not allowed")
    with told, rig.database.begin("testing") as connection:
        connection.execute(text("SELECT :value"), {"value": "\udcff"})
    assert rig.sync().ok


def test_a_value_that_the_driver_cannot_read(rig: Rig) -> None:
    assert rig.sync().ok
    told = pytest.raises(DatabaseError, match=r"^testing: (NotImplementedError|ValueError): ")
    with told, rig.database.begin("testing") as connection:
        # What a database could have been told by others, in the middle of our transaction.
        connection.exec_driver_sql(
            "UPDATE projects SET observed_at = 'yesterday', written_at = 'yesterday'"
            if rig.file
            else "SET LOCAL datestyle = 'German'"
        )
        connection.execute(select(Project.observed_at)).all()
    assert rig.sync().ok


def test_what_our_own_code_raises_in_a_transaction_is_a_bug(rig: Rig) -> None:
    def raise_in_bulk(_: Connection, __: RecordType, ___: LedgerContext, changes: object) -> None:
        raise TypeError("a bug in the bulk statements")

    rig.listed = [record("a", 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rig.store._bulk, "add", raise_in_bulk)
        result = rig.sync()
    assert (result.is_bug, result.outcome) == (True, "failed")
    assert "TypeError: a bug in the bulk statements" in (result.error or "")
    with pytest.raises(StatementError, match="naive datetime"), rig.database.begin("testing") as connection:
        # SQLAlchemy says so in an error of its own; the database was never asked.
        connection.execute(update(Project).values(observed_at=datetime(2026, 1, 1)))  # noqa: DTZ001
    with pytest.raises(TypeError), rig.database.begin("testing") as connection:
        connection.execute(1 + "")  # type: ignore[operator]
    assert rig.sync().ok


@pytest.fixture
def latin1(postgres: str) -> Iterator[str]:
    """URL of a database that has no character beyond Latin-1."""
    name = f"latin1_{uuid.uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(
            f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'".encode()
        )
        yield make_url(postgres).set(database=name).render_as_string()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.mark.parametrize("batches", [1, 20])
def test_a_name_that_the_database_cannot_hold_is_told_for_that_project(latin1: str, batches: int) -> None:
    engine = open_engine(parse_url(latin1), read_only=False)
    schema.upgrade(engine, None)
    engine.dispose()
    results = []
    with closing(Rig(latin1)) as rig:
        for project, name in (("first", "naïve"), ("second", "🙂"), ("third", "plain")):
            rig.project = project
            rig.listed = [record(f"b{number}", 1, 1, name) for number in range(batches)]
            results.append(rig.sync())
        assert [result.outcome for result in results] == ["changed", "failed", "changed"]
        assert results[1].error_kind == ErrorKind.DATABASE
        assert results[1].error is not None
        assert 'has no equivalent in encoding "LATIN1"; rfsync needs a database' in results[1].error
        assert rig.rows("SELECT DISTINCT name FROM batches ORDER BY 1") == [("naïve",), ("plain",)]
        assert rig.rows("SELECT error FROM sync_runs WHERE outcome = 'failed'") == [(results[1].error,)]
    assert verify(open_engine(parse_url(latin1), read_only=True)).ok


def test_a_reason_that_the_database_cannot_hold_is_recorded_in_plain_letters(latin1: str) -> None:
    engine = open_engine(parse_url(latin1), read_only=False)
    schema.upgrade(engine, None)
    engine.dispose()
    with closing(Rig(latin1)) as rig:
        rig.listed = FetchError(ErrorKind.SERVER, "HTTP 500 (the API says: 🙂)", http_status=500, attempts=1)
        assert rig.sync().outcome == "failed"
        assert rig.rows("SELECT outcome, error FROM sync_runs") == [("failed", "HTTP 500 (the API says: \\U0001f642)")]


def test_check_warns_of_an_encoding_that_lacks_characters(make_cli: MakeCli, latin1: str) -> None:
    cli = make_cli(latin1)
    cli.run("db", "upgrade")
    (found,) = [check for check in cli.run("check", "--json").json["checks"] if check["what"] == "database"]
    assert "its encoding is LATIN1" in found["found"]
    assert "UTF8 is needed" in found["found"]
