"""Sends a message through Apprise, to the URLs of a variable or a file, of which nothing is ever shown."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from rfsync.digests.formats import Form
from rfsync.errors import ConfigError, RfsyncError
from rfsync.redaction import Redactor, Secret
from rfsync.text import decode_utf8, shown_name

URL_VARIABLE: Final = "RFSYNC_NOTIFY_URL"
FILE_VARIABLE: Final = "RFSYNC_NOTIFY_URL_FILE"
_SERVICES: Final = "https://appriseit.com/services/ lists what they look like"
#: In characters.
_SHORTEST_SECRET: Final = 6
_STATUS: Final = re.compile(r"error=(\d{3})\b")


class NotifyError(RfsyncError):
    """A message could not be delivered to one of the URLs."""


class NotifyUrl(NamedTuple):
    """An address that messages are sent to, and where it was found: ``$RFSYNC_NOTIFY_URL``, ``line 2 of …``."""

    url: Secret
    source: str


class Message(NamedTuple):
    """What is sent.

    Attributes:
        urgent: services that have colours show it as a warning.
    """

    title: str
    body: str
    form: Form
    urgent: bool


def find_urls(env: Mapping[str, str], redact: Redactor) -> list[NotifyUrl]:
    """The URLs of the variable or else of the file, whose parts are hidden from here on.

    The variable may have several between blanks, and the file one a line; lines that begin with ``#`` are comments.

    Raises:
        ConfigError: there is none, or the file can't be read.
    """
    found = [NotifyUrl(Secret(_bare(word)), f"${URL_VARIABLE}") for word in env.get(URL_VARIABLE, "").split()]
    if not found:
        found = _read(Path(file), file) if (file := notify_file(env)) else []
    if not found:
        raise ConfigError(
            f"--notify has no URL to send to: set ${URL_VARIABLE}, or set ${FILE_VARIABLE} to the name of a file with "
            f"one URL a line; {_SERVICES}"
        )
    for one in found:
        for part in _parts(one.url.reveal()):
            if len(part) >= _SHORTEST_SECRET and part != "rfsync":  # else it would be taken out of our own words
                redact.add(part)
    return found


def notify_file(env: Mapping[str, str]) -> str | None:
    """The name of the file with the URLs; None: the variable has them, or none is named."""
    return None if env.get(URL_VARIABLE, "").strip() else env.get(FILE_VARIABLE, "").strip() or None


def _read(path: Path, name: str) -> list[NotifyUrl]:
    shown = shown_name(name)
    try:
        lines = decode_utf8(path.expanduser().read_bytes()).splitlines()
    except (OSError, ValueError, RuntimeError) as error:  # also: not text, not a path, no home directory
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"the file that ${FILE_VARIABLE} names, {shown}, can't be read: {reason}") from None
    urls = [(number, _bare(line)) for number, line in enumerate(lines, 1)]
    found = [NotifyUrl(Secret(url), f"line {n} of {shown}") for n, url in urls if url and not url.startswith("#")]
    if not found:
        raise ConfigError(f"the file that ${FILE_VARIABLE} names, {shown}, has no URL: write one a line; {_SERVICES}")
    return found


def _bare(text: str) -> str:
    """A line without the blanks and quotes around it."""
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] and text[0] in {'"', "'"} else text


def _parts(url: str) -> Iterator[str]:
    """The URL, and everything in it that may be a secret: any part of some service's URL is."""
    split = urlsplit(url)
    # Not split.hostname, which is in lower case.
    words = [*re.split(r"[/:@?&=,]", f"{split.netloc}/{split.path}/{split.query}/{split.fragment}")]
    words += [value for _, value in parse_qsl(split.query)]
    yield from {url, unquote(url), *words, *map(unquote, words)}


class Notifier:
    """Sends messages to some URLs."""

    def __init__(self, urls: Sequence[NotifyUrl]) -> None:
        """Check the URLs; nothing is sent.

        Raises:
            ConfigError: Apprise is not installed, or one of them is none that it knows.
        """
        try:
            with _quiet():
                from apprise import Apprise, AppriseAsset
        except ImportError as error:
            if (error.name or "").partition(".")[0] == "rfsync":
                raise
            raise ConfigError(f"--notify needs {error.name}: pip install apprise") from None
        self._services = []
        for url, source in urls:
            with _quiet():
                # Else messages have Apprise's name, and pictures from its site.
                asset = AppriseAsset(
                    app_id="rfsync", app_desc="rfsync", app_url="", image_url_mask="", image_url_logo=""
                )
                service = Apprise(asset=asset)
                known = service.add(url.reveal())
            if not known:
                raise ConfigError(f"{source} is no URL that Apprise can send to: {_SERVICES}")
            self._services.append((service, source))

    def send(self, message: Message) -> None:
        """Send a message to all of them, whether or not others fail.

        Raises:
            NotifyError: it could not be delivered to one of them.
        """
        from apprise import NotifyFormat, NotifyType

        failures = []
        for service, source in self._services:
            with _quiet() as seen:
                sent = service.notify(
                    title=message.title,
                    body=message.body,
                    notify_type=NotifyType.WARNING if message.urgent else NotifyType.INFO,
                    body_format=NotifyFormat(message.form),
                )
            if not sent:
                answer = f"it answered with HTTP {seen.status}" if seen.status else "it was not reached, or refused"
                failures.append(f"{source} ({service[0].service_name}): {answer}")
        if failures:
            number, every = len(failures), len(self._services)
            of = "" if every == 1 else f" to {number:,} of {every:,} services"
            raise NotifyError(
                f"the digest could not be delivered{of}; Apprise's own command may tell why: apprise -vv",
                details=failures,
            )


class _Collector(logging.Handler):
    """Keeps the last HTTP status that Apprise logs. The rest of what it logs may contain parts of a URL."""

    def __init__(self) -> None:
        super().__init__()
        self.status: str | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "apprise" and (found := _STATUS.search(record.getMessage())):
            self.status = found[1]


@contextmanager
def _quiet() -> Iterator[_Collector]:
    """Nothing is logged meanwhile, by whichever library, and no warning shown: plugins import what is deprecated."""
    root, collector = logging.getLogger(), _Collector()
    handlers, root.handlers = root.handlers, [collector]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield collector
    finally:
        root.handlers = handlers
