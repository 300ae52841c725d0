"""``rfsync batches``, ``changes`` and ``totals``: what they say of the past, and in which words."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rig import Rig

from tests.e2e.conftest import RFC3339, Cli, batch

FIELDS = {
    "batches": [
        *["workspace", "project", "batch_id", "name", "uploaded_at", "images", "num_jobs", "first_seen_at"],
        "changed_at",
    ],
    "changes": [
        *["workspace", "project", "batch_id", "name", "change", "observed_after", "observed_at", "images", "num_jobs"],
        *["images_delta", "num_jobs_delta", "run_id"],
    ],
    "totals": [
        *["workspace", "project", "period", "batches", "images", "num_jobs", "images_delta", "num_jobs_delta"],
        *["images_gained", "images_lost", "jobs_gained", "jobs_lost", "observed", "complete"],
    ],
}
TIMES = ("uploaded_at", "first_seen_at", "changed_at", "observed_after", "observed_at")


def syncs(cli: Cli) -> None:
    """Some life of two projects, observed by the command itself."""
    cli.configure(workspaces=[{"projects": ["widgets", "gears"]}])
    cli.list(batch("b1", 1_000, 2), batch("b2", 5), batch("b3", 7, name=None, uploaded=None))
    cli.list(batch("b1", 3), project="gears")
    cli.run("sync")
    cli.list(batch("b1", 900, 3), batch("b3", 7, name="named since", uploaded=None), batch("b4", 1))
    cli.run("sync")
    cli.list(batch("b1", 900, 3), batch("b2", 6), batch("b3", 7, name="named since", uploaded=None))
    cli.list(project="gears")
    cli.run("sync", "--allow-removals")


def in_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the database, with its times as JSON has them."""
    return {
        name: f"{value.replace(' ', 'T')}Z" if name in TIMES and value is not None else value
        for name, value in row.items()
    }


def asked(cli: Cli, view: str, order: str, where: str = "1 = 1") -> list[dict[str, Any]]:
    fields = ", ".join(FIELDS["batches" if view == "current_batches" else "changes"])
    return [in_json(row) for row in cli.database.dicts(f"SELECT {fields} FROM {view} WHERE {where} ORDER BY {order}")]


def test_the_commands_say_what_the_views_say(cli: Cli) -> None:
    syncs(cli)
    current = asked(cli, "current_batches", "workspace, project, batch_id")
    assert [row["batch_id"] for row in current] == ["b1", "b2", "b3"]
    # Of each command one in a new Python, which shows that it imports what it needs.
    assert cli.finish(cli.start("batches", "--json")).json == current
    assert cli.finish(cli.start("changes", "--json")).json == asked(cli, "change_log", "observed_at, id")
    ledger = asked(cli, "change_log", "observed_at, id")
    assert {row["change"] for row in ledger} == {"added", "changed", "removed", "restored"}
    some = {
        (): "1 = 1",
        ("acme",): "1 = 1",
        ("acme/gears",): "project = 'gears'",
        ("--batch", "b2"): "batch_id = 'b2'",
        ("acme/widgets", "--batch", "b1", "--batch", "b4"): "project = 'widgets' AND batch_id IN ('b1', 'b4')",
    }
    done = cli.run_all([["changes", "--json", *arguments] for arguments in some])
    for one, where in zip(done, some.values(), strict=True):
        assert one.json == asked(cli, "change_log", "observed_at, id", where), where
    # All observations were made today, or at midnight today and tomorrow: the last period has what there is now.
    (*_, whole) = cli.finish(cli.start("totals", "--json", "--sum")).json
    now = cli.database.dicts("SELECT sum(batches) AS b, sum(images) AS i, sum(num_jobs) AS j FROM projects")[0]
    assert (whole["batches"], whole["images"], whole["num_jobs"]) == (now["b"], now["i"], now["j"])
    each = cli.run("totals", "--json", "--by", "month").json
    for count in ("images_delta", "num_jobs_delta"):
        total = cli.database.one(f"SELECT CAST(sum({count}) AS bigint) FROM batch_changes")
        assert sum(row[count] for row in each) == total


