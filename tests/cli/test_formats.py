"""Rows in machine-readable formats."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import pty
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.cli.formats import write_rows
from rfsync.errors import ConfigError
from rfsync.text import printable

NOON = datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=UTC)


class Row(NamedTuple):
    name: str | None
    at: datetime | None = None
    images: int = 5
    ok: bool = True


FIELDS = ("name", "at", "images", "ok")
ROWS = [Row('é😀 "q", x', NOON), Row(None, images=-1, ok=False)]
#: More than a block of any format but parquet.
MANY = [Row(f"n{number}", NOON + timedelta(days=number), number, number % 2 == 0) for number in range(2_500)]

Write = Callable[[list[Row], str], str]


@pytest.fixture(params=["to-standard-output", "to-a-file"])
def write(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Write:
    def write(rows: list[Row], form: str) -> str:
        if request.param == "to-standard-output":
            write_rows(iter(rows), Row, form, None)
            return capsys.readouterr().out
        write_rows(iter(rows), Row, form, str(tmp_path / "out"))
        assert capsys.readouterr().out == ""
        return (tmp_path / "out").read_bytes().decode("utf-8")

    return write


PLAIN_ROWS = [
    {"name": 'é😀 "q", x', "at": "2026-01-02T12:00:00.000005Z", "images": 5, "ok": True},
    {"name": None, "at": None, "images": -1, "ok": False},
]


def test_json_is_a_list_of_objects_with_their_fields_in_order(write: Write) -> None:
    text = write(ROWS, "json")
    assert json.loads(text) == PLAIN_ROWS
    assert [list(row) for row in json.loads(text)] == [list(FIELDS)] * 2
    assert "é😀" in text
    assert text.endswith("\n")


def test_jsonl_is_an_object_a_line(write: Write) -> None:
    lines = write(ROWS, "jsonl").split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == PLAIN_ROWS


def test_csv_has_a_header_and_a_line_for_each_row(write: Write) -> None:
    assert write(ROWS, "csv") == (
        "name,at,images,ok\n"
        '"é😀 ""q"", x",2026-01-02T12:00:00.000005Z,5,true\n'
        ",,-1,false\n"
    )  # fmt: skip


@pytest.mark.parametrize(("form", "expected"), [("json", "[]\n"), ("jsonl", ""), ("csv", "name,at,images,ok\n")])
def test_no_rows_are_an_empty_list(write: Write, form: str, expected: str) -> None:
    assert write([], form) == expected


NAMES = ["a\nb", "a\rb", "a\r\nb", "\r\n", "a\r\n", '"', ",", "", " ", "\u2028", "é", "\\", "'", "=1+1", "x;y\tz"]


def read_back(text: str) -> list[str]:
    return [row["name"] for row in csv.DictReader(io.StringIO(text, newline=""))]


def test_names_survive_csv(write: Write) -> None:
    assert read_back(write([Row(name) for name in NAMES], "csv")) == NAMES


@settings(max_examples=12)
@given(st.lists(st.text(max_size=4) | st.sampled_from(NAMES), max_size=3))
def test_any_names_survive_json_and_jsonl(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    rows = [Row(name) for name in names]
    path = tmp_path_factory.getbasetemp() / "names"
    write_rows(rows, Row, "json", str(path))
    assert [row["name"] for row in json.loads(path.read_text(encoding="utf-8"))] == names
    write_rows(rows, Row, "jsonl", str(path))
    assert [json.loads(line)["name"] for line in path.read_bytes().split(b"\n")[:-1]] == names


def test_many_rows_are_all_there_in_their_order(write: Write, tmp_path: Path) -> None:
    numbers = [row.images for row in MANY]
    assert [row["images"] for row in json.loads(write(MANY, "json"))] == numbers
    assert [json.loads(line)["images"] for line in write(MANY, "jsonl").splitlines()] == numbers
    assert [int(row["images"]) for row in csv.DictReader(io.StringIO(write(MANY, "csv")))] == numbers


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_rows_are_written_while_they_come(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    written = []

    def rows() -> Iterator[Row]:
        for row in MANY:
            written.append(stdout.tell())
            yield row

    write_rows(rows(), Row, form, None)
    assert written[999] == 0 < written[1_000] == written[1_999] < written[2_000]


#: A name that clears the screen, changes the writing direction, starts a new line and contains invisible characters.
HOSTILE = "a\x1b[2J\u202eb\x7f\x9b\n\u2028\ufeff\U000e0041"


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_stays_on_its_line_and_controls_no_terminal(write: Write, form: str) -> None:
    for name in (HOSTILE, f"{HOSTILE}\ud800"):
        lines = write([Row(name)], form).split("\n")
        assert [line for line in lines if printable(line) != line] == []
        assert json.loads(next(line for line in lines if "name" in line))["name"] == name


def test_everything_that_is_escaped_is_unprintable_to_python() -> None:
    """Otherwise the fast path would let a line pass unescaped."""
    seen = (chr(code) for code in (*range(0x20000), *range(0xE0000, 0xE0080)))
    assert [ascii(char) for char in seen if printable(char) != char and char.isprintable()] == []


def test_csv_is_unchanged_except_on_a_terminal(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_back(write([Row(HOSTILE)], "csv")) == [HOSTILE]
    stdout = io.StringIO()
    monkeypatch.setattr(stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdout", stdout)
    write_rows([Row(HOSTILE), Row("fine")], Row, "csv", None)
    lines = stdout.getvalue().splitlines()
    assert [line for line in lines if printable(line) != line] == []
    assert [line.partition(",")[0] for line in lines] == ["name", f'"{printable(HOSTILE)}"', "fine"]


# Files


def failing() -> Iterator[Row]:
    yield ROWS[0]
    raise RuntimeError("in the middle of it")


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, form: str) -> None:
    path = tmp_path / "out"
    path.write_text("before")
    with pytest.raises(RuntimeError, match="in the middle"):
        write_rows(failing(), Row, form, str(path))
    assert path.read_text() == "before"
    write_rows(ROWS, Row, form, str(path))
    assert "é😀" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_was_not_there_does_not_appear_when_writing_it_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        write_rows(failing(), Row, "csv", str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install pyarrow"):
        write_rows(ROWS, Row, "parquet", str(tmp_path / "out.parquet"))
    assert list(tmp_path.iterdir()) == []


def test_parquet_is_nothing_for_a_terminal() -> None:
    master, terminal = pty.openpty()
    with os.fdopen(master), os.fdopen(terminal), pytest.raises(ConfigError, match=r"terminal: -o FILE\.parquet"):
        write_rows(ROWS, Row, "parquet", f"/dev/fd/{terminal}")


def test_parquet_goes_through_a_pipe(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(ROWS, Row, "parquet", str(tmp_path / "out.parquet"))
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe:
        with os.fdopen(writing):
            write_rows(ROWS, Row, "parquet", f"/dev/fd/{writing}")
        read = parquet.read_table(io.BytesIO(pipe.read()))
    assert read.num_rows == len(ROWS)
    assert read.equals(parquet.read_table(tmp_path / "out.parquet"))


@pytest.mark.parametrize("output", ["-", None])
def test_parquet_goes_to_standard_output(capfdbinary: pytest.CaptureFixture[bytes], output: str | None) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(ROWS, Row, "parquet", output)
    assert parquet.read_table(io.BytesIO(capfdbinary.readouterr().out)).num_rows == len(ROWS)


def test_parquet_is_not_appended_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before")
    with path.open("ab") as file, pytest.raises(ConfigError, match="can't be appended"):
        write_rows(ROWS, Row, "parquet", f"/dev/fd/{file.fileno()}")
    assert path.read_bytes() == b"before"


def test_a_reader_of_parquet_may_go_away() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing), pytest.raises(BrokenPipeError):
        write_rows(ROWS, Row, "parquet", f"/dev/fd/{writing}")
    gc.collect()  # pyarrow's writer must not try once more when it is deleted


@pytest.mark.parametrize("rows", [[], [Row(None)]], ids=["no-row", "all-null"])
def test_parquet_has_its_columns_and_their_types_whatever_is_in_them(tmp_path: Path, rows: list[Row]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(rows, Row, "parquet", str(tmp_path / "out.parquet"))
    table = parquet.read_table(tmp_path / "out.parquet")
    assert [(f.name, str(f.type)) for f in table.schema] == [
        ("name", "string"), ("at", "timestamp[us, tz=UTC]"), ("images", "int64"), ("ok", "bool"),
    ]  # fmt: skip
    assert table.num_rows == len(rows)


def test_parquet_comes_in_row_groups_and_whole_or_not_at_all(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "out.parquet"
    row = ROWS[0]
    write_rows((row._replace(images=number) for number in range(60_000)), Row, "parquet", str(path))
    with parquet.ParquetFile(path) as file:
        assert file.num_row_groups == 2
        table = file.read()
    assert table.column("images").to_pylist() == list(range(60_000))
    assert table.slice(59_999).to_pylist() == [{**row._asdict(), "images": 59_999}]

    def broken() -> Iterator[Row]:
        for _ in range(60_000):
            yield row
        raise RuntimeError("in the middle of it")

    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="in the middle"):
        write_rows(broken(), Row, "parquet", str(path))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
