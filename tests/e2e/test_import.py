"""Saved answers as history: the real command on real files, in both databases."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from rfsync.errors import ConfigError
from rfsync.records import Kind
from rfsync.sync.saved_answers import find_answers
from tests.e2e.conftest import LONG, Cli, batch

NOW = datetime(2026, 6, 1, tzinfo=UTC)

LEDGER = """SELECT batch_id, change, observed_after, observed_at, images_delta, num_jobs_delta
    FROM change_log ORDER BY id"""
RUNS = "SELECT outcome, trigger, started_at, finished_at, attempts, http_status FROM sync_runs ORDER BY id"


def save(cli: Cli, name: str, *records: object, kind: str = "batches") -> Path:
    """What ``curl -o`` leaves of a list."""
    path = cli.folder / "saved" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({kind: [*records]}))
    return path


def at(day: int, hour: int = 0) -> str:
    return f"2026-01-{day:02d} {hour:02d}:00:00.000000"


def archive(cli: Cli) -> None:
    """Four answers: two batches, the same again, one smaller and one gone, and it is back."""
    save(cli, "batches-2026-01-03T00:00:00Z.json", batch("a", 3, 1))
    save(cli, "batches-20260101T000000Z.json", batch("a", 5), batch("b", 7))
    save(cli, "2026-01-02_00-00-00.json", batch("a", 5), batch("b", 7))
    save(cli, "1767484800.json", batch("a", 3, 1), batch("b", 6))  # 4 January


EXPECTED = [
    ("a", "added", None, at(1), 5, 0),
    ("b", "added", None, at(1), 7, 0),
    ("a", "changed", at(2), at(3), -2, 1),
    ("b", "removed", at(2), at(3), -7, 0),
    ("b", "restored", at(3), at(4), 6, 0),
]


def test_a_folder_becomes_the_history_that_it_tells(cli: Cli) -> None:
    archive(cli)
    done = cli.run("import", "acme/widgets", "saved")
    assert [line.split()[3] for line in done.out.splitlines()[1:]] == ["changed", "unchanged", "changed", "changed"]
    assert sorted(cli.database.rows(LEDGER)) == sorted(EXPECTED)
    assert cli.database.rows(RUNS) == [
        (outcome, "cli", at(day), at(day), 0, None)
        for day, outcome in ((1, "changed"), (2, "unchanged"), (3, "changed"), (4, "changed"))
    ]
    cli.verify()
    assert cli.simulator.requests == []
    then = cli.run("batches", "acme/widgets", "--as-of", "2026-01-03", "--json").json
    assert [(row["batch_id"], row["images"], row["num_jobs"]) for row in then] == [("a", 3, 1)]
    days = cli.run("totals", "acme/widgets", "--until", "2026-01-06", "--json").json
    assert [(day["images"], day["observed"]) for day in days] == [
        (12, True), (12, True), (3, True), (9, True), (9, False)
    ]  # fmt: skip


def test_it_is_safe_to_repeat(cli: Cli) -> None:
    archive(cli)
    cli.finish(cli.start("import", "acme/widgets", "saved"))
    before = cli.database.dump()
    done = cli.run("import", "acme/widgets", "saved")
    assert [line.split()[3] for line in done.out.splitlines()[1:]] == ["known"] * 4
    assert cli.database.dump() == before
    # The run that found nothing new is deleted, and is known all the same.
    cli.finish(cli.start("prune"))
    assert cli.database.rows(RUNS) != before["sync_runs"]
    assert len(cli.database.rows(RUNS)) == 3
    cli.run("import", "acme/widgets", "saved")
    save(cli, "2026-01-05.json", batch("a", 3, 1), batch("b", 1))
    done = cli.run("import", "acme/widgets", "saved")
    assert [line.split()[3] for line in done.out.splitlines()[1:]] == [*["known"] * 4, "changed"]
    cli.verify()


def test_what_is_older_than_the_last_observation_is_refused_and_the_rest_taken(cli: Cli) -> None:
    save(cli, "2026-01-03.json", batch("a", 3))
    cli.run("import", "acme/widgets", "saved")
    before = cli.database.rows(LEDGER)
    save(cli, "2026-01-02.json", batch("a", 9))
    save(cli, "2026-01-04.json", batch("a", 4))
    done = cli.run("import", "acme/widgets", "saved", code=1)
    assert "1 of 3 files refused" in done.err
    assert "2026-01-02.json" in done.err
    assert cli.database.rows(LEDGER) == [*before, ("a", "changed", at(3), at(4), 1, 0)]
    # Another answer of a moment that is known is none that can be passed over.
    save(cli, "2026-01-03.json", batch("a", 30))
    assert "2 of 3 files refused" in cli.run("import", "acme/widgets", "saved", code=1).err
    cli.verify()


def test_after_a_sync_the_past_stays_as_it_is(cli: Cli) -> None:
    cli.list(batch("a", 5))
    cli.sync()
    before = cli.database.dump()
    archive(cli)
    assert "4 of 4 files refused" in cli.run("import", "acme/widgets", "saved", code=1).err
    assert cli.database.dump() == before
    # Another project of the same workspace has no past yet.
    cli.run("import", "acme/gears", "saved")
    cli.verify()


def test_a_sync_goes_on_from_what_was_imported(cli: Cli) -> None:
    archive(cli)
    cli.run("import", "acme/widgets", "saved")
    cli.list(batch("a", 3, 1), batch("b", 2, 1))
    assert (cli.sync()["changed"], cli.sync()["outcome"]) == (1, "unchanged")
    ((after, delta),) = cli.database.rows(
        "SELECT observed_after, images_delta FROM change_log WHERE batch_id = 'b' AND change = 'changed'"
    )
    assert (after, delta) == (at(4), -4)
    cli.verify()


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("answer 2026-01-31 18:30:15.25.json", "2026-01-31 18:30:15.250000"),
        ("2026-01-31T18:30:15+02:00", "2026-01-31 16:30:15.000000"),
        ("2026-01-31T18:30:15-05:00", "2026-01-31 23:30:15.000000"),
        ("acme_widgets_20260131_183015.json", "2026-01-31 18:30:15.000000"),
        ("batches-2026-01-31-0001.json", "2026-01-31 00:01:00.000000"),
        ("2026-01-31T18-30.json", "2026-01-31 18:30:00.000000"),
        ("20260131.json", "2026-01-31 00:00:00.000000"),
        ("1769884215.json", "2026-01-31 18:30:15.000000"),
        ("answer-(2026-01-31_18h30m15s).json", "2026-01-31 18:30:15.000000"),
        ("12345678.2026-01-31.json", "2026-01-31 00:00:00.000000"),
        ("2026-01-31T18.json", "2026-01-31 18:00:00.000000"),
        ("20260131183015.json", "2026-01-31 18:30:15.000000"),
        ("202601311830.json", "2026-01-31 18:30:00.000000"),
        ("2026-01-31T18:30:15+02.json", "2026-01-31 16:30:15.000000"),
        ("1769884215250.json", "2026-01-31 18:30:15.250000"),
    ],
)
def test_the_time_is_in_the_name(fresh: Cli, name: str, moment: str) -> None:
    path = save(fresh, name, batch("a", 5))
    done = fresh.run("import", "acme/widgets", str(path), "--mtime")
    assert fresh.database.one("SELECT observed_at FROM change_log") == moment
    assert f"{moment[:19]} by name: batch list {path}" in done.err


#: Digits that no separators stand around, or that are no time.
NO_TIMES = [
    "answer.json", "9fc1684123456adbe.json", "1684123456adbe.json", "9fc1684123456.json", "a20260131.json",
    "20260131b.json", "20260131_183015b.json", "2026-01-31T18h.json", "x2026-01-31.json", "2026-01-31x.json",
    "202601311.json", "16841234567.json", "12345678.json", "20261301.json", "é20260131.json", "２０２６-01-31a.json",
    "da39a3ee5e6b4b0d3255bfef95601890afd80709.json", "5e6b4b0d-3255-bfef-9560-18901684123456.json",
]  # fmt: skip


@pytest.mark.parametrize("name", NO_TIMES)
def test_digits_that_are_no_time_are_taken_for_none(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('{"batches": []}')
    with pytest.raises(ConfigError, match="no time in the name") as caught:
        find_answers([path], None, NOW)
    assert caught.value.details == (str(path),)
    os.utime(path, (1_769_000_000.5, 1_769_000_000.5))
    (moment,) = find_answers([path], None, NOW, by_mtime=True)
    found = moment.answers[Kind.BATCH]
    assert (found.source, found.at) == ("mtime", datetime.fromtimestamp(1_769_000_000.5, UTC))


def test_without_a_time_nothing_is_imported_but_by_the_options_that_are_named(fresh: Cli) -> None:
    for number in range(30):
        save(fresh, f"answer{number:02d}.json", batch("a", number))
    save(fresh, "2026-01-31.json", batch("a", 5))
    done = fresh.run("import", "acme/widgets", "saved", code=2)
    first, *lines = done.err.splitlines()
    for part in ("no time", "2026-01-31T18:00:00Z.json", "--at TIME", "--mtime"):
        assert part in first
    assert lines == [*(f"  saved/answer{number:02d}.json" for number in range(20)), "  … and 10 more"]
    assert not fresh.database.path.exists()
    for number in range(30):
        os.utime(fresh.folder / "saved" / f"answer{number:02d}.json", (1_769_000_000 + number,) * 2)
    done = fresh.run("import", "acme/widgets", "saved", "--mtime")
    first, *lines, last, made = done.err.splitlines()
    assert (first, len(lines), last) == (
        "rfsync: 31 answers to import, with their times in UTC:",
        20,
        "  … and 11 more",
    )
    assert made.startswith(f"rfsync: made a new database, {fresh.database.path} (")
    assert lines[0] == "  2026-01-21 12:53:20 by mtime: batch list saved/answer00.json"
    assert {line.split()[2] for line in done.out.splitlines()[1:]} == {"mtime", "name"}
    assert "together" in fresh.run("import", "acme/widgets", "saved", "--mtime", "--at", "2026-01-01", code=2).err


def test_a_dry_run_says_what_it_takes_from_where_and_writes_nothing(fresh: Cli) -> None:
    archive(fresh)
    done = fresh.run("import", "acme/widgets", "saved", "--dry-run")
    assert done.out.splitlines() == [
        "rfsync: 4 answers would be imported into acme/widgets, with these times in UTC:",
        "  2026-01-01 00:00:00 by name: batch list saved/batches-20260101T000000Z.json",
        "  2026-01-02 00:00:00 by name: batch list saved/2026-01-02_00-00-00.json",
        "  2026-01-03 00:00:00 by name: batch list saved/batches-2026-01-03T00:00:00Z.json",
        "  2026-01-04 00:00:00 by name: batch list saved/1767484800.json",
    ]
    assert done.err == ""
    assert not fresh.database.path.exists()
    save(fresh, "2026-01-05.json").write_text("[")
    fresh.run("import", "acme/widgets", "saved", "--dry-run", code=1)


def test_a_dry_run_says_what_would_not_be_imported(cli: Cli) -> None:
    archive(cli)
    cli.run("import", "acme/widgets", "saved")
    save(cli, "2026-01-02T12:00:00Z.json", batch("a", 9))
    save(cli, "2026-01-05.json", batch("a", 9), batch("b", 6))
    before = cli.database.dump()
    first, *lines = cli.run("import", "acme/widgets", "saved", "--dry-run", code=1).out.splitlines()
    assert first == "rfsync: 1 answer would be imported into acme/widgets, with these times in UTC:"
    known = "(known: would be skipped)"
    assert [line.partition(".json ")[2] for line in lines] == [
        known, known, "(older than the project's last observation: would be refused)", known, known, ""
    ]  # fmt: skip
    assert cli.database.dump() == before
    (cli.folder / "saved" / "2026-01-02T12:00:00Z.json").unlink()
    cli.run("import", "acme/widgets", "saved", "--dry-run")


def test_no_time_is_guessed_from_a_date_in_another_order(fresh: Cli) -> None:
    names = [
        "w_15-11-2025.json",
        "w_11-15-2025.json",
        "w_03-04-2026.json",
        "w_15.11.2025_18-30.json",
        "15 Nov 2025.json",
    ]
    for name in names:
        path = save(fresh, name, batch("a", 5))
        for arguments in ([], ["--dry-run"]):
            done = fresh.run("import", "acme/widgets", str(path), *arguments, code=2)
            assert "no time in the name of these files (a date begins with its year): put it there" in done.err
    assert not fresh.database.path.exists()
    done = fresh.run("import", "acme/widgets", str(path), "--at", "2025-11-15T18:30:00Z", "--dry-run")
    assert f"  2025-11-15 18:30:00 by --at: batch list {path}\n" in done.out
    os.utime(path, (1_769_000_000,) * 2)
    done = fresh.run("import", "acme/widgets", str(path), "--mtime", "--dry-run")
    assert f"  2026-01-21 12:53:20 by mtime: batch list {path}\n" in done.out
    assert not fresh.database.path.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[]", 'an empty list may be one of batches or of jobs: write {"batches": []} or {"jobs": []}'),
        (b"\xef\xbb\xbf [\r\n]\n", "an empty list may be one of batches or of jobs"),
        (json.dumps({"batches": []}).encode("utf-16"), "it is UTF-16: save it as UTF-8"),
        (json.dumps({"batches": []}).encode("utf-16-le"), "it is UTF-16: save it as UTF-8"),
    ],
    ids=["empty-list", "empty-list-of-windows", "utf-16", "utf-16-without-mark"],
)
def test_an_answer_that_can_not_be_told_is_refused(fresh: Cli, content: bytes, reason: str) -> None:
    save(fresh, "2026-01-01.json").write_bytes(content)
    done = fresh.run("import", "acme/widgets", "saved", code=1)
    assert f"  saved/2026-01-01.json: {reason}" in done.err
    assert not fresh.database.path.exists()


def test_an_answer_may_begin_with_a_byte_order_mark(fresh: Cli) -> None:
    save(fresh, "2026-01-01.json").write_text(json.dumps([batch("a", 5)]), encoding="utf-8-sig")
    save(fresh, "2026-01-02.json").write_text(json.dumps({"batches": []}), encoding="utf-8-sig")
    fresh.run("import", "acme/widgets", "saved", "--allow-removals")
    assert fresh.database.column("SELECT images_delta FROM change_log ORDER BY id") == [5, -5]


def test_the_time_can_be_said(fresh: Cli) -> None:
    path = save(fresh, "2026-01-31.json", batch("a", 5))
    fresh.run("import", "acme/widgets", str(path), "--at", "2026-02-01T12:00:00+01:00")
    assert fresh.database.one("SELECT observed_at FROM change_log") == "2026-02-01 11:00:00.000000"


@pytest.mark.parametrize(
    ("files", "arguments", "word"),
    [
        (
            ["2026-01-01.json", "2026-01-02.json"],
            ["saved", "--at", "2026-01-01"],
            "batch lists of the same time, 2026-01-01 00:00:00+00:00 (by --at)",
        ),
        (["1.json", "2.json", "3.json"], ["saved", "--at", "2026-01-01"], "--at is the time of one file"),
        (["2099-01-01.json"], ["saved"], "2099"),
        (["2026-13-01.json"], ["saved"], "2026-13-01"),
        (["2026-01-01T06-30-00PM.json"], ["saved"], "ambiguous"),
        (["2026-01-01 6pm.json"], ["saved"], "ambiguous"),
        (["2026-01-01-18.json"], ["saved"], "ambiguous: rename it"),
        (["widgets_2026-01-01_06.json"], ["saved"], "ambiguous: rename it"),
        (["2026-01-01_6h30.json"], ["saved"], "ambiguous: rename it"),
        (["18-30_2026-01-01.json"], ["saved"], "ambiguous: rename it"),
        (["183000 2026-01-01.json"], ["saved"], "ambiguous: rename it"),
        (["6.30pm-2026-01-01.json"], ["saved"], "ambiguous: rename it"),
        (["2025-15-11.json"], ["saved"], "month must be in 1..12): rename it"),
        (["2025-02-30.json"], ["saved"], "(2025-02-30: day"),
        (["2026-01-01T18-30-00 -0500.json"], ["saved"], "ambiguous"),
        (["12345678901234.json"], ["saved"], "12345678901234"),
        (["2026-01-01 to 2026-01-02.json"], ["saved"], "more than one time"),
        (["20260101.json", "2026-01-01.json"], ["saved"], "same time"),
        ([], ["nowhere.json"], "nowhere.json"),
        ([".hidden"], ["saved"], "no file"),
        (["2026-01-01.json"], ["saved", "--at", "yesterday"], "yesterday"),
    ],
)
def test_what_is_wrong_with_the_command_line(fresh: Cli, files: list[str], arguments: list[str], word: str) -> None:
    for number, name in enumerate(files):
        save(fresh, name, batch("a", number))
    done = fresh.run("import", "acme/widgets", *arguments, code=2)
    assert word in done.err
    assert not fresh.database.path.exists()


def test_a_whole_workspace_has_no_batch_list(fresh: Cli) -> None:
    save(fresh, "2026-01-01.json")
    assert "project" in fresh.run("import", "acme", "saved", code=2).err


def test_the_same_answer_of_the_same_moment_counts_once(fresh: Cli) -> None:
    save(fresh, "20260101.json", batch("a", 1))
    save(fresh, "2026-01-01.json", batch("a", 1))
    fresh.run("import", "acme/widgets", "saved", "saved/20260101.json")
    assert fresh.database.one("SELECT count(*) FROM sync_runs") == 1


def test_nothing_is_imported_while_a_file_is_no_answer(cli: Cli) -> None:
    archive(cli)
    wrong: dict[str, Any] = {"2026-01-05.json": "<html>", "2026-01-06.json": '{"error": "no"}', "2026-01-07.json": ""}
    for name, text in wrong.items():
        (cli.folder / "saved" / name).write_text(text)
    before = cli.database.dump()
    done = cli.run("import", "acme/widgets", "saved", code=1)
    first, *lines = done.err.splitlines()
    assert "nothing was imported" in first
    assert [line.partition(":")[0] for line in lines] == [f"  saved/{name}" for name in wrong]
    assert all(line.isprintable() for line in lines)
    assert cli.database.dump() == before


def test_suspiciously_much_missing_is_refused_until_it_is_missing_again(cli: Cli) -> None:
    cli.configure(removals={"confirm_limit": 1})
    save(cli, "2026-01-01.json", batch("a", 5), batch("b", 7))
    save(cli, "2026-01-02.json")
    done = cli.run("import", "acme/widgets", "saved", code=1)
    assert "rfsync import acme/widgets saved/2026-01-02.json --allow-removals" in done.err
    # The same once more is no second answer.
    done = cli.run("import", "acme/widgets", "saved", code=1)
    assert "1 of 2 files refused, the first saved/2026-01-02.json: as before, it lacks too much" in done.err
    assert cli.database.one("SELECT images FROM projects") == 12
    save(cli, "2026-01-03.json")
    cli.run("import", "acme/widgets", "saved/2026-01-03.json")
    assert cli.database.one("SELECT images FROM projects") == 0
    cli.run("import", "acme/gears", "saved", "--allow-removals")
    assert cli.database.column("SELECT max(observed_at) FROM change_log WHERE project = 'gears'") == [at(2)]
    cli.verify()


def test_a_record_that_breaks_the_rules_takes_nothing_with_it(cli: Cli) -> None:
    save(cli, "2026-01-01.json", batch("a", 5), batch("b", 7), batch("c", 1))
    save(cli, "2026-01-02.json", batch("a", 4), batch("b", -1), batch("c", 1))
    done = cli.run("import", "acme/widgets", "saved")
    assert "record 1 rejected" in done.err
    assert dict(cli.database.rows("SELECT batch_id, images FROM current_batches")) == {"a": 4, "b": 7, "c": 1}  # type: ignore[arg-type]
    # It can be repeated all the same.
    assert cli.run("import", "acme/widgets", "saved").out.count("known") == 2


def test_killed_in_the_middle_it_goes_on_where_it_was(cli: Cli) -> None:
    for number in range(60):
        save(cli, f"2026-01-01T00:{number:02d}:00Z.json", *(batch(f"b{n}", number) for n in range(20)))
    process = cli.fork("import", "acme/widgets", "saved")
    count = "SELECT count(*) FROM sync_runs WHERE outcome = 'changed'"
    while process.poll() is None and cli.database.one(count) < 5:
        pass
    process.send_signal(signal.SIGKILL)
    process.wait(LONG)
    cli.database.expire_leases()
    done = cli.run("import", "acme/widgets", "saved")
    assert done.out.count(" known ") + done.out.count(" changed ") == 60
    assert cli.database.one("SELECT count(*) FROM change_log") == 60 * 20
    assert (
        cli.database.column("SELECT DISTINCT outcome FROM sync_runs WHERE outcome NOT IN ('changed', 'abandoned')")
        == []
    )
    cli.verify()


def test_the_live_answer_wins_over_an_older_file(cli: Cli) -> None:
    """A sync between the look at the project and the writing of a file is no matter."""
    archive(cli)
    cli.list(batch("a", 50))
    importing, syncing = cli.fork("import", "acme/widgets", "saved"), cli.fork("sync", "acme/widgets")
    cli.finish(syncing)
    importing.communicate(timeout=LONG)
    assert importing.returncode in {0, 1}
    assert cli.database.rows("SELECT batch_id, images FROM current_batches") == [("a", 50)]
    cli.verify()


def job(job_id: str, num_images: int, annotated: int, **fields: object) -> dict[str, object]:
    """A record of the job list, as it is documented."""
    record = {"id": job_id, "name": f"name of {job_id}", "numImages": num_images, "annotated": annotated, **fields}
    people = {"labeler": "ann@example.com", "reviewer": "bob@example.com", "createdBy": "API"}
    return {**people, **record, "sourceBatch": "project/a", "created": {"_seconds": 1_669_148_192}}


def test_job_lists_are_imported_beside_batch_lists(cli: Cli) -> None:
    save(cli, "batches-2026-01-01.json", batch("a", 5, 1))
    save(cli, "jobs-2026-01-01.json", job("j", 4, 0), kind="jobs")
    save(cli, "2026-01-02.json", *(job(f"j{n}", 4, 2) for n in range(30)), kind="jobs")
    save(cli, "2026-01-03.json", batch("a", 6, 1))
    save(cli, "jobs_2026-01-03.json", kind="jobs")
    assert cli.run("import", "acme/widgets", "saved", "--dry-run").out.splitlines() == [
        "rfsync: 5 answers would be imported into acme/widgets, with these times in UTC:",
        "  2026-01-01 00:00:00 by name: batch list saved/batches-2026-01-01.json",
        "  2026-01-01 00:00:00 by name: job list saved/jobs-2026-01-01.json",
        "  2026-01-02 00:00:00 by name: job list saved/2026-01-02.json",
        "  2026-01-03 00:00:00 by name: batch list saved/2026-01-03.json",
        "  2026-01-03 00:00:00 by name: job list saved/jobs_2026-01-03.json",
    ]
    done = cli.run("import", "acme/widgets", "saved", code=1)
    first, second, third = (line.split() for line in done.out.splitlines()[1:])
    assert (first[3], first[-2:]) == ("changed", ["batches-2026-01-01.json,", "jobs-2026-01-01.json"])
    assert (second[3], second[-1]) == ("changed", "2026-01-02.json")
    assert third[3:6] == ["changed,", "jobs", "refused"]
    assert "30 stored jobs are suddenly missing" in done.err
    (row, *others) = cli.database.rows("SELECT job_id, batch_id, labeler, annotated FROM current_jobs ORDER BY job_id")
    assert (row, len(others)) == (("j0", "a", "ann@example.com", 2), 29)
    cli.verify()
    assert "refused before" in cli.run("import", "acme/widgets", "saved", "--dry-run", code=1).out
    assert cli.simulator.requests == []


def test_of_people_no_more_is_kept_than_is_configured(fresh: Cli) -> None:
    fresh.configure(more='[jobs]\npeople = "pseudonym"\n')
    save(fresh, "2026-01-01.json", job("j", 4, 0), job("k", 4, 0, labeler=" "), kind="jobs")
    fresh.run("import", "acme/widgets", "saved")
    (labeler, reviewer), other = fresh.database.rows("SELECT labeler, reviewer FROM current_jobs ORDER BY job_id")
    assert {labeler, reviewer} == {"person-1", "person-2"}
    assert other == (None, reviewer)
    assert b"example.com" not in fresh.database.path.read_bytes()
