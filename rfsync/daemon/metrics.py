"""Metrics for Prometheus. Their labels are workspaces and projects, phases and outcomes: never batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from rfsync.daemon.daemon import Daemon
from rfsync.errors import DatabaseError
from rfsync.sync.result import Result

_OF_A_PROJECT: Final = ("workspace", "project")
#: Seconds, from a poll that found nothing new to the largest list there is.
_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
#: What the database knows of each project: workspace, project, batches, images, jobs.
Totals = Callable[[], Iterable[tuple[str, str, int, int, int]]]


class PrometheusMetrics:
    """Counts what runs do, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, that says when it began
        self.registry = CollectorRegistry(auto_describe=True)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._runs = Counter(
            "rfsync_runs", "Runs that have ended.", (*_OF_A_PROJECT, "outcome"), registry=self.registry
        )
        self._errors = Counter(
            "rfsync_run_errors", "Runs that failed, by why.", (*_OF_A_PROJECT, "kind"), registry=self.registry
        )
        self._bytes = Counter(
            "rfsync_response_bytes", "Bytes of batch lists, decompressed.", _OF_A_PROJECT, registry=self.registry
        )
        self._rows = Counter(
            "rfsync_ledger_rows", "Rows written to the ledger.", (*_OF_A_PROJECT, "change"), registry=self.registry
        )
        self._seconds = Histogram(
            "rfsync_phase_seconds", "How long the phases of a run take, with all their attempts.", ("phase",),
            buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip

    def time(self, phase: str) -> AbstractContextManager[None]:
        """See ``telemetry.Metrics.time``."""
        timer: AbstractContextManager[None] = self._seconds.labels(phase).time()
        return timer

    def ended(self, result: Result) -> None:
        """Counts a run."""
        project = (result.workspace, result.project)
        self._runs.labels(*project, result.outcome).inc()
        if result.error_kind is not None:
            self._errors.labels(*project, str(result.error_kind)).inc()
        self._bytes.labels(*project).inc(result.row.response_bytes or 0)
        tally = result.tally
        for change in ("added", "changed", "removed", "restored"):
            self._rows.labels(*project, change).inc(getattr(tally, change))

    def watch(self, daemon: Callable[[], Daemon], totals: Totals) -> None:
        """Has each scrape ask the daemon and the database how things stand."""
        self.registry.register(_Standing(daemon, totals))


class _Standing(Collector):
    def __init__(self, daemon: Callable[[], Daemon], totals: Totals) -> None:
        self._daemon = daemon
        self._totals = totals

    def describe(self) -> Iterable[Metric]:
        """Nothing is promised beforehand: the database may be away."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """As the base class has it."""
        yield from self._schedule()
        try:
            totals = list(self._totals())
        except DatabaseError:
            yield GaugeMetricFamily("rfsync_database_up", "Whether the database answers.", 0)
            return
        yield GaugeMetricFamily("rfsync_database_up", "Whether the database answers.", 1)
        for place, (name, what) in enumerate(_TOTALS.items(), 2):
            family = GaugeMetricFamily(name, what, labels=_OF_A_PROJECT)
            for row in totals:
                family.add_metric(row[:2], float(str(row[place])))
            yield family

    def _schedule(self) -> Iterator[Metric]:
        daemon = self._daemon()
        families: Mapping[str, GaugeMetricFamily] = {
            name: GaugeMetricFamily(name, what, labels=_OF_A_PROJECT) for name, what in _SCHEDULE.items()
        }
        for key, project in daemon.projects().items():
            labels = (project.task.workspace, project.task.project)
            next_run = daemon.next_run(key)
            values = {
                "rfsync_project_running": float(project.running),
                "rfsync_project_consecutive_failures": float(project.failures),
                "rfsync_project_stale": float(daemon.is_stale(project)),
            }
            if project.succeeded is not None:
                values["rfsync_project_last_success_timestamp_seconds"] = project.succeeded.timestamp()
            if next_run is not None:
                values["rfsync_project_next_run_timestamp_seconds"] = next_run.timestamp()
            for name, value in values.items():
                families[name].add_metric(labels, value)
        yield from families.values()


_TOTALS: Final = {
    "rfsync_project_batches": "Batches now, as the database has them.",
    "rfsync_project_images": "Images now not yet in a job, as the database has them.",
    "rfsync_project_jobs": "Annotation jobs now, as the database has them.",
}
_SCHEDULE: Final = {
    "rfsync_project_running": "1 while the project is polled.",
    "rfsync_project_consecutive_failures": "Failed runs in a row; refused ones don't count.",
    "rfsync_project_stale": "1 where the last success is older than three intervals.",
    "rfsync_project_last_success_timestamp_seconds": "When a run of this daemon last succeeded.",
    "rfsync_project_next_run_timestamp_seconds": "When the next poll starts.",
}
