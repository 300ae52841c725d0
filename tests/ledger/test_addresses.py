"""Addresses that were taken out: nothing of them is left, in no table, no free page and no log of the database."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rig import Rig, job, run_locks
from sqlalchemy import text

from rfsync.database import sqlite
from rfsync.database.engine import open_database
from rfsync.database.url import parse_url
from rfsync.ledger.people import People, PeopleMode, forget
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
#: So many that their rows need a few pages.
PEOPLE = [f"somebody-{number}-{'x' * (number % 40)}@example{number}.com" for number in range(600)]


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    database = open_database(parse_url(database_url))
    with closing(Store(database, run_locks(database))) as store:
        yield store


def resolve(store: Store, addresses: Iterable[str], mode: PeopleMode = "address") -> None:
    """One after the other, in this order."""
    with store._database.begin("testing") as connection:
        people = People(connection, mode)
        for address in addresses:
            people.resolve([address])


def in_files(database_url: str, addresses: Iterable[str]) -> list[str]:
    """Those that any of the files of an SQLite database has."""
    path = Path(database_url.removeprefix("sqlite:///"))
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    return [address for address in addresses if address.encode() in content]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_file_has_what_was_forgotten(store: Store, database_url: str) -> None:
    mixed = random.Random(0).sample(PEOPLE, len(PEOPLE))  # noqa: S311 the same each time
    # Rows that grow make others move, and what moves may leave a copy behind: with this order it does.
    resolve(store, PEOPLE, "pseudonym")
    resolve(store, mixed)
    gone, kept = mixed[:300], mixed[300:]
    with store._database.begin("testing") as connection:
        for address in gone:
            forget(connection, address, NOW)
    assert in_files(database_url, gone)
    assert store.addresses.erase() is None
    assert in_files(database_url, gone) == []
    assert in_files(database_url, kept) == kept
    with store._database.begin("testing") as connection:
        assert connection.execute(text("SELECT count(*), count(address) FROM people")).one() == (600, 300)
        assert People(connection, "address", dry=True).resolve(gone[:1]).popitem()[1] > 0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_reader_that_keeps_the_log_from_being_emptied_is_told(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_EMPTYING_SECONDS", 0.0)
    resolve(store, PEOPLE[:2])
    with open_database(parse_url(database_url), read_only=True).engine.connect() as reader:
        reader.execute(text("SELECT * FROM people")).all()
        assert store.addresses.forget(PEOPLE[0], NOW) is not None
        left = store.addresses.erase()
        assert left is not None
        assert "the file rfsync.db-wal may still have what was deleted, since another program is reading" in left
        assert in_files(database_url, PEOPLE[:1])
    assert store.addresses.erase() is None
    assert in_files(database_url, PEOPLE[:2]) == PEOPLE[1:2]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_servers_statistics_have_no_address_either(store: Store) -> None:
    def statistics() -> str:
        with store._database.begin("testing") as connection:
            return str(connection.execute(text("SELECT * FROM pg_stats WHERE tablename = 'people'")).all())

    resolve(store, PEOPLE[:9])
    assert store.addresses.erase() is None  # as what the server does of its own accord from time to time
    assert PEOPLE[0] in statistics()
    store.addresses.forget(PEOPLE[0], NOW)
    assert store.addresses.erase() is None
    assert PEOPLE[0] not in statistics()
    assert PEOPLE[1] in statistics()


def test_pseudonyms_take_out_all_addresses_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    resolve(store, PEOPLE[:3])
    for _ in range(2):
        store.addresses.switch("pseudonym")
    assert caplog.messages == ["the mail addresses of 3 people were taken out of the database, for [jobs] people"]
    with store._database.begin("testing") as connection:
        assert connection.execute(text("SELECT count(*), count(address) FROM people")).one() == (3, 0)
        assert connection.execute(text("SELECT mode FROM people_key")).scalar_one() == "pseudonym"


def test_the_first_sync_with_pseudonyms_takes_them_out_even_if_nothing_else_is_new(rig: Rig) -> None:
    rig.sync_jobs, rig.jobs = True, [job("j1", 5, labeler=PEOPLE[0], reviewer=PEOPLE[1], createdBy=PEOPLE[2])]
    rig.sync()
    shown = "SELECT labeler, reviewer, (SELECT created_by FROM jobs) FROM current_jobs"
    ((labeler, reviewer, creator),) = rig.rows(shown)
    assert (labeler, reviewer) == (PEOPLE[0], PEOPLE[1])
    rig.people = "pseudonym"
    rig.restart()
    assert rig.sync().outcome == "unchanged"
    ((labeler, reviewer, again),) = rig.rows(shown)
    assert sorted(map(str, (labeler, reviewer, again))) == ["person-1", "person-2", "person-3"]
    assert again == creator
    assert rig.rows("SELECT count(address) FROM people") == [(0,)]
    # Back to addresses, those who are seen again get theirs.
    rig.people, rig.jobs = "address", [job("j1", 6, labeler=PEOPLE[0].upper(), reviewer=PEOPLE[1])]
    rig.restart()
    assert rig.sync().row.jobs_changed == 1
    assert rig.rows(shown) == [(PEOPLE[0].upper(), PEOPLE[1], creator)]


def test_a_dry_run_takes_nothing_out(store: Store, database_url: str) -> None:
    resolve(store, PEOPLE[:3])
    database = open_database(parse_url(database_url))
    with closing(Store(database, run_locks(database), people="pseudonym", dry=True)) as dry:
        dry.begin_run(ProjectPath("acme", "widgets"), None, "cli", NOW)
    with store._database.begin("testing") as connection:
        assert connection.execute(text("SELECT count(address) FROM people")).scalar_one() == 3
