"""The job list beside the batch list: one transaction, one time, and batches that never suffer from jobs."""

from __future__ import annotations

from dataclasses import replace
from threading import Event, Thread
from typing import Any

import pytest
from rig import START, Rig, job, record
from sqlalchemy import Connection

from rfsync.api.client import Response
from rfsync.config import RemovalsConfig
from rfsync.database.engine import open_engine
from rfsync.errors import ErrorKind, FetchError
from rfsync.ledger import addresses
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.transaction import Transaction
from rfsync.ledger.verify import verify
from rfsync.records import MAX_COUNT
from rfsync.sync.workspaces import Workspaces

ANN, BOB = "ann@example.com", "Bob@Example.com"


@pytest.fixture
def jobs(rig: Rig) -> Rig:
    """A rig that asks for jobs, with one batch and one job."""
    rig.sync_jobs = "auto"
    rig.listed = [record("b", 10, 1)]
    rig.jobs = [job("j", 5, 0, labeler=ANN, sourceBatch="internal/b", status="assigned")]
    return rig


def failure(kind: ErrorKind, status: int | None = None) -> FetchError:
    return FetchError(kind, f"HTTP {status}", http_status=status, attempts=1)


def log(rig: Rig, columns: str = "job_id, change, num_images, num_images_delta") -> list[tuple[object, ...]]:
    return rig.rows(f"SELECT {columns} FROM job_log ORDER BY id")


def balances(rig: Rig) -> bool:
    engine = open_engine(rig.url, read_only=True)
    found = verify(engine)
    engine.dispose()
    assert not found.findings
    return found.ok


def test_both_lists_are_one_observation(jobs: Rig) -> None:
    result = jobs.sync()
    assert (result.outcome, result.row.jobs, result.row.jobs_changed, result.jobs_failed) == ("changed", 1, 1, False)
    rows = jobs.rows(
        "SELECT c.observed_at = j.observed_at, c.run_id = j.run_id, j.observed_after, j.batch_id, j.labeler "
        "FROM batch_changes c, job_log j"
    )
    assert [tuple(map(bool, row[:2])) + row[2:] for row in rows] == [(True, True, None, "b", ANN)]
    assert balances(jobs)


def test_an_unchanged_poll_of_both_writes_two_rows(jobs: Rig) -> None:
    jobs.sync()
    before = jobs.rows("SELECT * FROM jobs"), jobs.rows("SELECT * FROM job_changes")
    statements: list[str] = []

    def record_it(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("INSERT", "UPDATE", "DELETE")):
            statements.append(statement.split("SET", maxsplit=1)[0].strip())

    from sqlalchemy import event

    event.listen(jobs.database.engine, "before_cursor_execute", record_it)
    result = jobs.sync()
    assert (result.outcome, result.row.jobs, result.row.jobs_changed) == ("unchanged", 1, 0)
    assert [s.split()[:3][-1] if s.startswith("INSERT") else s for s in statements] == [
        *("sync_runs", "UPDATE projects", "UPDATE sync_runs")
    ]
    assert (jobs.rows("SELECT * FROM jobs"), jobs.rows("SELECT * FROM job_changes")) == before


CHANGES = {
    "status": ({"status": "complete"}, "status", "complete"),
    "the-labeler": ({"labeler": BOB}, "labeler", BOB),
    "nobody": ({"labeler": None}, "labeler", None),
    "nobody-by-an-empty-text": ({"labeler": ""}, "labeler", None),
    "a-reviewer": ({"reviewer": ANN.upper()}, "reviewer", ANN),
    "its-batch": ({"sourceBatch": "c"}, "batch_id", "c"),
    "a-count": ({"annotated": 3}, "annotated_delta", 3),
    "its-name": ({"name": "week 12"}, "name", "week 12"),
}


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES)
def test_any_difference_is_a_change(jobs: Rig, case: tuple[dict[str, object], str, object]) -> None:
    fields, column, expected = case
    jobs.sync()
    jobs.jobs = [jobs.jobs[0] | fields]  # type: ignore[operator]
    result = jobs.sync()
    assert (result.outcome, result.tally.total, result.row.jobs_changed) == ("changed", 0, 1)
    assert log(jobs, f"change, {column}")[1:] == [("changed", expected)]
    assert balances(jobs)


