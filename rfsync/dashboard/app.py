"""The dashboard's WSGI application."""

from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from dash import Dash
from flask import Flask, Response

from rfsync import charts
from rfsync.dashboard.callbacks import DashboardContext, add_callbacks
from rfsync.dashboard.clientside import add_clientside_callbacks
from rfsync.dashboard.page import INDEX_HTML, layout
from rfsync.dashboard.security import Callback, Hosts, content_security_policy, protect


def make_app(context: DashboardContext, hosts: Hosts) -> Flask:
    """The WSGI application.

    Args:
        hosts: accepted Host headers.
    """
    server = Flask("rfsync.dashboard", static_folder=None)
    callbacks: dict[str, Callback] = {}
    protect(server, hosts, callbacks)
    # Plotly imports modules when it makes its first figure, which fails in two threads at once: import them now.
    for name in ("numpy", "pandas"):
        with suppress(ImportError):
            import_module(name)
    charts.totals_figure(()).to_plotly_json()
    app = _make_dash(server)
    add_clientside_callbacks(app)
    add_callbacks(app, context)
    for entry in app._callback_list:  # noqa: SLF001 Dash has no public way to list callbacks
        if entry["clientside_function"] is None:  # else it runs in the browser
            callbacks[entry["output"]] = _signature(entry)
    policy = content_security_policy(app.csp_hashes())

    @server.after_request
    def add_policy(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        return response

    return server


def _make_dash(server: Flask) -> Dash:
    """The Dash application with its layout, without callbacks."""
    app = Dash(
        "rfsync.dashboard",
        server=cast("Any", server),  # Dash's type hints don't allow a Flask
        assets_folder=str(Path(__file__).with_name("assets")),
        title="rfsync",
        update_title="",
        index_string=INDEX_HTML.replace("{%charts%}", charts.stylesheet()),
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        serve_locally=True,
        compress=False,
        use_pages=False,
        enable_mcp=False,
        add_log_handler=False,
        suppress_callback_exceptions=True,
    )
    # Overrides DASH_… environment variables.
    app.enable_dev_tools(
        debug=False,
        dev_tools_ui=False,
        dev_tools_props_check=False,
        dev_tools_hot_reload=False,
        dev_tools_disable_version_check=True,
    )
    app.layout = layout()
    return app


def _signature(entry: Mapping[str, Any]) -> Callback:
    outputs = entry["output"].strip(".").split("...")
    inputs, state = ([f"{one['id']}.{one['property']}" for one in entry[kind]] for kind in ("inputs", "state"))
    return Callback(tuple(outputs), tuple(inputs), tuple(state))
