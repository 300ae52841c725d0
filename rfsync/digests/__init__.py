"""Some ten lines for people about what happened, as text, Markdown or HTML, and sent to where they read it."""

from rfsync.digests.formats import Form, render, render_page, to_text
from rfsync.digests.lines import Line, Name, is_wrong, make_lines, make_title

__all__ = ["Form", "Line", "Name", "is_wrong", "make_lines", "make_title", "render", "render_page", "to_text"]
