"""Every query of the Grafana dashboard, as Grafana would send it, on a real PostgreSQL with a history known by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import yaml

from tests.deploy.conftest import DEPLOY, Reader
from tests.deploy.grafana import TimeRange, expand
from tests.deploy.known import UPLOADED, at, write_history

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "rfsync.json").read_text())
PANELS: dict[str, dict[str, Any]] = {panel["title"]: panel for panel in DASHBOARD["panels"]}
SQL = {title: str(panel["targets"][0]["rawSql"]) for title, panel in PANELS.items()}
VARIABLES = {one["name"]: str(one["query"]) for one in DASHBOARD["templating"]["list"]}
ALL = {"workspace": ["acme", "bolt"], "project": ["gears", "o'neill", "widgets"]}
LONG = TimeRange(at(2, 12), at(9), interval="1d")
SHORT = TimeRange(at(3, 12), at(4, 12))
GEARS, WIDGETS, ONEILL = "acme/gears", "acme/widgets", "bolt/o'neill"
Rows = list[tuple[Any, ...]]


class Grafana:
    """Asks as Grafana would, as the role that only reads, in a session with some time zone."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def ask(self, sql: str, time: TimeRange = LONG, variables: Mapping[str, Sequence[str]] = ALL) -> Rows:
        return [tuple(map(_plain, row)) for row in self._run(sql, time, variables)]

    def columns(self, title: str) -> list[str]:
        cursor = self._run(SQL[title], LONG, ALL)
        return [column.name for column in cursor.description or ()]

    def _run(self, sql: str, time: TimeRange, variables: Mapping[str, Sequence[str]]) -> psycopg.Cursor[Any]:
        return self._connection.execute(expand(sql, variables, time).encode())


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        assert value == int(value)
        return int(value)
    return value.astimezone(UTC) if isinstance(value, datetime) else value


# In New York a day of this history has 23 hours.
@pytest.fixture(params=["UTC", "America/New_York"])
def grafana(request: pytest.FixtureRequest, reader: Reader) -> Any:
    write_history(reader.cli.database.url)
    with psycopg.connect(reader.url, autocommit=True) as connection:
        connection.execute(f"SET TIME ZONE '{request.param}'".encode())
        yield Grafana(connection)


def series(rows: Rows) -> dict[str, list[tuple[datetime, int]]]:
    """The lines of a time series, whose rows have to be in the order of time."""
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    found: dict[str, list[tuple[datetime, int]]] = {}
    for time, metric, value in rows:
        found.setdefault(metric, []).append((time, value))
    return found


def test_the_variables_offer_what_there_is(grafana: Grafana) -> None:
    assert {name: [value for (value,) in grafana.ask(sql)] for name, sql in VARIABLES.items()} == ALL
    assert grafana.ask(VARIABLES["project"], variables={"workspace": ["acme"]}) == [("gears",), ("widgets",)]


def test_the_totals_are_those_at_the_end_and_their_change_since_the_start(grafana: Grafana) -> None:
    assert grafana.ask(SQL["Totals"]) == [(177, 10, 1, 0, 6, 1)]
    assert grafana.ask(SQL["Totals"], SHORT) == [(177, 50, 2, 0, 6, 1)]
    assert grafana.ask(SQL["Totals"], TimeRange(at(20), at(21))) == [(177, 0, 0, 0, 6, 0)]
    assert grafana.ask(SQL["Projects"]) == [
        (GEARS, 50, 0, 0, 0, 1, 0),
        (WIDGETS, 120, 10, 1, 0, 3, 1),
        (ONEILL, 7, 0, 0, 0, 2, 0),
    ]


def test_a_line_has_the_total_at_its_left_edge_and_at_each_midnight(grafana: Grafana) -> None:
    times = [at(2, 12), *map(at, range(3, 10))]
    assert series(grafana.ask(SQL["Images not yet in a job"])) == {
        GEARS: [(time, 50) for time in times],
        WIDGETS: list(zip(times, [110, 110, 120, 120, 110, 110, 110, 120], strict=True)),
        ONEILL: list(zip(times, [0, 0, 7, 7, 7, 7, 7, 7], strict=True)),
    }
    assert series(grafana.ask(SQL["Jobs"])) == {
        GEARS: [(time, 0) for time in times],
        WIDGETS: list(zip(times, [1, 1, 2, 2, 1, 1, 1, 1], strict=True)),
        ONEILL: [(time, 0) for time in times],
    }