# A past of which every instant is known


def day(number: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2020, 3, number, hour, minute, tzinfo=UTC)


def told(number: int, hour: int = 0, minute: int = 0) -> str:
    return f"2020-03-{number:02}T{hour:02}:{minute:02}:00.000000Z"


def listed(batch_id: str, images: int, jobs: int) -> dict[str, object]:
    return {"id": batch_id, "images": images, "numJobs": jobs, "name": f"name of {batch_id}"}


@pytest.fixture
def known(cli: Cli) -> Cli:
    """Two projects in March 2020, when the clocks of Berlin were set forward on the 29th at 01:00 UTC."""
    rig = Rig(cli.database.url)

    def look(project: str, at: datetime, *records: dict[str, object], allow_removals: bool = False) -> None:
        rig.project, rig.now, rig.listed = project, at - timedelta(minutes=5), list(records)
        assert rig.sync(allow_removals=allow_removals).ok

    look("widgets", day(27, 10), listed("b1", 100, 0), listed("b2", 50, 1))
    look("widgets", day(27, 22, 30), listed("b1", 80, 1), listed("b2", 60, 1))
    look("widgets", day(28, 23, 30), listed("b1", 80, 1), listed("b2", 60, 1))
    look("gears", day(29, 12), listed("g1", 7, 0))
    look("widgets", day(30, 12), listed("b1", 80, 1), listed("b2", 60, 1), listed("b3", 1, 0))
    look("widgets", day(31, 12), listed("b1", 85, 1), listed("b3", 1, 0), allow_removals=True)
    rig.close()
    return cli


def test_the_batches_stand_as_they_stood(known: Cli) -> None:
    moments = {
        "2020-03-27T09:59:59.999999Z": [],
        "2020-03-27T10:00": [("b1", 100, 0), ("b2", 50, 1)],
        "2020-03-27 23:29:59.999999+01:00": [("b1", 100, 0), ("b2", 50, 1)],
        "2020-03-27 23:30+01:00": [("b1", 80, 1), ("b2", 60, 1)],
        "2020-03-30": [("g1", 7, 0), ("b1", 80, 1), ("b2", 60, 1)],
        "2020-03-31T11:59:59": [("g1", 7, 0), ("b1", 80, 1), ("b2", 60, 1), ("b3", 1, 0)],
        "0s": [("g1", 7, 0), ("b1", 85, 1), ("b3", 1, 0)],
    }
    done = known.run_all([["batches", "--json", "--as-of", moment] for moment in moments])
    seen = [[(row["batch_id"], row["images"], row["num_jobs"]) for row in one.json] for one in done]
    assert dict(zip(moments, seen, strict=True)) == moments
    then = known.run("batches", "acme/widgets", "--as-of", "2020-03-31", "--json").json
    assert [(row["first_seen_at"], row["changed_at"]) for row in then] == [
        (told(27, 10), told(27, 22, 30)), (told(27, 10), told(27, 22, 30)), (told(30, 12), told(30, 12)),
    ]  # fmt: skip


def test_the_batches_that_nobody_has_touched(known: Cli) -> None:
    ask = ["batches", "--json", "--as-of", "2020-03-31", "--unchanged-for"]
    half_a_day, two_days, week, now = known.run_all(
        [[*ask, "12h"], [*ask, "2d"], [*ask, "7d"], ["batches", "--unchanged-for", "7d"]]
    )
    assert [row["batch_id"] for row in half_a_day.json] == ["g1", "b1", "b2", "b3"]
    assert [row["batch_id"] for row in two_days.json] == ["b1", "b2"]
    assert week.json == []
    assert [line.split()[1] for line in now.out.splitlines()] == ["BATCH", "g1", "b1", "b3"]