def test_what_is_not_reported_stays_as_it_was(jobs: Rig) -> None:
    jobs.sync()
    jobs.jobs = [{"id": "j"}]
    assert jobs.sync().outcome == "unchanged"
    assert jobs.rows("SELECT status, labeler, batch_id, num_images FROM current_jobs") == [("assigned", ANN, "b", 5)]


def test_a_job_that_answers_404_is_removed_and_one_that_answers_is_unlisted(jobs: Rig) -> None:
    other = job("k", 7, 7, labeler=ANN)
    jobs.jobs = [*jobs.jobs, other]
    jobs.sync()
    jobs.jobs = []
    jobs.by_id = {"k": other | {"approved": 7}}
    result = jobs.sync()
    assert (result.outcome, jobs.asked, result.row.jobs_changed) == ("changed", ["j", "k"], 2)
    assert log(jobs, "job_id, change, num_images_delta, approved_delta")[2:] == [
        ("j", "removed", -5, 0),
        ("k", "changed", 0, 7),
    ]
    assert jobs.rows("SELECT job_id FROM jobs WHERE unlisted_at IS NOT NULL") == [("k",)]
    assert jobs.sync().outcome == "unchanged"
    assert balances(jobs)
    jobs.jobs = [job("j", 5, 2, labeler=BOB), other | {"approved": 0}]
    jobs.sync()
    assert log(jobs, "job_id, change, num_images_delta, approved_delta")[4:] == [
        ("j", "restored", 5, 0),
        ("k", "changed", 0, -7),
    ]
    assert jobs.rows("SELECT count(*) FROM missing_jobs") == [(0,)]
    assert balances(jobs)


def test_many_jobs_that_vanish_at_once_refuse_the_job_list_alone(jobs: Rig) -> None:
    jobs.removals = RemovalsConfig(confirm_limit=1)
    jobs.jobs = [job(f"j{n}", 1) for n in range(3)]
    jobs.sync()
    jobs.jobs, jobs.listed = [], [record("b", 9, 1)]
    result = jobs.sync()
    assert (result.outcome, result.row.jobs_error_kind, result.jobs_failed) == ("changed", "refused", True)
    assert "3 stored jobs are suddenly missing" in (result.row.jobs_error or "")
    again = jobs.sync()
    assert (again.outcome, again.row.jobs_changed, again.row.jobs_error_kind) == ("changed", 1, None)
    assert "2 jobs are no longer listed" in (again.row.jobs_error or "")
    assert balances(jobs)


def test_a_refused_batch_list_refuses_all(jobs: Rig) -> None:
    jobs.removals = RemovalsConfig(confirm_limit=1)
    jobs.listed = [record(f"b{n}", 1) for n in range(3)]
    jobs.sync()
    jobs.listed, jobs.jobs = [], [job("new", 1)]
    result = jobs.sync()
    assert (result.outcome, result.row.jobs, len(log(jobs))) == ("refused", None, 1)


def test_the_questions_of_both_lists_have_one_limit(jobs: Rig) -> None:
    jobs.removals = RemovalsConfig(confirm_limit=2)
    jobs.listed = [record("a"), record("b")]
    jobs.jobs = [job("i"), job("j")]
    jobs.sync()
    jobs.listed = jobs.jobs = []
    result = jobs.sync()
    assert (jobs.asked, result.tally.removed, result.row.jobs_changed) == (["a", "b"], 2, 0)
    jobs.sync()
    assert jobs.asked == ["a", "b", "i", "j"]
    assert balances(jobs)


@pytest.mark.parametrize("kind", [ErrorKind.SERVER, ErrorKind.TIMEOUT, ErrorKind.AUTH, ErrorKind.NOT_FOUND])
@pytest.mark.parametrize("sync", ["auto", True])
def test_a_job_list_that_fails_leaves_the_batches_to_be_written(jobs: Rig, kind: ErrorKind, sync: bool) -> None:
    jobs.sync()
    jobs.sync_jobs = sync
    jobs.jobs, jobs.listed = failure(kind), [record("b", 8, 1)]
    result = jobs.sync()
    assert (result.outcome, result.ok, result.row.jobs, result.row.jobs_error_kind) == ("changed", True, None, kind)
    denied = sync == "auto" and kind in {ErrorKind.AUTH, ErrorKind.NOT_FOUND}
    assert result.jobs_failed is not denied
    assert (jobs.state(), len(log(jobs))) == ({"b": (8, 1)}, 1)
    assert jobs.value("SELECT jobs_error_kind FROM projects") == kind