def test_a_line_over_few_days_shows_each_observation_with_a_change(grafana: Grafana) -> None:
    assert series(grafana.ask(SQL["Images not yet in a job"], SHORT)) == {
        GEARS: [(at(3, 12), 50), (at(4), 50), (at(4, 12), 50)],
        WIDGETS: [(at(3, 12), 70), (at(3, 15), 120), (at(4), 120), (at(4, 12), 120)],
        ONEILL: [(at(3, 12), 0), (at(4), 7), (at(4, 12), 7)],
    }
    assert series(grafana.ask(SQL["Jobs"], TimeRange(at(3, 9), at(3, 11))))[WIDGETS] == [
        (at(3, 9), 1),
        (at(3, 10), 2),
        (at(3, 11), 2),
    ]


def test_what_was_gained_and_lost_stands_apart_for_each_day(grafana: Grafana) -> None:
    flows = {3: (50, -40), 5: (0, -10), 8: (10, 0)}
    days = [(f"2026-03-{day:02}", *flows.get(day, (0, 0))) for day in range(2, 10)]
    assert grafana.ask(SQL["Images gained and lost per day"]) == days
    jobs = {3: (1, 0), 5: (0, -1), 9: (0, -1)}
    days = [(f"2026-03-{day:02}", *jobs.get(day, (0, 0))) for day in range(2, 10)]
    assert grafana.ask(SQL["Jobs gained and lost per day"]) == days
    assert grafana.ask(SQL["Images gained and lost per day"], SHORT) == [("2026-03-03", 50, -40), ("2026-03-04", 0, 0)]


def test_the_backlog_has_every_class_of_age(grafana: Grafana) -> None:
    assert grafana.ask(SQL["Backlog by age"]) == [
        ("under 1 day", 0, 0),
        ("1 to 7 days", 37, 2),
        ("7 to 30 days", 90, 2),
        ("30 to 90 days", 50, 1),
        ("90 days and more", 0, 0),
    ]


def test_those_that_wait_longest_come_first(grafana: Grafana) -> None:
    assert grafana.ask(SQL["Waiting longest without a job"]) == [
        (GEARS, "g1", "name of g1", 50, UPLOADED),
        (WIDGETS, "w3", "name of w3", 30, at(3, 14)),
        (ONEILL, "o1", "name of o1", 7, at(4)),
        (WIDGETS, "w2", "name of w2", 10, at(8, 6)),
        (WIDGETS, "w1", "name of w1", 80, at(9, 18)),
    ]


def test_those_that_moved_most_come_first(grafana: Grafana) -> None:
    assert grafana.ask(SQL["Batches that moved most"]) == [
        (WIDGETS, "w1", "name of w1", 2, 20, 40, 1, 0),
        (WIDGETS, "w3", "name of w3", 1, 30, 0, 0, 0),
        (WIDGETS, "w2", "name of w2", 2, 10, 10, 0, 1),
    ]


def test_the_health_names_the_stalest_first_and_what_fails(grafana: Grafana) -> None:
    assert grafana.ask(SQL["Sync health"]) == [
        (ONEILL, "failed", at(4), at(4), 1, "auth: HTTP 401"),
        (WIDGETS, "changed", at(9, 18), at(9, 18), 0, None),
        (GEARS, "unchanged", at(9, 20), at(9, 20), 0, None),
    ]


def test_the_work_on_jobs_is_told_by_day_and_labeler_with_what_is_open(grafana: Grafana) -> None:
    days = {day: counts for day, *counts in grafana.ask(SQL["Annotated, approved and rejected per day"]) if any(counts)}
    assert days == {"2026-03-03": [40, 10, 0]}
    assert grafana.ask(SQL["Labelers"]) == [("ann@example.com", 1, 40, 40, 10, 0), ("bob@example.com", 1, 40, 0, 0, 0)]
    assert grafana.ask(SQL["Labelers"], TimeRange(at(4), at(9))) == [("bob@example.com", 1, 40, 0, 0, 0)]
    assert grafana.ask(SQL["Where the images of batches are"]) == [(WIDGETS, "w1", "name of w1", 80, 40, 30, 0, 0)]
    assert grafana.ask(SQL["Open jobs"]) == [(WIDGETS, "j2", "name of j2", "bob@example.com", 40, 30, 0, at(5, 12))]


def test_the_runs_are_counted_by_outcome(grafana: Grafana) -> None:
    def day(number: int) -> int:
        return int(at(number).timestamp())

    rows = [(day(3), "changed", 2), (day(4), "changed", 1), (day(5), "changed", 1), (day(6), "failed", 1)]
    assert grafana.ask(SQL["Runs by outcome"]) == [*rows, (day(8), "changed", 1)]
    assert grafana.ask(SQL["Runs by outcome"], replace(SHORT, interval="1h")) == [
        (int(at(3, 15).timestamp()), "changed", 1),
        (day(4), "changed", 1),
    ]