def test_since_is_inclusive_and_until_exclusive(known: Cli) -> None:
    times = [told(27, 10), told(27, 10), told(27, 22, 30), told(27, 22, 30), told(29, 12), told(30, 12), told(31, 12)]
    times.append(times[-1])
    spans = {
        (): times,
        ("--since", "2020-03-27T22:30"): times[2:],
        ("--since", "2020-03-27T22:30:00.000001"): times[4:],
        ("--until", "2020-03-27T22:30"): times[:2],
        ("--until", "2020-03-27T22:30:00.000001"): times[:4],
        ("--since", "2020-03-28", "--until", "2020-03-31"): times[4:6],
        ("--since", "1h"): [],
    }
    done = known.run_all([["changes", "--json", *span] for span in spans])
    assert [[row["observed_at"] for row in one.json] for one in done] == list(spans.values())
    last = done[0].json[-1]
    assert (last["change"], last["observed_after"], last["images_delta"], last["num_jobs_delta"]) == (
        *("removed", told(30, 12)),
        *(-60, -1),
    )


def numbers(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in FIELDS["totals"][3:])


def test_totals_fill_the_gaps_and_say_where_nobody_looked(known: Cli) -> None:
    rows = known.run("totals", "acme/widgets", "--until", "2020-04-01", "--json").json
    assert {(row["workspace"], row["project"]) for row in rows} == {("acme", "widgets")}
    assert {row["period"]: numbers(row) for row in rows} == {
        told(27): (2, 140, 2, 140, 2, 160, 20, 2, 0, True, False),
        told(28): (2, 140, 2, 0, 0, 0, 0, 0, 0, True, True),
        told(29): (2, 140, 2, 0, 0, 0, 0, 0, 0, False, True),
        told(30): (3, 141, 2, 1, 0, 1, 0, 0, 0, True, True),
        told(31): (2, 86, 1, -55, -1, 5, 60, 0, 1, True, True),
    }
    page = Path(__file__).parents[2] / "docs" / "history.md"
    (shown,) = re.findall(r"^\$ rfsync (totals .*)\n((?:.+\n)+?)```", page.read_text(), re.MULTILINE)
    assert known.run(*shown[0].split()).out == shown[1]


def test_totals_of_all_as_one(known: Cli) -> None:
    arguments = ["totals", "acme", "--sum", "--since", "2020-03-28", "--until", "2020-03-31T12:00", "--json"]
    rows = known.run(*arguments).json
    assert {(row["workspace"], row["project"]) for row in rows} == {("acme", None)}
    assert {row["period"]: numbers(row) for row in rows} == {
        told(28): (2, 140, 2, 0, 0, 0, 0, 0, 0, True, True),
        told(29): (3, 147, 2, 7, 0, 7, 0, 0, 0, True, True),
        told(30): (4, 148, 2, 1, 0, 1, 0, 0, 0, True, True),
        told(31): (4, 148, 2, 0, 0, 0, 0, 0, 0, False, False),
    }
    table = known.run(*arguments[:-1]).out.splitlines()
    assert table[1].split() == ["acme", "2020-03-28", "2", "140", "0", "0", "0", "2", "0", "0", "0", "yes", "yes"]
    assert table[-1].split() == ["acme", "2020-03-31", "4", "148", "-", "-", "-", "2", "-", "-", "-", "no", "no"]
    whole = known.run("totals", *arguments[2:-1]).out.splitlines()
    assert [line.split()[1:] for line in whole[1:]] == [line.split()[1:] for line in table[1:]]
    assert {line.split()[0] for line in whole[1:]} == {"all"}


