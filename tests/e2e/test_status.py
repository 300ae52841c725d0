"""``rfsync status`` and ``rfsync verify``: what they print, and what they exit with."""

from __future__ import annotations

import csv
import io
import json

from rfsync.simulator import Status
from tests.e2e.conftest import RFC3339, Cli, batch

FIELDS = [
    *["workspace", "project", "batches", "images", "num_jobs", "observed_at", "last_run_at", "last_outcome"],
    *["last_success_at", "consecutive_failures", "last_error_kind", "last_error"],
    *["jobs", "images_in_jobs", "annotated", "jobs_observed_at", "jobs_error_kind"],
]
TIMES = ("observed_at", "last_run_at", "last_success_at")


def prepare(cli: Cli, more: str = "") -> None:
    """Two projects: ``widgets`` is well, ``gears`` was, and has failed since."""
    cli.configure(workspaces=[{"projects": ["widgets", "gears"]}], more=more)
    cli.list(batch("b1", 1_000, 2), batch("b2", 5))
    cli.list(batch("b1", 3), project="gears")
    cli.run("sync")
    cli.simulator.faults.add("/acme/gears/batches", Status(403, body=b'{"error": "out of luck"}'))
    cli.run("sync", "acme/gears", code=1)


def test_each_project_is_told_and_what_is_too_old(cli: Cli) -> None:
    prepare(cli)
    observed = "'2020-01-02 03:04:05.000006'" if cli.database.is_sqlite else "'2020-01-02 03:04:05.000006+00'"
    cli.database.execute(f"UPDATE projects SET observed_at = {observed} WHERE project = 'gears'")
    done = cli.run("status", "--json", "--max-age", "30d", code=1)
    assert "acme/gears" in done.err
    assert "acme/widgets" not in done.err
    rows = done.json
    assert [list(row) for row in rows] == [FIELDS, FIELDS]
    gears, widgets = rows
    assert (gears["project"], widgets["project"]) == ("gears", "widgets")
    assert all(RFC3339.fullmatch(row[name]) for row in rows for name in TIMES)
    wanted = {"workspace": "acme", "batches": 2, "images": 1_005, "num_jobs": 2, "last_outcome": "changed"}
    assert {name: widgets[name] for name in wanted} == wanted
    assert (widgets["consecutive_failures"], widgets["last_error_kind"], widgets["last_error"]) == (0, None, None)
    assert (gears["consecutive_failures"], gears["last_error_kind"], gears["last_outcome"]) == (1, "auth", "failed")
    assert "out of luck" in gears["last_error"]
    assert gears["last_success_at"] < gears["last_run_at"]
    assert gears["observed_at"] == "2020-01-02T03:04:05.000006Z"


def test_jobs_are_told_once_a_list_of_them_was_asked_for(cli: Cli) -> None:
    table = {"projects": ["widgets", "gears"]}
    for project in ("widgets", "gears"):
        cli.list(batch("b1", 1), project=project)
    cli.configure(workspaces=[table], more="[jobs]\nsync = false\n")
    cli.run("sync")
    assert "ANNOTATED" not in cli.run("status").out
    cli.configure(workspaces=[table])
    # In two of the jobs, what was approved is no longer counted as annotated.
    approved = {"annotated": 100, "approved": 300}
    counts = [{"annotated": 400, "approved": 50}, approved, approved]
    cli.world.set_jobs("acme/widgets", [{"id": f"j{n}", "numImages": 500, **some} for n, some in enumerate(counts)])
    cli.simulator.faults.add("/acme/gears/jobs", Status(403))
    cli.run("sync")
    cli.simulator.faults.add("/acme/widgets/jobs", Status(500))
    cli.run("sync", code=1)
    gears, widgets = cli.run("status", "--json").json
    told = ["jobs", "images_in_jobs", "annotated", "jobs_error_kind"]
    assert [widgets[name] for name in told] == [3, 1500, 600, "server"]
    assert widgets["jobs_observed_at"] < widgets["observed_at"]
    assert [gears[name] for name in [*told, "jobs_observed_at"]] == [None, None, None, "auth", None]
    assert progress_cells(cli) == ["- (auth) -", "1,200 of 1,500 (server) 650"]
    cli.configure(workspaces=[table], more="[jobs]\nsync = false\n")
    assert progress_cells(cli) == ["- (off) -", "1,200 of 1,500 (off) 650"]