def test_every_panel_keeps_to_what_is_chosen(grafana: Grafana) -> None:
    chosen = {"workspace": ["bolt"], "project": ["o'neill"]}
    for title, sql in SQL.items():
        text = repr(grafana.ask(sql, variables=chosen))
        assert "acme" not in text, title
        assert "name of w" not in text, title
    assert grafana.ask(SQL["Totals"], variables=chosen) == [(7, 0, 0, 0, 2, 0)]
    widgets = {"workspace": ["acme"], "project": ["widgets"]}
    assert grafana.ask(SQL["Images gained and lost per day"], variables=widgets)[1:4] == [
        ("2026-03-03", 50, -40),
        ("2026-03-04", 0, 0),
        ("2026-03-05", 0, -10),
    ]
    assert {row[1:] for row in grafana.ask(SQL["Images gained and lost per day"], variables=chosen)} == {(0, 0)}
    assert grafana.ask(SQL["Backlog by age"], variables=chosen)[1] == ("1 to 7 days", 7, 1)
    assert grafana.ask(SQL["Runs by outcome"], variables=chosen) == [
        (int(at(4).timestamp()), "changed", 1),
        (int(at(6).timestamp()), "failed", 1),
    ]


def test_before_there_is_any_project_no_panel_fails(reader: Reader) -> None:
    nothing: dict[str, list[str]] = {"workspace": [], "project": []}
    with psycopg.connect(reader.url, autocommit=True) as connection:
        empty = Grafana(connection)
        assert [empty.ask(sql, variables=nothing) for sql in VARIABLES.values()] == [[], []]
        for title, sql in SQL.items():
            values = [value for row in empty.ask(sql, variables=nothing) for value in row]
            assert {value for value in values if not isinstance(value, str)} <= {0, None}, title


def test_the_panels_name_the_columns_that_their_queries_have(grafana: Grafana) -> None:
    for title, panel in PANELS.items():
        columns = grafana.columns(title)
        named = {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]}
        if panel["targets"][0]["format"] == "time_series":
            # With just these three, Grafana calls each line by its metric alone.
            assert columns[:2] == ["time", "metric"], title
            assert len(columns) == 3, title
            assert title == "Runs by outcome" or named == set(), title
        else:
            assert named | ({panel["options"]["xField"]} if panel["type"] == "barchart" else set()) <= {*columns}, title


def test_the_colours_of_outcomes_are_those_of_outcomes_that_there_are(reader: Reader) -> None:
    constraint = "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'ck_sync_runs_outcome'"
    allowed = reader.cli.database.one(constraint)
    named = [one["matcher"]["options"] for one in PANELS["Runs by outcome"]["fieldConfig"]["overrides"]]
    assert len(named) == 7
    assert [word for word in named if f"'{word}'" not in allowed] == []


def test_the_dashboard_is_whole() -> None:
    tested = {panel["id"] for panel in PANELS.values()}
    assert len(tested) == len(DASHBOARD["panels"]) == 15
    assert all(len(panel["targets"]) == 1 for panel in PANELS.values())
    places = [panel["gridPos"] for panel in PANELS.values()]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        assert beside or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]


def test_the_dashboard_is_provisioned_with_the_data_source_that_it_asks() -> None:
    sources = yaml.safe_load((DEPLOY / "grafana" / "datasources.yaml").read_text())["datasources"]
    asked = {panel["datasource"]["uid"] for panel in PANELS.values()}
    asked |= {panel["targets"][0]["datasource"]["uid"] for panel in PANELS.values()}
    asked |= {one["datasource"]["uid"] for one in DASHBOARD["templating"]["list"]}
    assert asked == {"rfsync"} == {source["uid"] for source in sources if source["type"] == "postgres"}
    (provider,) = yaml.safe_load((DEPLOY / "grafana" / "dashboards.yaml").read_text())["providers"]
    mounts = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    placed = dict(mount.split(":")[:2] for mount in mounts)
    assert placed["./grafana/rfsync.json"] == f"{provider['options']['path']}/rfsync.json"
    assert placed["./grafana/dashboards.yaml"].startswith("/etc/grafana/provisioning/dashboards/")


@pytest.mark.parametrize("sql", ["SELECT '$workspace'", "SELECT ${workspace}", "SELECT $__day(now())"])
def test_what_grafana_would_not_expand_safely_is_an_error_here(sql: str) -> None:
    with pytest.raises(ValueError, match=r"as it is|unknown macro"):
        expand(sql, ALL, LONG)