def test_periods_are_those_of_the_time_zone(known: Cli) -> None:
    berlin = ["totals", "acme/widgets", "--tz", "Europe/Berlin", "--until", "2020-03-31"]
    days, hours, months, weeks = known.run_all(
        [
            [*berlin, "--json"],
            [*berlin, "--by", "hour", "--since", "2020-03-29", "--until", "2020-03-29 04:00"],
            ["totals", "--by", "month", "--since", "2020-02-15", "--until", "2020-04-02", "acme/gears"],
            ["totals", "--by", "week", "--json", "--sum", "--until", "2020-03-31"],
        ]
    )
    # The 28th at 23:30 UTC is the 29th there, and that day is over at 22:00 UTC.
    assert {row["period"]: row["observed"] for row in days.json} == {
        told(26, 23): True, told(27, 23): False, told(28, 23): True, told(29, 22): True,
    }  # fmt: skip
    labels = ["2020-03-29 00:00+01:00", "2020-03-29 01:00+01:00", "2020-03-29 03:00+02:00"]
    assert [line[14:36] for line in hours.out.splitlines()[1:]] == labels
    assert [line.split()[-2] for line in hours.out.splitlines()] == ["OBSERVED", "yes", "no", "no"]
    assert [line.split()[:4] for line in months.out.splitlines()] == [
        ["PROJECT", "MONTH", "BATCHES", "IMAGES"],
        ["acme/gears", "2020-02", "-", "-"],
        ["acme/gears", "2020-03", "1", "7"],
        ["acme/gears", "2020-04", "1", "7"],
    ]
    assert [(row["period"], row["images_delta"]) for row in weeks.json] == [(told(23), 147), (told(30), 1)]


def test_what_was_before_the_first_look_is_unknown(known: Cli) -> None:
    """The counts are, in every format; nothing that was observed was gained or lost then."""
    parquet = pytest.importorskip("pyarrow.parquet")
    ask = ["totals", "acme/gears", "--since", "2020-03-28", "--until", "2020-03-30"]
    table, rows, text, summed, _ = known.run_all(
        [ask, [*ask, "--json"], [*ask, "--format", "csv"], [*ask, "--sum", "--json"], [*ask, "-o", "days.parquet"]]
    )
    assert table.out.splitlines()[1].split()[:7] == ["acme/gears", "2020-03-28", "-", "-", "-", "-", "-"]
    unknown = (None, None, None, 0, 0, 0, 0, 0, 0, False, True)
    for found in (rows.json, summed.json):
        assert [numbers(row) for row in found] == [unknown, (1, 7, 0, 7, 0, 7, 0, 0, 0, True, True)]
    assert text.out.splitlines()[1] == f"acme,gears,{told(28)},,,,0,0,0,0,0,0,false,true"
    stored = parquet.read_table(known.folder / "days.parquet")
    assert (stored["batches"].to_pylist(), stored["images"].to_pylist()) == ([None, 1], [None, 7])
    both = known.run("totals", "acme", "--sum", "--since", "2020-03-26", "--until", "2020-03-29", "--json").json
    assert [row["images"] for row in both] == [None, 140, 140]


def test_periods_that_are_cut_are_marked(known: Cli) -> None:
    week = ["totals", "acme/widgets", "--by", "week", "--since", "2020-03-25", "--until", "2020-04-01"]
    table, rows, begun, running = known.run_all(
        [week, [*week, "--json"], ["totals", "--until", "2020-04-01", "--json"], ["totals", "--by", "month", "--json"]]
    )
    assert [line.split()[-1] for line in table.out.splitlines()] == ["COMPLETE", "no", "no"]
    assert [row["complete"] for row in rows.json] == [False, False]
    # Each project begins with its first observation, in the middle of a day; and this month is not over.
    assert {row["period"] for row in begun.json if not row["complete"]} == {told(27), told(29)}
    assert [row["complete"] for row in begun.json if row["period"] == told(29)] == [False, True]
    gears = [row["complete"] for row in running.json if row["project"] == "gears"]
    assert gears == [False, *[True] * (len(gears) - 2), False]


