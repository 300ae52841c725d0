"""The URL of a database: read as people write it, shown without its password."""

import os
import re
from collections import Counter
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, urlsplit

from sqlalchemy import URL, make_url

from rfsync.errors import ConfigError, DatabaseError
from rfsync.text import printable, shown_name

_EXAMPLES = "write sqlite:///FILE or postgresql://USER@HOST/NAME"


def parse_url(text: str, source: str = "[database] url") -> URL:
    """The URL of one of the two databases, with the driver that rfsync uses.

    PostgreSQL's is taken as libpq takes it: ``postgres://`` too, several hosts, a password with an unescaped @. Blanks
    around it, and the line end that an environment file may leave, are none of it.

    Args:
        source: where it was written, for messages.

    Raises:
        ConfigError: another database, or none at all; the URL itself is not repeated, since it may hold a password.
    """
    text = text.strip("\ufeff").strip()
    if printable(text) != text:
        raise ConfigError(f"{source} has a control character or an invisible one in it: write it anew")
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ConfigError(f"{source} can't be read: {_file_as_url(text) or _EXAMPLES}")
    if scheme in {"sqlite", "sqlite+pysqlite"}:
        return _parse_sqlite(rest, source)
    if scheme in {"postgresql", "postgres", "postgresql+psycopg"}:
        return _parse_postgres(rest, source)
    # What is no scheme at all may hold anything.
    named = repr(scheme) if re.fullmatch(r"[A-Za-z0-9+.-]+", scheme) else "this"
    raise ConfigError(f"{source}: {named} is not supported; {_EXAMPLES}")


def _file_as_url(text: str) -> str | None:
    """The URL to write instead of what looks like the name of a file; None: it may be anything, with a password."""
    file = text.removeprefix("sqlite:")
    return f"write sqlite:///{file}" if re.fullmatch(r"[\w./~-]*[./][\w./~-]*\w", file) else None


def _parse_sqlite(rest: str, source: str) -> URL:
    file, mark, _ = rest.removeprefix("/").partition("?")
    if file in {"", ":memory:"}:
        raise ConfigError(f"{source} names no file: a history in memory is lost at exit; write sqlite:///FILE")
    if not rest.startswith("/"):
        raise ConfigError(f"{source} has two slashes where three are needed: {_file_as_url(file) or _EXAMPLES}")
    if mark:
        raise ConfigError(f"{source}: SQLite's has no options: leave out the ? and what follows it")
    # No shell expands the ~ within a URL. Not Path.expanduser(), which raises an error where a user has no home.
    return URL.create("sqlite", database=os.path.expanduser(file))  # noqa: PTH111


def _parse_postgres(rest: str, source: str) -> URL:
    # As libpq reads it: the last @ before the first slash ends the user, whatever stands before it.
    user, at, _ = rest.partition("/")[0].rpartition("@")
    address, mark, options = rest.removeprefix(user + at).partition("?")
    hosts, slash, name = address.partition("/")
    if "@" in (name if at else rest.partition("/")[2]):
        # libpq ends the password at the slash, and would show the rest of it as the name of a database.
        raise ConfigError(f"{source}: write %2F for a slash in a user's name or password, and %40 for an @")
    if options:
        _require_known(options, source)
    try:
        parts = [urlsplit(f"//{host}") for host in hosts.split(",")]
        several = {
            "host": ",".join(unquote(p.hostname or "") for p in parts),
            "port": ",".join(str(p.port or "") for p in parts),
        }
        # In a URL of libpq's a + is no blank.
        options = options.replace("+", "%2B")
        # An escaped host is the folder of a socket, which SQLAlchemy has among the options.
        one = hosts if len(parts) == 1 and "%" not in hosts else ""
        url = make_url(f"postgresql+psycopg://{user.replace('@', '%40')}{at}{one}{slash}{name}{mark}{options}")
    except ValueError:
        raise ConfigError(f"{source} can't be read: its host or port is wrong") from None
    return url if one or not hosts else url.update_query_dict(several)


def _require_known(options: str, source: str) -> None:
    """Passes if libpq knows all options; SQLAlchemy and psycopg would take further ones, which are not for people.

    Raises:
        ConfigError: one is unknown, comes twice or has no value.
    """
    pairs = [option.partition("=") for option in options.split("&")]
    known = _libpq_options()
    names = Counter(unquote(name) for name, _, _ in pairs)
    for name, sign, _ in pairs:
        key = unquote(name)
        if key not in known or not sign:
            # Beside a password, the name may be what follows an unescaped & in it.
            hidden = _is_secret(options) or not re.fullmatch(r"\w+", key)
            shown = "one of the options" if hidden else f"the option {key}"
            raise ConfigError(f"{source}: PostgreSQL's client does not know {shown} after the ?, or its value")
        if names[key] > 1:
            raise ConfigError(f"{source}: the option {key} stands there more than once")


def _libpq_options() -> frozenset[str]:
    """The names of all options that PostgreSQL's client has.

    Raises:
        ConfigError: it is not installed.
    """
    from rfsync.database.postgres import require_psycopg

    require_psycopg()
    from psycopg import pq

    return frozenset(option.keyword.decode() for option in pq.Conninfo.get_defaults())


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite database; None: it is a PostgreSQL one."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def require_path(url: URL) -> None:
    """Checks that the file of an SQLite database can be looked for, whether it exists or not.

    Raises:
        DatabaseError: its path leads nowhere, or through a folder that may not be searched.
    """
    path = sqlite_file(url)
    if path is None:
        return
    try:
        path = path.absolute()
    except FileNotFoundError:
        raise DatabaseError(
            f"the database {path} can't be opened: the working directory does not exist any more"
        ) from None
    try:
        is_folder = path.is_dir()
        path.stat()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:  # ValueError: there is a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise DatabaseError(f"the database {shown_name(str(path))} can't be opened: {reason}") from None
    if is_folder:
        raise DatabaseError(f"the database {path} is a folder: name a file in it, such as sqlite:///{path}/rfsync.db")


def shown_url(url: URL) -> str:
    """The URL for people, without its secrets."""
    hidden = {key: "***" for key in url.query if _is_secret(key)}
    shown = url.update_query_dict(hidden).set(drivername=url.get_backend_name())
    return shown.render_as_string().replace("%2A%2A%2A", "***")


def url_secrets(url: URL) -> list[str]:
    """The secrets in the URL, in each form in which they may be written."""
    values = [url.password, *(value for key, value in url.query.items() if _is_secret(key))]
    plain = [str(value) for value in values if value]
    return [form for value in plain for form in (value, quote(value, safe=""), quote_plus(value), unquote(value))]


def _is_secret(key: str) -> bool:
    return "pass" in key.lower()
