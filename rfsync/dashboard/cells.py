"""Tables and their cells. Dash renders all strings as text, never as markup."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dash import html

from rfsync.dashboard.components import UNKNOWN, moment, unbroken
from rfsync.dashboard.page import aria_label
from rfsync.text import age, rfc3339


def make_table(headers: Sequence[Any], rows: Sequence[Any], caption: str) -> html.Div:
    table = html.Table([html.Caption(caption), html.Thead(html.Tr(list(headers))), html.Tbody(list(rows))])
    # Scrolls horizontally on a narrow screen, with the keyboard too.
    return html.Div(table, className="scroll", tabIndex="0", role="region", **aria_label(caption))


def header(text: Any, *, number: bool = False, **attributes: Any) -> html.Th:
    return html.Th(text, scope="col", className="number" if number else "", **attributes)


def time_cell(instant: datetime | None, tz: str, now: datetime | None = None) -> html.Td:
    """A cell with a local time, its age if ``now`` is given, and the exact instant as a tooltip."""
    if instant is None:
        return html.Td(UNKNOWN)
    text = moment(instant, tz) + (f" ({age(now - instant)} ago)" if now else "")
    return html.Td(unbroken(text), title=rfc3339(instant), className="moment")


def number_cell(value: int | None) -> html.Td:
    return html.Td(UNKNOWN if value is None else f"{value:,}", className="number")


def delta_cell(value: int) -> html.Td:
    return html.Td(f"{value:+,}" if value else "0", className="number")
