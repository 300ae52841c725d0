"""The page as a single HTML file, with a Content-Security-Policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from rfsync import charts
from rfsync.report.data import ReportData
from rfsync.report.formatting import TimeFormat, age, count
from rfsync.report.sections import change_lines, health_table, problems, sections, waiting_table
from rfsync.text import printable
from rfsync.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment


#: plotly.js injects the styles of its map library unless an element with their id exists. The policy would block them
#: with an error on the console, so the page has elements with these ids.
_STYLE_IDS: Final = re.compile(r'getElementById\("([0-9a-f]{64})"\)')


@dataclass(frozen=True)
class _Headline:
    label: str
    number: int
    changes: Sequence[str]


def render(data: ReportData) -> str:
    """The page as HTML, without references to any other file or address."""
    times = TimeFormat(data.zone)
    plotly = _plotly() if data.since else ""
    scripts = [plotly, _read("report.js")] if plotly else []
    styles = [_read("report.css") + charts.stylesheet(), "/* plotly.js inserts its rules here */"]
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            policy=_policy(scripts, styles),
            scripts=scripts,
            styles=styles,
            options=json.dumps(charts.CONFIG),
            style_ids=_STYLE_IDS.findall(plotly),
            data=data,
            scope=", ".join(data.targets) or "all projects",
            period=_period(data, times),
            made_at=times.moment(data.made_at),
            zone=data.zone.key,
            observed=_observed(data, times),
            problems=problems(data, times),
            headlines=_headlines(data),
            sections=sections(data, times),
            waiting=waiting_table(data, times),
            health=health_table(data, times),
            version=__version__,
        )
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("rfsync.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["printable"] = printable
    environment.filters["count"] = count
    environment.filters["script_json"] = _script_json
    return environment


def _plotly() -> str:
    """plotly.js, escaped so that nothing in it closes the surrounding script element."""
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script.replace("\r\n", "\n").replace("</script", r"<\/script").replace("<!--", r"<\!--")


def _read(name: str) -> str:
    return files("rfsync.report").joinpath(name).read_text("utf-8")


def _script_json(text: str) -> str:
    """JSON, escaped for a script element."""
    return text.replace("<", r"\u003c")


def _policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """A policy that allows exactly these scripts and styles, by their hashes, and no address."""
    return "; ".join(
        (
            "default-src 'none'",
            *([f"script-src {' '.join(map(_hash, scripts))}"] if scripts else []),
            f"style-src {' '.join(map(_hash, styles))}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _period(data: ReportData, times: TimeFormat) -> str:
    if data.since is None:
        return ""
    return f"{times.day(data.since)} to {times.day(data.made_at)}"


def _observed(data: ReportData, times: TimeFormat) -> str:
    """Time of the latest observation of any project."""
    latest = max((project.observed_at for project in data.projects if project.observed_at is not None), default=None)
    if latest is None:
        return "never"
    return f"{times.moment(latest)} ({age(latest, data.made_at)} before this report)"


def _headlines(data: ReportData) -> list[_Headline]:
    totals = data.now
    return [
        _Headline("images without a job", totals.images, change_lines(data, "images")),
        _Headline("jobs", totals.jobs, change_lines(data, "jobs")),
        _Headline("batches", totals.batches, change_lines(data, "batches")),
    ]
