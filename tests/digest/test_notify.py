"""Messages are delivered to real services over HTTP, and nothing of their URLs is ever said."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from rfsync.digests.notify import Message, Notifier, NotifyError, find_urls
from rfsync.errors import ConfigError
from rfsync.logs import configure
from rfsync.redaction import Redactor

MESSAGE = Message("A title", "What came", "text", urgent=True)
SECRETS = ("s3cret-path", "pa%24s-word", "pa$s-word", "t0ken-value")


class Receiver(ThreadingHTTPServer):
    """A service that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.received: list[dict[str, Any]] = []

    def url(self, path: str = "/s3cret-path") -> str:
        """As Apprise has it, with a password and a header."""
        return f"json://user:pa%24s-word@127.0.0.1:{self.server_port}{path}?+X-Token=t0ken-value"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        assert self.headers["X-Token"] == "t0ken-value"
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def _logs() -> Iterator[None]:
    """The most that can be logged, without anything that hides secrets."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure("debug", "console", Redactor())
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


@pytest.mark.usefixtures("_logs")
def test_a_message_is_delivered_and_a_failure_says_nothing_of_the_url(
    receiver: Receiver, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "urls"
    file.write_text(f'\ufeff# where to\n\n  "{receiver.url()}"  \n{receiver.url("/other-s3cret-path")}\n')
    redact = Redactor()
    urls = find_urls({"RFSYNC_NOTIFY_URL_FILE": f" {file}\n"}, redact)
    assert [source for _, source in urls] == [f"line {n} of '{file}'" for n in (3, 4)]
    notifier = Notifier(urls)
    notifier.send(MESSAGE)
    sent = [(one["title"], one["message"], one["type"]) for one in receiver.received]
    assert sent == [("A title", "What came", "warning")] * 2
    receiver.status = 418
    with pytest.raises(NotifyError, match="could not be delivered to 2 of 2 services") as failed:
        notifier.send(MESSAGE)
    assert failed.value.details == tuple(f"line {n} of '{file}' (JSON): it answered with HTTP 418" for n in (3, 4))
    unreachable = find_urls({"RFSYNC_NOTIFY_URL": f"json://user:pa%24s-word@127.0.0.1:1/{SECRETS[0]}"}, redact)
    with pytest.raises(NotifyError) as lost:
        Notifier(unreachable).send(MESSAGE)
    assert lost.value.details == ("$RFSYNC_NOTIFY_URL (JSON): it was not reached, or refused",)
    logging.getLogger("rfsync").debug("logs are written again")
    said = "".join(capfd.readouterr()) + repr((failed.value, failed.value.details, lost.value, urls, unreachable))
    assert "logs are written again" in said
    assert [secret for secret in (*SECRETS, "json://", str(receiver.server_port)) if secret in said] == []
    # What a bug would show in its traceback is hidden, too.
    assert not any(secret in redact(f"{receiver.url()} {' '.join(SECRETS)}") for secret in SECRETS)


def test_what_is_wrong_with_the_urls_is_said_without_them(tmp_path: Path) -> None:
    empty, missing = tmp_path / "empty", tmp_path / "missing"
    empty.write_text("# nothing\n")
    with pytest.raises(ConfigError, match=r"set \$RFSYNC_NOTIFY_URL, or set \$RFSYNC_NOTIFY_URL_FILE to the name"):
        find_urls({"RFSYNC_NOTIFY_URL": " ", "RFSYNC_NOTIFY_URL_FILE": ""}, Redactor())
    for file, why in ((empty, "has no URL: write one a line"), (missing, "can't be read: No such file or directory")):
        with pytest.raises(ConfigError, match=f"RFSYNC_NOTIFY_URL_FILE names, '{file}', {why}"):
            find_urls({"RFSYNC_NOTIFY_URL_FILE": str(file)}, Redactor())
    # A URL in the place of a file's name.
    with pytest.raises(ConfigError) as misplaced:
        find_urls({"RFSYNC_NOTIFY_URL_FILE": "slack://s3cret-path/b/c"}, Redactor())
    assert "s3cret" not in str(misplaced.value)
    # The variable wins, and may have several.
    urls = find_urls(
        {"RFSYNC_NOTIFY_URL": "json://a.example\njson://b.example", "RFSYNC_NOTIFY_URL_FILE": "x"}, Redactor()
    )
    assert len(urls) == 2
    for wrong in ("nothing", "unknown://s3cret-path", "slack://s3cret-path", "json://"):
        with pytest.raises(ConfigError) as error:
            Notifier(find_urls({"RFSYNC_NOTIFY_URL": wrong}, Redactor()))
        assert str(error.value).startswith("$RFSYNC_NOTIFY_URL is no URL that Apprise can send to")
        assert "s3cret" not in str(error.value)