def test_a_day_that_the_date_line_skipped_has_no_row(known: Cli) -> None:
    apia = ["totals", "acme/widgets", "--tz", "Pacific/Apia", "--since", "2011-12-29", "--until", "2012-01-02"]
    table, rows = known.run_all([apia, [*apia, "--json"]])
    assert [line.split()[1] for line in table.out.splitlines()[1:]] == ["2011-12-29", "2011-12-31", "2012-01-01"]
    assert [row["period"][:13] for row in rows.json] == ["2011-12-29T10", "2011-12-30T10", "2011-12-31T10"]


# Formats


@pytest.mark.parametrize("command", FIELDS)
def test_every_format_says_the_same(fresh: Cli, command: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    syncs(fresh)
    forms = [["--json"], ["--format", "jsonl"], ["--format", "csv"], ["-o", "rows.csv"], ["-o", "rows.json"]]
    done = fresh.run_all([[command, *form] for form in [*forms, ["-o", "rows.jsonl"], ["-o", "rows.parquet"]]])
    assert [one.err for one in done] == [""] * 7
    assert [one.out for one in done[3:]] == [""] * 4
    whole, lines, table = (one.out for one in done[:3])
    for form, text in {"json": whole, "jsonl": lines, "csv": table}.items():
        assert (fresh.folder / f"rows.{form}").read_text() == text
    rows = json.loads(whole)
    assert rows
    assert {tuple(row) for row in rows} == {tuple(FIELDS[command])}
    assert [json.loads(line) for line in lines.splitlines()] == rows
    header, *records = csv.reader(io.StringIO(table))
    assert header == FIELDS[command]
    assert records == [[in_csv(value) for value in row.values()] for row in rows]
    stored = parquet.read_table(fresh.folder / "rows.parquet")
    assert [(field.name, str(field.type)) for field in stored.schema] == [(n, in_parquet(n)) for n in FIELDS[command]]
    assert [{name: as_told(value) for name, value in row.items()} for row in stored.to_pylist()] == rows
    assert all(RFC3339.fullmatch(row[name]) for row in rows for name in row if name in {*TIMES, "period"} and row[name])


def in_csv(value: object) -> str:
    return "" if value is None else json.dumps(value) if isinstance(value, bool) else str(value)


def in_parquet(name: str) -> str:
    if name in {*TIMES, "period"}:
        return "timestamp[us, tz=UTC]"
    if name in {"workspace", "project", "batch_id", "name", "change"}:
        return "string"
    return "bool" if name in {"observed", "complete"} else "int64"


def as_told(value: object) -> object:
    return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if isinstance(value, datetime) else value


def test_people_see_a_table(known: Cli) -> None:
    batches, changes, file = known.run_all(
        [["batches", "--as-of", "2020-03-30"], ["changes", "--batch", "b2"], ["changes", "-o", "changes.txt"]]
    )
    assert [line.split("  ")[0] for line in batches.out.splitlines()] == [
        "PROJECT",
        "acme/gears",
        *["acme/widgets"] * 2,
    ]
    assert batches.out.splitlines()[2].split("  ")[-1] == "2020-03-27 22:30:00"
    assert changes.out.splitlines() == [
        "OBSERVED             PROJECT       BATCH  NAME        CHANGE   IMAGES    ±  JOBS   ±",
        "2020-03-27 10:00:00  acme/widgets  b2     name of b2  added        50  +50     1  +1",
        "2020-03-27 22:30:00  acme/widgets  b2     name of b2  changed      60  +10     1   0",
        "2020-03-31 12:00:00  acme/widgets  b2     name of b2  removed       0  -60     0  -1",
    ]
    assert file.out == ""
    assert len((known.folder / "changes.txt").read_text().splitlines()) == 9


def test_where_there_is_nothing_a_line_says_so(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.run("sync", "acme/widgets")
    before = ["--until", "2020-01-01"]
    commands = {
        ("changes", *before): "no change was observed in that time",
        ("batches", "--unchanged-for", "5m"): "there is no batch without a change for 5m",
        ("totals", *before): "nothing was observed",
        ("changes", *before, "--json"): "",
        ("changes", *before, "-o", "empty.txt"): "no change was observed in that time",
    }
    done = fresh.run_all(list(commands))
    assert [one.err for one in done] == [f"rfsync: {line}\n" if line else "" for line in commands.values()]
    assert [one.out for one in done] == ["", "", "", "[]\n", ""]
    assert (fresh.folder / "empty.txt").read_text() == ""


def test_an_empty_database_has_nothing_to_tell(cli: Cli) -> None:
    commands = {
        "status": "no project yet; next: rfsync sync WORKSPACE/PROJECT",
        "batches": "there is no batch",
        "changes": "no change was observed",
        "totals": "nothing was observed",
    }
    done = cli.run_all([*([name] for name in commands), *([name, "--json"] for name in commands)])
    assert [one.err for one in done] == [*(f"rfsync: {line}\n" for line in commands.values()), *[""] * 4]
    assert [one.out for one in done] == [""] * 4 + ["[]\n"] * 4


def test_what_makes_no_sense_is_refused(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.run("sync", "acme/widgets")
    wrong = {
        ("batches", "acme/gears"): "has no acme/gears: rfsync status",
        ("changes", "other"): "has no other: rfsync status",
        ("totals", "a/b/c"): "neither a workspace nor workspace/project",
        ("batches", "acme", "acme"): "unexpected extra argument",
        ("batches", "--as-of", "soon"): "error: --as-of: 'soon' is not a time: write a date such as",
        ("batches", "--as-of", "9998-01-01"): "'9998-01-01' is in the future",
        ("changes", "--since", "1d", "--until", "1d"): "'1d' is not before --until '1d'",
        ("changes", "--since", "2026-01-02", "--until", "2026-01-01"): "--since: '2026-01-02' is not before",
        ("changes", "--until", "3000-02-30"): "--until: '3000-02-30' is not a time",
        ("batches", "--unchanged-for", "2026-01-01"): "--unchanged-for: '2026-01-01' is not a duration: write 90s",
        ("changes", "--batch", ""): "no batch with the id ''",
        ("changes", "--batch", b"\xff"): r"no batch with the id '\udcff'",
        ("changes", "--batch", "b1", "--batch", "b2", "--json"): "no batch with the id 'b2'",
        (
            "changes",
            "--batch",
            "name of b1",
        ): "no batch with the id 'name of b1': this is the name of b1 of acme/widgets",
        ("totals", "--tz", "Mars"): "'Mars' is no time zone: use a name like Europe/Berlin",
        ("totals", "--by", "year"): "'year' is not one of",
        ("totals", "--by", "hour", "--since", "1900-01-01"): "name a later --since",
        ("changes", "-o", "rows.xlsx"): "its ending says no format: end it with .csv, .json, .jsonl, .parquet or .txt",
        ("status", "-o", "rows"): "its ending says no format",
        ("report", "-o", "report.pdf"): "end the name with .html",
        ("changes", "-o", "nowhere/rows.csv"): "'nowhere/rows.csv' can't be written: No such file",
    }
    done = fresh.run_all(list(wrong), code=2)  # type: ignore[arg-type]
    assert [
        (one.out, message) for one, message in zip(done, wrong.values(), strict=True) if message not in one.err
    ] == []
    assert [one.out for one in done] == [""] * len(wrong)
    assert sorted(path.name for path in fresh.folder.iterdir() if path.suffix == ".csv") == []


def test_a_question_makes_no_database(fresh: Cli) -> None:
    done = fresh.run_all([[command] for command in FIELDS], code=3)
    assert [one.out for one in done if "there is no database" not in one.err] == []
    assert not fresh.database.path.exists()
