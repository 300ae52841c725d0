"""Rows in machine-readable formats, streamed: one block of rows is in memory at a time."""

import csv
import io
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import IO, Any, Final, get_args, get_type_hints

import msgspec

from rfsync.cli.output import open_binary_output, open_output
from rfsync.errors import ConfigError
from rfsync.text import escaped, printable, rfc3339

#: Rows of a block; and of a parquet row group, since longer ones are read faster.
_BLOCK: Final = 1_000
_ROW_GROUP: Final = 50_000

_Rows = Iterable[tuple[Any, ...]]
#: The columns of a block: for each field, the values of all its rows.
_Columns = list[Sequence[Any]]

# Cached, since all rows of a run have the same times.
_time = lru_cache(maxsize=10_000)(rfc3339)
_BOOLEANS: Final = {True: "true", False: "false", None: None}


def write_rows(rows: _Rows, kind: type[tuple[Any, ...]], form: str, output: str | None) -> None:
    """Streams rows as json, jsonl, csv or parquet.

    Args:
        rows: instances of ``kind``, a ``NamedTuple`` whose fields become the columns.
        output: as for ``open_output``.

    Raises:
        ConfigError: parquet without pyarrow or on a terminal, or the output can't be written.
    """
    if form == "parquet":
        _write_parquet(rows, kind, output)
        return
    types = _types(kind)
    with open_output(output, data=True) as file:
        # csv keeps control characters in names, except on a terminal.
        blocks = _csv_records(rows, types, safe=file.isatty()) if form == "csv" else _json_objects(rows, types)
        file.writelines(_json_list(blocks) if form == "json" else ("\n".join(block) + "\n" for block in blocks))


def _json_list(blocks: Iterable[list[str]]) -> Iterator[str]:
    """A JSON list of the objects in the blocks."""
    separator = "[\n "
    for block in blocks:
        yield separator + ",\n ".join(block)
        separator = ",\n "
    yield "\n]\n" if separator.startswith(",") else "[]\n"


def _types(kind: type[tuple[Any, ...]]) -> dict[str, type]:
    """Name and type of each field; ``str`` for ``str | None``."""
    return {
        name: next((part for part in get_args(hint) if part is not type(None)), hint)
        for name, hint in get_type_hints(kind).items()
    }


def _blocks(rows: _Rows, size: int) -> Iterator[_Columns]:
    remaining = iter(rows)
    while block := list(islice(remaining, size)):
        yield list(zip(*block, strict=True))


def _convert(columns: _Columns, types: Mapping[str, type], of: type, by: Callable[[Any], object]) -> None:
    """Converts the values of all columns of a type, in place."""
    for number, type_ in enumerate(types.values()):
        if type_ is of:
            columns[number] = list(map(by, columns[number]))


def _json_objects(rows: _Rows, types: Mapping[str, type]) -> Iterator[list[str]]:
    """A JSON object on one line for each row; it can't control the terminal."""
    make: Any = msgspec.defstruct("Row", list(types))
    encoder = msgspec.json.Encoder()
    for columns in _blocks(rows, _BLOCK):
        _convert(columns, types, datetime, _time)
        try:
            text = encoder.encode_lines(list(map(make, *columns))).decode()
        except UnicodeEncodeError:  # a lone surrogate, which msgspec can't encode
            records = (dict(zip(types, row, strict=True)) for row in zip(*columns, strict=True))
            text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        yield [line if line.isprintable() else escaped(line) for line in text.split("\n")[:-1]]


def _csv_records(rows: _Rows, types: Mapping[str, type], *, safe: bool) -> Iterator[list[str]]:
    """The header and each row as csv.

    Args:
        safe: replace control characters, which changes names, so that each record stays on its line.
    """
    # With this terminator the writer quotes both \r and \n in values. Lines end with \n.
    write = csv.writer(_Echo(), lineterminator="\r\n").writerow
    header = [write(types)]
    for columns in _blocks(rows, _BLOCK):
        _convert(columns, types, datetime, _time)
        _convert(columns, types, bool, _BOOLEANS.get)
        records = header + list(map(write, zip(*columns, strict=True)))
        yield list(map(printable, records)) if safe else records
        header = []
    if header:  # there are no rows
        yield header


class _Echo:
    """A file that makes the csv writer return each record."""

    def write(self, record: str) -> str:
        return record.removesuffix("\r\n")


def _write_parquet(rows: _Rows, kind: type[tuple[Any, ...]], output: str | None) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ConfigError("--format parquet needs pyarrow: pip install pyarrow") from None
    from rfsync.history.dataframes import arrow_schema

    schema = arrow_schema(kind)
    with open_binary_output(output) as file:
        _require_empty(file)
        with parquet.ParquetWriter(_Sequential(file), schema) as writer:
            for columns in _blocks(rows, _ROW_GROUP):
                arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
                writer.write_batch(pa.record_batch(arrays, schema=schema))


def _require_empty(file: IO[bytes]) -> None:
    """Checks that a file or pipe can take a parquet file, whose positions count from its start."""
    if file.isatty():
        raise ConfigError("--format parquet is no text for a terminal: -o FILE.parquet")
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size:
        raise ConfigError("--format parquet can't be appended to what a file has already: -o FILE.parquet")


class _Sequential(io.RawIOBase):
    """A file or pipe for pyarrow, which wants to know the position; it does not close it.

    After an error all further data is dropped: pyarrow writes the end of the file when it is closed, and once more when
    it is deleted.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file: IO[bytes] | None = file
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        file, self._file = self._file, None
        if file is not None:
            file.write(data)
            self._file = file
        self._position += len(data)
        return len(data)
