"""The examples of docs/orchestrators.md, with the orchestrators that are installed in an environment of their own.

``make test-orchestrators`` makes that. Otherwise these are skipped, but for what any Python can tell.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rfsync.simulator import FixedWorld, Simulator

TOP = Path(__file__).parents[1]
#: Python of the environment that has them.
PYTHON = TOP / "build/orchestrators/bin/python"
EXAMPLES = dict(re.findall(r"```python\n# (\w+)\n(.*?)```", (TOP / "docs/orchestrators.md").read_text(), re.DOTALL))

#: What calls each example; prints the outcome of each project's task, and whether each kind of failure is tried again.
CALLS = {
    "dagster": """
with dg.DagsterInstance.ephemeral() as instance:
    for outcome in ("changed", "unchanged"):
        ran = roboflow_history.execute_in_process(instance=instance)
        events = [e for e in ran.all_events if e.is_successful_output and e.step_key.startswith("sync")]
        found = {e.event_specific_data.metadata["outcome"].text for e in events}
        assert (ran.success, len(events), found) == (True, 2, {outcome}), (len(events), found)
    assert [schedule.name for schedule in definitions.schedules] == ["roboflow_history_schedule"]
""",
    "prefect": """
from prefect.states import Failed

assert [sync.fn(project).outcome for project in rfsync.list_projects("acme")] == ["changed", "changed"]
result = sync.fn("gears")
assert result.outcome == "unchanged"
for kind, again in (("auth", False), ("server", True)):
    failed = Failed(data=rfsync.SyncError(result._replace(outcome="failed", error_kind=kind)))
    assert may_work_later(sync, None, failed) is again, kind
assert (sync.retries, roboflow_history.name) == (3, "roboflow-history")
""",
}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    world = FixedWorld(
        {f"acme/{project}": [{"id": project, "images": 3, "numJobs": 0}] for project in ("gears", "w-2")}
    )
    with Simulator(world) as simulator:
        yield simulator


def test_each_example_is_python() -> None:
    assert sorted(EXAMPLES) == ["airflow", "dagster", "prefect"]
    for name, text in EXAMPLES.items():
        compile(text, name, "exec")


@pytest.mark.skipif(
    not (TOP / "build/orchestrators/ready").exists(), reason="make test-orchestrators installs what this needs"
)
@pytest.mark.parametrize("name", CALLS)
def test_the_example_runs_as_it_stands_in_the_documentation(name: str, simulator: Simulator, tmp_path: Path) -> None:
    settings = {"base_url": simulator.url, "attempts": 1}
    (tmp_path / "rfsync.toml").write_text(
        "[api]\n"
        + "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
        + '\n[[workspaces]]\nid = "acme"\nprojects = ["*"]\n'
    )
    example = EXAMPLES[name].replace('if __name__ == "__main__"', "if False")
    (tmp_path / "example.py").write_text(f"{example}\n{CALLS[name]}")
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ROBOFLOW_API_KEY": "key-of-the-tests"}
    env["DO_NOT_TRACK"] = "1"  # no test reaches the network
    done = subprocess.run([PYTHON, "example.py"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "rfsync.db").exists()
    assert "key-of-the-tests" not in done.stdout + done.stderr
