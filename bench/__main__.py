"""Measure rfsync against the floor, plain SQLAlchemy Core and dlt. See `python -m bench --help`."""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from fnmatch import fnmatch
from itertools import groupby
from pathlib import Path

from bench.api import Api
from bench.cases import CASES, Case
from bench.databases import Postgres, Sqlite
from bench.rounds import Result, prepare, run
from bench.table import report, write


def arguments() -> argparse.Namespace:
    keys = ", ".join(case.key for case in CASES)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, epilog=f"The cases: {keys}.")
    parser.add_argument("--runs", type=int, default=5, help="rounds for each case (5)")
    parser.add_argument("--quick", action="store_true", help="one round of small cases: does it all work?")
    parser.add_argument("--only", metavar="PATTERN", default="*", help="e.g. '100k-*' or '*/sqlite': CASE/DATABASE")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the tables into this file too")
    return parser.parse_args()


def selected(cases: list[Case], database: Sqlite, pattern: str) -> list[Case]:
    keys = {case: f"{case.key}/{database.name.lower()}" for case in cases}
    return [case for case in cases if fnmatch(keys[case], pattern) or fnmatch(case.key, pattern)]


def measured(api: Api, databases: list[Sqlite], cases: list[Case], only: str, runs: int) -> Iterator[Result]:
    for _, grouped in groupby(cases, key=lambda case: case.before):
        group = list(grouped)
        for database in databases:
            if chosen := selected(group, database, only):
                failed = prepare(api, database, chosen)
                for case in chosen:
                    yield run(api, database, case, runs, failed)
                database.drop_snapshots()


def main() -> int:
    options = arguments()
    runs, cases = options.runs, list(CASES)
    if options.quick:
        runs, cases = 1, [case.quick() for case in CASES]
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rfsync-bench-")))
        databases = [stack.enter_context(closing(make(work))) for make in (Sqlite, Postgres)]
        api = stack.enter_context(Api())
        results = list(measured(api, databases, cases, options.only, runs))
        text = report(results, runs, [database.version() for database in databases])
    if not results:
        print(f"No case matches {options.only}.", file=sys.stderr)
        return 2
    print(text)
    if options.markdown:
        write(options.markdown, text)
    return int(any(reason != "not installed" for result in results for reason in result.failures.values()))


if __name__ == "__main__":
    sys.exit(main())
