"""Projects that are taken out of the database: nothing of them stays, and nothing of others goes."""

from __future__ import annotations

from datetime import timedelta

import pytest
from filled import dump, fill
from rig import START, Rig, job, record, run_locks

from rfsync.database.engine import open_database
from rfsync.errors import ConfigError, DatabaseError
from rfsync.ledger.drop import Holding
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.store import Store
from rfsync.ledger.transaction import Transaction
from rfsync.ledger.verify import verify
from rfsync.parsing import Target
from rfsync.schema.models import (
    PeopleKey,
    RateLimit,
    WorkspaceDay,
    WorkspaceLabelerDay,
    WorkspaceQuarterHour,
    metadata,
)

#: Tables with the sums of a workspace.
SUMS = tuple(model.__tablename__ for model in (WorkspaceDay, WorkspaceLabelerDay, WorkspaceQuarterHour))
WIDGETS, GEARS = ProjectPath("acme", "widgets"), ProjectPath("acme", "gears")


def test_no_table_keeps_a_row_of_it_and_others_keep_all_of_theirs(rig: Rig) -> None:
    fill(rig, "gears")
    others = dump(rig)
    fill(rig, "widgets")
    before = dump(rig)
    # A table that is new has to be filled above, unless it has no project.
    shared = {model.__tablename__ for model in (WorkspaceDay, WorkspaceLabelerDay, PeopleKey, RateLimit)}
    assert {name for name in metadata.tables if not len(before[name]) > len(others[name])} == shared
    people = others.pop("people"), before["people"]
    assert rig.store.projects.drop(WIDGETS)
    rig.store.addresses.take_out_unreferenced()
    assert {name: rows for name, rows in dump(rig).items() if name != "people"} == others
    # The numbers of people are theirs for good, and the address of one whom another project has, too.
    assert addresses(rig) == {"both@example.com", "gears@example.com", None}
    assert [len(rows) for rows in people] == [2, 3]
    assert verify(rig.database.engine).findings == ()
    assert not rig.store.projects.drop(WIDGETS)
    rig.store.projects.drop(GEARS)
    rig.store.addresses.take_out_unreferenced()
    assert {name for name, rows in dump(rig).items() if rows} == {"people", "people_key"}
    assert addresses(rig) == {None}


def addresses(rig: Rig) -> set[object]:
    return {address for (address,) in rig.rows("SELECT address FROM people")}


def test_who_made_a_job_is_referred_to_as_well(rig: Rig) -> None:
    rig.sync_jobs = True
    for project, role in (("gears", "createdBy"), ("widgets", "labeler")):
        rig.project, rig.jobs = project, [job(project, 1, **{role: "ann@example.com"})]
        rig.sync()
    assert addresses(rig) == {"ann@example.com"}
    rig.store.projects.drop(WIDGETS)
    assert None not in addresses(rig)


def test_every_table_that_refers_to_a_project_is_known_by_its_column() -> None:
    without = {name for name, table in metadata.tables.items() if "project_id" not in table.c}
    assert without == {"projects", *SUMS, "people", "people_key", "rate_limits"}


def test_a_day_on_which_no_other_project_changed_goes_with_it(rig: Rig) -> None:
    fill(rig, "gears")
    before = dump(rig)
    rig.now = START + timedelta(days=3)
    fill(rig, "widgets")
    after = dump(rig)
    assert all(len(after[table]) > len(before[table]) for table in SUMS)
    assert len(after["workspace_daily"]) == 2
    rig.store.projects.drop(WIDGETS)
    assert {table: dump(rig)[table] for table in SUMS} == {table: before[table] for table in SUMS}


def test_a_project_takes_its_part_in_the_sums_along_into_another_workspace(rig: Rig) -> None:
    fill(rig, "gears")
    before = dump(rig)
    fill(rig, "widgets")
    rig.store.projects.rename(Target("acme", "widgets"), Target("newco", "widgets"), rig.now + timedelta(minutes=1))
    assert verify(rig.database.engine).findings == ()
    after = dump(rig)
    for table in SUMS:
        assert [row for row in after[table] if row[0] == "acme" and any(row[2:])] == before[table]
        assert [row for row in after[table] if row[0] == "newco"]


