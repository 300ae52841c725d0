"""The page before anything is known: what stands where, with a place of its own size for each chart."""

from __future__ import annotations

from typing import Any, Final, cast

from dash import dcc, html
from dash.development.base_component import Component
from plotly.graph_objects import Figure

from rfsync.charts import CONFIG
from rfsync.dashboard.view import View

#: How often the page asks for what is new, in seconds.
REFRESH: Final = 60
#: Id -> title, and whether it is as wide as the page.
CHARTS: Final = {
    "totals": ("Images and jobs over time", True),
    "images": ("Images gained and lost", False),
    "jobs": ("Jobs gained and lost", False),
    "throughput": ("Throughput", False),
    "backlog": ("Backlog by age of the batch", False),
    "movers": ("Top movers", False),
    "first-jobs": ("Age of batches at their first job", False),
}

#: Where no project is chosen.
EVERYTHING: Final = {"label": "All projects", "value": ""}

#: No button leads anywhere else, and nothing is sent anywhere.
GRAPH: Final = {**CONFIG, "displaylogo": False, "showTips": False, "plotlyServerURL": ""}

INDEX: Final = """<!DOCTYPE html>
<html lang="en">
  <head>
    {%metas%}
    <meta name="color-scheme" content="light dark">
    <title>{%title%}</title>
    <link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
    {%css%}
    <style>{%charts%}</style>
  </head>
  <body>
    {%app_entry%}
    <noscript>This page is drawn by JavaScript. Without it: rfsync status, rfsync totals, rfsync batches.</noscript>
    <footer>
      {%config%}
      {%scripts%}
      {%renderer%}
    </footer>
  </body>
</html>"""


def layout() -> Component:
    """All that stands still; the callbacks fill it in."""
    return html.Div(
        [
            # One address for one view; a change of it is a view to be asked for, and not a page to be loaded.
            dcc.Location(id="url", refresh=False),
            # The controls write the address here: what waits for the first would else wait for the controls too.
            dcc.Location(id="goto", refresh="callback-nav"),
            dcc.Interval(id="tick", interval=REFRESH * 1000),
            dcc.Interval(id="clock", interval=5_000),
            # What there is to choose from, what is asked for, the charts of the last answers, and when there was one.
            dcc.Store(id="targets", data=[EVERYTHING]),
            dcc.Store(id="address"),
            dcc.Store(id="charted"),
            *(dcc.Store(id=f"{name}-chart") for name in CHARTS),
            dcc.Store(id="answered"),
            html.Header([html.H1("rfsync"), html.P("Reading the history …", id="freshness")]),
            html.Div(id="lost", role="status"),
            html.Div(id="alerts", role="status"),
            html.Div(id="notes", role="status"),
            html.Section(_choices(), className="choices", **named("What to show")),
            html.Main([*_charts(), *_tables()]),
        ],
        className="page",
    )


def named(label: str) -> dict[str, Any]:
    """What a region without a heading is called."""
    return {"aria-label": label}


def _choices() -> list[Component]:
    # The browser knows their names and lists them (assets/dashboard.js).
    zone = dcc.Input(id="zone", list="zones", debounce=True, autoComplete="off", maxLength=60)
    return [
        _labelled("Project", "target", dcc.Dropdown(id="target", options=[EVERYTHING], value="", clearable=False)),
        html.Div(id="periods", className="choice"),
        _labelled("From", "first", _day("first")),
        _labelled("To", "last", _day("last")),
        html.Div(id="buckets", className="choice"),
        _labelled("Time zone", "zone", zone),
    ]


def _labelled(label: str, name: str, control: Component) -> html.Div:
    return html.Div([html.Label(label, htmlFor=name, className="label"), control], className=f"choice for-{name}")


def _day(name: str) -> dcc.Input:
    # Not of the type date, which Dash's input can't be.
    return dcc.Input(
        id=name, debounce=True, placeholder="YYYY-MM-DD", pattern=r"\d{4}-\d\d-\d\d", maxLength=10, autoComplete="off"
    )


def _charts() -> list[Component]:
    below = {
        "movers": html.P("With what a project had when it was first observed.", className="small"),
        "first-jobs": html.P(id="first-jobs-summary", className="small"),
    }
    cards = [
        html.Section([html.H2(title), _chart(name), below.get(name)], className="card wide" if wide else "card")
        for name, (title, wide) in CHARTS.items()
    ]
    headline = html.Section(id="headline", className="headline", **named("Now"))
    return [headline, html.Div(cards, className="charts")]


def _chart(name: str) -> html.Div:
    # Empty: the first chart has plotly.js compiled, and all that can be read without it is to be there before.
    return html.Div(id=f"{name}-place", className=f"chart {name}")


def graph(name: str, figure: Figure, *, view: View) -> dict[str, Any]:
    """A chart as the page takes it (``show`` in ``assets/dashboard.js``).

    Args:
        view: what it shows; while that is the same, what somebody has zoomed into or hidden stays so.
    """
    figure.update_layout(uirevision=f"view{view.search}")
    made: dict[str, Any] = dcc.Graph(id=name, config=cast("Any", GRAPH), figure=figure).to_plotly_json()  # type: ignore[no-untyped-call]
    return made


def _tables() -> list[Component]:
    search = dcc.Input(id="name", type="search", debounce=0.4, placeholder="Name or id", maxLength=200)
    return [
        html.Div(id="details-alert", role="status"),
        html.Div(
            [
                html.Section([html.H2("Waiting longest for a job"), html.Div(id="waiting")], className="card"),
                html.Section([html.H2("Syncs"), html.Div(id="syncs")], className="card"),
            ],
            className="pair",
        ),
        html.Section(
            [
                html.Div([html.H2("Batches"), _labelled("Find", "name", search)], className="titled"),
                html.Div(id="batches-alert", role="status"),
                html.Div(id="batches"),
            ],
            className="card",
        ),
    ]
