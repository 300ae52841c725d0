"""A stand-in for Roboflow's API that costs the measured process nothing: its own process, answers ready in memory.

It sends no ETag, so every contender has to read each answer. `Api` starts the process and controls it: one line of JSON
on its standard input for each command, one on its standard output for each reply.
"""

import json
import random
import socketserver
import subprocess
import sys
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from threading import Lock, Thread
from types import TracebackType
from typing import Any, NamedTuple, Self

from bench.data import Batch, Totals, body, first, later, totals
from bench.job_data import Job, JobTotals, first_jobs, job_body, job_totals, later_jobs


class Answers(NamedTuple):
    """The answers to serve."""

    projects: int = 1
    batches: int = 1_000
    """Batches of each project."""
    share: float = 0.0
    """Share of the batches, and of the jobs, that has changed since the previous answer."""
    delay: float = 0.0
    """Seconds before each answer."""
    shuffled: bool = False
    """Listed in random order instead of by id."""
    polls: int = 1
    """Requests expected for each list, each answered with further changes."""
    jobs: int = 0
    """Jobs of each project; 0: nobody asks for them."""
    every: int = 1
    """Only each so many-th project has changes."""

    @property
    def requests(self) -> int:
        """Requests expected in all."""
        return self.projects * self.polls * (2 if self.jobs else 1)


class Expected(NamedTuple):
    """What every contender's database must have after the last answers."""

    batches: Totals
    jobs: JobTotals


def project_names(count: int) -> list[str]:
    return ["widgets"] if count == 1 else [f"widgets-{number}" for number in range(count)]


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    disable_nagle_algorithm = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self._lock = Lock()
        self._answers: Answers | None = None
        self._expected = Expected(totals([]), job_totals([]))
        self._responses: dict[str, list[bytes]] = {}
        self._requests: Counter[str] = Counter()
        self.delay = 0.0

    @property
    def requests(self) -> int:
        """Requests since the last call of `serve`."""
        return self._requests.total()

    def serve(self, answers: Answers) -> Expected:
        """Start with the first answers; return the totals of the last ones."""
        self._requests.clear()
        if answers != self._answers:
            self._responses = {}  # freed before the new ones are made: those of a million batches are large
            last = [self._prepare(answers, number, name) for number, name in enumerate(project_names(answers.projects))]
            self._expected = Expected(totals([batches for batches, _ in last]), job_totals([jobs for _, jobs in last]))
            self._answers, self.delay = answers, answers.delay
        return self._expected

    def respond(self, path: str) -> bytes:
        with self._lock:
            number = self._requests[path]
            self._requests[path] += 1
        responses = self._responses.get(path)
        if not responses:
            return _response("404 Not Found", b'{"error":{"message":"not found"}}')
        return responses[min(number, len(responses) - 1)]

    def _prepare(self, answers: Answers, number: int, name: str) -> tuple[list[Batch], list[Job]]:
        """Make a project's responses; return its last batches and jobs."""
        batches = _first(answers.batches, number)
        jobs = first_jobs(answers.jobs, batches, number)
        responses = self._responses[f"/acme/{name}/batches"] = []
        job_responses = self._responses[f"/acme/{name}/jobs"] = []
        share = 0.0 if number % answers.every else answers.share
        for poll in range(answers.polls if answers.share else 1):
            batches = later(batches, share, seed=f"{number} {poll}")
            jobs = later_jobs(jobs, batches, share, seed=f"{number} {poll}")
            if answers.shuffled:
                random.Random(number).shuffle(batches)  # noqa: S311 - seeded on purpose
            responses.append(_response("200 OK", body(batches)))
            job_responses.append(_response("200 OK", job_body(jobs)))
        return batches, jobs


class Handler(socketserver.StreamRequestHandler):
    server: Server
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while request := self.rfile.readline():
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            if self.server.delay:
                time.sleep(self.server.delay)
            self.connection.sendall(self.server.respond(request.split()[1].decode().partition("?")[0]))


class Api:
    """Handle of the server's process."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.api"]
        root = Path(__file__).parents[1]
        self._process = subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url: str = self._read()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.communicate()

    def serve(self, answers: Answers) -> Expected:
        """Answer with these from now on, from the first to the last; return the totals of the last ones."""
        batches, jobs = self._ask(answers)
        return Expected(Totals(*batches), JobTotals(*jobs))

    def requests(self) -> int:
        """Requests since the last call of `serve`."""
        return int(self._ask(None))

    def _ask(self, command: Answers | None) -> Any:
        assert self._process.stdin
        print(json.dumps(command), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


@lru_cache(maxsize=200)
def _first(count: int, seed: int) -> list[Batch]:
    return first(count, seed)


def _response(status: str, content: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def main() -> None:
    with Server() as server:
        host, port = server.server_address[:2]
        Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps(f"http://{host!s}:{port}"), flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            print(json.dumps(server.serve(Answers(*command)) if command else server.requests), flush=True)


if __name__ == "__main__":
    main()
