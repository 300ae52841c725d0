"""Plotly figures of the history's rows, for the report and the dashboard. They get rows and ask no database."""

from rfsync.charts.bars import age_classes, backlog_figure, first_jobs_figure, first_jobs_summary, movers_figure
from rfsync.charts.labels import days_label, safe
from rfsync.charts.lines import flow_figure, throughput_figure, totals_figure
from rfsync.charts.theme import CONFIG, stylesheet, template

__all__ = [
    "CONFIG",
    "age_classes",
    "backlog_figure",
    "days_label",
    "first_jobs_figure",
    "first_jobs_summary",
    "flow_figure",
    "movers_figure",
    "safe",
    "stylesheet",
    "template",
    "throughput_figure",
    "totals_figure",
]
