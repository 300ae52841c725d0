"""``rfsync daemon``."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rfsync.cli.options import Options, make_command
from rfsync.errors import ConfigError, RfsyncError

if TYPE_CHECKING:
    from sqlalchemy import URL

    from rfsync.api.client import Client
    from rfsync.config import Config
    from rfsync.daemon.daemon import Daemon
    from rfsync.daemon.http import Endpoint
    from rfsync.daemon.metrics import PrometheusMetrics
    from rfsync.daemon.systemd import ServiceManager
    from rfsync.ledger.store import Store

log = logging.getLogger("rfsync.daemon")

#: How often the clock is looked at, in seconds.
_TICK = 1.0
#: When a daemon that is asked to stop ends at the latest, in seconds.
_AT_THE_LATEST = 9.0


@make_command(
    "daemon",
    example="""rfsync daemon
rfsync daemon --config /etc/rfsync/rfsync.toml --log-format json
kill -HUP PID                                 reads the configuration again""",
)
def command(options: Options) -> int:
    """Polls all that is configured on its schedule, until SIGTERM or Ctrl-C.

    Starts at once; runs that are late are made up by one, and there are never two of a project at a time. Serves
    /healthz, /readyz and /metrics where [daemon] listen says.
    """
    from rfsync.daemon.metrics import PrometheusMetrics
    from rfsync.daemon.systemd import ServiceManager

    asked: queue.SimpleQueue[str] = queue.SimpleQueue()
    config = options.load()
    options.start_logging("info")
    # What APScheduler does with each job is nobody's news.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    manager = ServiceManager(os.environ)
    running = _Running(options, PrometheusMetrics(), manager)
    for number, what in ((signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "reload")):
        signal.signal(number, lambda *_, what=what: asked.put(what))
    running.start(config)
    manager.ready()
    try:
        while _next(asked, running, manager) != "stop":
            running.reload()
    finally:
        manager.stopping()
        # If the database hangs, the process ends all the same: what was not committed is undone, as for one killed.
        hurry = threading.Timer(_AT_THE_LATEST, os._exit, (0,))
        hurry.daemon = True
        hurry.start()
        running.stop()
        hurry.cancel()
    return 0


def _next(asked: queue.SimpleQueue[str], running: _Running, manager: ServiceManager) -> str:
    """What is asked next; until then all is kept going."""
    while True:
        try:
            return asked.get(timeout=min(_TICK, manager.watchdog or _TICK))
        except queue.Empty:
            running.tick()


@dataclass(slots=True)
class _Service:
    """A daemon with what it works with."""

    config: Config
    client: Client
    store: Store
    daemon: Daemon

    def close(self) -> None:
        self.client.close()
        self.store.close()


class _Running:
    """The service of the configuration in force, and those of earlier ones whose last polls are still going on."""

    def __init__(self, options: Options, metrics: PrometheusMetrics, manager: ServiceManager) -> None:
        self._options = options
        self._metrics = metrics
        self._manager = manager
        self._endpoint: Endpoint | None = None
        self._service: _Service
        self._retiring: dict[threading.Thread, _Service] = {}

    def start(self, config: Config) -> None:
        """Starts polling.

        Raises:
            ConfigError, DatabaseError: it can't.
        """
        self._service = self._build(config, None)
        try:
            self._endpoint = self._listen(config)
        except ConfigError:
            self._service.close()
            raise
        self._metrics.watch(lambda: self._service.daemon, lambda: _totals(self._url))
        self._service.store.abandon_dead_runs(_now())
        self._service.daemon.start()
        self._tell()

    def reload(self) -> None:
        """Reads the configuration again; one that is wrong changes nothing."""
        self._manager.reloading()
        old = self._service
        try:
            config = self._options.load()
            new = self._build(config, old.daemon)
            if config.daemon.listen != old.config.daemon.listen:
                try:
                    endpoint, self._endpoint = self._endpoint, self._listen(config)
                except ConfigError:
                    new.close()
                    raise
                if endpoint is not None:
                    endpoint.close()
        except RfsyncError as error:
            log.error("the old configuration stays in force, since the new one can't be: %s", error)  # noqa: TRY400
        else:
            self._service = new
            thread = threading.Thread(target=self._retire, args=(old, new), name="rfsync-retiring")
            self._retiring[thread] = old
            thread.start()
            new.daemon.start()
            log.info("the configuration was read again")
            self._tell()
        self._manager.ready()

    def _retire(self, old: _Service, new: _Service) -> None:
        old.daemon.retire(new.daemon)
        old.close()

    def tick(self) -> None:
        """To be called about once a second."""
        self._service.daemon.tick()
        if self._manager.watchdog is not None and self._service.daemon.alive:
            self._manager.alive()
        for thread in [thread for thread in self._retiring if not thread.is_alive()]:
            del self._retiring[thread]

    def stop(self) -> None:
        """Ends everything within seconds."""
        self._service.daemon.stop()
        for thread, service in self._retiring.items():
            service.daemon.stop()
            thread.join()
        self._service.close()
        if self._endpoint is not None:
            self._endpoint.close()
        log.info("stopped")

    @property
    def _url(self) -> URL:
        return self._options.url(self._service.config)

    def _build(self, config: Config, previous: Daemon | None) -> _Service:
        from rfsync.api.client import Client
        from rfsync.daemon.daemon import Daemon, Plan
        from rfsync.schedule import make_schedule
        from rfsync.sync import targets
        from rfsync.sync.task import SyncContext

        options = self._options
        wanted = targets.wanted(config, [], os.environ)
        for want in wanted:
            options.redact.add(want.key.reveal())
        store = options.store(config)
        client = Client(config.api, options.redact, _now)
        context = SyncContext(
            client, store, config.removals, _now, options.redact, trigger="schedule", metrics=self._metrics
        )
        plan = Plan(
            context, wanted, lambda workspace: make_schedule(config.schedule_of(workspace)),
            config.schedule.jitter, config.api.concurrency, config.retention.unchanged_runs, time.monotonic,
            self._metrics.ended,
        )  # fmt: skip
        return _Service(config, client, store, Daemon(plan, previous))

    def _listen(self, config: Config) -> Endpoint | None:
        from rfsync.daemon.health import health
        from rfsync.daemon.http import Endpoint
        from rfsync.parsing import parse_listen

        if not config.daemon.listen:
            return None
        try:
            return Endpoint(
                parse_listen(config.daemon.listen),
                lambda: health(self._service.daemon, lambda: _totals(self._url)),
                lambda: self._service.daemon.ready,
                self._metrics.registry,
            )
        except OSError as error:
            raise ConfigError(f"[daemon] listen = {config.daemon.listen!r}: {error.strerror}") from None

    def _tell(self) -> None:
        where = "nowhere ([daemon] listen is empty)"
        if self._endpoint is not None:
            host, port = self._endpoint.address
            where = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        log.info("polling %d projects so far; health and metrics: %s", len(self._service.daemon.projects()), where)


def _totals(url: URL) -> list[tuple[Any, ...]]:
    """What the database has of each project; over a connection of its own, so that no long write is waited for."""
    from sqlalchemy import select

    from rfsync.database.engine import Database, open_engine
    from rfsync.schema.models import Project

    columns = (Project.workspace, Project.project, Project.batches, Project.images, Project.num_jobs)
    with Database(open_engine(url, read_only=True)).begin("reading") as connection:
        return [tuple(row) for row in connection.execute(select(*columns).order_by(Project.workspace, Project.project))]


def _now() -> datetime:
    return datetime.now(UTC)
