"""A self-contained page of charts: no network, no server, no other files."""

from rfsync.report.data import ReportData, read
from rfsync.report.page import render

__all__ = ["ReportData", "read", "render"]
