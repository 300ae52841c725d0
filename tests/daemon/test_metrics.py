"""Metrics: what they count, and that no batch is ever among their labels."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from rig import Rig, job, record

from rfsync.daemon.daemon import Daemon
from rfsync.daemon.discovery import Unlisted
from rfsync.daemon.metrics import ProjectTotals, PrometheusMetrics, read_totals
from rfsync.daemon.polls import ProjectStatus
from rfsync.database.engine import open_engine
from rfsync.errors import DatabaseError, ErrorKind, FetchError
from rfsync.ledger.changes import Tally
from rfsync.ledger.projects import ProjectPath
from rfsync.ledger.runs import RunRow
from rfsync.redaction import Secret
from rfsync.sync.result import Result
from rfsync.sync.task import SyncTask
from rfsync.version import __version__

LABELS = {"workspace", "project", "outcome", "kind", "change", "phase", "version"}
OUTCOMES = ("changed", "unchanged", "refused", "superseded", "failed", "abandoned")
WHEN = datetime(2026, 1, 1, 12, tzinfo=UTC)
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def project(name: str, **state: Any) -> ProjectStatus:
    return ProjectStatus(SyncTask("acme", name, Secret("key")), **{"last": None, "last_success_age": None, **state})


class FakeDaemon:
    """One project that is well, and one that is not."""

    def __init__(self) -> None:
        self.pruned_at: datetime | None = None
        failed = Result("acme", "b", RunRow("failed", error_kind="server"))
        self._projects = {
            "acme/a": project("a", is_running=False, failures=0, is_stale=False, last_success=WHEN, next_run=WHEN),
            "acme/b": project(
                "b", last=failed, is_running=True, failures=3, is_stale=True, last_success=None, next_run=None
            ),
        }

    def projects(self) -> dict[str, ProjectStatus]:
        return self._projects

    def listings(self) -> dict[str, Unlisted | None]:
        return {"acme": None, "other": Unlisted("auth", "HTTP 401")}


def families(metrics: PrometheusMetrics) -> list[Metric]:
    return [
        family
        for family in text_string_to_metric_families(generate_latest(metrics.registry).decode())
        if family.name.startswith("rfsync_")
    ]


def samples(metrics: PrometheusMetrics) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(metrics)
        for sample in family.samples
    }


def of(project: str, **labels: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"workspace": "acme", "project": project, **labels}.items()))


def totals() -> list[ProjectTotals]:
    return [
        ProjectTotals("acme", "a", 3, 120, 7, WHEN, WHEN, 2, 50, 20, None),
        ProjectTotals("acme", "gone", None, None, None, None, None, None, None, None, "auth"),
    ]


def away() -> list[ProjectTotals]:
    raise DatabaseError("no connection")


def watching(read: object = totals) -> PrometheusMetrics:
    metrics = PrometheusMetrics()
    metrics.watch(cast("Daemon", FakeDaemon()), read)  # type: ignore[arg-type]
    return metrics


def test_each_run_is_counted_by_its_outcome() -> None:
    metrics = PrometheusMetrics()
    for outcome in ("unchanged", "unchanged", "changed", "refused"):
        metrics.ended(Result("acme", "a", RunRow(outcome)))
    metrics.ended(Result("acme", "b", RunRow("unchanged")))
    found = samples(metrics)
    assert found["rfsync_runs_total", of("a", outcome="unchanged")] == 2
    assert found["rfsync_runs_total", of("a", outcome="changed")] == 1
    assert found["rfsync_runs_total", of("a", outcome="refused")] == 1
    assert found["rfsync_runs_total", of("b", outcome="unchanged")] == 1
    assert not [name for name, _ in found if name == "rfsync_run_errors_total"]


@pytest.mark.parametrize("kind", [ErrorKind.NETWORK, "network"])
def test_failures_are_counted_by_kind(kind: str) -> None:
    metrics = PrometheusMetrics()
    metrics.ended(Result("acme", "a", RunRow("failed", error_kind=kind, error="anything at all")))
    found = samples(metrics)
    assert found["rfsync_run_errors_total", of("a", kind="network")] == 1
    assert found["rfsync_runs_total", of("a", outcome="failed")] == 1


def test_job_lists_that_fail_are_counted_by_kind_and_their_runs_are_no_failures() -> None:
    metrics = PrometheusMetrics()
    for kind in ("server", "server", "refused", None):
        metrics.ended(Result("acme", "a", RunRow("unchanged", jobs_error_kind=kind)))
    found = samples(metrics)
    assert found["rfsync_job_list_errors_total", of("a", kind="server")] == 2
    assert found["rfsync_job_list_errors_total", of("a", kind="refused")] == 1
    assert found["rfsync_runs_total", of("a", outcome="unchanged")] == 4
    assert not [name for name, _ in found if name == "rfsync_run_errors_total"]


def test_the_totals_have_those_of_the_jobs_where_a_list_was_read_and_is_asked_for(rig: Rig) -> None:
    rig.sync_jobs, rig.listed, rig.jobs = "auto", [record("b1", 5, 1)], [job("j1", 20, 5), job("j2", 3)]
    rig.sync()
    gears = FetchError(ErrorKind.AUTH, "HTTP 403", http_status=403)
    rig.project, rig.jobs, rig.listed = "gears", gears, [record("b2", 1)]
    rig.sync()
    rig.project, rig.listed = "new", FetchError(ErrorKind.SERVER, "HTTP 500", http_status=500)
    rig.sync()
    engine = open_engine(rig.url, read_only=True)
    denied, new, known = read_totals(engine)
    assert known == ("acme", "widgets", 1, 5, 1, known.observed_at, known.observed_at, 2, 23, 5, None)
    assert denied == ("acme", "gears", 1, 1, 0, denied.observed_at, None, None, None, None, "auth")
    assert new == ("acme", "new", *[None] * 9)
    for row in read_totals(engine, with_jobs=False):
        assert row[6:] == (None,) * 5
    engine.dispose()


def test_bytes_and_rows_of_the_ledger_add_up() -> None:
    metrics = PrometheusMetrics()
    for size in (100, None, 23):
        metrics.ended(
            Result(
                "acme",
                "a",
                RunRow("changed", response_bytes=size, tally=Tally(added=4, changed=3, removed=2, restored=1)),
            )
        )
    found = samples(metrics)
    assert found["rfsync_response_bytes_total", of("a")] == 123
    rows = [found["rfsync_ledger_rows_total", of("a", change=c)] for c in ("added", "changed", "removed", "restored")]
    assert rows == [12, 9, 6, 3]


def test_phases_are_timed_even_if_they_fail() -> None:
    metrics = PrometheusMetrics()
    with metrics.time("fetch"):
        pass
    with pytest.raises(ZeroDivisionError), metrics.time("write"):
        raise ZeroDivisionError
    found = samples(metrics)
    assert found["rfsync_phase_seconds_count", (("phase", "fetch"),)] == 1
    assert found["rfsync_phase_seconds_count", (("phase", "write"),)] == 1


def test_each_scrape_shows_the_current_state() -> None:
    found = samples(watching())
    assert found["rfsync_database_up", ()] == 1
    for name, a, b in (("running", 0, 1), ("consecutive_failures", 0, 3), ("stale", 0, 1)):
        assert (found[f"rfsync_project_{name}", of("a")], found[f"rfsync_project_{name}", of("b")]) == (a, b)
    for name in ("last_success", "next_run"):
        assert found[f"rfsync_project_{name}_timestamp_seconds", of("a")] == WHEN.timestamp()
        assert (f"rfsync_project_{name}_timestamp_seconds", of("b")) not in found
    for name, value in (("batches", 3), ("images", 120), ("jobs", 7)):
        assert found[f"rfsync_project_{name}", of("a")] == value
        assert (f"rfsync_project_{name}", of("gone")) not in found
    for name, value in (("annotation_jobs", 2), ("images_in_jobs", 50), ("images_annotated", 20)):
        assert found[f"rfsync_project_{name}", of("a")] == value
        assert (f"rfsync_project_{name}", of("gone")) not in found
    for name in ("observed", "job_list_observed"):
        assert found[f"rfsync_project_{name}_timestamp_seconds", of("a")] == WHEN.timestamp()
        assert (f"rfsync_project_{name}_timestamp_seconds", of("gone")) not in found
    assert samples(watching(list))["rfsync_database_up", ()] == 1


def test_the_current_kind_of_error_of_a_project_and_of_a_workspace_is_shown() -> None:
    found = samples(watching())
    errors = {name: labels for name, labels in found if name.startswith("rfsync_project_") and name.endswith("_error")}
    assert errors == {
        "rfsync_project_error": of("b", kind="server"),
        "rfsync_project_job_list_error": of("gone", kind="auth"),
    }
    assert found["rfsync_workspace_listed", (("workspace", "acme"),)] == 1
    assert found["rfsync_workspace_listed", (("workspace", "other"),)] == 0
    assert [labels for name, labels in found if name == "rfsync_workspace_error"] == [
        (("kind", "auth"), ("workspace", "other"))
    ]


def test_the_length_of_the_last_list_is_shown_until_there_is_another() -> None:
    metrics = PrometheusMetrics()
    metrics.ended(Result("acme", "a", RunRow("refused", batches=2)))
    metrics.ended(Result("acme", "a", RunRow("failed", error_kind="server")))
    assert samples(metrics)["rfsync_project_listed_batches", of("a")] == 2
    metrics.ended(Result("acme", "a", RunRow("changed", batches=0)))
    assert samples(metrics)["rfsync_project_listed_batches", of("a")] == 0


def test_the_list_of_a_project_that_departs_is_empty_and_of_an_old_id_there_is_none() -> None:
    metrics = PrometheusMetrics()
    metrics.ended(Result("acme", "a", RunRow("unchanged", batches=2)))
    metrics.ended(Result("acme", "a", RunRow("changed"), departed=True))
    metrics.ended(Result("acme", "b", RunRow("unchanged", batches=3)))
    metrics.ended(Result("acme", "c", RunRow("changed", batches=4), old=ProjectPath("acme", "b")))
    metrics.ended(Result("acme", "e", RunRow("changed", batches=5), old=ProjectPath("acme", "never-polled")))
    listed = {labels: value for (name, labels), value in samples(metrics).items() if name.endswith("listed_batches")}
    assert listed == {of("a"): 0, of("c"): 4, of("e"): 5}


def test_the_version_the_last_reload_and_the_last_pruning_are_shown() -> None:
    metrics, daemon = PrometheusMetrics(), FakeDaemon()
    metrics.watch(cast("Daemon", daemon), totals)
    assert samples(metrics)["rfsync_build_info", (("version", __version__),)] == 1
    pruned = ("rfsync_last_pruning_success_timestamp_seconds", ())
    assert pruned not in samples(metrics)
    daemon.pruned_at = WHEN
    assert samples(metrics)[pruned] == WHEN.timestamp()
    metrics.configured(at=WHEN)
    metrics.configured(at=None)
    found = samples(metrics)
    assert found["rfsync_config_last_reload_successful", ()] == 0
    assert found["rfsync_config_last_reload_success_timestamp_seconds", ()] == WHEN.timestamp()
    metrics.configured(at=WHEN)
    assert samples(metrics)["rfsync_config_last_reload_successful", ()] == 1


def test_without_the_database_the_other_metrics_are_still_there() -> None:
    metrics = watching(away)
    metrics.ended(Result("acme", "a", RunRow("changed")))
    found = samples(metrics)
    assert found["rfsync_database_up", ()] == 0
    assert found["rfsync_project_stale", of("b")] == 1
    assert found["rfsync_runs_total", of("a", outcome="changed")] == 1
    names = {name for name, _ in found}
    assert not names & {"rfsync_project_batches", "rfsync_project_images", "rfsync_project_jobs"}


def test_a_project_that_is_no_longer_polled_is_not_in_the_next_scrape() -> None:
    metrics, daemon = PrometheusMetrics(), FakeDaemon()
    metrics.watch(cast("Daemon", daemon), totals)
    assert ("rfsync_project_stale", of("b")) in samples(metrics)
    daemon._projects = {"acme/a": daemon._projects["acme/a"]}
    assert ("rfsync_project_stale", of("b")) not in samples(metrics)
    assert ("rfsync_project_stale", of("a")) in samples(metrics)


def test_each_metric_is_documented_and_has_no_creation_time() -> None:
    metrics = watching()
    metrics.ended(Result("acme", "a", RunRow("failed", error_kind="server")))
    with metrics.time("fetch"):
        pass
    found = families(metrics)
    assert [family.name for family in found if not family.documentation] == []
    assert [family.name for family in found if family.name.endswith("_created")] == []
    assert len({family.name for family in found}) == len(found)


def test_registries_are_independent() -> None:
    first, second = PrometheusMetrics(), PrometheusMetrics()
    first.ended(Result("acme", "a", RunRow("changed")))
    assert ("rfsync_runs_total", of("a", outcome="changed")) in samples(first)
    assert ("rfsync_runs_total", of("a", outcome="changed")) not in samples(second)


def test_names_are_escaped() -> None:
    metrics = PrometheusMetrics()
    metrics.ended(Result("acme", 'a "b" \\ \n', RunRow("changed")))
    assert samples(metrics)["rfsync_runs_total", of('a "b" \\ \n', outcome="changed")] == 1


RESULTS = st.builds(
    Result,
    st.sampled_from(["acme", "other"]),
    st.sampled_from(["a", "b", "c"]),
    st.builds(
        RunRow,
        st.sampled_from(OUTCOMES),
        batches=st.integers(0) | st.none(),
        rejected=st.integers(0, 9),
        tally=st.builds(Tally, *[st.integers(0, 1_000_000)] * 4),
        response_bytes=st.integers(0, 1 << 40) | st.none(),
        error_kind=st.sampled_from([*ErrorKind, None]),
        jobs_error_kind=st.sampled_from([*ErrorKind, "refused", None]),
        error=st.text(max_size=12) | st.none(),
    ),
    run_id=st.integers(1) | st.none(),
)


@settings(max_examples=25)
@given(st.lists(RESULTS, max_size=60))
def test_labels_are_few_and_series_are_bounded(results: list[Result]) -> None:
    metrics = watching()
    for result in results:
        metrics.ended(result)
        with metrics.time("fetch"), metrics.time("write"):
            pass
    found = samples(metrics)
    assert {label for _, labels in found for label, _ in labels} <= LABELS | {"le"}
    projects = 6
    kinds = len(ErrorKind)
    of_runs = projects * (len(OUTCOMES) + kinds + kinds + 1 + 1 + 4 + 1)
    assert len(found) <= of_runs + 2 * 17 + 2 * 5 + 2 * 9 + 1 + 1 + 3 + 3
    assert sum(value for (name, _), value in found.items() if name == "rfsync_runs_total") == len(results)
