"""The progress bar of long commands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any


@contextmanager
def progress_bar(doing: str, *, total: int | None, delay: float, shown: bool) -> Iterator[Callable[..., None]]:
    """A progress bar on the terminal, gone at the end.

    Args:
        doing: what is done at first, for people.
        total: how much there is to do; None: not known yet.
        delay: seconds until it is drawn; a command that has ended by then draws none.
        shown: otherwise there is none.

    Yields:
        A function to be called with what is done now, and with ``advance`` or ``completed`` and ``total``.
    """
    if not shown:
        yield lambda *_, **__: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from rfsync.text import printable

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(doing, total=total)
    timer = threading.Timer(delay, _draw, (bar.start,))
    timer.daemon = True
    _draw(timer.start)
    try:
        yield lambda text, **fields: _draw(bar.update, task, description=printable(text), **fields)
    finally:
        timer.cancel()
        if timer.is_alive():
            timer.join()
        _draw(bar.stop)


def _draw(function: Callable[..., object], *arguments: Any, **options: Any) -> None:
    """Calls it; a bar that can't be drawn, for lack of a thread or of the terminal, must not end the command."""
    with suppress(Exception):
        function(*arguments, **options)
