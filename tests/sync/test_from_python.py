"""``rfsync.sync_project`` and ``rfsync.list_projects``, over real HTTP, as a task of an orchestrator calls them."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

import rfsync
from rfsync.simulator import FixedWorld, Simulator, Status

KEY = "key-of-a-task-9Zx4"


def batches(number: int) -> list[dict[str, object]]:
    return [{"id": f"b{n}", "images": n, "numJobs": 0, "name": f"batch {n}"} for n in range(number)]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    world = FixedWorld({f"acme/{project}": batches(30) for project in ("gears", "widgets")})
    with Simulator(world) as simulator:
        yield simulator


@pytest.fixture
def config(simulator: Simulator, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration as a task has it; its key is in the environment."""
    monkeypatch.setenv("ROBOFLOW_API_KEY", KEY)
    path = tmp_path / "task.toml"
    path.write_text(
        f'[database]\nurl = "{database_url}"\n'
        f'[api]\nbase_url = "{simulator.url}"\nattempts = 1\nauth = "query"\n'
        '[[workspaces]]\nid = "acme"\nprojects = ["*"]\nexclude = ["scratch-*"]\n'
    )
    return path


def test_a_second_task_finds_nothing_changed_and_no_connection_stays_open(config: Path, database_url: str) -> None:
    first = rfsync.sync_project("acme", "widgets", config=config)
    assert isinstance(first, rfsync.SyncResult)
    assert (first.outcome, first.added, first.images_delta, first.error) == ("changed", 30, sum(range(30)), None)
    assert pickle.loads(pickle.dumps(first)) == first  # noqa: S301 as one process of an orchestrator tells another
    second = rfsync.sync_project("acme", "widgets", config=str(config), database=database_url)
    assert (second.outcome, second.run_id) == ("unchanged", 2)
    assert open_connections(database_url) == 0


def open_connections(database_url: str) -> int:
    """To the database, of this process."""
    if database_url.startswith("sqlite"):
        path = Path(database_url.removeprefix("sqlite:///"))
        return sum(link.resolve() == path for link in Path("/proc/self/fd").iterdir() if link.exists())
    with psycopg.connect(database_url) as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        number = -1
        while number:  # the server notices the end of a connection a moment later
            ((number,),) = connection.execute(others).fetchall()
        return 0


def test_tasks_of_many_threads_do_not_get_into_each_others_way(config: Path) -> None:
    tasks = ["widgets", "gears"] * 4
    with ThreadPoolExecutor(len(tasks)) as pool:
        results = list(pool.map(lambda project: rfsync.sync_project("acme", project, config=config), tasks))
    assert {result.outcome for result in results} <= {"changed", "unchanged", "superseded"}
    assert sum(result.added for result in results) == 60


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("fail", "kind", "retryable"),
    [
        (lambda s: s.faults.add("/acme/widgets/batches", Status(401)), "auth", False),
        (lambda s: s.faults.add("/acme/widgets/batches", Status(503)), "server", True),
        (lambda s: s.faults.add("/acme/widgets/jobs", Status(503)), "job list: server", True),
        (lambda s: s.source.set("acme/widgets", batches(1)), "refused", False),
    ],
)
def test_a_failed_task_fails_and_says_whether_to_try_again(
    config: Path, simulator: Simulator, fail: Callable[[Simulator], None], kind: str, retryable: bool
) -> None:
    rfsync.sync_project("acme", "widgets", config=config)
    fail(simulator)
    with pytest.raises(rfsync.SyncError, match=f"acme/widgets: {kind}: ") as raised:
        rfsync.sync_project("acme", "widgets", config=config)
    error = raised.value
    assert (error.retryable, error.result.run_id) == (retryable, 2)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 as above
    assert (str(again), again.result, again.retryable) == (str(error), error.result, retryable)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_log_that_somebody_else_collects_has_the_key(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        rfsync.sync_project("acme", "widgets", config=config)
    assert "/acme/widgets/batches?api_key=***" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_projects_of_a_workspace_are_one_task_each(config: Path, simulator: Simulator) -> None:
    simulator.source.set("acme/scratch-1", [])
    assert rfsync.list_projects("acme", config=config) == ["gears", "widgets"]
    rfsync.sync_project("acme", "gears", config=config)
    simulator.source.remove("acme/gears")
    assert sorted(rfsync.list_projects("acme", config=config)) == ["gears", "widgets"]  # its sync finds that it is gone
    rfsync.sync_project("acme", "gears", config=config)
    simulator.faults.add("/acme", Status(401))
    with pytest.raises(rfsync.SyncError, match=r"acme/\*: auth: its projects can't be listed"):
        rfsync.list_projects("acme", config=config)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_wrong_before_a_run_is_said_by_other_errors(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in (("acme/widgets", "x"), ("acme", ""), ("acme", "a/b")):
        with pytest.raises(rfsync.ConfigError):
            rfsync.sync_project(*wrong, config=config)
    with pytest.raises(rfsync.ConfigError):
        rfsync.list_projects("acme/widgets", config=config)
    with pytest.raises(rfsync.DatabaseError, match="its folder does not exist"):
        rfsync.sync_project("acme", "widgets", config=config, database="sqlite:////nowhere/at/all.db")
    monkeypatch.delenv("ROBOFLOW_API_KEY")
    with pytest.raises(rfsync.ConfigError, match="key"):
        rfsync.sync_project("acme", "widgets", config=config)
