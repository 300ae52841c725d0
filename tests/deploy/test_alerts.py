"""Each sample alert fires for its fault and for nothing else, on what a real daemon answers to a real scrape."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from rfsync.schema.upgrade import HEAD
from rfsync.simulator import FixedWorld, Simulator, Status
from tests.conftest import PostgresServer, new_databases
from tests.e2e.conftest import Cli, Database, batch

TOP = Path(__file__).parents[2]
RULES = TOP / "deploy" / "prometheus" / "alerts.yaml"
ADDRESS = re.compile(r"health and metrics: (http://\S+)")
#: ``job`` and ``instance`` as Prometheus would add them.
TARGET = {"job": "rfsync", "instance": "daemon:9108"}
#: A sample's name and labels, as a series is written.
Scrape = Mapping[str, float]
Kinds = set[tuple[str, str, frozenset[str]]]
BROKEN = {"denied": "401", "down": "503", "limited": "429"}
ALL = ["well", *BROKEN, "vanished"]


class Running:
    """A daemon that polls every second, and what it answers."""

    def __init__(self, cli: Cli, projects: list[str]) -> None:
        more = '[schedule]\nevery = "1s"\njitter = "0s"\n\n[daemon]\nlisten = "127.0.0.1:0"\n\n'
        cli.configure(removals={"repeat": 1000, "confirm_limit": 1}, more=more, workspaces=[{"projects": projects}])
        self.process = cli.start("daemon")
        assert self.process.stderr is not None
        found = next(filter(None, map(ADDRESS.search, self.process.stderr)))
        self.url = found[1]
        # What it says from now on has to go somewhere, or it would wait for a reader.
        self._reader = threading.Thread(target=self.process.stderr.read)
        self._reader.start()

    def scrape(self) -> Scrape:
        samples = (sample for family in self.families() for sample in family.samples)
        return {series(sample.name, {**sample.labels, **TARGET}): sample.value for sample in samples}

    def families(self) -> list[Metric]:
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:  # noqa: S310 our own
            return list(text_string_to_metric_families(answer.read().decode()))

    def kinds(self) -> Kinds:
        """Name, type and labels of rfsync's own metrics."""
        return {
            (
                family.name + ("_total" if family.type == "counter" else ""),
                family.type,
                frozenset(label for sample in family.samples for label in sample.labels) - {"le"},
            )
            for family in self.families()
            if family.name.startswith("rfsync_") and family.samples
        }

    def scrape_until(self, condition: Callable[[Scrape], bool]) -> Scrape:
        """The first scrape of which that is true."""
        while not condition(seen := self.scrape()):
            pass
        return seen

    def scrape_when(self, *wanted: tuple[str, str, float]) -> Scrape:
        """The first scrape in which each of these has at least that value, of (metric, project, value)."""
        while True:
            seen = self.scrape()
            values = (
                max(
                    (v for s, v in seen.items() if s.startswith(f"{name}{{") and f'project="{project}"' in s),
                    default=-1,
                )
                for name, project, _ in wanted
            )
            if all(value >= least for value, (_, _, least) in zip(values, wanted, strict=True)):
                return seen

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        self._reader.join()


def series(name: str, labels: Mapping[str, str]) -> str:
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in sorted(labels.items())) + "}"


@dataclass(frozen=True)
class Scrapes:
    """What was scraped in which state of affairs."""

    well: Scrape
    still_well: Scrape
    faults: Scrape
    kinds: Kinds
    files: Scrape
    database: Scrape
    full: Scrape
    empty: Scrape
    unusable: Scrape
    upgraded: Scrape
    nothing: Scrape


@pytest.fixture(scope="module")
def scrapes(
    postgres_server: PostgresServer, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scrapes]:
    folder = tmp_path_factory.mktemp("alerts")
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    (folder / "three").mkdir()
    world = FixedWorld()
    with new_databases(postgres_server.url) as make, Simulator(world) as simulator:
        one = Cli(folder / "one", world, simulator, Database(make(postgres_template)))
        two = Cli(folder / "two", world, simulator, Database(f"sqlite:///{folder / 'two.db'}"))
        three = Cli(folder / "three", world, simulator, Database(f"sqlite:///{folder / 'three.db'}"))
        try:
            yield gather(one, two, three, postgres_server)
        finally:
            one.close()
            two.close()
            three.close()


