"""The results as Markdown."""

import platform
import shlex
import sys
from importlib import metadata
from os import cpu_count
from pathlib import Path
from statistics import median

from bench.measure import Usage
from bench.rounds import Result

MISSED = "**missed**"


def report(results: list[Result], runs: int, databases: list[str]) -> str:
    packages = ("msgspec", "requests", "psycopg", "sqlalchemy", "dlt")
    versions = [f"{name} {found.version}" for name in packages for found in metadata.distributions(name=name)]
    system = [f"Python {platform.python_version()}", *databases, *versions, f"{cpu_count()} cores"]
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    how = (
        f"Whole processes from start to exit; medians over {runs} round{'s' * (runs > 1)}, in each of which every "
        "contender runs once. × floor is the median of the rounds' own ratios. CPU is the process's own, without the "
        "PostgreSQL server's."
    )
    parts = [f"Made by `{command}` with {', '.join(system)}.", how, _against_floor(results)]
    if any(result.case.dlt for result in results):
        parts.append(_against_dlt([result for result in results if result.case.dlt]))
    return "\n\n".join(parts)


def write(path: Path, text: str, name: str = "bench") -> None:
    """Replaces what stands between two lines of that name in a file, and leaves the rest of it alone."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = path.read_text() if path.exists() else ""
    before, begun, rest = old.partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        before, after = "", "\n"
    path.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def _against_floor(results: list[Result]) -> str:
    head = [
        "case",
        "database",
        "floor",
        "rfsync",
        "× floor",
        "at most",
        "",
        "CPU s (floor, rfsync)",
        "MiB (floor, rfsync)",
    ]
    return table(head, [_floor_row(result) for result in results])


def _floor_row(result: Result) -> list[str]:
    case, usages = result.case, result.usages
    limit = "" if case.at_most is None else str(case.at_most)
    if case.peak is not None:
        limit += f", {case.peak:.0f} MiB"
    pair = [usages.get(name, []) for name in ("floor", "rfsync")]
    return [
        case.name,
        result.database,
        _seconds(result, "floor"),
        _seconds(result, "rfsync"),
        _shown(_ratio(result, "rfsync")),
        limit,
        _verdict(result),
        ", ".join(f"{_median(each, 'cpu'):.2f}" if each else "–" for each in pair),
        ", ".join(f"{_median(each, 'peak'):.0f}" if each else "–" for each in pair),
    ]


def _against_dlt(results: list[Result]) -> str:
    rows = []
    for result in results:
        row = [result.case.name, result.database]
        for name in ("floor", "rfsync", "dlt merge", "dlt scd2"):
            ratio = _ratio(result, name)
            row.append(_seconds(result, name) + (f" ({ratio:.1f} ×)" if ratio and name != "floor" else ""))
        rows.append(row)
    return table(["case", "database", "floor", "rfsync", "dlt merge", "dlt scd2"], rows)


def _verdict(result: Result) -> str:
    ratio, case = _ratio(result, "rfsync"), result.case
    if ratio is None:
        return "**not measured**"
    if case.at_most is not None and round(ratio, 2) > case.at_most:
        return MISSED
    if case.peak is not None and _median(result.usages["rfsync"], "peak") > case.peak:
        return MISSED
    return "" if case.at_most is None else "met"


def _ratio(result: Result, name: str) -> float | None:
    floor, own = result.usages.get("floor"), result.usages.get(name)
    if not floor or not own:
        return None
    return median(mine.seconds / least.seconds for mine, least in zip(own, floor, strict=True))


def _median(usages: list[Usage], field: str) -> float:
    return median([float(getattr(usage, field)) for usage in usages])


def _seconds(result: Result, name: str) -> str:
    if usages := result.usages.get(name):
        return f"{_median(usages, 'seconds'):.2f} s"
    return result.failures[name].partition(":")[0]


def _shown(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
