"""Metrics for Prometheus. Their labels are workspaces and projects, phases and outcomes: never batches."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector, disable_created_metrics
from prometheus_client.core import Counter, Gauge, GaugeMetricFamily, Histogram, Info, Metric
from prometheus_client.registry import Collector, CollectorRegistry
from sqlalchemy import Engine, case, literal, select

from rfsync.daemon.daemon import Daemon
from rfsync.database.errors import translated
from rfsync.errors import DatabaseError
from rfsync.schema.models import Project
from rfsync.schema.upgrade import VERSION, require_revision
from rfsync.sync.result import Result
from rfsync.version import __version__

_PROJECT_LABELS: Final = ("workspace", "project")
_DATABASE_UP: Final = "1 where the database answers, and is at this version's schema."
#: Seconds, from a poll that found nothing new to the largest list.
_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class ProjectTotals(NamedTuple):
    """A project's totals in the database."""

    workspace: str
    project: str
    batches: int | None
    #: Not yet in a job.
    images: int | None
    num_jobs: int | None
    #: Last observation applied; None: none yet, then the three above are None, too.
    observed_at: datetime | None
    #: Last observation that had the job list. None: none yet, or nobody asks for it; then the next are None, too.
    jobs_observed_at: datetime | None
    jobs: int | None
    images_in_jobs: int | None
    annotated: int | None
    #: Why the job list was not applied when it was last asked for; None: it was, or nobody asks.
    jobs_error_kind: str | None


class PrometheusMetrics:
    """Counts what runs do, in its own registry."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, that says when it began
        self.registry = CollectorRegistry(auto_describe=True)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        self._runs = counter("rfsync_runs", "Runs that have ended.", (*_PROJECT_LABELS, "outcome"))
        self._errors = counter("rfsync_run_errors", "Runs that failed, by why.", (*_PROJECT_LABELS, "kind"))
        self._job_list_errors = counter(
            "rfsync_job_list_errors", "Job lists that could not be had, by why.", (*_PROJECT_LABELS, "kind")
        )
        self._bytes = counter("rfsync_response_bytes", "Bytes of batch lists, decompressed.", _PROJECT_LABELS)
        self._rows = counter("rfsync_ledger_rows", "Rows written to the ledger.", (*_PROJECT_LABELS, "change"))
        self._listed = Gauge(
            "rfsync_project_listed_batches", "Batches in the last list that was read.", _PROJECT_LABELS,
            registry=self.registry,
        )  # fmt: skip
        self._reloaded = Gauge(
            "rfsync_config_last_reload_successful", "0 where the configuration was read again and is not usable.",
            registry=self.registry,
        )  # fmt: skip
        self._reloaded_at = Gauge(
            "rfsync_config_last_reload_success_timestamp_seconds", "When the configuration in force was read.",
            registry=self.registry,
        )  # fmt: skip
        Info("rfsync_build", "The version that runs.", registry=self.registry).info({"version": __version__})
        self._seconds = Histogram(
            "rfsync_phase_seconds", "How long the phases of a run take, with all their attempts.", ("phase",),
            buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip

    def time(self, phase: str) -> AbstractContextManager[None]:
        """See ``SyncContext.timer``."""
        return self._seconds.labels(phase).time()

    def ended(self, result: Result) -> None:
        """Counts a run."""
        project = (result.workspace, result.project)
        self._runs.labels(*project, result.outcome).inc()
        if result.error_kind is not None:
            self._errors.labels(*project, str(result.error_kind)).inc()
        if result.row.jobs_error_kind is not None:
            self._job_list_errors.labels(*project, str(result.row.jobs_error_kind)).inc()
        if result.old is not None:
            with suppress(KeyError):
                self._listed.remove(*result.old)
        if result.departed or result.row.batches is not None:
            self._listed.labels(*project).set(0 if result.departed else result.row.batches or 0)
        self._bytes.labels(*project).inc(result.row.response_bytes or 0)
        tally = result.tally
        for change in ("added", "changed", "removed", "restored"):
            self._rows.labels(*project, change).inc(getattr(tally, change))

    def configured(self, *, at: datetime | None) -> None:
        """Notes that the configuration was read.

        Args:
            at: None: it is not usable, and the one before stays in force.
        """
        self._reloaded.set(at is not None)
        if at is not None:
            self._reloaded_at.set(at.timestamp())

    def watch(self, daemon: Daemon, totals: Callable[[], Iterable[ProjectTotals]]) -> None:
        """Has each scrape also show the state of a daemon and what the database has."""
        self.registry.register(_StateCollector(daemon, totals))


class _StateCollector(Collector):
    def __init__(self, daemon: Daemon, totals: Callable[[], Iterable[ProjectTotals]]) -> None:
        self._daemon = daemon
        self._totals = totals

    def describe(self) -> Iterable[Metric]:
        """Nothing, so that registering does not ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        projects = self._daemon.projects().values()
        for name, (field, description) in _SCHEDULE.items():
            values = [(project.task.workspace, project.task.project, getattr(project, field)) for project in projects]
            yield _gauge(name, description, values)
        ended = ((project.task, project.last) for project in projects if project.last is not None)
        kinds = ((task.workspace, task.project, last.error_kind) for task, last in ended)
        yield _errors("rfsync_project_error", "1 for the kind of error of the last run, if that failed.", kinds)
        yield from self._listings()
        if self._daemon.pruned_at is not None:
            pruned = self._daemon.pruned_at.timestamp()
            yield GaugeMetricFamily(
                "rfsync_last_pruning_success_timestamp_seconds", "When old runs were deleted.", pruned
            )
        try:
            totals = list(self._totals())
        except DatabaseError:
            yield GaugeMetricFamily("rfsync_database_up", _DATABASE_UP, 0)
            return
        yield GaugeMetricFamily("rfsync_database_up", _DATABASE_UP, 1)
        for name, (field, description) in _TOTALS.items():
            yield _gauge(name, description, [(row.workspace, row.project, getattr(row, field)) for row in totals])
        kinds = ((row.workspace, row.project, row.jobs_error_kind) for row in totals)
        yield _errors("rfsync_project_job_list_error", "1 for why there is no job list of now.", kinds)

    def _listings(self) -> Iterator[Metric]:
        listed = GaugeMetricFamily(
            "rfsync_workspace_listed", "1 where the workspace's projects could be listed.", labels=("workspace",)
        )
        errors = GaugeMetricFamily(
            "rfsync_workspace_error", "1 for the kind of error of the last listing, if that failed.",
            labels=("workspace", "kind"),
        )  # fmt: skip
        for workspace, why in self._daemon.listings().items():
            listed.add_metric((workspace,), float(why is None))
            if why is not None:
                errors.add_metric((workspace, why.error_kind), 1.0)
        yield from (listed, errors)


