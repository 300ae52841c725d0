"""The daemon as a service: start, reload and stop, by signals."""

import errno
import logging
import queue
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from rfsync.daemon.daemon import Daemon
from rfsync.daemon.health import health
from rfsync.daemon.http import Endpoint
from rfsync.daemon.metrics import ProjectTotals, PrometheusMetrics
from rfsync.daemon.plan import Plan
from rfsync.daemon.polls import MakePoller, Polls
from rfsync.daemon.systemd import ServiceManager
from rfsync.errors import DatabaseError, ListenError, RfsyncError
from rfsync.parsing import parse_listen
from rfsync.sync.bugs import BUG
from rfsync.threads import exit_after

log = logging.getLogger("rfsync.daemon")

#: Seconds between two looks at the clock.
_TICK: Final = 1.0
#: Seconds after which the process ends, whatever still hangs; what was not committed is undone.
_STOP_DEADLINE: Final = 9.0


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """One configuration, put into practice."""

    plan: Plan
    #: HOST:PORT of the HTTP endpoint; "": none.
    listen: str
    #: Asks the database, without waiting for a long write; raises ``DatabaseError``.
    totals: Callable[[], Iterable[ProjectTotals]]
    #: Closes connections, when the plan is no longer used.
    close: Callable[[], None]


class Service:
    """A daemon and its HTTP endpoint, from start to end.

    Args:
        load: reads the configuration; raises ``RfsyncError``.
        metrics: of all plans.
        manager: is notified of each step.
        clock: the time of day, aware.
        make_poller: see ``Daemon``.
        may_go_without: there may be several on one machine, of which one has the HTTP endpoint.
    """

    def __init__(
        self,
        load: Callable[[], Setup],
        metrics: PrometheusMetrics,
        manager: ServiceManager,
        clock: Callable[[], datetime],
        make_poller: MakePoller = Polls,
        *,
        may_go_without: bool = False,
    ) -> None:
        self._load = load
        self._make_poller = make_poller
        self._may_go_without = may_go_without
        self._metrics = metrics
        self._manager = manager
        self._clock = clock
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._endpoint: Endpoint | None = None
        #: Of earlier configurations, while polls that began under them still run.
        self._retired: list[Setup] = []
        self._setup: Setup
        self._daemon: Daemon

    def run(self) -> None:
        """Polls until SIGTERM or SIGINT; SIGHUP reads the configuration again. Only for the main thread.

        Raises:
            RfsyncError: it can't start.
        """
        for signal_number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signal_number, lambda number, _: self._signals.put(number))
        self._start()
        self._manager.ready()
        try:
            while self._next_signal() == signal.SIGHUP:
                self._reload()
        finally:
            self._manager.stopping()
            call_off = exit_after(_STOP_DEADLINE, 0)
            self._stop()
            call_off()

    def _start(self) -> None:
        self._setup = setup = self._load()
        try:
            self._daemon = Daemon(setup.plan, self._clock, time.monotonic, self._metrics.ended, self._make_poller)
            self._endpoint = self._listen(setup)
            setup.plan.context.store.abandon_dead_runs(self._clock())
            self._metrics.configured(at=self._clock())
            self._metrics.watch(self._daemon, self._totals)
            self._daemon.start()
        except RfsyncError:
            if self._endpoint is not None:
                self._endpoint.close()
            setup.close()
            raise
        self._log_start()

    def _reload(self) -> None:
        """Follows the configuration as it is now; one that is not usable changes nothing."""
        self._manager.reloading()
        try:
            self._replace(self._load())
        except RfsyncError as error:
            self._metrics.configured(at=None)
            log.error("the old configuration stays in force, because the new one is not usable: %s", error)  # noqa: TRY400
        except Exception:
            self._metrics.configured(at=None)
            log.exception("the old configuration stays in force: %s", BUG)
        else:
            self._metrics.configured(at=self._clock())
            log.info("the configuration was read again")
            self._log_start()
        self._manager.ready()

    def _replace(self, setup: Setup) -> None:
        """Continues with another setup, or with the old one if anything is raised."""
        old = endpoint = self._endpoint
        try:
            if setup.listen != self._setup.listen:
                endpoint = self._listen(setup)
            self._daemon.reconfigure(setup.plan)
        except BaseException:
            if endpoint is not None and endpoint is not old:
                endpoint.close()
            setup.close()
            raise
        self._retired.append(self._setup)
        self._setup, self._endpoint = setup, endpoint
        if old is not None and old is not endpoint:
            old.close()

    def _next_signal(self) -> int:
        """Waits for a signal and keeps everything going meanwhile."""
        while True:
            try:
                return self._signals.get(timeout=min(_TICK, self._manager.watchdog or _TICK))
            except queue.Empty:
                self._tick()

    def _tick(self) -> None:
        self._daemon.tick()
        if self._manager.watchdog is not None and self._daemon.is_alive:
            self._manager.alive()
        for setup in [setup for setup in self._retired if not self._daemon.uses(setup.plan)]:
            self._retired.remove(setup)
            try:
                setup.close()
            except DatabaseError as error:
                log.warning("connections of the earlier configuration: %s", error)

    def _stop(self) -> None:
        self._daemon.stop()
        for setup in (*self._retired, self._setup):
            setup.close()
        if self._endpoint is not None:
            self._endpoint.close()
        log.info("stopped")

    def _listen(self, setup: Setup) -> Endpoint | None:
        if not setup.listen:
            return None
        address = parse_listen(setup.listen)
        try:
            ask_health, ask_ready = partial(health, self._daemon, self._totals), lambda: self._daemon.is_ready
            return Endpoint(address, ask_health, ask_ready, self._metrics.registry)
        except OSError as error:
            failure = ListenError('[daemon] listen = "{}"', *address, error)
            if not self._may_go_without or error.errno != errno.EADDRINUSE:
                raise failure from None
            log.warning("%s; going on without /healthz and /metrics", failure)
            return None

    def _totals(self) -> Iterable[ProjectTotals]:
        return self._setup.totals()

    def _log_start(self) -> None:
        where = "nowhere ([daemon] listen is empty)" if not self._setup.listen else "nowhere"
        if self._endpoint is not None:
            where = self._endpoint.url
        log.info("polling %d projects so far; health and metrics: %s", len(self._daemon.projects()), where)
