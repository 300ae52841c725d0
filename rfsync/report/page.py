"""The page as HTML: everything in one file, and a Content-Security-Policy that lets nothing else in."""

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
from rfsync.report.data import Numbers
from rfsync.report.formatting import Clock, ago, count
from rfsync.report.sections import change_lines, health_table, sections, troubles, waiting_table
from rfsync.text import printable
from rfsync.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment


#: plotly.js brings the styles of a library for maps, which the policy would block with an error on the console; it
#: leaves them out where an element has their id.
_STYLED: Final = re.compile(r'getElementById\("([0-9a-f]{64})"\)')


@dataclass(frozen=True)
class _Headline:
    label: str
    number: int
    changes: Sequence[str]


def render(numbers: Numbers) -> str:
    """The whole page. It has no reference to anything outside of itself."""
    clock = Clock(numbers.zone)
    plotly = _plotly() if numbers.since else ""
    scripts = [plotly, _read("report.js")] if plotly else []
    styles = [_read("report.css") + charts.stylesheet(), "/* plotly.js adds its rules here */"]
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            policy=_policy(scripts, styles),
            scripts=scripts,
            styles=styles,
            options=json.dumps(charts.CONFIG),
            taken=_STYLED.findall(plotly),
            numbers=numbers,
            scope=", ".join(numbers.targets) or "all projects",
            period=_period(numbers, clock),
            made_at=clock.moment(numbers.made_at),
            zone=numbers.zone.key,
            observed=_observed(numbers, clock),
            troubles=troubles(numbers, clock),
            headlines=_headlines(numbers),
            sections=sections(numbers, clock),
            waiting=waiting_table(numbers, clock),
            health=health_table(numbers, clock),
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
    environment.filters["data"] = _data
    return environment


def _plotly() -> str:
    """plotly.js, of which nothing ends the element that it stands in."""
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return script.replace("\r\n", "\n").replace("</script", r"<\/script").replace("<!--", r"<\!--")


def _read(name: str) -> str:
    return files("rfsync.report").joinpath(name).read_text("utf-8")


def _data(text: str) -> str:
    """JSON that can stand in a script element."""
    return text.replace("<", r"\u003c")


def _policy(scripts: Sequence[str], styles: Sequence[str]) -> str:
    """Only these scripts and styles, to the letter; no address at all."""
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


def _period(numbers: Numbers, clock: Clock) -> str:
    if numbers.since is None:
        return ""
    return f"{clock.day(numbers.since)} to {clock.day(numbers.made_at)}"


def _observed(numbers: Numbers, clock: Clock) -> str:
    """When the last observation of any project was."""
    latest = max((one.observed_at for one in numbers.projects if one.observed_at is not None), default=None)
    if latest is None:
        return "never"
    return f"{clock.moment(latest)} ({ago(latest, numbers.made_at)})"


def _headlines(numbers: Numbers) -> list[_Headline]:
    totals = numbers.now
    return [
        _Headline("images without a job", totals.images, change_lines(numbers, "images")),
        _Headline("jobs", totals.jobs, change_lines(numbers, "jobs")),
        _Headline("batches", totals.batches, change_lines(numbers, "batches")),
    ]
