"""All that the forks of ``forked`` need, imported once by their server. No thread may start here: a fork loses it."""

from __future__ import annotations

import gc
import importlib
import pkgutil
import threading

import rfsync
from rfsync import charts

#: What rfsync itself imports only when it is needed.
_LIBRARIES = (
    *("alembic.command", "apscheduler.schedulers.background", "dash", "jinja2", "plotly.graph_objects"),
    *("prometheus_client", "psycopg", "requests", "rich.progress", "sqlalchemy.dialects.postgresql.psycopg"),
    *("sqlalchemy.dialects.sqlite", "structlog", "tenacity", "waitress"),
    # Of a report and of a dashboard, most of the time.
    *("dash.backends._flask", "numpy", "pandas", "platformdirs", "plotly.io", "plotly.offline", "pyarrow.parquet"),
)

_modules = [module.name for module in pkgutil.walk_packages(rfsync.__path__, "rfsync.")]
for _name in (*_modules, *_LIBRARIES, "forked", "victims"):
    if _name != "rfsync.__main__":
        importlib.import_module(_name)
# Its first figure has plotly import much more.
charts.totals_figure(()).to_plotly_json()
assert threading.active_count() == 1
gc.freeze()  # so that the collector of a fork leaves alone, and uncopied, what all of them share