def progress_cells(cli: Cli) -> list[str]:
    """What ``status`` shows of the progress of each project."""
    header, *lines = cli.run("status").out.splitlines()[:3]
    return [" ".join(line[header.index("ANNOTATED") : header.index("OBSERVED")].split()) for line in lines]


def test_every_format(fresh: Cli) -> None:
    prepare(fresh)
    target = fresh.folder / "status.csv"
    formats = [
        ["--json"],
        ["--format", "jsonl"],
        ["--format", "csv"],
        ["--max-age", "1d"],
        ["--format", "csv", "-o", str(target)],
    ]
    # In new Pythons, which show that each format imports what it needs.
    started = [fresh.start("status", *one) for one in formats]
    done = [fresh.finish(process) for process in started]
    assert [one.err for one in done] == [""] * len(formats)
    whole, lines, table, people, file = (one.out for one in done)
    rows = json.loads(whole)
    assert [json.loads(line) for line in lines.splitlines()] == rows
    (header, *records) = csv.reader(io.StringIO(table))
    assert header == FIELDS
    assert records == [["" if row[name] is None else str(row[name]) for name in FIELDS] for row in rows]
    assert (file, target.read_text()) == ("", table)
    assert [word for word in ("acme/gears", "acme/widgets", "1,005", "out of luck") if word not in people] == []


def test_a_name_does_not_write_on_the_terminal(fresh: Cli) -> None:
    fresh.list(batch("b\x1b[31m", 1, name="\x1b]0;title\x07 \u202e"))
    done = fresh.run("sync", "acme/widgets", "--dry-run")
    assert "title" in done.out
    assert [char for char in done.out if char in "\x1b\x07\u202e"] == []


#: What somebody could do to a database, each to a project of its own; all have a batch b1 that was added with 10 images
#: and 1 job and is now at 7 and 2, and a batch b2 that was removed.
TAMPERED = {
    "batch-images": "UPDATE batches SET images = images + 1 WHERE {of} AND batch_id = 'b1'",
    "batch-jobs": "UPDATE batches SET num_jobs = 0 WHERE {of} AND batch_id = 'b1'",
    "batch-back": "UPDATE batches SET removed_at = NULL WHERE {of} AND batch_id = 'b2'",
    "batch-gone": "UPDATE batches SET removed_at = changed_at WHERE {of} AND batch_id = 'b1'",
    "total-images": "UPDATE projects SET images = images + 1 WHERE id = {id}",
    "total-jobs": "UPDATE projects SET num_jobs = num_jobs + 1 WHERE id = {id}",
    "total-batches": "UPDATE projects SET batches = batches + 1 WHERE id = {id}",
    "ledger-delta": "UPDATE batch_changes SET images_delta = images_delta - 1 WHERE {of} AND change = 'changed'",
    "ledger-images": "UPDATE batch_changes SET images = images + 1 WHERE {of} AND change = 'changed'",
    "ledger-shifted": """UPDATE batch_changes SET images = images + 1,
        images_delta = images_delta + CASE change WHEN 'added' THEN 1 ELSE 0 END WHERE {of} AND batch_id = 'b1'""",
    "ledger-missing": "DELETE FROM batch_changes WHERE {of} AND change = 'changed'",
    "ledger-no-removal": "DELETE FROM batch_changes WHERE {of} AND change = 'removed'",
    "ledger-empty": "DELETE FROM batch_changes WHERE {of}",
    "day-gained": "UPDATE project_daily SET images_gained = images_gained + 1 WHERE {of}",
    "day-balanced": """UPDATE project_daily SET images_gained = images_gained + 1, images_lost = images_lost + 1
        WHERE {of}""",
    "day-jobs": "UPDATE project_daily SET jobs_lost = jobs_lost + 1 WHERE {of}",
    "day-total": "UPDATE project_daily SET images = images + 1 WHERE {of}",
    "day-changes": "UPDATE project_daily SET changes = changes + 1 WHERE {of}",
    "day-missing": "DELETE FROM project_daily WHERE {of}",
    "day-too-many": """INSERT INTO project_daily SELECT project_id, '2020-01-01', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
        FROM project_daily WHERE {of}""",
    "run-images": "UPDATE sync_runs SET images_delta = images_delta + 1 WHERE {of} AND changed = 1",
    "run-changes": "UPDATE sync_runs SET changed = changed + 1 WHERE {of} AND changed = 1",
    "run-outcome": "UPDATE sync_runs SET outcome = 'unchanged' WHERE {of} AND changed = 1",
}