def test_a_key_that_sees_no_jobs_is_asked_again_after_a_day_or_with_another_key(jobs: Rig) -> None:
    listed, jobs.jobs = jobs.jobs, failure(ErrorKind.AUTH, 403)
    assert jobs.sync().row.jobs_error_kind == "auth"
    jobs.jobs = listed
    assert (jobs.sync().row.jobs, jobs.sync(minutes=60 * 23).row.jobs_error_kind) == (None, None)
    assert jobs.value("SELECT count(*) FROM jobs") == 0
    assert jobs.sync(minutes=60).row.jobs == 1
    jobs.jobs = failure(ErrorKind.NOT_FOUND, 404)
    jobs.sync()
    jobs.jobs = [*listed, job("k")]
    jobs.key = "another key"
    assert jobs.sync().row.jobs == 2


def test_a_row_of_a_job_is_after_the_last_job_list_and_not_after_the_last_batch_list(jobs: Rig) -> None:
    jobs.sync()
    listed, jobs.jobs = jobs.jobs, failure(ErrorKind.SERVER, 500)
    jobs.sync()
    jobs.jobs = [*listed, job("k", 1)]  # type: ignore[misc]
    jobs.sync()
    found = jobs.rows(
        "SELECT job_id FROM job_log WHERE job_id = 'k' AND observed_after = (SELECT min(observed_at) FROM job_log)"
    )
    assert found == [("k",)]


def test_a_departed_project_takes_its_jobs_along_and_brings_them_back(jobs: Rig) -> None:
    other = job("k", 7, 3)
    jobs.jobs = [*jobs.jobs, other]
    jobs.sync()
    jobs.projects.remove("widgets")
    departed = jobs.sync(insist=True)
    assert (departed.outcome, departed.row.jobs_changed, departed.departed) == ("changed", 2, True)
    assert balances(jobs)
    jobs.projects.append("widgets")
    listed, jobs.jobs = jobs.jobs, failure(ErrorKind.SERVER, 500)
    jobs.sync(insist=True)
    jobs.jobs, jobs.by_id = listed[:1], {"k": other}
    back = jobs.sync()
    assert (back.row.jobs_changed, jobs.asked[-1]) == (2, "k")
    assert log(jobs, "job_id, change")[-2:] == [("j", "restored"), ("k", "restored")]
    assert balances(jobs)


def test_a_project_that_departs_twice_is_still_asked_for_the_jobs_that_its_first_departure_removed(jobs: Rig) -> None:
    other = job("k", 7, 3)
    jobs.jobs = [*jobs.jobs, other]
    jobs.sync()
    listed = jobs.jobs
    for _ in range(2):
        jobs.projects.remove("widgets")
        assert jobs.sync(insist=True).departed
        assert balances(jobs)
        jobs.projects.append("widgets")
        jobs.jobs = failure(ErrorKind.SERVER, 500)
        assert jobs.sync(insist=True).row.jobs_error_kind == "server"
        assert balances(jobs)
    jobs.jobs, jobs.by_id = listed[:1], {"k": other}
    jobs.sync()
    assert log(jobs, "job_id, change")[-2:] == [("j", "restored"), ("k", "restored")]
    assert balances(jobs)


def test_jobs_whose_counts_add_up_to_more_than_the_database_can_store_leave_the_batches_alone(jobs: Rig) -> None:
    jobs.jobs = [job(f"j{n}", MAX_COUNT) for n in range(1030)]
    result = jobs.sync()
    assert (result.outcome, result.row.jobs_error_kind) == ("changed", "bad_response")
    assert jobs.value("SELECT count(*) FROM jobs") == 0


def test_a_renamed_project_is_known_by_its_jobs(jobs: Rig) -> None:
    jobs.listed = []
    jobs.sync()
    jobs.projects.remove("widgets")
    jobs.project = "sprockets"
    assert jobs.sync().row.error == "acme/widgets was renamed to acme/sprockets: its history goes on under the new id"
    assert jobs.rows("SELECT project, job_id FROM current_jobs") == [("sprockets", "j")]
    assert balances(jobs)


