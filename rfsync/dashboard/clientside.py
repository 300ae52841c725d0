"""Callbacks that run in the browser (``assets/dashboard.js``), where responses can't overtake each other."""

from dash import ClientsideFunction, Dash, Input, Output, State

from rfsync.dashboard.page import CHARTS


def add_clientside_callbacks(app: Dash) -> None:
    """Adds the callbacks that keep address and controls in step, update charts and detect a lost connection."""
    address = [("address", "data"), ("charted", "data")]
    controls = [("target", "value"), ("first", "value"), ("last", "value"), ("zone", "value"), ("name", "value")]

    def add(function: str, *arguments: Output | Input | State, prevent_initial_call: bool = False) -> None:
        app.clientside_callback(  # type: ignore[no-untyped-call]
            ClientsideFunction("rfsync", function), *arguments, prevent_initial_call=prevent_initial_call
        )

    add(
        "readAddress",
        *(Output(*store) for store in address),
        Input("url", "search"),
        *(State(*store) for store in address),
    )
    add(
        "syncControls",
        Output("goto", "search"),
        Output("target", "options"),
        *(Output(*control) for control in controls),
        Input("url", "search"),
        *(Input(*control) for control in controls),
        # Not an input: Dash would then delay every selection while the targets are being requested.
        State("targets", "data"),
    )
    add(
        "targetOptions",
        Output("target", "options", allow_duplicate=True),
        Input("targets", "data"),
        prevent_initial_call=True,
    )
    for name in CHARTS:
        add(
            "updateChart",
            Output(f"{name}-place", "children"),
            Input(f"{name}-chart", "data"),
            prevent_initial_call=True,
        )
    add(
        "lostConnection",
        Output("lost", "children"),
        Input("clock", "n_intervals"),
        # Not an input: Dash waits for pending inputs, and one that stays pending is what this has to report.
        State("answered", "data"),
    )
