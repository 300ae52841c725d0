"""The common look of all figures: one palette for light and dark pages, on a transparent background.

Each colour of the palette has a contrast of at least 3:1 on both. Text and grid lines are drawn in a medium grey, which
``charts.css`` overrides with the page's own variables ``--ink``, ``--muted`` and ``--grid``, so a page that switches
between light and dark, or is printed, needn't redraw its charts.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from plotly.graph_objects import Figure
    from plotly.graph_objects.layout import Template

#: The colours of projects; safe for colour-blind readers, and equally visible on light and dark.
PALETTE: Final = ("#0a9370", "#bf6fa0", "#7a6fcb", "#a0694b", "#2f94a8", "#7f8b22")
#: All projects that have no colour of their own.
OTHERS: Final = "#7b7f87"
#: Images or jobs that came in, in every chart; and those that left, mostly to be worked on. Neither is a project's
#: colour, nor the red of a warning.
GAINED: Final = "#2b83c6"
LOST: Final = "#b58900"
#: What these are called everywhere: in legends, tables, headlines. "Lost" would alarm, though most images leave because
#: they are assigned to a job.
FLOW_NAMES: Final[dict[str, tuple[str, str]]] = {
    "images": ("images in", "images left"),
    "jobs": ("jobs added", "jobs gone"),
    "annotated": ("more", "fewer"),
    "approved": ("more", "fewer"),
    "rejected": ("more", "fewer"),
}
#: Counts that are neither: the backlog, ages.
NEUTRAL: Final = "#66788a"


class Place(NamedTuple):
    """Where an image can be, as it is drawn and called everywhere.

    Attributes:
        field: name of the count in rows.
        pattern: Plotly's sign for a fill that differs from those beside it, so that the colour is not needed; "/" is
            taken: it means a part of a period.
    """

    field: str
    name: str
    colour: str
    pattern: str


#: In the order of a stack, the lowest first: the further the work, the lower.
PLACES: Final = (
    Place("approved", "approved", "#4c9a35", ""),
    Place("annotated", "annotated", "#0a7ea4", "-"),
    Place("rejected", "rejected", "#c64f6b", "x"),
    Place("unannotated", "in a job, not annotated", "#9b82cc", "."),
    Place("unassigned", "in no job", NEUTRAL, ""),
)
TEXT: Final = "#767b84"
GRID: Final = "rgba(128, 134, 145, 0.22)"
#: Background of periods that were not observed.
UNOBSERVED: Final = "rgba(128, 134, 145, 0.13)"

#: Options for plotly.js: responsive, no buttons, no TeX (names could trigger it), and a double-click resets the zoom.
CONFIG: Final[dict[str, Any]] = {
    "responsive": True,
    "displayModeBar": False,
    "typesetMath": False,
    "doubleClick": "autosize",
}


def template() -> Template:
    """The Plotly template of all figures."""
    from plotly import graph_objects as go

    axis = {
        "gridcolor": GRID,
        "linecolor": GRID,
        "zeroline": False,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 12}},
    }
    return go.layout.Template(
        layout={
            "autosize": True,
            "colorway": PALETTE,
            "paper_bgcolor": "rgba(0, 0, 0, 0)",
            "plot_bgcolor": "rgba(0, 0, 0, 0)",
            "font": {"family": "inherit", "size": 12, "color": TEXT},
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8, "pad": 4},
            "bargap": 0.2,
            "hoverlabel": {
                "align": "left",
                "bgcolor": "#23272e",
                "bordercolor": "#23272e",
                "font": {"family": "inherit", "size": 12, "color": "#f4f5f7"},
                "namelength": -1,
            },
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
            "xaxis": {
                **axis,
                "spikecolor": TEXT,
                "spikethickness": 1,
                "spikedash": "dot",
                "showgrid": False,
                "ticks": "outside",
                "tickcolor": GRID,
                "showline": True,
            },
            # Only the time axis can be zoomed: a vertical swipe on a phone should scroll the page.
            "yaxis": {
                **axis,
                "showline": False,
                "fixedrange": True,
                "nticks": 6,
                "separatethousands": True,
                "exponentformat": "none",
            },
        }
    )


def new_figure(*, height: int) -> Figure:
    """An empty figure in the common look; ``height`` in pixels, the width is the container's."""
    from plotly import graph_objects as go

    return go.Figure(layout={"template": template(), "height": height})


def place_marker(place: Place) -> dict[str, Any]:
    """How the bars of a place are drawn."""
    drawn = {"fillmode": "overlay", "fgcolor": "#ffffff", "fgopacity": 0.6, "size": 7, "solidity": 0.2}
    return {"color": place.colour, "line": {"width": 0}, "pattern": {"shape": place.pattern, **drawn}}


def blank_figure(text: str) -> Figure:
    """A figure that shows only a message, for lack of data; ``text`` is not escaped."""
    figure = new_figure(height=120)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    return figure


def stylesheet() -> str:
    """CSS that gives figures the colours of the page around them."""
    return files("rfsync.charts").joinpath("charts.css").read_text("utf-8")
