"""The static layout of the page, with placeholders that the callbacks fill."""

from typing import Any, Final, cast

from dash import dcc, html
from dash.development.base_component import Component
from plotly.graph_objects import Figure

from rfsync.charts import CONFIG
from rfsync.dashboard.view import View

#: Refresh interval of the page, in seconds.
REFRESH_SECONDS: Final = 60
#: Charts that there are only where jobs are known.
JOB_CHARTS: Final = ("places", "work", "labelers", "open-jobs")
#: Id -> title, and whether it takes the full width; in the order of the report.
CHARTS: Final = {
    "totals": ("Images and jobs over time", True),
    "images": ("Images in and left", False),
    "jobs": ("Jobs added and gone", False),
    "places": ("Where the images are", True),
    "work": ("Annotated, approved and rejected", True),
    "labelers": ("Work by labeler", False),
    "open-jobs": ("Jobs open longest, now", False),
    "backlog": ("Backlog now, by age of the batch", False),
    "first-jobs": ("Age of batches at their first job", False),
    "movers": ("Top movers", False),
    "throughput": ("Throughput", False),
}

#: Option of the project selection.
ALL_PROJECTS: Final = {"label": "All projects", "value": ""}

#: Options for plotly.js, without the buttons that lead to or upload to other sites.
_GRAPH_CONFIG: Final = {**CONFIG, "displaylogo": False, "showTips": False, "plotlyServerURL": ""}

INDEX_HTML: Final = """<!DOCTYPE html>
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
    """The layout; callbacks fill in the content."""
    return html.Div(
        [
            # A change of the address selects another view without reloading the page.
            dcc.Location(id="url", refresh=False),
            # Controls write the address here: callbacks on the first Location would otherwise wait for them.
            dcc.Location(id="goto", refresh="callback-nav"),
            dcc.Interval(id="tick", interval=REFRESH_SECONDS * 1000),
            dcc.Interval(id="clock", interval=5_000),
            # Selectable targets; the address; the part of it that charts depend on; charts; time of the last response.
            dcc.Store(id="targets", data=[ALL_PROJECTS]),
            dcc.Store(id="address"),
            dcc.Store(id="charted"),
            *(dcc.Store(id=f"{name}-chart") for name in CHARTS),
            dcc.Store(id="answered"),
            html.Header([html.H1("rfsync"), html.P("Reading the history …", id="freshness")]),
            html.Div(id="lost", role="status"),
            html.Div(id="alerts", role="status"),
            html.Div(id="notes", role="status"),
            html.Section(_controls(), className="choices", **aria_label("Selection")),
            html.Main([*_charts(), *_tables()]),
        ],
        className="page",
    )


def aria_label(label: str) -> dict[str, Any]:
    """Attributes that name a region without a heading."""
    return {"aria-label": label}


def _controls() -> list[Component]:
    # The browser fills in the list of time zones (assets/dashboard.js).
    zone = dcc.Input(id="zone", list="zones", debounce=True, autoComplete="off", maxLength=60)
    return [
        _labelled("Project", "target", dcc.Dropdown(id="target", options=[ALL_PROJECTS], value="", clearable=False)),
        html.Div(id="periods", className="choice"),
        _labelled("From", "first", _date_input("first")),
        _labelled("To", "last", _date_input("last")),
        html.Div(id="buckets", className="choice"),
        _labelled("Time zone", "zone", zone),
    ]


def _labelled(label: str, name: str, control: Component) -> html.Div:
    return html.Div([html.Label(label, htmlFor=name, className="label"), control], className=f"choice for-{name}")


def _date_input(name: str) -> dcc.Input:
    # Dash's Input does not support the type "date".
    return dcc.Input(
        id=name, debounce=True, placeholder="YYYY-MM-DD", pattern=r"\d{4}-\d\d-\d\d", maxLength=10, autoComplete="off"
    )


def _charts() -> list[Component]:
    notes = {
        "images": html.P(
            "Most images that left were assigned to a job. Hatched: not a whole period.", className="small"
        ),
        "jobs": html.P("Hatched: not a whole period.", className="small"),
        "places": html.P(
            [
                "An image is counted once: one that was approved or rejected is not in annotated. ",
                "Those of jobs that are gone are in none. ",
                html.Span(id="removed-jobs"),
            ],
            className="small",
        ),
        "work": html.P(
            "Hatched: not a whole period. What was done before the first list of jobs is not counted. "
            "Annotated may fall because images are approved or rejected.",
            className="small",
        ),
        "throughput": html.P("Only whole periods.", className="small"),
        "first-jobs": html.P(id="first-jobs-summary", className="small"),
    }
    tables = {
        "open-jobs": _table_card("Stuck jobs now", "stuck", "of-jobs"),
        "first-jobs": _table_card("Waiting longest for a job, now", "waiting"),
    }
    cards: list[Component] = []
    for name, (title, wide) in CHARTS.items():
        # Empty at first: rendering a chart compiles plotly.js, which would delay everything that does not need it.
        chart = html.Div(id=f"{name}-place", className=f"chart {name}")
        classes = f"card{' wide' if wide else ''}{' of-jobs' if name in JOB_CHARTS else ''}"
        cards.append(html.Section([html.H2(title), chart, notes.get(name)], className=classes))
        if name in tables:
            cards.append(tables[name])
    headline = html.Section(id="headline", className="headline", **aria_label("Headline figures"))
    first_observed = html.P(id="first-observed", className="small")
    projects = html.Section([html.H2("Projects"), html.Div(id="projects")], className="card")
    job_lists = html.P(id="job-lists", className="small")
    return [headline, first_observed, job_lists, projects, html.Div(cards, className="charts")]


def _table_card(title: str, name: str, *classes: str) -> Component:
    """A card with a table, as wide as the page."""
    return html.Section([html.H2(title), html.Div(id=name)], className=" ".join(("card", "table", *classes)))


def graph(name: str, figure: Figure, *, view: View) -> dict[str, Any]:
    """A chart for ``updateChart`` in ``assets/dashboard.js``.

    Args:
        view: zoom and hidden lines are kept as long as the view stays the same.
    """
    figure.update_layout(uirevision=f"view{view.search}")
    component: dict[str, Any] = dcc.Graph(id=name, config=cast("Any", _GRAPH_CONFIG), figure=figure).to_plotly_json()  # type: ignore[no-untyped-call]
    return component


def _tables() -> list[Component]:
    search = dcc.Input(id="name", type="search", debounce=0.4, placeholder="Name or id", maxLength=200)
    titled = html.Div([html.H2("Batches now"), _labelled("Find", "name", search)], className="titled")
    alert = html.Div(id="batches-alert", role="status")
    return [
        html.Div(id="details-alert", role="status"),
        html.Div(id="jobs-alert", role="status"),
        _table_card("Syncs now", "syncs"),
        html.Section([titled, alert, html.Div(id="batches")], className="card"),
    ]
