"""Output: tables for people, options for machine-readable formats, and files that appear whole or not at all."""

import functools
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
from typing import IO, Any, Final

import click

from rfsync.cli.options import drop_output
from rfsync.errors import ConfigError
from rfsync.text import age, escaped, printable

FORMATS: Final = ("table", "json", "jsonl", "csv", "parquet")


def as_json(value: object) -> str:
    """JSON on one line that can't control the terminal; ASCII only if standard output is not UTF-8."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return escaped(json.dumps(value, ensure_ascii=not utf8))


def count(number: int | None) -> str:
    """A number with thousands separators; a dash for None."""
    return "-" if number is None else f"{number:,}"


def signed(number: int) -> str:
    """A number with its sign and thousands separators; 0 has no sign."""
    return f"{number:+,}" if number else "0"


def utc_time(instant: datetime | None) -> str:
    """An instant in UTC to the second: ``2026-01-02 03:04:05``; a dash for None."""
    return "-" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def ago(instant: datetime | None, now: datetime) -> str:
    """An instant and its age: ``2026-01-02 03:04:05 (5m ago)``; ``never`` for None."""
    return "never" if instant is None else f"{utc_time(instant)} ({age(now - instant)} ago)"


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = (), file: IO[str] | None = None
) -> None:
    """Prints aligned columns, coloured only on a terminal; cells are never cut off.

    Holds one block of rows in memory at a time; a column may become wider from one block to the next.

    Args:
        right: headers of the right-aligned columns.
        file: None for standard output.
    """
    file = file or sys.stdout
    coloured = file.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    right_headers = set(right)
    right_aligned = [header in right_headers for header in headers]
    widths = [len(header) for header in headers]
    remaining = iter(rows)
    header_written = False
    while (block := [[printable(cell) for cell in row] for row in islice(remaining, _BLOCK)]) or not header_written:
        columns = zip(headers, *block, strict=True)
        widths = [max(width, *map(_width, column)) for width, column in zip(widths, columns, strict=True)]
        if not header_written:
            file.write(_line(headers, widths, right_aligned, dict.fromkeys(headers, _HEADER) if coloured else {}))
            header_written = True
        file.writelines(_line(cells, widths, right_aligned, _STYLES if coloured else {}) for cells in block)


def _line(
    cells: Sequence[str], widths: Sequence[int], right_aligned: Sequence[bool], styles: Mapping[str, Mapping[str, Any]]
) -> str:
    parts = []
    for cell, width, right in zip(cells, widths, right_aligned, strict=True):
        padding = " " * (width - _width(cell))
        shown = click.style(cell, **styles[cell]) if cell in styles else cell
        parts.append(padding + shown if right else shown + padding)
    return "  ".join(parts).rstrip() + "\n"


def _width(cell: str) -> int:
    """Width on a terminal, in columns."""
    if cell.isascii():
        return len(cell)
    from rich.cells import cell_len

    return cell_len(cell)


#: Rows of a table that are aligned together.
_BLOCK: Final = 10_000
_HEADER: Final[Mapping[str, Any]] = {"bold": True}
#: Text of a cell -> its style.
_STYLES: Final[Mapping[str, Mapping[str, Any]]] = {
    cell: style
    for style, cells in (
        ({"fg": "green"}, ("changed", "ok")),
        ({"fg": "yellow"}, ("refused", "never", "no")),
        ({"fg": "red", "bold": True}, ("failed", "abandoned", "wrong")),
        ({"dim": True}, ("unchanged", "superseded", "-")),
    )
    for cell in cells
}


def format_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds ``--format`` and ``--json``, which the function gets as ``form``, and ``-o``, as ``output``."""

    @click.option(
        "--format", "form", type=click.Choice(FORMATS), help="[default: by the extension of FILE, else table]"
    )
    @click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
    @click.option("-o", "output", metavar="FILE", help="Write to this file instead of standard output.")
    @functools.wraps(function)
    def run(*args: Any, form: str | None, as_json: bool, output: str | None, **kwargs: Any) -> Any:
        return function(*args, form=resolve_format(form, output, as_json=as_json), output=output, **kwargs)

    return run


def resolve_format(form: str | None, output: str | None, *, as_json: bool) -> str:
    """The given format, else the one of the file's extension, else a table."""
    if form is None and as_json:
        return "json"
    extension = Path(output or "").suffix.removeprefix(".").lower()
    return form or (extension if extension in FORMATS else "table")


@contextmanager
def open_output(output: str | None, *, data: bool = False) -> Iterator[IO[str]]:
    """Standard output, or a file that is written atomically.

    Args:
        data: the output is meant for programs: UTF-8, except on a terminal.

    Raises:
        ConfigError: the output can't be written.
    """
    if output is not None:
        with write_atomically(Path(output)) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
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
def write_atomically(path: Path) -> Iterator[Path]:
    """A temporary file in the same folder that replaces ``path`` at the end, unless an exception is raised.

    Raises:
        ConfigError: the file can't be written.
    """
    path = Path(os.path.realpath(path))  # replace the target of a link, not the link
    temporary: Path | None = None
    try:
        mode = path.stat().st_mode if path.exists() else None
        if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            yield path  # a device or a pipe can't be replaced
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
