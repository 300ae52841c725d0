"""Output: tables for people, and where output goes."""

import functools
import io
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import click

from rfsync.cli.files import STDOUT, is_ordinary, open_for_writing
from rfsync.cli.options import drop_output
from rfsync.errors import ConfigError
from rfsync.logs import is_json, with_fields
from rfsync.text import age, escaped, printable, shown_name

log = logging.getLogger("rfsync")

FORMATS: Final = ("table", "json", "jsonl", "csv", "parquet")
#: Ending of a file -> its format.
_ENDINGS: Final = {".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".parquet": "parquet", ".txt": "table"}


def tell(text: str, details: Sequence[str] = ()) -> None:
    """Writes a line for people to standard error, and those that belong to it; among logs in JSON it is one of them."""
    if is_json():
        # It is no log: what explains an exit code is written whatever --log-level says.
        level = max(logging.WARNING, log.getEffectiveLevel())
        log.log(level, "%s", text, extra=with_fields({"details": list(details)} if details else {}))
    else:
        lines = [f"rfsync: {text}", *(f"  {one}" for one in details)]
        click.echo("\n".join(map(printable, lines)), err=True)


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
        "--format", "form", type=click.Choice(FORMATS), help="[default: by the ending of FILE; table without one]"
    )
    @click.option("--json", "as_json", is_flag=True, help="Short for --format json.")
    @click.option("-o", "output", metavar="FILE", help="Write to this file; - is standard output.")
    @functools.wraps(function)
    def run(*args: Any, form: str | None, as_json: bool, output: str | None, **kwargs: Any) -> Any:
        return function(*args, form=resolve_format(form, output, as_json=as_json), output=output, **kwargs)

    return run


def resolve_format(form: str | None, output: str | None, *, as_json: bool) -> str:
    """The given format, else the one that the ending of the file says; a table where there is no file.

    Raises:
        ConfigError: the ending says none.
    """
    if form is not None or as_json:
        return form or "json"
    if output is None or not is_ordinary(output):
        return "table"
    try:
        return _ENDINGS[Path(output).suffix.lower()]
    except KeyError:
        *endings, last = _ENDINGS
        raise ConfigError(
            f"-o {shown_name(output)}: its ending says no format: end it with {', '.join(endings)} or {last} "
            "(a table), or add --format"
        ) from None


@contextmanager
def open_output(output: str | None, *, data: bool = False) -> Iterator[IO[str]]:
    """Standard output for None or ``-``, or what ``open_for_writing`` opens.

    Args:
        data: the output is meant for programs: UTF-8, except on a terminal.

    Raises:
        ConfigError: the output can't be written.
    """
    if output is not None and output != STDOUT:
        with open_for_writing(output) as descriptor, os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
        return
    if data and isinstance(sys.stdout, io.TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    with _flushed_stdout():
        yield sys.stdout


@contextmanager
def open_binary_output(output: str | None) -> Iterator[IO[bytes]]:
    """As ``open_output``, for bytes.

    Raises:
        ConfigError: the output can't be written.
    """
    if output is not None and output != STDOUT:
        with open_for_writing(output) as descriptor, os.fdopen(descriptor, "wb") as file:
            yield file
        return
    with _flushed_stdout():
        yield sys.stdout.buffer


@contextmanager
def _flushed_stdout() -> Iterator[None]:
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise ConfigError(f"standard output can't be written: {error.strerror or error}") from error
