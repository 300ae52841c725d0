"""How results look: tables for people, and the formats that programs read."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final, TypeVar

import click

from rfsync.cli.options import drop_output
from rfsync.errors import ConfigError
from rfsync.text import age, escaped, printable

FORMATS: Final = ("table", "json", "jsonl", "csv", "parquet")

_F = TypeVar("_F", bound=Callable[..., Any])


def as_json(value: object) -> str:
    """JSON in a line for standard output; escaped where that can't show every character."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return escaped(json.dumps(value, ensure_ascii=not utf8))


def count(number: int | None) -> str:
    """With thousands separators; a dash for None."""
    return "-" if number is None else f"{number:,}"


def signed(number: int) -> str:
    """With its sign and thousands separators; 0 has no sign."""
    return f"{number:+,}" if number else "0"


def at(instant: datetime | None) -> str:
    """To the second, in UTC: ``2026-01-02 03:04:05``; a dash for None."""
    return "-" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def ago(instant: datetime | None, now: datetime) -> str:
    """Absolute and relative: ``2026-01-02 03:04:05 (5m ago)``."""
    return "never" if instant is None else f"{at(instant)} ({age(now - instant)} ago)"


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = (), file: IO[str] | None = None
) -> None:
    """Prints aligned columns, coloured on a terminal only, and never cut off.

    Only a block of rows is in memory at a time. From one block to the next the columns grow where they must.

    Args:
        right: headers of the columns that are aligned to the right.
        file: where to; None: standard output.
    """
    file = file or sys.stdout
    coloured = file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    numbers = set(right)
    at_right = [header in numbers for header in headers]
    widths = [len(header) for header in headers]
    remaining = iter(rows)
    begun = False
    while (block := [[printable(cell) for cell in row] for row in islice(remaining, _BLOCK)]) or not begun:
        columns = zip(headers, *block, strict=True)
        widths = [max(width, *map(_width, column)) for width, column in zip(widths, columns, strict=True)]
        if not begun:
            file.write(_line(headers, widths, at_right, dict.fromkeys(headers, _HEADER) if coloured else {}))
            begun = True
        file.writelines(_line(cells, widths, at_right, _STYLES if coloured else {}) for cells in block)


def _line(
    cells: Sequence[str], widths: Sequence[int], at_right: Sequence[bool], styles: Mapping[str, Mapping[str, Any]]
) -> str:
    parts = []
    for cell, width, right in zip(cells, widths, at_right, strict=True):
        padding = " " * (width - _width(cell))
        shown = click.style(cell, **styles[cell]) if cell in styles else cell
        parts.append(padding + shown if right else shown + padding)
    return "  ".join(parts).rstrip() + "\n"


def _width(cell: str) -> int:
    """Columns of a terminal."""
    if cell.isascii():
        return len(cell)
    from rich.cells import cell_len

    return cell_len(cell)


#: Rows of a table that are laid out together.
_BLOCK: Final = 10_000
_HEADER: Final[Mapping[str, Any]] = {"bold": True}
_GOOD: Final[Mapping[str, Any]] = {"fg": "green"}
_ODD: Final[Mapping[str, Any]] = {"fg": "yellow"}
_BAD: Final[Mapping[str, Any]] = {"fg": "red", "bold": True}
_DIM: Final[Mapping[str, Any]] = {"dim": True}
#: Of a cell, by its text.
_STYLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "changed": _GOOD,
    "unchanged": _DIM,
    "superseded": _DIM,
    "refused": _ODD,
    "failed": _BAD,
    "abandoned": _BAD,
    "never": _ODD,
    "ok": _GOOD,
    "wrong": _BAD,
    "no": _ODD,
    "-": _DIM,
}


def format_options(function: _F) -> _F:
    """Adds ``--format``, ``--json`` and ``-o``."""
    for option in (
        click.option("-o", "output", metavar="FILE", help="Write there instead of to standard output."),
        click.option("--json", "as_json", is_flag=True, help="Short for --format json."),
        click.option(
            "--format", "form", type=click.Choice(FORMATS), help="[default: by the ending of FILE, else table]"
        ),
    ):
        function = option(function)
    return function


def chosen_format(form: str | None, output: str | None, *, as_json: bool) -> str:
    """The format that is meant: the one that is named, else the one that the file's name ends with, else a table."""
    if form is None and as_json:
        return "json"
    ending = Path(output or "").suffix.removeprefix(".").lower()
    return form or (ending if ending in FORMATS else "table")


@contextmanager
def sink(output: str | None, *, data: bool = False) -> Iterator[IO[str]]:
    """Standard output, or a file that appears whole or not at all.

    Args:
        data: it is for programs, and UTF-8 wherever it goes but to a terminal.

    Raises:
        ConfigError: it can't be written.
    """
    if output is not None:
        with replacing(Path(output)) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            yield file
        return
    if data and isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise ConfigError(f"standard output can't be written: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when all went well.

    Raises:
        ConfigError: it can't be written there.
    """
    path = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    temporary: Path | None = None
    try:
        mode = path.stat().st_mode if path.exists() else None
        if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            yield path  # a device or a pipe: nothing can take its place
            return
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask() if mode is None else stat.S_IMODE(mode))
        temporary.replace(path)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
