"""The page as a single HTML file, with a Content-Security-Policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from rfsync import charts
from rfsync.report.data import ReportData
from rfsync.report.formatting import age, count
from rfsync.report.job_sections import stuck_table
from rfsync.report.section import is_cut, shown, unbroken
from rfsync.report.sections import change_lines, health_table, problems, projects_table, sections, waiting_table
from rfsync.text import printable
from rfsync.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment


#: plotly.js injects the styles of its map library unless an element with their id exists. The policy would block them
#: with an error on the console, so the page has elements with these ids.
_STYLE_IDS: Final = re.compile(r'getElementById\("([0-9a-f]{64})"\)')


def render(data: ReportData) -> str:
    """The page as HTML, without references to any other file or address."""
    plotly = _plotly() if data.since else ""
    scripts = [plotly, _read("report.js")] if plotly else []
    styles = [_read("report.css") + charts.stylesheet(), "/* plotly.js inserts its rules here */"]
    headlines = [
        ("images without a job", data.now.images, change_lines(data, "images")),
        ("jobs", data.now.jobs, change_lines(data, "jobs")),
        ("batches", data.now.batches, change_lines(data, "batches")),
    ]
    template = _environment().get_template("page.html.jinja")
    return template.render(
        policy=_policy(scripts, styles),
        scripts=scripts,
        styles=styles,
        options=json.dumps(charts.CONFIG),
        style_ids=_STYLE_IDS.findall(plotly),
        data=data,
        scope=", ".join(data.targets) or "all projects",
        period=f"{data.day(data.since)} to {data.day(data.made_at)}" if data.since else "",
        made_at=data.moment(data.made_at),
        zone=data.zone.key,
        observed=_observed(data),
        problems=problems(data),
        headlines=headlines,
        projects=projects_table(data),
        sections=sections(data),
        waiting=waiting_table(data),
        stuck=stuck_table(data),
        stuck_days=charts.STUCK_DAYS,
        health=health_table(data),
        version=__version__,
    )


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("rfsync.report", ".")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        printable=printable, count=count, shown=shown, unbroken=unbroken, script_json=_script_json
    )
    environment.tests["cut"] = is_cut
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
    script_src = f"script-src {' '.join(map(_hash, scripts))}; " if scripts else ""
    style_src = f"style-src {' '.join(map(_hash, styles))}"
    return f"default-src 'none'; {script_src}{style_src}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _observed(data: ReportData) -> str:
    """Time of the latest observation of any project."""
    latest = max((project.observed_at for project in data.projects if project.observed_at is not None), default=None)
    if latest is None:
        return "never"
    return f"{data.moment(latest)} ({age(latest, data.made_at)} before this report)"