def gather(cli: Cli, other: Cli, unlisted: Cli, server: PostgresServer) -> Scrapes:
    for project in ALL:
        cli.list(batch("b1", 1), batch("b2", 2), project=project)
    running = Running(cli, ALL)
    well = running.scrape_when(*(("rfsync_project_last_success_timestamp_seconds", project, 1) for project in ALL))
    still_well = running.scrape_when(("rfsync_runs_total", "well", 2))
    for project, status in BROKEN.items():
        cli.simulator.faults.add(f"/acme/{project}/batches", Status(int(status)), times=None)
    cli.list(project="vanished")
    # One whose batches are observed on, and the job list is not; for hours, as far as the database knows.
    cli.simulator.faults.add("/acme/well/jobs", Status(503), times=None)
    running.scrape_when(("rfsync_project_job_list_error", "well", 1.0))
    cli.database.execute("UPDATE projects SET jobs_observed_at = observed_at - interval '2 h' WHERE project = 'well'")
    failing = [("rfsync_project_consecutive_failures", project, 3.0) for project in BROKEN]
    stale = [("rfsync_project_stale", project, 1.0) for project in (*BROKEN, "vanished")]
    faults = running.scrape_when(*failing, *stale)
    kinds = running.kinds()
    hard = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (value(faults, "process_open_fds") + 2, hard))
    files = running.scrape()
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    server.stop()
    try:
        database = running.scrape()
    finally:
        server.start()
    running.stop()
    full, empty, unusable, upgraded = gather_more(other)
    unlisted.simulator.faults.add("/acme", Status(401), times=None)
    lost = Running(unlisted, ["*"])
    nothing = lost.scrape_until(lambda seen: series("rfsync_workspace_listed", {"workspace": "acme", **TARGET}) in seen)
    kinds |= lost.kinds()
    lost.stop()
    return Scrapes(well, still_well, faults, kinds, files, database, full, empty, unusable, upgraded, nothing)


def gather_more(cli: Cli) -> tuple[Scrape, Scrape, Scrape, Scrape]:
    """Lists that are full, and all empty; a configuration that can't be used; a schema that was upgraded."""
    projects = ["one", "two", "three"]
    cli.simulator.faults.clear()
    for project in projects:
        cli.list(batch("b1", 1), batch("b2", 2), project=project)
    running = Running(cli, projects)
    full = running.scrape_until(lambda seen: values(seen, "rfsync_project_listed_batches") == [2, 2, 2])
    for project in projects:
        cli.list(project=project)
    empty = running.scrape_until(lambda seen: values(seen, "rfsync_project_listed_batches") == [0, 0, 0])
    (cli.folder / "rfsync.toml").write_text("[api]\nattempts = 0\n")
    running.process.send_signal(signal.SIGHUP)
    unusable = running.scrape_until(lambda seen: value(seen, "rfsync_config_last_reload_successful") == 0)
    with closing(sqlite3.connect(cli.database.path, isolation_level=None)) as database:
        database.execute("UPDATE rfsync_version SET version_num = '9999'")
        upgraded = running.scrape_until(lambda seen: failing_by_database(seen) == len(projects))
        database.execute("UPDATE rfsync_version SET version_num = ?", [HEAD])
    running.stop()
    return full, empty, unusable, upgraded


def value(scrape: Scrape, name: str) -> int:
    return int(values(scrape, name)[0])


def failing_by_database(scrape: Scrape) -> int:
    return sum(s.startswith("rfsync_project_error{") and 'kind="database"' in s for s in scrape)


def values(scrape: Scrape, name: str) -> list[float]:
    return [v for s, v in scrape.items() if s.startswith(f"{name}{{")]


def rules() -> dict[str, dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


#: What has to fire where the projects' faults are there, of (alert, project).
FAULTS = {
    # A rejected key is told once for the workspace.
    *(("RfsyncProjectFailing", project) for project in ("down", "limited")),
    *(("RfsyncProjectStale", project) for project in ("down", "limited", "vanished")),
    ("RfsyncKeyRejected", ""),
    ("RfsyncRateLimited", ""),
    ("RfsyncRunRefused", "vanished"),
    ("RfsyncNoJobList", ""),
}

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: it comes with Debian's package prometheus"
)


