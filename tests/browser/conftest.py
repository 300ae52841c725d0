"""A real Chromium that can reach only this machine, and pages that record their errors."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, sync_playwright

from tests.e2e.conftest import cli, fresh, make_cli, simulator, world

__all__ = ["cli", "fresh", "make_cli", "simulator", "world"]

#: The first is the same browser without its own windows, which take a third of the time.
_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No other host resolves, wherever the tests run.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
_LOCAL_HOSTS = {"127.0.0.1", "localhost", "::1"}

#: Script that finds the texts in charts that are cut off at a side.
CUT_OFF = """[...document.querySelectorAll(".chart")].flatMap(chart => {
    const frame = chart.getBoundingClientRect();
    return [...chart.querySelectorAll("text")].filter(text => {
        const box = text.getBoundingClientRect();
        return box.width && (box.left < frame.left - 1 || box.right > frame.right + 1);
    }).map(text => text.textContent);
})"""

#: Accepts the options of playwright's ``Browser.new_context``: ``color_scheme``, ``viewport`` and so on.
NewPage = Callable[..., Page]


@dataclass
class Watch:
    """Records errors, dialogs and requests of a test's pages. Tests that expect errors ``clear`` them."""

    #: Errors and warnings on the console (those of the Content-Security-Policy too), and uncaught exceptions.
    errors: list[str] = field(default_factory=list)
    #: Messages of the alerts, confirmations and prompts, which are dismissed.
    dialogs: list[str] = field(default_factory=list)
    #: Addresses of all requests, in order.
    requests: list[str] = field(default_factory=list)

    def clear(self) -> None:
        self.errors.clear()
        self.dialogs.clear()

    @property
    def foreign(self) -> list[str]:
        """Requests to other machines."""
        parts = [(address, urlsplit(address)) for address in self.requests]
        return [
            a for a, p in parts if p.scheme not in {"file", "data", "blob", "about"} and p.hostname not in _LOCAL_HOSTS
        ]

    def on(self, page: Page) -> None:
        """Starts recording a page."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self._dialog)
        page.on("request", lambda request: self.requests.append(request.url))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


# Scoped to a module: playwright keeps an event loop running, and tests in other modules may need their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        pytest.skip(f"no Chromium: the browser tests need one of {', '.join(_BROWSERS)} on the PATH")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def new_page(browser: Browser, watch: Watch) -> Iterator[NewPage]:
    """Opens pages; at the end of the test, none may have had an error, a dialog or a request to another machine."""
    contexts = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        watch.on(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert (watch.errors, watch.dialogs, watch.foreign) == ([], [], [])


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()