def test_an_older_job_list_is_left_out_and_its_batches_are_written(jobs: Rig, database_url: str) -> None:
    jobs.sync()
    other = Rig(database_url)
    other.sync_jobs, other.now, other.listed = "auto", jobs.now, jobs.listed
    other.jobs = [job("j", 5, 5, labeler=ANN)]
    get, other_get = jobs.get, other.get

    def asked_before(*segments: str, **options: Any) -> Response:
        """Its batch list was asked for before the other's, and its job list after it."""
        response = other_get(*segments, **options)
        return replace(response, sent_us=1) if segments[-1] == "batches" else response

    def overtaken(*segments: str, **options: Any) -> Response:
        response = get(*segments, **options)
        if segments[-1] == "jobs":
            assert other.sync().row.jobs_changed == 1
        return response

    jobs.listed, jobs.jobs = [record("b", 1, 1)], [job("j", 5, 2, labeler=ANN)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(other, "get", asked_before)
        patch.setattr(jobs, "get", overtaken)
        result = jobs.sync()
    assert (result.outcome, result.row.jobs, result.row.jobs_error_kind) == ("changed", None, None)
    assert (jobs.state(), jobs.rows("SELECT annotated FROM current_jobs")) == ({"b": (1, 1)}, [(5,)])
    assert balances(jobs)
    other.close()


def test_a_list_that_turns_out_not_to_be_the_one_applied_last_is_read_after_all(jobs: Rig, database_url: str) -> None:
    jobs.sync()
    other = Rig(database_url)
    other.sync_jobs, other.now, other.listed = "auto", jobs.now, [record("b", 7, 1)]
    other.jobs = [job("j", 5, 5, labeler=ANN)]
    get, other_get = jobs.get, other.get

    def asked_before(*segments: str, **options: Any) -> Response:
        return replace(other_get(*segments, **options), sent_us=1)

    met: list[str] = []

    def overtaken(*segments: str, **options: Any) -> Response:
        response = get(*segments, **options)
        if segments[-1] == "jobs" and not met:
            met.append(other.sync().outcome)
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(other, "get", asked_before)
        patch.setattr(jobs, "get", overtaken)
        result = jobs.sync()
    # It was the older one that was written in between.
    assert met == ["changed"]
    assert (result.outcome, result.row.batches, result.row.jobs, result.row.jobs_changed) == ("changed", 1, 1, 1)
    assert (jobs.state(), jobs.rows("SELECT annotated FROM current_jobs")) == ({"b": (10, 1)}, [(0,)])
    assert balances(jobs)
    other.close()


def test_a_job_list_that_fails_again_and_again_is_news_once(jobs: Rig, caplog: pytest.LogCaptureFixture) -> None:
    jobs.jobs = failure(ErrorKind.SERVER, 500)
    jobs.trigger = "schedule"
    for _ in range(3):
        jobs.sync()
    assert [r.levelname for r in caplog.records if "job list: server" in r.getMessage()] == ["WARNING"]


DAYS = "SELECT labeler, jobs_opened, images_assigned, annotated_gained, annotated_lost, approved_gained, approved_lost"


def test_the_days_of_labelers_are_what_moved(jobs: Rig) -> None:
    jobs.sync()
    query = f"{DAYS} FROM labeler_totals_daily ORDER BY day, labeler_id"
    assert jobs.rows(query) == []  # of the first look nothing is said
    one = job("k", 8, 3, labeler=ANN)
    jobs.jobs = [*jobs.jobs, one, job("n", 2)]
    jobs.sync()
    jobs.jobs = [jobs.jobs[0], job("k", 9, 1, labeler=BOB, approved=4), job("n", 5)]
    jobs.sync()
    jobs.jobs = [jobs.jobs[0], job("n", 5)]
    jobs.sync()
    jobs.jobs = [*jobs.jobs, job("k", 9, 1, labeler=BOB, approved=6)]
    jobs.sync()
    assert jobs.rows(query) == [
        (None, 1, 5, 0, 0, 0, 0),
        (ANN, 1, 8, 3, 2, 0, 0),
        (BOB, 1, 9, 0, 0, 6, 0),
    ]
    assert balances(jobs)


def test_a_creator_by_address_is_a_person(jobs: Rig) -> None:
    jobs.jobs = [job("j", createdBy="Carol@example.com"), job("k", createdBy="API"), job("m", createdBy="aB3xuid")]
    jobs.sync()
    assert jobs.rows("SELECT created_by FROM jobs ORDER BY job_id") == [("person-1",), ("API",), ("aB3xuid",)]
    assert jobs.sync().outcome == "unchanged"
    jobs.jobs.reverse()
    assert jobs.sync().outcome == "unchanged"


def test_a_dry_run_shows_both_and_writes_nothing(jobs: Rig) -> None:
    jobs.store._dry = True
    result = jobs.sync()
    assert {kind: len(changes) for kind, changes in result.changes.items()} == {"batches": 1, "jobs": 1}
    assert (result.run_id, jobs.rows("SELECT count(*) FROM people")) == (None, [(0,)])


def test_no_jobs_are_asked_for_where_they_are_not_wanted(jobs: Rig) -> None:
    jobs.sync_jobs, jobs.jobs = False, failure(ErrorKind.SERVER, 500)
    result = jobs.sync()
    assert (result.outcome, result.row.jobs, result.row.jobs_error_kind) == ("changed", None, None)
    assert jobs.now > START


def test_a_renamed_project_is_known_although_its_job_list_fails_at_first(jobs: Rig) -> None:
    """By its jobs, each asked for by its id; where that fails too, nothing is written and the next run asks again."""
    jobs.listed = []
    jobs.sync()
    jobs.projects.remove("widgets")
    jobs.project = "sprockets"
    listed, jobs.jobs, jobs.by_id = jobs.jobs, failure(ErrorKind.SERVER, 503), {"j": failure(ErrorKind.SERVER, 503)}
    failed = jobs.sync()
    assert (failed.outcome, failed.error_kind) == ("failed", "server")
    assert "rfsync rename acme/widgets acme/sprockets" in (failed.error or "").replace("OLD", "acme/widgets")
    jobs.by_id = {"j": listed[0]}  # type: ignore[index, dict-item]
    renamed = jobs.sync()
    assert (renamed.outcome, renamed.row.jobs_error_kind) == ("changed", "server")
    jobs.jobs = listed
    assert jobs.sync().row.jobs_changed == 0
    assert jobs.rows("SELECT project, job_id FROM current_jobs") == [("sprockets", "j")]
    assert balances(jobs)


def test_batches_tell_a_renamed_project_whatever_becomes_of_its_job_list(jobs: Rig) -> None:
    jobs.sync()
    jobs.projects.remove("widgets")
    jobs.project = "sprockets"
    jobs.jobs, jobs.by_id = failure(ErrorKind.SERVER, 503), {"j": failure(ErrorKind.SERVER, 503)}
    assert jobs.sync().outcome == "changed"
    assert jobs.rows("SELECT project FROM projects") == [("sprockets",)]


def test_people_are_written_down_before_what_refers_to_them(jobs: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other projects, which may have the same ones, need not wait for the end of a large transaction."""
    seen: list[object] = []
    finish = Transaction.finish

    def look(transaction: Transaction, *arguments: Any) -> None:
        if jobs.file is None:
            other = Rig(jobs.text)
            seen.extend(other.rows("SELECT address FROM people"))
            other.close()
        else:
            seen.extend(transaction._connection.exec_driver_sql("SELECT address FROM people").fetchall())
        finish(transaction, *arguments)

    monkeypatch.setattr(Transaction, "finish", look)
    assert jobs.sync().row.jobs_changed == 1
    assert [tuple(row) for row in seen] == [(ANN,)]  # type: ignore[call-overload]


def test_addresses_come_again_although_no_list_has_changed(jobs: Rig) -> None:
    jobs.people = "pseudonym"
    jobs.restart()
    jobs.sync()
    assert jobs.rows("SELECT labeler FROM current_jobs") == [("person-1",)]
    jobs.people = "address"
    jobs.restart()
    assert jobs.sync().outcome == "unchanged"
    assert jobs.rows("SELECT labeler FROM current_jobs") == [(ANN,)]
    assert balances(jobs)


def test_addresses_that_a_process_with_the_old_configuration_stores_are_taken_out_again(jobs: Rig) -> None:
    jobs.sync()
    jobs.people = "pseudonym"
    jobs.restart()
    jobs.sync()
    old = Rig(jobs.text)
    old.sync_jobs, old.now, old.listed, old.jobs = "auto", jobs.now, jobs.listed, [*jobs.jobs, job("k", labeler=BOB)]
    old.sync()
    assert jobs.rows("SELECT count(address) FROM people") == [(2,)]
    jobs.sync(minutes=10)
    assert jobs.rows("SELECT count(address) FROM people") == [(0,)]
    old.close()


def test_a_departure_says_nothing_of_jobs_where_no_job_list_was_read(rig: Rig) -> None:
    rig.listed = [record("b", 1)]
    rig.sync()
    rig.projects.remove("widgets")
    assert rig.sync(insist=True).departed
    assert rig.rows("SELECT count(*) FROM project_observed WHERE jobs_am <> 0 OR jobs_pm <> 0") == [(0,)]


def test_a_refused_batch_list_keeps_what_became_of_the_job_list(jobs: Rig) -> None:
    jobs.removals = RemovalsConfig(confirm_limit=0)
    jobs.sync()
    jobs.listed, jobs.jobs = [], failure(ErrorKind.AUTH, 403)
    result = jobs.sync()
    assert (result.outcome, result.row.jobs_error_kind) == ("refused", "auth")
    assert jobs.value("SELECT jobs_error_kind FROM projects") == "auth"


def test_after_five_job_lists_that_fail_the_others_of_a_pass_are_not_asked_for(jobs: Rig) -> None:
    health = Workspaces(jobs).job_lists("acme")
    for _ in range(4):
        health.failed(failure(ErrorKind.TIMEOUT))
    assert not health.is_down
    health.failed(failure(ErrorKind.TIMEOUT))
    assert health.is_down
    assert "5 projects have failed" in health.why
    health.answered()
    assert not health.is_down


def test_a_failure_that_is_older_than_the_list_applied_last_says_nothing(jobs: Rig, database_url: str) -> None:
    jobs.sync()
    other = Rig(database_url)
    other.sync_jobs, other.now, other.listed = "auto", jobs.now, jobs.listed
    other.jobs = [job("j", 5, 5, labeler=ANN)]
    get, other_get = jobs.get, other.get

    def asked_before(*segments: str, **options: Any) -> Response:
        response = other_get(*segments, **options)
        return replace(response, sent_us=1) if segments[-1] == "batches" else response

    def denied(*segments: str, **options: Any) -> Response:
        try:
            return get(*segments, **options)
        except FetchError:
            assert other.sync().row.jobs_changed == 1
            raise

    jobs.jobs, jobs.listed = failure(ErrorKind.AUTH, 403), [record("b", 1, 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(other, "get", asked_before)
        patch.setattr(jobs, "get", denied)
        assert (jobs.sync().outcome, jobs.value("SELECT jobs_error_kind FROM projects")) == ("changed", None)
    other.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_address_that_a_drop_takes_out_while_a_run_writes_a_job_of_that_person_comes_again(
    jobs: Rig, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Rig(database_url)
    other.sync_jobs, other.now, other.project, other.listed, other.jobs = "auto", jobs.now, "gears", [], jobs.jobs
    jobs.sync()
    jobs.store.projects.drop(ProjectPath("acme", "widgets"))
    dropping = Thread(target=jobs.store.addresses.take_out_unreferenced)
    taken_out = Event()
    finish, read_lists_again = Transaction.finish, addresses._read_lists_of_running_again

    def finish_meanwhile(*arguments: Any) -> None:
        """The run has found the person already, and refers to it from now on."""
        if dropping.ident is None:
            dropping.start()
            assert taken_out.wait(60)
        finish(*arguments)

    def read_lists_afterwards(connection: Connection) -> None:
        taken_out.set()
        read_lists_again(connection)

    monkeypatch.setattr(addresses, "_read_lists_of_running_again", read_lists_afterwards)
    monkeypatch.setattr(Transaction, "finish", finish_meanwhile)
    assert other.sync().row.jobs_changed == 1
    dropping.join()
    assert jobs.rows("SELECT labeler FROM current_jobs") == [("person-1",)]
    other.sync()
    assert jobs.rows("SELECT labeler FROM current_jobs") == [(ANN,)]
    other.close()