def test_the_books_are_proved(cli: Cli) -> None:
    projects = [*TAMPERED, "sound"]
    cli.configure(workspaces=[{"projects": projects}])
    for project in projects:
        cli.list(batch("b1", 10, 1), batch("b2", 20, 3), project=project)
    cli.run("sync")
    for project in projects:
        cli.list(batch("b1", 7, 2), project=project)
    cli.run("sync")
    cli.verify()
    ids = dict(cli.database.rows("SELECT project, id FROM projects"))
    statements = [sql.format(id=ids[name], of=f"project_id = {ids[name]}") for name, sql in TAMPERED.items()]
    cli.database.execute(*statements)
    started = cli.start("verify"), cli.fork("verify", "--json")
    done, printed = (cli.finish(process, code=1) for process in started)
    verdict = printed.json
    assert verdict["ok"] is False
    found = {one["project"] for one in verdict["findings"]}
    assert set(TAMPERED) - found == set()
    assert "sound" not in found
    assert [name for name in TAMPERED if f"acme/{name} " not in done.out] == []
    lines = done.out.splitlines()
    assert [one["message"] for one in verdict["findings"]] == lines[: len(verdict["findings"])]
    total = f"The books do not balance: {verdict['total']} findings in "
    assert next(line for line in lines if line.startswith("The books")).startswith(total)
    assert lines[-5] == "What to do:"
    first = verdict["findings"][0]["project"]
    assert lines[-1].endswith(f" without its history: rfsync drop acme/{first}; rfsync sync acme/{first}")
    assert done.err == ""


def test_what_is_wrong_with_the_sums_of_a_workspace_is_no_reason_to_drop_a_project(cli: Cli) -> None:
    cli.list(batch("b1", 10, 1))
    cli.sync()
    cli.database.execute("UPDATE workspace_daily SET changes = changes + 1")
    done = cli.run("verify", code=1)
    assert "\n\nWhat to do:\n- Change nothing by hand." in done.out
    assert "rfsync drop" not in done.out


NEVER = {
    **dict.fromkeys(FIELDS),
    "workspace": "acme",
    "consecutive_failures": 0,
}


def late(cli: Cli, *targets: str, code: int) -> list[str]:
    """What is said to be too old."""
    return cli.run("status", *targets, "--max-age", "30d", code=code).err.removeprefix("rfsync: ").splitlines()


def shown(cli: Cli, *targets: str) -> list[str]:
    return [row["project"] for row in cli.run("status", *targets, "--json").json]


def test_what_is_configured_is_shown_and_has_to_be_fresh(cli: Cli) -> None:
    prepare(cli)
    observed = "'2020-01-02 03:04:05.000006'" if cli.database.is_sqlite else "'2020-01-02 03:04:05.000006+00'"
    cli.database.execute(f"UPDATE projects SET observed_at = {observed} WHERE project = 'gears'")
    assert [line.partition(" last")[0] for line in late(cli, code=1)] == ["acme/gears was"]
    # One that was taken out of the configuration is still shown, and is late only by its name.
    cli.configure(workspaces=[{"projects": ["widgets"]}])
    assert late(cli, code=0) == []
    assert shown(cli) == ["gears", "widgets"]
    assert (len(late(cli, "acme/gears", code=1)), late(cli, "acme", code=0)) == (1, [])
    assert shown(cli, "acme") == ["gears", "widgets"]
    cli.configure(workspaces=[{"projects": ["*"], "exclude": ["gears"]}])
    assert late(cli, code=0) == []
    cli.configure(workspaces=[{"projects": ["widgets", "gears"], "exclude": ["ge*"]}])
    assert late(cli, code=0) == []
    cli.configure(workspaces=[{"projects": ["*"]}])
    assert len(late(cli, code=1)) == 1
    cli.configure()
    assert len(late(cli, code=1)) == 1