def firing(
    folder: Path, before: Scrape, after: Scrape, up: tuple[int | None, int | None] = (1, 1)
) -> set[tuple[str, str]]:
    """What Prometheus has firing half an hour after one scrape's values gave way to another's, of (alert, project).

    Args:
        folder: for its files.
        before: scraped every minute for four hours.
        after: scraped every minute for half an hour after that.
        up: whether the target could be scraped, before and after; None: there was no such target.
    """
    both = {**{s: (v, None) for s, v in before.items()}, **{s: (before.get(s), v) for s, v in after.items()}}
    both[series("up", TARGET)] = up
    inputs = [
        {"series": name, "values": f"{stretch(first, 240)} {stretch(last, 31)}"}
        for name, (first, last) in both.items()
        if (first, last) != (None, None) and not name.startswith("python_")
    ]
    # The expectation is wrong on purpose: promtool says what it got instead.
    asked = {
        "expr": 'ALERTS{alertstate="firing"}',
        "eval_time": "270m",
        "exp_samples": [{"labels": "none", "value": 0}],
    }
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": [asked]}
    (folder / "test.yaml").write_text(
        yaml.safe_dump({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]})
    )
    done = subprocess.run(["promtool", "test", "rules", "test.yaml"], cwd=folder, capture_output=True, text=True)
    got = re.search(r"got:\s*(.*)", done.stdout + done.stderr)
    assert got is not None, done
    found = re.findall(r"\{([^}]*)\}", got[1])
    assert len(found) == got[1].count("ALERTS"), got[1]
    labels = [dict(re.findall(r'(\w+)="([^"]*)"', one)) for one in found]
    return {(one["alertname"], one.get("project", "")) for one in labels}


def none_refused(before: Scrape, after: Scrape) -> Scrape:
    """The later scrape, with no more refused runs than before: on a slow machine another one may end in between."""
    return {**after, **{s: v for s, v in before.items() if 'outcome="refused"' in s}}


def stretch(value: float | None, minutes: int) -> str:
    return f"_x{minutes}" if value is None else f"{value!r}+0x{minutes - 1}"


@promtool
def test_prometheus_accepts_the_rules() -> None:
    done = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True)
    assert (done.returncode, f"{len(rules())} rules found" in done.stdout) == (0, True), done


@promtool
def test_prometheus_accepts_the_configuration() -> None:
    done = subprocess.run(
        ["promtool", "check", "config", RULES.with_name("prometheus.yaml")], capture_output=True, text=True
    )
    assert done.returncode == 0, done


@promtool
def test_nothing_fires_while_all_is_well(scrapes: Scrapes, tmp_path: Path) -> None:
    assert firing(tmp_path, scrapes.well, scrapes.still_well) == set()


@promtool
def test_each_fault_of_a_project_fires_what_it_should_and_nothing_else(scrapes: Scrapes, tmp_path: Path) -> None:
    assert firing(tmp_path, scrapes.well, scrapes.faults) == FAULTS


@promtool
def test_what_is_over_fires_no_more(scrapes: Scrapes, tmp_path: Path) -> None:
    counted = {s: v for s, v in scrapes.faults.items() if "_total{" in s}
    over = {s: v for s, v in scrapes.still_well.items() if "_total{" not in s}
    # The counters stay where they were, for hours.
    assert firing(tmp_path, {**over, **counted}, {**over, **counted}) == set()


@promtool
def test_a_lost_database_fires(scrapes: Scrapes, tmp_path: Path) -> None:
    before = firing(tmp_path, scrapes.faults, scrapes.faults)
    down = firing(tmp_path, scrapes.faults, none_refused(scrapes.faults, scrapes.database))
    assert down - before == {("RfsyncDatabaseDown", "")}


@promtool
def test_failures_of_the_database_blame_nothing_else(scrapes: Scrapes, tmp_path: Path) -> None:
    # The key was rejected and replaced hours before: its errors are still counted.
    counted = {s: v for s, v in scrapes.faults.items() if 'kind="auth"' in s and "_total{" in s}
    before = firing(tmp_path, {**scrapes.empty, **counted}, {**scrapes.empty, **counted})
    failing = {**none_refused(scrapes.empty, scrapes.upgraded), **counted}
    assert value(failing, "rfsync_database_up") == 0
    down = firing(tmp_path, {**scrapes.empty, **counted}, failing)
    assert down - before == {("RfsyncDatabaseDown", ""), ("RfsyncReloadRefused", "")}
    # It answers, and still refuses what is to be written.
    answers = {**failing, series("rfsync_database_up", TARGET): 1.0}
    refusing = firing(tmp_path, {**scrapes.empty, **counted}, answers)
    assert refusing - before == {("RfsyncDatabaseRefuses", ""), ("RfsyncReloadRefused", "")}


@promtool
def test_lists_that_are_all_empty_at_once_fire_one_critical_alert(scrapes: Scrapes, tmp_path: Path) -> None:
    found = firing(tmp_path, scrapes.full, scrapes.empty)
    assert {alert for alert, _ in found} == {"RfsyncBatchesVanished", "RfsyncRunRefused"}
    assert rules()["RfsyncBatchesVanished"]["labels"]["severity"] == "critical"
    one = {s: v for s, v in scrapes.empty.items() if "listed_batches" in s and 'project="two"' in s}
    assert firing(tmp_path, scrapes.full, {**scrapes.full, **one}) == set()


