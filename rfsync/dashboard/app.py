"""The WSGI application that serves the live page."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from dash import Dash
from flask import Flask, Response

from rfsync import charts
from rfsync.dashboard.callbacks import Source, add_callbacks
from rfsync.dashboard.clientside import add_browser_callbacks
from rfsync.dashboard.page import INDEX, layout
from rfsync.dashboard.security import Callback, Hosts, content_security_policy, guard


def make_app(source: Source, hosts: Hosts) -> Flask:
    """The WSGI application.

    Args:
        source: where what it shows comes from.
        hosts: what a Host header may say.
    """
    server = Flask("rfsync.dashboard", static_folder=None)
    known: dict[str, Callback] = {}
    guard(server, hosts, known)
    # What plotly loads for its first figure, numpy too where that is installed, two threads at once must not load.
    for name in ("numpy", "pandas"):
        with suppress(ImportError):
            import_module(name)
    charts.totals_figure(()).to_plotly_json()
    app = Dash(
        "rfsync.dashboard",
        server=cast("Any", server),  # the types know no Flask
        assets_folder=str(Path(__file__).with_name("assets")),
        title="rfsync",
        update_title="",
        index_string=INDEX.replace("{%charts%}", charts.stylesheet()),
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
        serve_locally=True,
        compress=False,
        use_pages=False,
        enable_mcp=False,
        add_log_handler=False,
        suppress_callback_exceptions=True,
    )
    # Whatever DASH_… there is in the environment.
    app.enable_dev_tools(
        debug=False,
        dev_tools_ui=False,
        dev_tools_props_check=False,
        dev_tools_hot_reload=False,
        dev_tools_disable_version_check=True,
    )
    app.layout = layout()
    add_browser_callbacks(app)
    add_callbacks(app, source)
    for entry in app._callback_list:  # noqa: SLF001 Dash has no other word for what a callback takes
        if entry["clientside_function"] is None:  # else the browser answers
            known[entry["output"]] = _signature(entry)
    policy = content_security_policy(app.csp_hashes())

    @server.after_request
    def finish(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        return response

    return server


def _signature(entry: Mapping[str, Any]) -> Callback:
    outputs = entry["output"].strip(".").split("...")
    inputs, state = ([f"{one['id']}.{one['property']}" for one in entry[kind]] for kind in ("inputs", "state"))
    return Callback(tuple(outputs), tuple(inputs), tuple(state))
