"""Plotly figures for the report and the dashboard, made from history rows; no database access."""

from rfsync.charts.bars import age_classes, backlog_figure, first_jobs_figure, first_jobs_summary, movers_figure
from rfsync.charts.flows import WORK, flow_figure, places_figure, work_figure
from rfsync.charts.jobs import STUCK_DAYS, labelers_figure, open_jobs_figure, person, removed_summary, top_labelers
from rfsync.charts.labels import days_label, escape
from rfsync.charts.lines import throughput_figure, totals_figure
from rfsync.charts.series import flows, places, plus
from rfsync.charts.theme import CONFIG, FLOW_NAMES, PLACES, stylesheet, template

__all__ = [
    "CONFIG", "FLOW_NAMES", "PLACES", "STUCK_DAYS", "WORK", "age_classes", "backlog_figure", "days_label", "escape",
    "first_jobs_figure", "first_jobs_summary", "flow_figure", "flows", "labelers_figure", "movers_figure",
    "open_jobs_figure", "person", "places", "places_figure", "plus", "removed_summary", "stylesheet", "template",
    "throughput_figure", "top_labelers", "totals_figure", "work_figure",
]  # fmt: skip
