"""What happens in the browser alone (``assets/dashboard.js``), where no answer can be overtaken by another."""

from __future__ import annotations

from dash import ClientsideFunction, Dash, Input, Output, State

from rfsync.dashboard.page import CHARTS


def add_browser_callbacks(app: Dash) -> None:
    """The address and the controls follow each other, the server is asked, and the page watches itself."""
    asked = [("address", "data"), ("charted", "data")]
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("rfsync", "ask"),
        *(Output(*store) for store in asked),
        Input("url", "search"),
        *(State(*store) for store in asked),
    )
    controls = [("target", "value"), ("first", "value"), ("last", "value"), ("zone", "value"), ("name", "value")]
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("rfsync", "choose"),
        Output("goto", "search"),
        Output("target", "options"),
        *(Output(*control) for control in controls),
        Input("url", "search"),
        *(Input(*control) for control in controls),
        # As an input it would hold back every choice while its answer is under way.
        State("targets", "data"),
    )
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("rfsync", "offer"),
        Output("target", "options", allow_duplicate=True),
        Input("targets", "data"),
        prevent_initial_call=True,
    )
    for name in CHARTS:
        app.clientside_callback(  # type: ignore[no-untyped-call]
            ClientsideFunction("rfsync", "show"),
            Output(f"{name}-place", "children"),
            Input(f"{name}-chart", "data"),
            prevent_initial_call=True,
        )
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("rfsync", "lost"),
        Output("lost", "children"),
        Input("clock", "n_intervals"),
        # No input: that waits for an answer under way, and one that never comes is just what is to be told.
        State("answered", "data"),
    )
