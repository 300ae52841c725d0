"""Every canned query of deploy/datasette, asked through Datasette itself, on a file with a history known by hand."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasette.app import Datasette
from rig import Rig

from rfsync.schema import upgrade as schema
from rfsync.schema.views import VIEWS
from tests.deploy.conftest import DEPLOY
from tests.deploy.known import at, batch, write_history

METADATA: dict[str, Any] = yaml.safe_load((DEPLOY / "datasette" / "metadata.yaml").read_text())
QUERIES: dict[str, dict[str, Any]] = METADATA["databases"]["rfsync"]["queries"]
PERIOD = {"since": "2026-03-02", "until": "2026-03-09"}
GEARS, WIDGETS, ONEILL = ["acme", "gears"], ["acme", "widgets"], ["bolt", "o'neill"]
Ask = Callable[..., list[list[Any]]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "rfsync.db"
    schema.ensure_sqlite(file).close()
    write_history(f"sqlite:///{file}")
    return file


@pytest.fixture
def get(path: Path) -> Iterator[Callable[..., Any]]:
    """Gets an address of a Datasette that serves the file as the page says, while somebody else writes it."""
    served = Datasette([path], metadata=METADATA)
    with closing(sqlite3.connect(path)) as writer:
        writer.execute("SELECT count(*) FROM batches").fetchall()
        yield lambda address, **params: asyncio.run(served.client.get(address, params=params))
    for database in served.databases.values():
        database.close()
    served.executor.shutdown()


@pytest.fixture
def ask(get: Callable[..., Any]) -> Ask:
    """The rows of a canned query; a parameter that is not given is an empty field of its form."""

    def rows(name: str, **params: str) -> list[list[Any]]:
        answer = get(f"/rfsync/{name}.json", _shape="arrays", **params)
        assert answer.status_code == 200, answer.text
        found: list[list[Any]] = answer.json()["rows"]
        return found

    return rows


def test_every_query_has_a_test_a_title_and_a_description() -> None:
    text = Path(__file__).read_text()
    assert [name for name in QUERIES if f'ask("{name}"' not in text] == []
    assert all(query["title"] and query["description"] for query in QUERIES.values())
    assert METADATA["databases"]["rfsync-demo"] == METADATA["databases"]["rfsync"]


def test_the_totals_are_those_at_the_end_and_their_change_since_the_start(ask: Ask) -> None:
    assert ask("totals", since="2026-03-02 12:00", until="2026-03-09") == [
        [*GEARS, 1, 0, 50, 0, 0, 0],
        [*WIDGETS, 3, 1, 120, 10, 1, 0],
        [*ONEILL, 2, 0, 7, 0, 0, 0],
    ]
    assert ask("totals", since="2026-03-03T12:00", until="2026-03-03 15:00:00", project="widgets") == [
        [*WIDGETS, 3, 1, 120, 50, 2, 0]
    ]
    assert ask("totals", since="2026-03-02") == ask("totals", since="2026-03-02", until="now")
    assert ask("totals", until="2026-03-20")[2] == [*ONEILL, 2, 0, 7, 0, 0, 0]


def test_the_totals_of_each_day_have_no_gaps(ask: Ask) -> None:
    images = {2: 110, 3: 120, 4: 120, 5: 110, 6: 110, 7: 110, 8: 120, 9: 120}
    rows = ask("totals_by_day", **PERIOD)
    assert [(row[0], row[4]) for row in rows if row[1:3] == WIDGETS] == [
        (f"2026-03-{day:02}", total) for day, total in images.items()
    ]
    assert [row[4] for row in rows if row[1:3] == GEARS] == [50] * 8
    assert [row[3:] for row in rows if row[1:3] == ONEILL] == [[0, 0, 0], [0, 0, 0], *[[2, 7, 0]] * 6]
    assert ask("totals_by_day", since="2026-03-05", until="2026-03-05", workspace="bolt") == [
        ["2026-03-05", *ONEILL, 2, 7, 0]
    ]


def test_what_was_gained_and_lost_stands_apart_for_each_day(ask: Ask) -> None:
    assert ask("gained_and_lost_by_day", **PERIOD) == [
        ["2026-03-03", 50, 40, 1, 0, 3],
        ["2026-03-04", 0, 0, 0, 0, 2],
        ["2026-03-05", 0, 10, 0, 1, 1],
        ["2026-03-08", 10, 0, 0, 0, 1],
        ["2026-03-09", 0, 0, 0, 1, 1],
    ]
    assert ask("gained_and_lost_by_day", project="o'neill", **PERIOD) == [["2026-03-04", 0, 0, 0, 0, 2]]


def test_the_backlog_has_every_class_of_age(ask: Ask) -> None:
    assert ask("backlog_by_age", at="2026-03-09") == [
        ["under 1 day", 0, 0],
        ["1 to 7 days", 37, 2],
        ["7 to 30 days", 90, 2],
        ["30 to 90 days", 50, 1],
        ["90 days and more", 0, 0],
    ]
    assert [row[2] for row in ask("backlog_by_age", workspace="acme", at="2026-03-03 15:00")] == [1, 2, 0, 1, 0]


def test_those_that_wait_longest_come_first(ask: Ask) -> None:
    assert ask("waiting_longest") == [
        [*GEARS, "g1", "name of g1", 50, "2026-02-01 00:00:00.000000"],
        [*WIDGETS, "w3", "name of w3", 30, "2026-03-03 14:00:00.000000"],
        [*ONEILL, "o1", "name of o1", 7, "2026-03-04 00:00:00.000000"],
        [*WIDGETS, "w2", "name of w2", 10, "2026-03-08 06:00:00.000000"],
        [*WIDGETS, "w1", "name of w1", 80, "2026-03-09 18:00:00.000000"],
    ]
    assert [row[2] for row in ask("waiting_longest", workspace="bolt")] == ["o1"]


def test_those_that_moved_most_come_first(ask: Ask) -> None:
    last = "00:00.000000"
    assert ask("moved_most", **PERIOD) == [
        [*WIDGETS, "w1", "name of w1", 2, 20, 40, 1, 0, f"2026-03-03 15:{last}"],
        [*WIDGETS, "w3", "name of w3", 1, 30, 0, 0, 0, f"2026-03-03 15:{last}"],
        [*WIDGETS, "w2", "name of w2", 2, 10, 10, 0, 1, f"2026-03-08 06:{last}"],
    ]
    # From its beginning until before its end.
    hours = {"since": "2026-03-03 10:00", "until": "2026-03-03 15:00"}
    assert ask("moved_most", **hours) == [
        [*WIDGETS, "w1", "name of w1", 1, 0, 40, 1, 0, f"2026-03-03 10:{last}"],
    ]


def test_the_batches_of_a_moment_are_those_that_were_there(ask: Ask) -> None:
    assert [row[2:6] for row in ask("batches_at", at="2026-03-05 12:00", project="widgets")] == [
        ["w1", "name of w1", 80, 1],
        ["w3", "name of w3", 30, 0],
    ]
    assert [row[2] for row in ask("batches_at", at="2026-03-05 11:59:59.999", project="widgets")] == ["w1", "w3", "w2"]
    assert len(ask("batches_at")) == 6


def test_the_health_names_the_stalest_first_and_what_fails(ask: Ask) -> None:
    def at(moment: str) -> str:
        return f"2026-03-{moment}:00:00.000000"

    assert ask("health") == [
        [*ONEILL, "failed", at("04 00"), at("04 00"), 1, "auth", "HTTP 401"],
        [*WIDGETS, "changed", at("09 18"), at("09 18"), 0, None, None],
        [*GEARS, "unchanged", at("09 20"), at("09 20"), 0, None, None],
    ]


def test_the_work_of_each_labeler_and_the_jobs_that_are_open(ask: Ask) -> None:
    assert ask("work_by_labeler", **PERIOD) == [
        ["ann@example.com", 1, 40, 40, 10, 0],
        ["bob@example.com", 1, 40, 0, 0, 0],
    ]
    assert ask("work_by_labeler", since="2026-03-04") == [["bob@example.com", 1, 40, 0, 0, 0]]
    open_job = [*WIDGETS, "j2", "name of j2", "review", "bob@example.com", 40, 30, 0, 0, "2026-03-05 12:00:00.000000"]
    assert ask("open_jobs") == [open_job]
    assert ask("open_jobs", workspace="bolt") == ask("work_by_labeler", project="gears", **PERIOD) == []


def test_the_runs_are_counted_by_outcome(ask: Ask) -> None:
    assert ask("runs_by_outcome", **PERIOD) == [
        ["2026-03-03", "changed", 2],
        ["2026-03-04", "changed", 1],
        ["2026-03-05", "changed", 1],
        ["2026-03-06", "failed", 1],
        ["2026-03-08", "changed", 1],
        ["2026-03-09", "changed", 1],
        ["2026-03-09", "unchanged", 1],
    ]
    assert ask("runs_by_outcome", workspace="bolt", until="2026-03-04", since="2026-03-04") == [
        ["2026-03-04", "changed", 1]
    ]


def test_the_front_page_shows_what_is_meant_to_be_looked_at(get: Callable[..., Any]) -> None:
    content = get("/rfsync.json").json()
    shown = {table["name"] for table in content["tables"] if not table["hidden"]}
    assert shown == {
        *("projects", "batches", "batch_changes", "project_daily", "project_renames", "sync_runs"),
        *("jobs", "job_changes", "labeler_daily", "people"),
    }
    described = {*METADATA["databases"]["rfsync"]["tables"]}
    assert described >= {*shown, *VIEWS} == {*shown, *(view["name"] for view in content["views"])}
    assert {query["name"] for query in content["queries"]} == {*QUERIES}
    for name in QUERIES:
        page = get(f"/rfsync/{name}")
        assert page.status_code == 200, name
        assert QUERIES[name]["title"] in page.text.replace("&#39;", "'"), name


def test_nothing_can_be_written_through_it(get: Callable[..., Any]) -> None:
    assert get("/rfsync/people_key.json").status_code == 403
    refused = get("/rfsync.json", sql="DELETE FROM batches")
    assert refused.status_code == 400
    assert len(get("/rfsync/batches.json", _shape="array").json()) == 6


def test_the_command_of_the_page_serves_it(path: Path) -> None:
    page = (DEPLOY.parent / "docs" / "operations.md").read_text()
    command = re.search(r"^datasette (serve rfsync\.db .*)$", page, re.MULTILINE)
    assert command is not None
    words = shlex.split(command[1].replace("deploy/", f"{DEPLOY}/"))
    once = [sys.executable, "-m", "datasette", *words, "--get", "/rfsync/health.json?_shape=array"]
    done = subprocess.run(once, cwd=path.parent, capture_output=True, text=True)
    assert done.returncode == 0, done
    assert [row["project"] for row in json.loads(done.stdout)] == ["o'neill", "widgets", "gears"]


def test_what_changed_before_the_first_list_was_no_first_observation(path: Path, ask: Ask) -> None:
    rig = Rig(f"sqlite:///{path}")
    rig.workspace, rig.project, rig.now = "new", "rods", at(20)
    for images, batch_ids in ((10, ("r1",)), (12, ("r1",)), (15, ())):
        rig.listed = [batch("r1", images), batch("r2", 5)]
        rig.sync(batch_ids=batch_ids)
    rig.close()
    period = {"workspace": "new", "since": "2026-03-20", "until": "2026-03-21"}
    assert ask("totals", **period) == [["new", "rods", 2, 0, 20, 5, 0, 0]]
    assert ask("gained_and_lost_by_day", **period) == [["2026-03-20", 5, 0, 0, 0, 4]]
    assert [row[2:6] for row in ask("moved_most", **period)] == [["r1", "name of r1", 2, 5]]
