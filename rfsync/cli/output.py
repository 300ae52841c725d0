"""How results look: tables for people, and the formats that programs read."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final, TypeVar, get_args, get_type_hints

import click

from rfsync.errors import ConfigError
from rfsync.printable import escaped, printable

FORMATS: Final = ("table", "json", "jsonl", "csv", "parquet")

_F = TypeVar("_F", bound=Callable[..., Any])


def rfc3339(instant: datetime | None) -> str | None:
    """UTC with microseconds and ``Z``; None stays None."""
    return (
        None if instant is None else instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    )


def plain(value: Any) -> Any:
    """A value as JSON and csv have it."""
    if isinstance(value, datetime):
        return rfc3339(value)
    return value.isoformat() if isinstance(value, date) else value


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


def age(since: timedelta) -> str:
    """About how long, in one unit: ``40s``, ``5m``, ``3h``, ``12d``; from the future it is ``0s``."""
    seconds = max(int(since.total_seconds()), 0)
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def ago(instant: datetime | None, now: datetime) -> str:
    """Absolute and relative: ``2026-01-02 03:04:05 (5m ago)``."""
    return "never" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} ({age(now - instant)} ago)"


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[str] = (), file: IO[str] | None = None
) -> None:
    """Prints aligned columns, coloured on a terminal only, and never cut off.

    Args:
        file: where to; None: standard output.
        right: headers of the columns that are aligned to the right.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    file = file or sys.stdout
    numbers = set(right)
    table = Table(box=box.SIMPLE_HEAD if file.isatty() else None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, justify="right" if header in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell), style=_STYLES.get(cell, "")) for cell in row))
    console = Console(file=file, highlight=False, width=10_000)
    # As wide as it wants to be: a line that the terminal wraps is easier to read than cells that are folded.
    console.width = max(console.measure(table).maximum, 1)
    with console.capture() as capture:
        console.print(table)
    file.write(capture.get())  # not by rich, which ends the process where nobody reads any more


_STYLES: Final = {
    "changed": "green",
    "unchanged": "dim",
    "superseded": "dim",
    "refused": "bold yellow",
    "failed": "bold red",
    "abandoned": "bold red",
    "never": "yellow",
    "ok": "green",
    "wrong": "bold red",
}


def format_options(function: _F) -> _F:
    """Adds ``--format``, ``--json`` and ``-o``."""
    for option in (
        click.option("-o", "output", metavar="FILE", help="Write there instead of to standard output."),
        click.option("--json", "as_json", is_flag=True, help="Short for --format json."),
        click.option("--format", "form", type=click.Choice(FORMATS), help="[default: table]"),
    ):
        function = option(function)
    return function


def write_rows(rows: Iterable[Any], kind: type[Any], form: str, output: str | None) -> None:
    """Writes rows as json, jsonl, csv or parquet.

    Args:
        rows: of the dataclass ``kind``, whose fields are the columns.
        output: a file, which appears whole or not at all; None: standard output.

    Raises:
        ConfigError: parquet without pyarrow or without a file, or the file can't be written.
    """
    names = [field.name for field in dataclasses.fields(kind)]
    records = ({name: getattr(row, name) for name in names} for row in rows)
    if form == "parquet":
        if output is None:
            raise ConfigError("--format parquet needs a file: -o FILE.parquet")
        _write_parquet(records, kind, output)
        return
    lines = {"json": _json_lines, "jsonl": _jsonl_lines, "csv": _csv_lines}[form](records, names)
    with sink(output) as file:
        for line in lines:
            file.write(line)


def _json_lines(rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> Iterator[str]:
    separator = "[\n "
    for row in rows:
        yield separator + _json_row(row, fields)
        separator = ",\n "
    yield "[]\n" if separator.startswith("[") else "\n]\n"


def _jsonl_lines(rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> Iterator[str]:
    for row in rows:
        yield _json_row(row, fields) + "\n"


def _json_row(row: Mapping[str, Any], fields: Sequence[str]) -> str:
    return escaped(json.dumps({f: plain(row[f]) for f in fields}, ensure_ascii=False))


def _csv_lines(rows: Iterable[Mapping[str, Any]], fields: Sequence[str]) -> Iterator[str]:
    buffer = io.StringIO()
    # What ends a line is what gets quoted within one: both characters, though lines end with one of them here.
    writer = csv.writer(buffer, lineterminator="\r\n")
    for cells in chain([fields], ([plain(row[f]) for f in fields] for row in rows)):
        writer.writerow(cells)
        yield buffer.getvalue().removesuffix("\r\n") + "\n"
        buffer.seek(0)
        buffer.truncate()


def _write_parquet(records: Iterable[Mapping[str, Any]], kind: type[Any], output: str) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ConfigError("--format parquet needs pyarrow: pip install pyarrow") from None
    types = {str: pa.string(), int: pa.int64(), bool: pa.bool_(), datetime: pa.timestamp("us", "UTC")}
    # Not inferred from the rows: a column in which all is NULL has its type too, and so has one without any row.
    schema = pa.schema([(name, types[_inner(hint)]) for name, hint in get_type_hints(kind).items()])
    table = pa.Table.from_pylist(list(records), schema=schema)
    with replacing(Path(output)) as temporary:
        parquet.write_table(table, temporary)


def _inner(hint: Any) -> Any:
    """``str`` for ``str | None``."""
    return next((part for part in get_args(hint) if part is not type(None)), hint)


def chosen_format(form: str | None, output: str | None, *, as_json: bool) -> str:
    """The format that is meant: the one that is named, else the one that the file's name ends with, else a table."""
    if form is None and as_json:
        return "json"
    ending = Path(output or "").suffix.removeprefix(".")
    return form or (ending if ending in FORMATS else "table")


@contextmanager
def sink(output: str | None) -> Iterator[IO[str]]:
    """Standard output, or a file that appears whole or not at all.

    Raises:
        ConfigError: the file can't be written.
    """
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    with replacing(Path(output)) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when all went well.

    Raises:
        ConfigError: it can't be written there.
    """
    path = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    mode = path.stat().st_mode if path.exists() else None
    if mode is not None and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        yield path  # a device or a pipe: nothing can take its place
        return
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o666 & ~_umask() if mode is None else stat.S_IMODE(mode))
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
