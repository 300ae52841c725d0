"""How figures look: the same colours on a light page and on a dark one, and nothing behind them.

Each colour of the palette has a contrast of at least 3 to 1 on both. Texts and grids are of a grey in between, which
``charts.css`` replaces with the page's own variables ``--ink``, ``--muted``, ``--grid`` and ``--panel``; so a page that
goes from light to dark, or is printed, need not draw them again.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from plotly.graph_objects.layout import Template

#: Told apart with any colour vision: after Okabe and Ito, but with equal weight on light and dark.
PALETTE: Final = ("#2b83c6", "#d55e00", "#0a9370", "#bf6fa0", "#b58900", "#7a6fcb")
GAINED: Final = PALETTE[0]
LOST: Final = PALETTE[1]
JOBS: Final = PALETTE[2]
OTHERS: Final = "#7b7f87"
TEXT: Final = "#767b84"
GRID: Final = "rgba(128, 134, 145, 0.22)"
#: Behind what was not observed.
UNOBSERVED: Final = "rgba(128, 134, 145, 0.13)"

#: For plotly.js: fits its place, no buttons, nothing that a name could set off; a double-click shows the whole again.
CONFIG: Final[dict[str, Any]] = {
    "responsive": True,
    "displayModeBar": False,
    "typesetMath": False,
    "doubleClick": "autosize",
}


def template() -> Template:
    """The look of all figures."""
    from plotly import graph_objects as go

    axis = {"gridcolor": GRID, "linecolor": GRID, "zeroline": False, "automargin": True, "title": {"standoff": 8}}
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
            "legend": {
                "orientation": "h",
                "x": 0,
                "xanchor": "left",
                "y": 1.02,
                "yanchor": "bottom",
            },
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
            # Zoomed in time alone: what a thumb does on a phone is mostly meant to scroll.
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


def stylesheet() -> str:
    """CSS that gives figures the colours of the page that they are on."""
    return files("rfsync.charts").joinpath("charts.css").read_text("utf-8")
