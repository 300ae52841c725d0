"""The real daemon as a subprocess, whose log is read as it comes."""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.conftest import LONG, Cli, Process

#: Seconds that a stop may take.
STOP = 10.0
LABELS = ("workspace", "project", "outcome", "kind", "change", "phase", "le")
QUICK = '[schedule]\nevery = "1s"\njitter = "0s"\n'
LISTEN = '[daemon]\nlisten = "127.0.0.1:0"\n'


class Daemon:
    """A daemon, or a worker, in the folder of a ``Cli``, whose log is read as it comes."""

    def __init__(
        self, cli: Cli, *arguments: str, under: Sequence[str] = (), level: str = "info", name: str = "daemon"
    ) -> None:
        self.cli = cli
        self.lines: list[dict[str, Any]] = []
        self._coming: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        command = [name, "--log-format", "json", "--log-level", level, *arguments]
        if under:
            self.process: Process = subprocess.Popen(
                [*under, *command],
                cwd=cli.folder,
                env=cli.env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            cli._started.append(self.process)
        else:
            self.process = cli.fork(*command)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.await_line("health and metrics: ")["event"].rpartition(" ")[2]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._coming.put(line)
        self._coming.put(None)

    def await_line(self, words: str, **fields: object) -> dict[str, Any]:
        """The next line of the log that has these words and fields."""
        while True:
            line = self._coming.get(timeout=LONG)
            assert line is not None, (words, self.lines[-5:])
            self.lines.append(json.loads(line))
            if words in self.lines[-1]["event"] and fields.items() <= self.lines[-1].items():
                return self.lines[-1]

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        answer = requests.get(self.url + path, timeout=LONG)
        return answer.status_code, answer.text

    def await_health(self, status: int) -> dict[str, Any]:
        """What ``/healthz`` says once it has this status."""
        while True:
            found, body = self.get("/healthz")
            if found == status:
                return dict(json.loads(body))
            await_any_request(self.cli)

    def metrics(self) -> dict[str, dict[tuple[str, ...], float]]:
        """Name -> values of the labels, in the order of ``LABELS`` -> value."""
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(self.get("/metrics")[1]):
            for sample in family.samples:
                labels = tuple(sample.labels[name] for name in LABELS if name in sample.labels)
                found.setdefault(sample.name, {})[labels] = sample.value
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stops it, which has to succeed in time."""
        self.process.send_signal(number)
        assert self.process.wait(timeout=STOP) == 0
        self._reader.join(LONG)
        while (line := self._coming.get()) is not None:
            self.lines.append(json.loads(line))
        assert "Traceback" not in json.dumps(self.lines)


Start = Callable[..., Daemon]


def runs(cli: Cli, project: str) -> list[str]:
    """The outcomes of a project's runs."""
    return cli.database.column(
        "SELECT r.outcome FROM sync_runs r JOIN projects p ON p.id = r.project_id "
        f"WHERE p.project = '{project}' AND r.outcome <> 'running' ORDER BY r.id"
    )


def await_runs(cli: Cli, project: str, outcome: str, count: int = 1) -> None:
    """Returns when so many runs of a project have ended like that."""
    while runs(cli, project).count(outcome) < count:
        await_any_request(cli)


def await_any_request(cli: Cli) -> None:
    """Waits for the next request, or for a moment: who waits for what a daemon does must not take its processor."""
    with contextlib.suppress(TimeoutError):
        cli.simulator.await_requests(len(cli.simulator.requests) + 1, 0.05)