def test_a_target_means_what_has_its_id_and_else_what_had_it(rig: Rig) -> None:
    for project in ("gears", "widgets"):
        rig.project, rig.listed = project, [record(f"{project}-1", 10), record(f"{project}-2")]
        rig.sync()
    rename = rig.store.projects.rename
    rename(Target("acme", "gears"), Target("acme", "cogs"), rig.now)
    since = {path: START + timedelta(minutes=m) for path, m in (("cogs", 5), ("widgets", 10))}
    cogs, widgets = (Holding(ProjectPath("acme", p), 2, 0, 2, 1, since[p]) for p in ("cogs", "widgets"))
    holdings = rig.store.projects.holdings
    assert holdings(Target("acme", "gears")) == holdings(Target("acme", "cogs")) == [cogs]
    assert holdings(Target("acme", None)) == [cogs, widgets]
    rename(Target("acme", "widgets"), Target("acme", "gears"), rig.now)
    assert [holding.path for holding in holdings(Target("acme", "gears"))] == [GEARS]
    rename(Target("acme", None), Target("newco", None), rig.now + timedelta(minutes=1))
    assert [holding.path.workspace for holding in holdings(Target("acme", None))] == ["newco", "newco"]
    for target in (Target("acme", "nix"), Target("newcomer", None)):
        with pytest.raises(ConfigError, match=f"the database has no {target}"):
            holdings(target)


def test_a_sync_that_is_under_way_ends_as_failed_and_brings_nothing_back(rig: Rig) -> None:
    rig.listed = [record("a", 1)]
    rig.sync()
    for listed in ([record("a", 2), record("b", 5)], [record("a", 2)]):  # a change, and nothing new
        rig.listed = listed
        rig.meanwhile = lambda: rig.store.projects.drop(WIDGETS)
        result = rig.sync()
        assert (result.outcome, result.error_kind, result.run_id) == ("failed", "database", None)
        assert result.error is not None
        assert result.error.startswith("acme/widgets was dropped from the database in the middle of the run")
        assert {name: rows for name, rows in dump(rig).items() if rows} == {}
        assert rig.sync().tally.added == len(listed)
        assert verify(rig.database.engine).findings == ()


def test_another_project_that_gets_the_numbers_is_left_alone(rig: Rig) -> None:
    """SQLite gives the numbers of deleted rows again."""
    rig.listed = [record("a", 1)]
    rig.sync()
    other = Rig(rig.text)
    other.store = Store(other.database, other.run_locks, retry_seconds=0.0)
    other.project, other.listed, other.now = "gears", [record("g", 3)], rig.now

    def meanwhile() -> None:
        rig.store.projects.drop(WIDGETS)
        assert [other.sync().outcome for _ in range(3)] == ["changed", "unchanged", "unchanged"]

    rig.listed, rig.meanwhile = [record("a", 2)], meanwhile
    assert (rig.sync().outcome, other.sync().ok) == ("failed", True)
    if rig.file is not None:
        # The second of them has the number after that of the run that was under way.
        assert [number for (number,) in rig.rows("SELECT id FROM sync_runs ORDER BY id")][:2] == [1, 3]
    assert rig.rows("SELECT project, batches, images FROM projects") == [("gears", 1, 3)]
    assert rig.rows("SELECT DISTINCT outcome FROM sync_runs WHERE outcome <> 'unchanged'") == [("changed",)]
    assert verify(rig.database.engine).findings == ()
    other.close()


def test_a_run_of_an_id_that_became_a_renamed_projects_writes_to_none_that_got_its_number(rig: Rig) -> None:
    rig.listed = [record("a", 1)]
    rig.sync()
    run = rig.store.begin_run(ProjectPath("acme", "sprockets"), None, "cli", rig.now)
    rig.store.projects.rename(Target("acme", "widgets"), Target("acme", "sprockets"), rig.now)
    rig.project, rig.listed = "gears", [record("g", 3)]
    rig.sync()
    # On SQLite, it has the number that the run began with.
    assert rig.value("SELECT id FROM projects WHERE project = :project") == run.project_id or rig.file is None
    assert rig.store.write(run, lambda transaction: transaction.state.project) == "sprockets"


def test_it_waits_for_a_sync_that_is_writing(rig: Rig) -> None:
    rig.listed = [record("a", 1)]
    rig.sync()
    database = open_database(rig.url)
    impatient = Store(database, run_locks(database), retry_seconds=0.0)
    run = rig.store.begin_run(WIDGETS, None, "cli", rig.now)

    def work(transaction: Transaction) -> int:
        with pytest.raises(DatabaseError, match="dropping acme/widgets"):
            impatient.projects.drop(WIDGETS)
        return transaction.state.batches.sums[0]

    assert rig.store.write(run, work) == 1
    impatient.projects.drop(WIDGETS)
    impatient.close()
    assert rig.rows("SELECT * FROM projects") == []
