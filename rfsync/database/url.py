"""Where the database is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, unquote_plus, urlsplit

from rfsync.errors import ConfigError

Dialect = Literal["sqlite", "postgresql"]


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """Where a database is. ``str()`` and ``repr()`` hide its password."""

    dialect: Dialect
    #: As libpq and SQLAlchemy take it, password included.
    text: str
    #: The file of an SQLite database; None: it is a PostgreSQL one.
    path: Path | None = None

    def secrets(self) -> list[str]:
        """What must not be seen of it, as it is written and as it is meant."""
        written = [value for _, value, secret in self._parts() if secret and value]
        return [*written, *map(unquote, written), *map(unquote_plus, written)]

    def _parts(self) -> list[tuple[str, str, bool]]:
        """Cut into pairs of what comes before and a value, and whether the value is secret."""
        if self.path is not None:
            return [(self.text, "", False)]
        rest = self.text.removeprefix("postgresql://")
        # As libpq reads it: the last @ before the first slash ends who it is, whatever stands before it.
        user, at, _ = rest.partition("/")[0].rpartition("@")
        name, colon, password = user.partition(":")
        address, mark, query = rest.removeprefix(f"{user}{at}").partition("?")
        parts = [(f"postgresql://{name}{colon}", password, True), (f"{at}{address}{mark}", "", False)]
        for number, pair in enumerate(query.split("&")):
            key, equals, value = pair.partition("=")
            parts.append((f"{'&' if number else ''}{key}{equals}", value, "pass" in unquote(key).lower()))
        return parts

    def __str__(self) -> str:
        return "".join(before + ("***" if secret and value else value) for before, value, secret in self._parts())

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


def parse_url(text: str) -> DatabaseUrl:
    """The URL of one of the two databases.

    Raises:
        ConfigError: another database, or none at all; the URL itself is not repeated, since it may hold a password.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ConfigError("[database] url can't be read: write sqlite:///FILE or postgresql://USER@HOST/NAME")
    if scheme in {"sqlite", "sqlite+pysqlite"}:
        name = rest.removeprefix("/").partition("?")[0]
        if not rest.startswith("/") or name in {"", ":memory:"}:
            raise ConfigError("[database] url names no file: a history in memory is lost at exit; write sqlite:///FILE")
        return DatabaseUrl("sqlite", text, Path(name))
    if scheme in {"postgresql", "postgres", "postgresql+psycopg"}:
        authority, _, after = rest.partition("/")
        if "@" in (after.partition("?")[0] if "@" in authority else after):
            # For libpq the password ends at the slash, and the rest of it is the name of a database, to be shown.
            raise ConfigError("[database] url: write %2F for a slash in a user's name or password, and %40 for an @")
        hosts = rest.partition("/")[0].rpartition("@")[2].partition("?")[0]
        try:
            for host in hosts.split(","):  # libpq takes more than one
                urlsplit(f"//{host}").port  # noqa: B018 asked for what it raises
        except ValueError:
            raise ConfigError("[database] url can't be read: its host or port is wrong") from None
        return DatabaseUrl("postgresql", f"postgresql://{rest}")
    # What is no scheme at all may hold anything.
    named = repr(scheme) if re.fullmatch(r"[A-Za-z0-9+.-]+", scheme) else "this"
    raise ConfigError(f"[database] url: {named} is not supported; write sqlite:///FILE or postgresql://USER@HOST/NAME")
