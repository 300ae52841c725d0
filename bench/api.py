"""A stand-in for Roboflow's API that costs the measured process nothing: its own process, answers ready in memory.

It sends no ETag, so that nobody is spared reading the answer. `Api` starts it and tells it what to answer next, one
line of JSON on its standard input for one on its output.
"""

import json
import random
import socketserver
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, NamedTuple, Self

from bench.data import Batch, Totals, body, first, later, totals


class Answers(NamedTuple):
    """What to serve: so many projects of so many batches each, after a share of them changed."""

    projects: int = 1
    batches: int = 1_000
    share: float = 0.0
    delay: float = 0.0
    """Seconds before each answer."""
    shuffled: bool = False
    """In another order than that of the ids."""


def project_names(count: int) -> list[str]:
    return ["widgets"] if count == 1 else [f"widgets-{number}" for number in range(count)]


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    disable_nagle_algorithm = True
    request_queue_size = 64
    responses: dict[str, bytes]
    delay = 0.0

    def serve(self, answers: Answers) -> Totals:
        self.responses = {}  # the old ones go before the new ones come: at a million batches they are large
        projects = [_batches(answers, number) for number in range(answers.projects)]
        self.responses = {
            f"/acme/{name}/batches": _response("200 OK", body(batches))
            for name, batches in zip(project_names(answers.projects), projects, strict=True)
        }
        self.delay = answers.delay
        return totals(projects)


class Handler(socketserver.StreamRequestHandler):
    server: Server
    missing = b'{"error":{"message":"not found"}}'
    disable_nagle_algorithm = True

    def handle(self) -> None:
        while request := self.rfile.readline():
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
            if self.server.delay:
                time.sleep(self.server.delay)
            path = request.split()[1].decode().partition("?")[0]
            response = self.server.responses.get(path) or _response("404 Not Found", self.missing)
            self.connection.sendall(response)


class Api:
    """The server's process, as the runner sees it."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.api"]
        here = Path(__file__).parents[1]
        self._process = subprocess.Popen(command, cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url: str = self._read()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.communicate()

    def serve(self, answers: Answers) -> Totals:
        assert self._process.stdin
        print(json.dumps(answers), file=self._process.stdin, flush=True)
        return Totals(*self._read())

    def _read(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


@lru_cache(maxsize=200)
def _first(count: int, seed: int) -> list[Batch]:
    return first(count, seed)


def _batches(answers: Answers, number: int) -> list[Batch]:
    batches = later(_first(answers.batches, number), answers.share, number)
    if answers.shuffled:
        random.Random(number).shuffle(batches)  # noqa: S311 - seeded on purpose
    return batches


def _response(status: str, content: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def main() -> None:
    with Server(("127.0.0.1", 0), Handler) as server:
        host, port = server.server_address[:2]
        Thread(target=server.serve_forever, daemon=True).start()
        print(json.dumps(f"http://{host!s}:{port}"), flush=True)
        for line in sys.stdin:
            print(json.dumps(server.serve(Answers(*json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
