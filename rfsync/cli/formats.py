"""Rows in the formats that programs read, as many as there are: only a block of them is in memory at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import msgspec

from rfsync.cli.output import replacing, sink
from rfsync.errors import ConfigError
from rfsync.text import escaped, printable, rfc3339

#: Rows of a block, and of a row group of parquet, which is read faster the longer it is.
_BLOCK: Final = 1_000
_ROW_GROUP: Final = 50_000

_Rows = Iterable[tuple[Any, ...]]
#: A block's columns: for each field the values of all rows.
_Columns = list[Sequence[Any]]

# The rows of a run share their instants.
_time = lru_cache(maxsize=10_000)(rfc3339)
_BOOLEANS: Final = {True: "true", False: "false", None: None}


def write_rows(rows: _Rows, kind: type[tuple[Any, ...]], form: str, output: str | None) -> None:
    """Writes rows as json, jsonl, csv or parquet, while they come.

    Args:
        rows: of the ``NamedTuple`` ``kind``, whose fields are the columns.
        output: a file, which appears whole or not at all; None: standard output.

    Raises:
        ConfigError: parquet without pyarrow or without a file, or the output can't be written.
    """
    if form == "parquet":
        if output is None:
            raise ConfigError("--format parquet needs a file: -o FILE.parquet")
        _write_parquet(rows, kind, output)
        return
    types = _types(kind)
    with sink(output, data=True) as file:
        # A name with control characters is to come back from csv as it was, but not onto a terminal.
        blocks = _records(rows, types, safe=file.isatty()) if form == "csv" else _objects(rows, types)
        file.writelines(_listed(blocks) if form == "json" else ("\n".join(block) + "\n" for block in blocks))


def _listed(blocks: Iterable[list[str]]) -> Iterator[str]:
    """JSON's list of them."""
    before = "[\n "
    for block in blocks:
        yield before + ",\n ".join(block)
        before = ",\n "
    yield "\n]\n" if before.startswith(",") else "[]\n"


def _types(kind: type[tuple[Any, ...]]) -> dict[str, type]:
    """Name and type of each field; of ``str | None`` it is ``str``."""
    return {
        name: next((part for part in get_args(hint) if part is not type(None)), hint)
        for name, hint in get_type_hints(kind).items()
    }


def _blocks(rows: _Rows, size: int) -> Iterator[_Columns]:
    remaining = iter(rows)
    while block := list(islice(remaining, size)):
        yield list(zip(*block, strict=True))


def _replace(columns: _Columns, types: Mapping[str, type], of: type, by: Callable[[Any], object]) -> None:
    for number, type_ in enumerate(types.values()):
        if type_ is of:
            columns[number] = list(map(by, columns[number]))


def _objects(rows: _Rows, types: Mapping[str, type]) -> Iterator[list[str]]:
    """Each row as an object of JSON, in a line that steers no terminal."""
    make: Any = msgspec.defstruct("Row", list(types))
    encoder = msgspec.json.Encoder()
    for columns in _blocks(rows, _BLOCK):
        _replace(columns, types, datetime, _time)
        try:
            text = encoder.encode_lines(list(map(make, *columns))).decode()
        except UnicodeEncodeError:  # a lone surrogate, which msgspec does not write
            records = (dict(zip(types, row, strict=True)) for row in zip(*columns, strict=True))
            text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        yield [line if line.isprintable() else escaped(line) for line in text.split("\n")[:-1]]


def _records(rows: _Rows, types: Mapping[str, type], *, safe: bool) -> Iterator[list[str]]:
    """The header and each row as csv.

    Args:
        safe: each stays on its line and steers no terminal; names may not be what they were.
    """
    written = _Written()
    # What ends a line is what gets quoted within one: both characters, though lines end with one of them here.
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(types)
    for columns in _blocks(rows, _BLOCK):
        _replace(columns, types, datetime, _time)
        _replace(columns, types, bool, _BOOLEANS.get)
        writer.writerows(zip(*columns, strict=True))
        yield written.taken(safe=safe)
    if header := written.taken(safe=safe):  # of an answer without rows
        yield header


class _Written:
    """A file to the csv writer, which writes a record at a time."""

    def __init__(self) -> None:
        self._records: list[str] = []

    def write(self, record: str) -> None:
        self._records.append(record.removesuffix("\r\n"))

    def taken(self, *, safe: bool) -> list[str]:
        """What was written since this was asked last."""
        records, self._records = self._records, []
        return list(map(printable, records)) if safe else records


def _write_parquet(rows: _Rows, kind: type[tuple[Any, ...]], output: str) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise ConfigError("--format parquet needs pyarrow: pip install pyarrow") from None
    from rfsync.history.dataframes import arrow_schema

    schema = arrow_schema(kind)
    with replacing(Path(output)) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for columns in _blocks(rows, _ROW_GROUP):
            arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
