"""A digest as text, Markdown or HTML, in which no name can steer what shows it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, Literal

from rfsync.digests.lines import Line, Name, Parts

Form = Literal["text", "markdown", "html"]

#: What chat services take for a mention of somebody or of everybody, a link or code, even in plain text and inside of
#: words. There is no escape that all of them understand, so characters that look alike stand in their place.
_LOOKALIKES: Final = str.maketrans("@<>[]`*", "＠‹›［］ˋ∗")
_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{heading}</title>
</head>
<body>
<h1>{heading}</h1>
{body}</body>
</html>
"""
_MARKDOWN: Final = re.compile(r"[\\_~|&#]")


def render(lines: Sequence[Line], form: Form, *, chat: bool = False) -> str:
    """The lines, without the title.

    Args:
        chat: a service for chats may show it. Markdown is always meant for one.
    """
    text = partial(to_text, form=form, chat=chat)
    if form == "html":
        items = "".join(f"<li>{_labelled(line, text, '<strong>{}</strong>')}</li>\n" for line in lines)
        return f"<ul>\n{items}</ul>\n"
    if form == "markdown":
        return "".join(f"- {_labelled(line, text, '**{}**')}\n" for line in lines)
    return "".join(f"{_labelled(line, text, '{}')}\n" for line in lines)


def render_page(title: Parts, lines: Sequence[Line], form: Form) -> str:
    """The title and the lines; as HTML a page of its own."""
    heading, body = to_text(title, form), render(lines, form)
    if form == "html":
        return _PAGE.format(heading=heading, body=body)
    return f"{heading}\n\n{body}" if form == "text" else f"**{heading}**\n\n{body}"


def to_text(parts: Parts, form: Form, *, chat: bool = False) -> str:
    """Words and names in one line, each escaped."""
    return "".join(_name(part, form, chat=chat) if isinstance(part, Name) else _escape(part, form) for part in parts)


def _labelled(line: Line, text: Callable[[Parts], str], strong: str) -> str:
    words = text(line.parts)
    if not line.label:
        return strong.format(words) if line.urgent else words
    return f"{strong.format(f'{line.label}:')} {words}"


def _name(name: str, form: Form, *, chat: bool) -> str:
    return _escape(name.translate(_LOOKALIKES) if chat or form == "markdown" else name, form)


def _escape(text: str, form: Form) -> str:
    if form == "html":
        return html.escape(text)
    return _MARKDOWN.sub(r"\\\g<0>", text) if form == "markdown" else text
