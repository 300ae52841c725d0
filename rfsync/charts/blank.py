"""Where a figure begins, and what stands where there is nothing to draw."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rfsync.charts.theme import template

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


def new_figure(*, height: int) -> Figure:
    """A figure without content in the common look, as high as that in pixels and as wide as its place."""
    from plotly import graph_objects as go

    return go.Figure(layout={"template": template(), "height": height})


def blank_figure(text: str) -> Figure:
    """A word where nothing can be drawn; ``text`` is our own."""
    figure = new_figure(height=120)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(text=text, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False)
    return figure
