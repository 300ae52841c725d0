"""People: numbered once, known again by a digest, forgotten for good."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from rfsync.database.engine import Database, open_database
from rfsync.database.url import parse_url
from rfsync.ledger.people import People, forget, take_out_addresses

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = open_database(parse_url(database_url))
    yield database
    database.close()


def resolve(database: Database, *addresses: str, mode: str = "address", dry: bool = False) -> list[int]:
    with database.begin("testing") as connection:
        people = People(connection, mode, dry=dry)  # type: ignore[arg-type]
        first = people.resolve(addresses)
        assert people.resolve(addresses) == first
        return [first[address] for address in addresses]


def stored(database: Database) -> dict[int, str | None]:
    with database.begin("testing") as connection:
        return {row.id: row.address for row in connection.execute(text("SELECT id, address FROM people"))}


def digests(database: Database) -> set[str]:
    with database.begin("testing") as connection:
        return {digest for (digest,) in connection.execute(text("SELECT digest FROM people"))}


def test_a_person_has_one_number_however_the_address_is_written(database: Database) -> None:
    ann, bob, again, nobody = resolve(database, "Ann@example.com", "bob@example.com", " ann@EXAMPLE.com\n", " ")
    assert (again, nobody) == (ann, 0)
    assert resolve(database, "BOB@example.com", "ann@example.com") == [bob, ann]
    assert stored(database) == {ann: "Ann@example.com", bob: "bob@example.com"}


def test_a_pseudonym_has_no_address_until_addresses_are_stored_again(database: Database) -> None:
    (ann,) = resolve(database, "ann@example.com", mode="pseudonym")
    assert stored(database) == {ann: None}
    again, bob = resolve(database, "ann@example.com", "bob@example.com")
    assert again == ann
    assert resolve(database, "ann@example.com", mode="pseudonym") == [ann]
    assert stored(database) == {ann: "ann@example.com", bob: "bob@example.com"}
    with database.begin("testing") as connection:
        assert take_out_addresses(connection) == 2
        assert take_out_addresses(connection) == 0
    assert stored(database) == {ann: None, bob: None}


def test_who_is_forgotten_stays_forgotten(database: Database) -> None:
    ann, bob = resolve(database, "ann@example.com", "bob@example.com")
    with database.begin("testing") as connection:
        assert forget(connection, "ANN@example.com ", NOW) == ann
        assert forget(connection, "ann@example.com", NOW) == ann
        assert forget(connection, "carl@example.com", NOW) is None
    for mode in ("address", "pseudonym", "address"):
        assert resolve(database, "ann@example.com", "bob@example.com", mode=mode) == [ann, bob]
        assert stored(database) == {ann: None, bob: "bob@example.com"}


def test_nobody_is_there_to_be_forgotten_before_the_first_person(database: Database) -> None:
    with database.begin("testing") as connection:
        assert forget(connection, "ann@example.com", NOW) is None


def test_a_dry_run_numbers_people_and_writes_nothing(database: Database) -> None:
    assert resolve(database, "ann@example.com", "ANN@example.com", "bob@example.com", dry=True) == [-1, -1, -2]
    assert stored(database) == {}
    (bob,) = resolve(database, "bob@example.com", mode="pseudonym")
    assert resolve(database, "ann@example.com", "bob@example.com", dry=True) == [-1, bob]
    assert stored(database) == {bob: None}


def test_digests_are_those_of_a_key_of_this_database_alone(database: Database) -> None:
    resolve(database, "ann@example.com")
    before = digests(database)
    with database.begin("testing") as connection:
        ((key,),) = connection.execute(text("SELECT secret FROM people_key")).all()
        connection.execute(text("DELETE FROM people"))
        connection.execute(text("DELETE FROM people_key"))
    assert len(bytes.fromhex(key)) == 32
    resolve(database, "ann@example.com")
    assert before.isdisjoint(digests(database))


def test_two_processes_that_meet_the_same_people_number_them_alike(database: Database, database_url: str) -> None:
    addresses = [f"person-{number}@example.com" for number in range(1200)]
    other = open_database(parse_url(database_url))
    numbers: dict[str, dict[str, int]] = {}
    both = threading.Barrier(2)

    def run(name: str, database: Database, addresses: list[str]) -> None:
        both.wait()
        with database.begin("testing") as connection:
            numbers[name] = People(connection, "address").resolve(addresses)

    threads = [
        threading.Thread(target=run, args=("one", database, addresses)),
        threading.Thread(target=run, args=("other", other, addresses[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert numbers["one"] == numbers["other"]
    assert stored(database) == {number: address for address, number in numbers["one"].items()}
