"""What happens in the browser alone (``assets/dashboard.js``), where no answer can be overtaken by another."""

from __future__ import annotations

from dash import ClientsideFunction, Dash, Input, Output

from rfsync.dashboard.page import CHARTS


def add_browser_callbacks(app: Dash) -> None:
    """The address and the controls follow each other, and the page watches itself."""
    controls = [("target", "value"), ("first", "value"), ("last", "value"), ("zone", "value"), ("name", "value")]
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("rfsync", "choose"),
        Output("goto", "search"),
        *(Output(*control) for control in controls),
        Input("url", "search"),
        *(Input(*control) for control in controls),
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
        Input("answered", "data"),
    )
