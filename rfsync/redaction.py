"""Values that must not be seen, and a filter for the places where they could come by."""

from __future__ import annotations

import json
import threading
from typing import Final
from urllib.parse import quote, quote_plus

_HIDDEN: Final = "***"


class Secret:
    """A value that no ``repr``, ``str`` or format string shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({_HIDDEN})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Redactor:
    """Replaces every secret it was told of, also as it looks inside a URL or JSON."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._known: tuple[str, ...] = ()

    def add(self, secret: str) -> None:
        """A value to hide from now on. One of fewer than 4 characters hides nothing and would garble everything."""
        if len(secret) < 4:
            return
        with self._guard:
            forms = {
                secret,
                quote(secret),
                quote(secret, safe=""),
                quote_plus(secret),
                *self._known,
            }
            forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
            # As Python shows a text and its bytes: without quotes, and within what has both kinds of them.
            forms |= {repr(secret)[1:-1], repr(secret.encode())[2:-1]}
            forms |= {repr(f"'\"{secret}")[4:-1], repr(f"'\"{secret}".encode())[5:-1]}
            # The longest first: a short secret may be a part of a long one.
            self._known = tuple(sorted(forms, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """``text`` without any secret."""
        for secret in self._known:
            text = text.replace(secret, _HIDDEN)
        return text
