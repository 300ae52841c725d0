"""Plotly figures for the report and the dashboard, made from history rows; no database access."""

from rfsync.charts.bars import age_classes, backlog_figure, first_jobs_figure, first_jobs_summary, movers_figure
from rfsync.charts.labels import days_label, escape
from rfsync.charts.lines import flow_figure, throughput_figure, totals_figure
from rfsync.charts.series import flows, plus
from rfsync.charts.theme import CONFIG, FLOW_NAMES, stylesheet, template

__all__ = [
    "CONFIG", "FLOW_NAMES", "age_classes", "backlog_figure", "days_label", "escape", "first_jobs_figure",
    "first_jobs_summary", "flow_figure", "flows", "movers_figure", "plus", "stylesheet", "template",
    "throughput_figure", "totals_figure",
]  # fmt: skip
