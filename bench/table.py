"""The results as Markdown."""

import platform
import shlex
import sys
from importlib import metadata
from os import cpu_count
from pathlib import Path
from statistics import median

from bench.contenders import CORE, FLOOR, MERGE, RFSYNC, SCD2, Contender
from bench.measure import Usage
from bench.rounds import Result

MET, MISSED = "met", "**missed**"


def report(results: list[Result], runs: int, databases: list[str]) -> str:
    packages = ("msgspec", "requests", "psycopg", "sqlalchemy", "dlt")
    versions = [f"{name} {found.version}" for name in packages for found in metadata.distributions(name=name)]
    system = [f"Python {platform.python_version()}", *databases, *versions, f"{cpu_count()} cores"]
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    how = (
        f"Whole processes from start to exit; medians over {runs} round{'s' * (runs > 1)}, in each of which every "
        "contender runs once. × floor is the median of the rounds' own ratios. CPU is the process's own, without the "
        "PostgreSQL server's. A process that stays times its polls itself: the mean of all but the first, which warms "
        "it up; floor and rfsync both send 8 requests at a time. The floor runs without a garbage collector."
    )
    parts = [f"Made by `{command}` with {', '.join(system)}.", how, _against_floor(results)]
    if rivals := [result for result in results if result.case.rivals]:
        core = (
            "SQLAlchemy Core is the floor's work as one would write it with SQLAlchemy (`bench/sqlalchemy_core.py`): "
            "the same fetching and decoding, one `select`, a comparison of tuples in a dict, and one `executemany` for "
            "each table, in one transaction."
        )
        parts += [core, _against_rivals(rivals)]
    return "\n\n".join(parts)


def write(path: Path, text: str, name: str = "bench") -> None:
    """Replace the text between the two marks of that name in a file, or append both."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = path.read_text() if path.exists() else ""
    before, begun, rest = old.partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        before, after = old, "\n"
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def _against_floor(results: list[Result]) -> str:
    head = [
        "case", "database", "floor", "rfsync", "× floor", "at most", "", "CPU s (floor, rfsync)", "MiB (floor, rfsync)",
    ]  # fmt: skip
    return table(head, [_floor_row(result) for result in results])


def _floor_row(result: Result) -> list[str]:
    case, ratio = result.case, _ratio(result, RFSYNC, FLOOR)
    pair = [result.usages.get(contender.name, []) for contender in (FLOOR, RFSYNC)]
    limits = [] if case.floor_limit is None else [str(case.floor_limit)]
    verdict = _verdict(ratio, case.floor_limit)
    if case.peak is not None:
        limits.append(f"{case.peak:.0f} MiB")
        if verdict == MET and _median(pair[1], "peak") > case.peak:
            verdict = MISSED
    return [
        case.name,
        result.database,
        _seconds(result, FLOOR),
        _seconds(result, RFSYNC),
        _shown(ratio),
        ", ".join(limits),
        verdict,
        ", ".join(f"{_median(each, 'cpu'):.2f}" if each else "–" for each in pair),
        ", ".join(f"{_median(each, 'peak'):.0f}" if each else "–" for each in pair),
    ]


def _against_rivals(results: list[Result]) -> str:
    rivals = [rival for rival in (CORE, MERGE, SCD2) if any(rival in result.case.rivals for result in results)]
    head = ["case", "database", *(each.name for each in (FLOOR, RFSYNC, *rivals)), "rfsync × Core", "at most", ""]
    rows = []
    for result in results:
        row = [result.case.name, result.database, _seconds(result, FLOOR)]
        for contender in (RFSYNC, *rivals):
            ratio = _ratio(result, contender, FLOOR)
            row.append(_seconds(result, contender) + (f" ({ratio:.1f} ×)" if ratio else ""))
        ratio, limit = _ratio(result, RFSYNC, CORE), result.case.core_limit
        rows.append([*row, _shown(ratio), "" if limit is None else str(limit), _verdict(ratio, limit)])
    return table(head, rows)


def _verdict(ratio: float | None, limit: float | None) -> str:
    """By the two digits that the table shows."""
    if ratio is None:
        return "**not measured**"
    if limit is None:
        return ""
    return MET if round(ratio, 2) <= limit else MISSED


def _ratio(result: Result, contender: Contender, base: Contender) -> float | None:
    own, other = result.usages.get(contender.name), result.usages.get(base.name)
    if not own or not other:
        return None
    return median(mine.seconds / its.seconds for mine, its in zip(own, other, strict=True))


def _median(usages: list[Usage], field: str) -> float:
    return median([float(getattr(usage, field)) for usage in usages])


def _seconds(result: Result, contender: Contender) -> str:
    if usages := result.usages.get(contender.name):
        return f"{_median(usages, 'seconds'):.2f} s"
    return result.failures.get(contender.name, "–").partition(":")[0]


def _shown(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
