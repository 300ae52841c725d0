"""``rfsync forget``: done, told, and without a word of the address."""

from __future__ import annotations

import pytest

from rfsync.database.engine import open_database
from rfsync.database.url import parse_url
from rfsync.ledger.people import People
from tests.e2e.conftest import Cli


@pytest.fixture
def known(cli: Cli) -> Cli:
    """With two people, of whom nobody has seen the second as it was stored."""
    database = open_database(parse_url(cli.database.url))
    with database.begin("testing") as connection:
        People(connection, "address").resolve(["bob@example.com"])
        People(connection, "address").resolve(["Ann@Example.com"])
    database.close()
    return cli


def people(cli: Cli) -> list[tuple[str | None, bool]]:
    return [(a, f is not None) for a, f in cli.database.rows("SELECT address, forgotten_at FROM people ORDER BY id")]


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_person_is_forgotten_in_whatever_case_the_address_is_given(known: Cli, form: str) -> None:
    for address in ("ann@example.COM", "ANN@example.com"):  # again, if what was left has to be erased
        done = known.run("forget", address, "--log-format", form, "--log-level", "debug")
        assert done.out == "forgotten: the address of person-2 is in the database no more, and will not be again\n"
        assert done.err == ""
    assert people(known) == [("bob@example.com", False), (None, True)]


@pytest.mark.parametrize("form", ["console", "json"])
def test_what_is_wrong_is_told_without_the_address(known: Cli, form: str) -> None:
    for code, arguments, said in (
        (1, ["carl@example.com"], "no person of this address is in the database, so nothing was changed"),
        (2, ["carl", "smith@example.com"], "forget takes one ADDRESS, such as: rfsync forget ann@example.com"),
        (2, [], "forget takes one ADDRESS"),
        (2, [" "], "forget takes one ADDRESS"),
        (3, ["carl@example.com", "--database", "sqlite:///not-there.db"], "there is no database"),
    ):
        done = known.run("forget", *arguments, "--log-format", form, code=code)
        assert said in done.err
        assert "carl" not in done.out + done.err
        assert "smith" not in done.out + done.err
    assert people(known) == [("bob@example.com", False), ("Ann@Example.com", False)]
