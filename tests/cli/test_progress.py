"""The progress bar, which never ends the command that it is for."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable

import pytest

from rfsync.cli.bar import progress_bar


class Gone(io.StringIO):
    """A terminal that was closed."""

    def isatty(self) -> bool:
        return True

    def write(self, _: str) -> int:
        raise OSError(5, "Input/output error")


def no_thread(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Gone())


def no_thread_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", no_thread)


def no_thread_for_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.live._RefreshThread.start", no_thread)


@pytest.mark.parametrize("trouble", [no_terminal, no_thread_at_all, no_thread_for_the_bar])
def test_a_bar_that_can_not_be_drawn_is_left_out(
    monkeypatch: pytest.MonkeyPatch, trouble: Callable[[pytest.MonkeyPatch], None]
) -> None:
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    trouble(monkeypatch)
    seen = []
    with progress_bar("syncing", total=3, delay=0, shown=True) as show:
        for project in ("a", "b", "c"):
            show(project, advance=1)
            seen.append(project)
    assert (seen, raised) == (["a", "b", "c"], [])
