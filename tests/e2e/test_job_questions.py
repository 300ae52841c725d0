"""``rfsync jobs``, ``progress``, ``work`` and ``changes --of jobs``: what they say of annotation jobs."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from job_ledger import FLOWS, Jobs, Seen
from rig import Rig, record

from tests.e2e.conftest import Cli, batch
from tests.e2e.test_history import in_json

VIEWS = {
    "jobs": ("current_jobs", "workspace, project, job_id"),
    "progress": ("batch_progress", "workspace, project, CASE WHEN batch_id IS NULL THEN 1 ELSE 0 END, batch_id"),
    "changes": ("job_log", "observed_at, id"),
}
ASKED = {"jobs": ["jobs"], "progress": ["progress"], "changes": ["changes", "--of", "jobs"]}
WORK = ["workspace", "project", "labeler", "period", *FLOWS, "observed", "complete"]
STEERING = "\x1b[31mred@example.com"


@pytest.fixture
def known(cli: Cli) -> Cli:
    """Three days of March 2020, on the second of which nobody looked."""
    rig = Rig(cli.database.url)
    jobs = Jobs(rig)
    rig.now = datetime(2020, 3, 1, 9, tzinfo=UTC)
    rig.listed = [record("b1", 80, 1, "the first"), record("b2", 7)]
    old = Seen("b1", "ann@example.com", 20, 4, name="week 9", reviewer="bob@example.com")
    jobs.sync({"j1": old})
    rig.now = rig.now.replace(hour=15)
    jobs.sync({"j1": old._replace(annotated=20, status="complete"), "j2": Seen(None, STEERING, 5, 1, name=None)})
    rig.now = rig.now.replace(day=3)
    jobs.sync({"j2": Seen(None, None, 5, 0, name="n\u202ema")})
    rig.close()
    return cli


def test_the_commands_say_of_jobs_what_the_views_say(known: Cli) -> None:
    # Of each command one in a new Python, which shows that it imports what it needs.
    for command, (view, order) in VIEWS.items():
        rows = known.database.dicts(f"SELECT * FROM {view} ORDER BY {order}")
        assert rows
        table = known.finish(known.start(*ASKED[command], "--json")).json
        assert table == [in_json(row) for row in rows], command
        assert [list(row) for row in table] == [known.database.columns(view)] * len(rows)
    done = known.run_all([["changes", "--job", "j2", "--json"], ["changes", "--of", "jobs", "--batch", "b1", "--json"]])
    assert [[row["job_id"] for row in one.json] for one in done] == [["j2", "j2"], ["j1", "j1", "j1"]]
    then, complete = known.run_all(
        [["jobs", "--as-of", "2020-03-02", "--json"], ["jobs", "acme", "--as-of", "2020-03-02", "--status", "complete"]]
    )
    assert [(row["job_id"], row["annotated"], row["labeler"]) for row in then.json] == [
        ("j1", 20, "ann@example.com"), ("j2", 1, STEERING)
    ]  # fmt: skip
    assert [line.split()[1] for line in complete.out.splitlines()] == ["JOB", "j1"]


def test_work_fills_the_gaps_and_says_where_nobody_looked(known: Cli) -> None:
    ask = ["work", "--since", "2020-03-01", "--until", "2020-03-04"]
    each, table, own, summed = known.run_all(
        [
            [*ask, "--json"],
            [*ask, "--labelers"],
            [*ask, "--labelers", "--format", "csv"],
            [*ask, "--sum", "--by", "month"],
        ]
    )
    assert [list(row) for row in each.json] == [WORK] * 3
    assert [row["period"][:10] for row in each.json] == ["2020-03-01", "2020-03-02", "2020-03-03"]
    flows = ("jobs_opened", "images_assigned", "annotated_gained", "annotated_lost", "observed")
    told = [[row[name] for name in flows] for row in each.json]
    assert told == [[1, 5, 17, 0, True], [0, 0, 0, 0, False], [1, 5, 0, 1, True]]
    nobody, ann = ["acme/widgets", "nobody"], ["acme/widgets", "ann@example.com"]
    assert [line.split() for line in table.out.splitlines()[4:]] == [
        [*ann, "2020-03-01", "0", "0", "16", *["0"] * 5, "yes", "yes"],
        [*ann, "2020-03-02", *["-"] * 8, "no", "yes"],
        [*ann, "2020-03-03", *["0"] * 8, "yes", "yes"],
        [*nobody, "2020-03-01", *["0"] * 8, "yes", "yes"],
        [*nobody, "2020-03-02", *["-"] * 8, "no", "yes"],
        [*nobody, "2020-03-03", "1", "5", *["0"] * 6, "yes", "yes"],
    ]
    assert "\x1b" not in table.out
    header, *rows = csv.reader(io.StringIO(own.out))
    assert header == WORK
    # By their characters, the first of which is a control character here.
    assert [row[2] for row in rows] == [*[STEERING] * 3, *["ann@example.com"] * 3, *[""] * 3]
    assert [line.split() for line in summed.out.splitlines()[1:]] == [
        ["all", "2020-03", "2", "10", "17", "1", "0", "0", "0", "0", "yes", "no"]
    ]


def test_people_see_tables_of_jobs_that_nobody_can_steer(known: Cli) -> None:
    jobs, progress, changes = known.run_all([["jobs"], ["progress"], ["changes", "--job", "j2"]])
    assert [line.split("  ")[:2] for line in jobs.out.splitlines()] == [["PROJECT", ""], ["acme/widgets", "j2"]]
    assert [line.split() for line in progress.out.splitlines()[1:]] == [
        ["acme/widgets", "b1", "the", "first", "80", "0", "0", "0", "0", "80"],
        ["acme/widgets", "b2", "-", "7", "0", "0", "0", "0", "7"],
        ["acme/widgets", "-", "-", "0", "5", "0", "0", "0", "5"],
    ]
    assert [line.split()[-8:] for line in changes.out.splitlines()[1:]] == [
        ["5", "+5", "1", "+1", "0", "0", "0", "0"],
        ["5", "0", "0", "-1", "0", "0", "0", "0"],
    ]
    assert not {"\x1b", "\u202e"} & {*(jobs.out + changes.out)}


def test_where_no_jobs_are_known_a_line_says_what_it_would_take(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.configure(more="[jobs]\nsync = false\n")
    fresh.run("sync", "acme/widgets")
    off = "annotation jobs are not asked for: [jobs] sync is false"
    messages = {
        "jobs": f"there is no job: {off}", "work": f"no work was observed: {off}",
        "progress": f"nothing is known of jobs: {off}",
    }  # fmt: skip
    assert [one.err for one in fresh.run_all([[name] for name in messages])] == [
        f"rfsync: {message}\n" for message in messages.values()
    ]
    fresh.configure()
    fresh.database.execute("UPDATE projects SET jobs_error_kind = 'auth'")
    why = "the key may see no annotation jobs (auth): it takes one with the scope annotation-job:read"
    commands: dict[tuple[str, ...], str] = {
        ("jobs",): f"there is no job: {why}",
        ("jobs", "--json"): f"there is no job: {why}",
        ("jobs", "--status", "complete", "-o", "jobs.csv"): f"there is no job with the status 'complete': {why}",
        ("changes", "--of", "jobs", "--since", "1d"): f"no change was observed in that time: {why}",
        ("work",): f"no work was observed: {why}",
        ("progress",): f"nothing is known of jobs: {why}",
        ("falls",): f"nothing is known of jobs: {why}",
    }
    done = fresh.run_all(list(commands))
    assert [one.err for one, message in zip(done, commands.values(), strict=True) if message not in one.err] == []
    assert [one.out for one in done[:5]] == ["", "[]\n", "", "", ""]
    wrong = {
        ("changes", "--of", "batches", "--job", "j1"): "--job is of the ledger of jobs",
        ("changes", "--job", "j1"): "there is no job with the id 'j1'",
        ("jobs", "acme/gears"): "has no acme/gears",
        ("work", "--tz", "Mars"): "'Mars' is no time zone",
        ("jobs", "--reviewer", "person-9"): "--reviewer: the database has no person 'person-9': rfsync jobs and ",
        ("work", "--labeler", "zoe@example.com"): "the database has no person with this mail address, and stores no",
    }
    refused: Any = fresh.run_all(list(wrong), code=2)  # type: ignore[arg-type]
    assert [one.err for one, message in zip(refused, wrong.values(), strict=True) if message not in one.err] == []
    assert "zoe" not in refused[-1].err


def test_the_jobs_and_the_work_of_one_person(known: Cli) -> None:
    ann = known.database.one("SELECT id FROM people WHERE address = 'ann@example.com'")
    then = ["jobs", "--as-of", "2020-03-02", "--json"]
    asked = {
        ("--labeler", "Ann@Example.COM"): ["j1"],
        ("--labeler", f"person-{ann}"): ["j1"],
        ("--reviewer", "bob@example.com"): ["j1"],
        ("--reviewer", "nobody"): ["j2"],
        ("--reviewer", "bob@example.com", "--labeler", STEERING): [],
        ("--unchanged-for", "8h"): ["j1", "j2"],
        ("--unchanged-for", "10h"): [],
    }
    done = known.run_all([[*then, *options] for options in asked])
    assert [[row["job_id"] for row in one.json] for one in done] == list(asked.values())
    ask = ["work", "--since", "2020-03-01", "--until", "2020-03-04", "--by", "month"]
    one, summed, none = known.run_all(
        [
            [*ask, "--labeler", "ann@example.com", "--json"],
            [*ask, "--labeler", "nobody", "--sum"],
            ["work", "--since", "2020-03-02", "--labeler", "ann@example.com"],
        ]
    )
    assert [(row["labeler"], row["annotated_gained"]) for row in one.json] == [("ann@example.com", 16)]
    assert [line.split()[:5] for line in summed.out.splitlines()[1:]] == [["all", "nobody", "2020-03", "1", "5"]]
    assert (none.out, none.err) == ("", "rfsync: no work of that labeler was observed in that time\n")


def test_what_was_not_observed_yet_is_not_known(known: Cli) -> None:
    rig = Rig(known.database.url)
    rig.project, rig.listed = "gears", [record("g1", 5)]
    assert rig.sync().ok
    rig.close()
    later, batches, gears, wrong = known.run_all(
        [
            ["jobs", "acme/widgets", "--as-of", "2020-03-01T08:00"],
            ["batches", "--as-of", "2020-03-02", "--json"],
            ["batches", "acme/gears", "--as-of", "2020-03-02"],
            ["jobs", "--status", "asigned", "--json"],
        ]
    )
    assert later.err.splitlines() == [
        "rfsync: the jobs of acme/widgets at 2020-03-01 08:00:00 are not known: first job list observed at",
        "  acme/widgets: 2020-03-01 09:00:00",
        "rfsync: there was no job at 2020-03-01 08:00:00, as far as is known",
    ]
    assert batches.err.splitlines()[1:] == ["  acme/gears: 2026-01-01 00:05:00"]
    assert [row["batch_id"] for row in batches.json] == ["b1", "b2"]
    assert gears.err.endswith("\nrfsync: there was no batch at 2020-03-02 00:00:00, as far as is known\n")
    assert (wrong.out, wrong.err) == (
        "[]\n", "rfsync: there is no job with the status 'asigned': the jobs have 'assigned' (1)\n"
    )  # fmt: skip
    known.configure(more="[jobs]\nsync = false\n")
    off = "annotation jobs were last observed at 2020-03-03 15:00:00 UTC: they are not asked for, [jobs] sync is false"
    jobs, progress = known.run_all([["jobs", "acme/widgets"], ["progress"]])
    assert [jobs.err, progress.err] == [f"rfsync: {off}\n"] * 2
    assert "j2" in jobs.out


def test_why_counts_fell(known: Cli) -> None:
    rig = Rig(known.database.url)
    jobs = Jobs(rig)
    rig.now = datetime(2020, 3, 5, tzinfo=UTC)
    left = Seen(None, None, 5, 0, name="n\u202ema")
    rig.listed = [record("b1", 80, 1, "the first"), record("b2", 7)]
    jobs.sync({"j2": left})
    rig.listed = [record("b1", 50, 2, "the first")]
    jobs.sync({"j2": left, "j3": Seen("b1", None, 20)})
    rig.close()
    every, table, one, none = known.run_all(
        [
            ["falls", "--json"],
            ["falls"],
            ["falls", "--batch", "b2", "--format", "csv"],
            ["falls", "--until", "2020-03-01"],
        ]
    )
    assert [(r["batch_id"], r["images_lost"], r["into"], r["into_id"], r["images"]) for r in every.json] == [
        ("b1", 30, "job", "j3", 20), ("b1", 30, "unexplained", None, 10), ("b2", 7, "removed", None, 7)
    ]  # fmt: skip
    assert [line.split()[-4:] for line in table.out.splitlines()[1:]] == [
        ["j3", "a", "job", "20"], ["unexplained", "-", "-", "10"], ["removed", "-", "-", "7"]
    ]  # fmt: skip
    assert [row[:3] for row in csv.reader(io.StringIO(one.out))] == [
        ["workspace", "project", "batch_id"],
        ["acme", "widgets", "b2"],
    ]
    assert none.err == "rfsync: no count of a batch was seen to fall in that time\n"
