"""One page of charts that needs nothing but itself: no network, no server, no other file."""

from rfsync.report.data import Numbers, read
from rfsync.report.page import render

__all__ = ["Numbers", "read", "render"]