@promtool
def test_a_configuration_that_can_not_be_used_fires(scrapes: Scrapes, tmp_path: Path) -> None:
    reloaded = {s: v for s, v in scrapes.unusable.items() if "config_last_reload" in s}
    assert firing(tmp_path, scrapes.full, {**scrapes.full, **reloaded}) == {("RfsyncReloadRefused", "")}


@promtool
def test_pruning_that_fails_for_days_fires(scrapes: Scrapes, tmp_path: Path) -> None:
    # By promtool's clock all scrapes are of 1970.
    started, pruned = series("process_start_time_seconds", TARGET), "rfsync_last_pruning_success_timestamp_seconds"
    never = {s: v for s, v in scrapes.well.items() if not s.startswith(pruned)} | {started: -3 * 86_400.0}
    assert firing(tmp_path, never, never) == {("RfsyncPruningFails", "")}
    lately = never | {series(pruned, TARGET): 0.0}
    assert firing(tmp_path, lately, lately) == set()


@promtool
def test_files_that_run_out_fire(scrapes: Scrapes, tmp_path: Path) -> None:
    assert firing(tmp_path, scrapes.faults, scrapes.files) >= {("RfsyncFilesRunningOut", "")}


@promtool
def test_a_daemon_that_polls_nothing_fires(scrapes: Scrapes, tmp_path: Path) -> None:
    assert firing(tmp_path, scrapes.nothing, scrapes.nothing) == {
        ("RfsyncNothingPolled", ""),
        ("RfsyncKeyRejected", ""),
        ("RfsyncWorkspaceNotListed", ""),
    }


@promtool
@pytest.mark.parametrize("up", [(1, 0), (1, None), (None, None)])
def test_a_daemon_that_is_down_or_gone_fires(
    scrapes: Scrapes, tmp_path: Path, up: tuple[int | None, int | None]
) -> None:
    assert firing(tmp_path, scrapes.well if up[0] else {}, {}, up) == {("RfsyncDown", "")}


def test_each_metric_that_the_rules_name_is_in_a_real_scrape(scrapes: Scrapes) -> None:
    seen = (scrapes.well, scrapes.faults, scrapes.nothing)
    there = {name.partition("{")[0] for scrape in seen for name in scrape} | {"up"}
    used = {name for rule in rules().values() for name in names(rule["expr"])}
    assert used - there == set()
    assert len(used) > 6


def names(expression: str) -> Iterable[str]:
    without_labels = re.sub(r"\{[^}]*\}|\bon \([^)]*\)", "", expression)
    return re.findall(r"\b(?:rfsync|process)_\w+|\bup\b", without_labels)


def test_each_rule_says_how_bad_it_is_what_it_means_and_where_to_read_on() -> None:
    headings = re.findall(r"^#+ (.*)$", (TOP / "docs" / "operations.md").read_text(), re.MULTILINE)
    for name, rule in rules().items():
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        section = re.search(r'docs/operations\.md, "(.*)"\.$', rule["annotations"]["description"])
        assert section is not None, name
        assert section[1] in headings, name
        assert rule["annotations"]["summary"], name


def test_the_table_of_metrics_names_what_a_real_scrape_has(scrapes: Scrapes) -> None:
    page = (TOP / "docs" / "operations.md").read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(rfsync_\w+)` \| (\w+) \| (.*?) ?\|", page, re.MULTILINE)
    told = {(name, kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert told == scrapes.kinds


def test_what_alertmanager_holds_back_are_alerts_that_there_are() -> None:
    held = yaml.safe_load(RULES.with_name("alertmanager.yaml").read_text())
    assert held["route"]["receiver"] in {receiver["name"] for receiver in held["receivers"]}
    followed = set()
    for rule in held["inhibit_rules"]:
        (source,) = (matching(one) for one in rule["source_matchers"])
        (cause,) = source
        followed.add(cause)
        targets = set.intersection(*(matching(one) for one in rule["target_matchers"]))
        # None holds itself back, and none is without an effect.
        assert targets - {cause} == targets != set()
        labels = {"job", "instance", "workspace"}
        assert {*rule["equal"]} <= labels
    assert followed == {"RfsyncDown", "RfsyncDatabaseDown", "RfsyncKeyRejected", "RfsyncBatchesVanished"}


def matching(matcher: str) -> set[str]:
    """The rules whose name a matcher of Alertmanager matches."""
    found = re.fullmatch(r'alertname(=~|!~|!=|=)"(.*)"', matcher)
    assert found is not None, matcher
    match, wanted = found[2] if "~" in found[1] else re.escape(found[2]), not found[1].startswith("!")
    return {name for name in rules() if (re.fullmatch(match, name) is not None) == wanted}