def test_what_is_configured_and_was_never_observed_is_shown_and_late(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.sync()
    fresh.configure(
        workspaces=[{"projects": ["typo", "widgets"]}, {"id": "other", "projects": ["*"], "exclude": ["x"]}]
    )
    fresh.run("sync", code=1)
    never, widgets = fresh.run("status", "--json").json
    assert never == {**NEVER, "project": "typo"}
    assert widgets["project"] == "widgets"
    assert "acme/typo" in fresh.run("status").out
    other = "other: none of its projects was ever observed"
    assert late(fresh, code=1) == [other, "rfsync: acme/typo was never observed"]
    assert late(fresh, "other", code=1) == [other]
    assert fresh.run("status", "other").err == f"rfsync: {other}\n"
    assert late(fresh, "acme/widgets", code=0) == []
    assert late(fresh, "acme", code=1) == late(fresh, "acme/typo", code=1) == ["acme/typo was never observed"]
    assert shown(fresh, "acme/typo", "acme/widgets", "other") == ["typo", "widgets"]
    unknown = "is neither in the database nor configured: rfsync status shows what is"
    for target, meant in (
        ("acme/widgts", "; did you mean acme/widgets?"),
        ("acmee", "; did you mean acme?"),
        ("other/things", ""),
    ):
        done = fresh.run("status", target, code=2)
        assert done.err == f"rfsync: error: {target} {unknown}{meant}\n"
    # One whose runs have failed otherwise has an entry of its own, and a workspace with such projects, too.
    fresh.world.set("other/things", [])
    fresh.simulator.faults.add("/other/things/batches", Status(403))
    fresh.run("sync", "other", code=1)
    assert late(fresh, "other", code=1) == ["other/things was never observed"]
    (things,) = fresh.run("status", "other", "--json").json
    assert [things[name] for name in ("batches", "images", "num_jobs", "last_outcome")] == [None, None, None, "failed"]
    fresh.run("sync", "other")
    assert late(fresh, "other", code=0) == []


def test_departed_and_renamed_projects_are_told_by_their_ids(fresh: Cli) -> None:
    fresh.configure(workspaces=[{"projects": ["widgets", "gears"]}])
    fresh.list(batch("b1", 1))
    fresh.list(batch("g", 1), project="gears")
    fresh.list(project="others")
    fresh.run("sync")
    fresh.world.remove("acme/gears")
    fresh.run("sync", "acme/gears")
    fresh.run("rename", "acme/widgets", "acme/sprockets")
    assert shown(fresh) == ["sprockets"]
    assert late(fresh, code=0) == []
    done = fresh.run("status", "acme/gears", "acme/widgets", "--json")
    assert [row["project"] for row in done.json] == ["sprockets"]
    assert done.err.splitlines() == [
        "rfsync: acme/widgets is now acme/sprockets: use the new id",
        "rfsync: acme/gears is no longer in its workspace: nothing of it is current",
    ]
    assert fresh.run("status", "acme/gears", "--max-age", "1d").out == ""
    fresh.run("rename", "acme", "newco")
    done = fresh.run("status", "acme", "--max-age", "1d")
    assert done.err == "rfsync: acme is now newco: use the new id\n"
    assert "newco/sprockets" in done.out


def test_nothing_yet(fresh: Cli) -> None:
    fresh.run("db", "upgrade")
    verdict, status = fresh.run_all([["verify"], ["status", "--json"]])
    assert (verdict.err, status.json) == ("", [])
    fresh.run("status", "--max-age", "1d", code=1)