def _errors(name: str, description: str, kinds: Iterable[tuple[str, str, str | None]]) -> Metric:
    """One gauge with 1 for each workspace and project that has an error."""
    family = GaugeMetricFamily(name, description, labels=(*_PROJECT_LABELS, "kind"))
    for workspace, project, kind in kinds:
        if kind is not None:
            family.add_metric((workspace, project, str(kind)), 1.0)
    return family


def _gauge(name: str, description: str, values: Iterable[tuple[str, str, float | datetime | None]]) -> Metric:
    """One gauge with a value for each workspace and project that has one; a time is in seconds since 1970."""
    family = GaugeMetricFamily(name, description, labels=_PROJECT_LABELS)
    for workspace, project, value in values:
        if value is not None:
            seconds = value.timestamp() if isinstance(value, datetime) else float(value)
            family.add_metric((workspace, project), seconds)
    return family


def read_totals(engine: Engine, *, with_jobs: bool = True) -> list[ProjectTotals]:
    """The totals of every project in the database that has not departed.

    Args:
        with_jobs: job lists are asked for.

    Raises:
        DatabaseError: the database can't be read.
        SchemaError: it was upgraded since this process has opened it.
    """
    totals = (Project.batches, Project.images, Project.num_jobs)
    batches = (case((Project.observed_at.is_not(None), column)) for column in totals)
    is_known = literal(with_jobs) & Project.jobs_observed_at.is_not(None)
    known = (Project.jobs_observed_at, Project.jobs, Project.images_in_jobs, Project.annotated)
    jobs = (case((is_known, column)) for column in known)
    error = case((literal(with_jobs), Project.jobs_error_kind))
    query = (
        select(Project.workspace, Project.project, *batches, Project.observed_at, *jobs, error)
        .where(Project.departed_at.is_(None))
        .order_by(Project.workspace, Project.project)
    )
    with translated("reading the totals"), engine.connect() as connection:
        require_revision(connection.scalar(select(VERSION.c.version_num)))
        return [ProjectTotals(*row) for row in connection.execute(query)]


_TOTALS: Final = {
    "rfsync_project_batches": ("batches", "Batches now, as the database has them."),
    "rfsync_project_images": ("images", "Images now not yet in a job, as the database has them."),
    "rfsync_project_jobs": ("num_jobs", "Annotation jobs now, as the batch list counts them."),
    "rfsync_project_annotation_jobs": ("jobs", "Annotation jobs now, as the job list has them."),
    "rfsync_project_images_in_jobs": ("images_in_jobs", "Images in annotation jobs now."),
    "rfsync_project_images_annotated": ("annotated", "Annotated images in annotation jobs now."),
    "rfsync_project_observed_timestamp_seconds": ("observed_at", "When the batch list was last observed."),
    "rfsync_project_job_list_observed_timestamp_seconds": ("jobs_observed_at", "When the job list last was, too."),
}
_SCHEDULE: Final = {
    "rfsync_project_running": ("is_running", "1 while the project is polled."),
    "rfsync_project_consecutive_failures": ("failures", "Failed runs in a row; refused ones don't count."),
    "rfsync_project_stale": ("is_stale", "1 where the last success is older than three intervals."),
    "rfsync_project_last_success_timestamp_seconds": ("last_success", "When a run of this daemon last succeeded."),
    "rfsync_project_next_run_timestamp_seconds": ("next_run", "When the next poll starts."),
}
