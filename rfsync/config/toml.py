"""TOML as people write it: decoded, and if it is invalid, with the way out."""

import re
import tomllib
import unicodedata
from typing import Any, Final

from rfsync.errors import ConfigError
from rfsync.text import decode_utf8

#: Quotes and blanks that word processors and web pages put in the place of plain ones.
_TYPOGRAPHIC: Final = re.compile("[\u2018-\u201f\u00ab\u00bb\u2032\u2033\u00a0]")
_KEY: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*[=:]")
#: The beginning of tomllib's message -> what to do. The value is not repeated, since it may be a secret.
_REMEDIES: Final = {
    "Invalid value": '{key} needs a value, and text stands in quotes: {key} = "…"',
    "Expected newline or end of document": 'text stands in quotes, as a whole: {key} = "…"',
    "Expected '=' after a key": 'write {key} = "…", with = and not with :',
    "Cannot overwrite a value": "{key} stands in this table already; each workspace begins with a line [[workspaces]]",
}


def parse_toml(raw: bytes) -> dict[str, Any]:
    """The tables of a TOML document.

    Raises:
        ConfigError: it is invalid; the message repeats no value.
    """
    text = ""
    try:
        text = decode_utf8(raw)
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, not UTF-8, a number of 5,000 digits
        raise ConfigError(f"not valid TOML: {_explain(text, str(error)) or error}") from error


def _explain(text: str, message: str) -> str | None:
    """An explanation of what a person is likely to have got wrong; None: tomllib's has to do."""
    lines = text.rstrip().split("\n")
    named = re.search(r"at line (\d+)", message)
    number = int(named[1]) if named else len(lines)  # else at the end of the document
    line = lines[number - 1] if number <= len(lines) else ""
    found = _TYPOGRAPHIC.search(line)
    if found is not None:
        return f'line {number} has a {unicodedata.name(found[0]).lower()}: write plain quotes (") and blanks'
    key = _KEY.match(line)
    remedy = next((text for start, text in _REMEDIES.items() if message.startswith(start)), None)
    return f"line {number}: {remedy.format(key=key[1])}" if key is not None and remedy is not None else None
