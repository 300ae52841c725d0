"""What Grafana does to a query before PostgreSQL gets it, as its documentation says.

Variables first, in the browser; then the macros, in the data source. See "Variable syntax" in Grafana's documentation
of dashboards, and "Macros" in that of the PostgreSQL data source.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
#: An argument ends at the first closing bracket: nothing with brackets of its own can be one.
MACRO = re.compile(r"\$(\w+)\(([^)]*)\)")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class TimeRange:
    """What is chosen at the top of a dashboard."""

    start: datetime
    stop: datetime
    #: Grafana's $__interval: the time range by the width of the panel.
    interval: str = "1h"


def expand(sql: str, variables: Mapping[str, Sequence[str]], time: TimeRange) -> str:
    """The query that the database gets.

    Raises:
        ValueError: a variable or a macro that Grafana would not know, or a variable that is not quoted.
    """
    return MACRO.sub(lambda found: _macro(found, time), _interpolate(sql, variables, time))


def _interpolate(sql: str, variables: Mapping[str, Sequence[str]], time: TimeRange) -> str:
    def value(found: re.Match[str]) -> str:
        name = found[1] or found[3]
        if name == "__interval":
            return time.interval
        if name.startswith("__"):
            return found[0]  # a macro
        if found[2] != "sqlstring":
            raise ValueError(f"{found[0]} is put into the query as it is")
        return ",".join("'" + one.replace("'", "''") + "'" for one in variables[name])

    return VARIABLE.sub(value, sql)


def _macro(found: re.Match[str], time: TimeRange) -> str:
    name, arguments = found[1], [one.strip() for one in found[2].split(",")]
    start, stop = (f"'{moment.strftime('%Y-%m-%dT%H:%M:%S.%f').rstrip('0').rstrip('.')}Z'" for moment in _edges(time))
    match name, arguments:
        case "__timeFrom", [""]:
            return start
        case "__timeTo", [""]:
            return stop
        case "__timeFilter", [column]:
            return f"{column} BETWEEN {start} AND {stop}"
        case "__timeGroupAlias", [column, interval]:
            step = int(interval[:-1]) * SECONDS[interval[-1]]
            return f'floor(extract(epoch from {column})/{step})*{step} AS "time"'
    raise ValueError(f"unknown macro: {found[0]}")


def _edges(time: TimeRange) -> tuple[datetime, datetime]:
    for moment in (time.start, time.stop):
        assert moment.utcoffset() is not None
        assert not moment.utcoffset(), "Grafana sends UTC"
    return time.start, time.stop
