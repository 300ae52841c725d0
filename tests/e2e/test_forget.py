"""``rfsync forget``: done, told, and without a word of the address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rfsync.database.engine import open_database
from rfsync.database.url import parse_url
from rfsync.ledger.people import People
from rfsync.simulator import Body, Status
from tests.e2e.conftest import Cli, batch
from tests.e2e.daemons import LISTEN, QUICK, Start, await_runs


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


ANN, BOB = "ann.o'brien@example.com", "Bob+labels@example.org"
#: What is left of an address wherever it is written.
PARTS = ("brien", "bob+labels", "example.com", "example.org")


def told(text: str) -> list[str]:
    return [part for part in PARTS if part in text.lower()]


@pytest.mark.parametrize("mode", ["address", "pseudonym"])
def test_nothing_but_one_column_ever_has_an_address(fresh: Cli, start: Start, mode: str) -> None:
    """Neither the log of a daemon nor its endpoint, whatever the API says, nor after ``forget`` any file."""
    mine = {"labeler": ANN, "reviewer": BOB, "createdBy": BOB, "numImages": 5}
    text = json.dumps({"error": f"{ANN} may not", "hint": f"ask <{BOB}>"}).encode()
    faults = {
        "denied": Status(403, body=text),
        "broken": Status(500, body=text),
        "no-json": Body(json.dumps({"jobs": [mine]}).encode()[:-9]),
        "no-list": Body(json.dumps({"labeler": ANN, "jobs": BOB}).encode()),
        "rejected": Body(json.dumps({"jobs": [{"id": "j1", **mine, "annotated": ANN}, {"id": "j2"}]}).encode()),
    }
    fresh.configure(workspaces=[{"projects": ["widgets", *faults]}], more=f'{QUICK}{LISTEN}[jobs]\npeople = "{mode}"\n')
    for project, fault in faults.items():
        fresh.list(batch("b1", 1), project=project)
        fresh.simulator.faults.add(f"/acme/{project}/jobs", fault, times=None)
    fresh.list(batch("b1", 1))
    fresh.world.set_jobs("acme/widgets", [{"id": "j1", **mine}])
    daemon = start(fresh, level="debug")
    for project in ("widgets", *faults):
        await_runs(fresh, project, "unchanged", 1)
    said = daemon.get("/metrics")[1] + daemon.get("/healthz")[1] + daemon.get("/readyz")[1]
    daemon.stop()
    assert told(said + json.dumps(daemon.lines)) == []
    assert [line for line in daemon.lines if "(the API says: *** may not; hint: ask <***>)" in line["event"]]
    for form in ("console", "json"):
        for arguments in (["sync", "--json"], ["sync", "--dry-run"], ["check"], ["status"]):
            done = fresh.run(*arguments, "--log-format", form, "--log-level", "debug", code=arguments != ["status"])
            assert told(done.out + done.err) == []
    shown = fresh.database.rows("SELECT labeler, reviewer FROM current_jobs WHERE labeler IS NOT NULL")
    assert len(in_files(fresh)) == (len(PARTS) if mode == "address" else 0)
    for address in (ANN.upper(), BOB):
        fresh.run("forget", address)
    fresh.run("sync", code=1)
    assert in_files(fresh) == []
    if mode == "address":
        assert shown == [(ANN, BOB)]
        shown = fresh.database.rows("SELECT labeler, reviewer FROM current_jobs WHERE labeler IS NOT NULL")
    assert sorted(map(sorted, shown)) == [["person-1", "person-2"]]


def in_files(cli: Cli) -> list[str]:
    """What any file of the database has."""
    folder, name = cli.database.path.parent, cli.database.path.name
    files = [path for path in Path(folder).iterdir() if path.name.startswith(name)]
    assert files
    return told(b"\0".join(path.read_bytes() for path in files).decode("utf-8", "replace"))
