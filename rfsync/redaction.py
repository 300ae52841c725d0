"""Secrets and mail addresses, and what takes them out of texts."""

import hashlib
import json
import re
import threading
from typing import Final
from urllib.parse import quote, quote_plus

_HIDDEN: Final = "***"
_ADDRESS: Final = re.compile(r"[^\s@]+@[^\s@]+")
# In JSON it may be escaped, and in a URL.
_AT: Final = re.compile(r"@|%40|\\u0040", re.IGNORECASE)
_QUOTED: Final = re.compile(r'"[^"@]{1,64}"(?=@)')
#: What may be one address, in a text of any kind.
_WORD: Final = re.compile(r"(?:\\u0040|[^\s<>\"(),;:=/?&\[\]{}|\\])+", re.IGNORECASE)


def has_address(text: str) -> bool:
    """Tells whether something in a text looks like a mail address."""
    return _ADDRESS.search(text) is not None


def hide_addresses(text: str) -> str:
    """The text without anything that looks like a mail address; a URL's user and host are taken for one, too.

    A secret may contain an @: it has to be taken out before, or a part of it would stay.
    """
    if _AT.search(text) is None:
        return text
    return _WORD.sub(lambda word: _HIDDEN if _AT.search(word[0]) else word[0], _QUOTED.sub("", text))


class Secret:
    """A value that ``repr``, ``str`` and format strings don't show."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself."""
        return self._value

    @property
    def digest(self) -> str:
        """Tells whether another value is the same, and nothing else, since keys are long and random."""
        return hashlib.sha256(b"rfsync" + self._value.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Secret({_HIDDEN})"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Redactor:
    """Replaces known secrets in a text, also where they are encoded for a URL or JSON."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[str, ...] = ()

    def add(self, secret: str) -> None:
        """Hides a value from now on. One of fewer than 4 characters is no secret, and would garble every text."""
        if len(secret) < 4:
            return
        with self._lock:
            forms = {*self._known, secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
            forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
            # As in the repr of a str and of bytes, also of those that contain both kinds of quotes.
            forms |= {repr(secret)[1:-1], repr(secret.encode())[2:-1]}
            forms |= {repr(f"'\"{secret}")[4:-1], repr(f"'\"{secret}".encode())[5:-1]}
            # The longest first: a short secret may be part of a long one.
            self._known = tuple(sorted(forms, key=len, reverse=True))

    def __call__(self, text: str) -> str:
        """The text without any known secret."""
        for secret in self._known:
            text = text.replace(secret, _HIDDEN)
        return text
