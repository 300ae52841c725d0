"""How results look: for people, and for programs."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.cli.output import (
    age,
    ago,
    chosen_format,
    count,
    plain,
    print_table,
    replacing,
    rfc3339,
    signed,
    write_rows,
)
from rfsync.cli.output import as_json as to_json
from rfsync.errors import ConfigError
from rfsync.printable import escaped, printable

NOON = datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    name: str | None
    at: datetime | None = None
    day: date | None = None
    images: int = 5
    ok: bool = True


FIELDS = ("name", "at", "day", "images", "ok")
ROWS = [Row('é😀 "q", x', NOON, date(2026, 1, 2)), Row(None, images=-1, ok=False)]


def test_an_age_is_in_one_unit() -> None:
    ages = {
        0: "0s", 0.9: "0s", 1: "1s", 40: "40s", 119: "119s", 120: "2m", 300: "5m", 7199: "119m", 7200: "2h",
        86_400: "24h", 172_799: "47h", 172_800: "2d", 86_400 * 400: "400d", -1: "0s", -86_400: "0s",
    }  # fmt: skip
    assert {seconds: age(timedelta(seconds=seconds)) for seconds in ages} == ages


def test_ago_is_absolute_and_relative() -> None:
    assert ago(None, NOON) == "never"
    assert ago(NOON, NOON + timedelta(minutes=5)) == "2026-01-02 12:00:00 (5m ago)"
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    assert ago(elsewhere, NOON) == "2026-01-02 12:00:00 (0s ago)"
    assert ago(NOON, NOON - timedelta(hours=1)) == "2026-01-02 12:00:00 (0s ago)"


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        (None, None),
        (NOON, "2026-01-02T12:00:00.000005Z"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00.000000Z"),
        (datetime(2026, 1, 2, 1, tzinfo=timezone(timedelta(hours=2))), "2026-01-01T23:00:00.000000Z"),
        (datetime(1970, 1, 1, tzinfo=UTC), "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_rfc_3339_is_utc_with_microseconds_and_z(instant: datetime | None, expected: str | None) -> None:
    assert rfc3339(instant) == expected


def test_a_delta_has_its_sign() -> None:
    deltas = {0: "0", 5: "+5", -5: "-5", 1_234_567: "+1,234,567", -1000: "-1,000"}
    assert {number: signed(number) for number in deltas} == deltas


def test_a_count_has_thousands_separators_and_none_is_a_dash() -> None:
    assert [count(n) for n in (None, 0, 999, 1000, 2**53 - 1)] == ["-", "0", "999", "1,000", "9,007,199,254,740,991"]


def test_a_value_is_plain_in_json_and_csv() -> None:
    values = (NOON, date(2026, 1, 2), None, 5, True, "x")
    assert [plain(v) for v in values] == ["2026-01-02T12:00:00.000005Z", "2026-01-02", None, 5, True, "x"]


def test_what_could_steer_a_terminal_or_hide_is_replaced() -> None:
    steering = "\0\x07\b\t\n\r\x1b\x7f\x85\x9b\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202d\u202e"
    steering += "\u2060\u2066\u2069\ufeff\ud800"
    assert [ascii(c) for c in steering if printable(f"a{c}b") != "a\ufffdb"] == []


def test_what_hides_is_replaced_also_where_it_is_rare() -> None:
    hiding = "\u00ad\u180e\ufff9\U000e0041"
    assert [ascii(c) for c in hiding if printable(f"a{c}b") != "a\ufffdb"] == []


def test_what_a_name_may_well_contain_is_left_alone() -> None:
    for text in ("", "plain", "Ünï ¢ödé", "日本語", "😀", "עברית", "a\u00a0b", "±×–…"):
        assert printable(text) == text


def test_json_says_the_same_and_steers_no_terminal() -> None:
    text = 'é😀\\\x00\x07\n\x1b[2J\x7f\x85\x9b\u202e\u2028\u2066\U000e0041\ud800"\ud83d'
    shown = [to_json({text: [text]}), escaped(json.dumps({text: [text]}, ensure_ascii=False))]
    for one in shown:
        assert printable(one) == one
        assert json.loads(one) == {text: [text]}
    assert "é😀" in shown[1]


def test_a_table_is_neither_cut_off_nor_wrapped_nor_coloured_elsewhere_than_on_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "x" * 500
    print_table(("NAME", "IMAGES"), [(long, "5"), ("[red]a[/red]\x1b[31m\n", "1,000")], right=("IMAGES",))
    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split() == ["NAME", "IMAGES"]
    assert first.split() == [long, "5"]
    assert second.split() == ["[red]a[/red]\ufffd[31m\ufffd", "1,000"]
    assert len(header) == len(first) == len(second)


# Formats


@pytest.mark.parametrize(
    ("form", "output", "as_json", "expected"),
    [
        pytest.param(None, None, False, "table", id="nothing-said"),
        pytest.param("csv", None, False, "csv", id="named"),
        pytest.param(None, None, True, "json", id="json-for-short"),
        pytest.param("csv", None, True, "csv", id="a-name-beats-the-short"),
        pytest.param(None, "a/b.parquet", False, "parquet", id="by-the-file-s-name"),
        pytest.param("json", "b.csv", False, "json", id="a-name-beats-the-file-s"),
        pytest.param(None, "b.csv", True, "json", id="the-short-beats-the-file-s"),
        pytest.param(None, "b.txt", False, "table", id="another-ending"),
        pytest.param(None, "csv", False, "table", id="no-ending"),
    ],
)
def test_the_format_is_the_one_that_is_meant(
    form: str | None, output: str | None, as_json: bool, expected: str
) -> None:
    assert chosen_format(form, output, as_json=as_json) == expected


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
    {"name": 'é😀 "q", x', "at": "2026-01-02T12:00:00.000005Z", "day": "2026-01-02", "images": 5, "ok": True},
    {"name": None, "at": None, "day": None, "images": -1, "ok": False},
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
        "name,at,day,images,ok\n"
        '"é😀 ""q"", x",2026-01-02T12:00:00.000005Z,2026-01-02,5,True\n'
        ",,,-1,False\n"
    )  # fmt: skip


@pytest.mark.parametrize(("form", "expected"), [("json", "[]\n"), ("jsonl", ""), ("csv", "name,at,day,images,ok\n")])
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


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before")
    with replacing(path) as temporary:
        temporary.write_text("after")
        assert temporary.parent == tmp_path
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_mode_that_any_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "out"):
        pass
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "none" / "out"
    with pytest.raises(ConfigError, match=r"none/out can't be written: No such file"):
        write_rows(ROWS, Row, "csv", str(path))


def test_a_folder_in_the_file_s_place_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be written"):
        write_rows(ROWS, Row, "csv", str(tmp_path))


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install pyarrow"):
        write_rows(ROWS, Row, "parquet", str(tmp_path / "out.parquet"))
    assert list(tmp_path.iterdir()) == []


def test_parquet_needs_a_file() -> None:
    with pytest.raises(ConfigError, match=r"-o FILE\.parquet"):
        write_rows(ROWS, Row, "parquet", None)


@dataclass(frozen=True)
class Measured:
    name: str | None
    at: datetime | None
    images: int


@pytest.mark.parametrize("rows", [[], [Measured(None, None, 5)]], ids=["no-row", "all-null"])
def test_parquet_has_its_columns_and_their_types_whatever_is_in_them(tmp_path: Path, rows: list[Measured]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(rows, Measured, "parquet", str(tmp_path / "out.parquet"))
    table = parquet.read_table(tmp_path / "out.parquet")
    assert [(f.name, str(f.type)) for f in table.schema] == [
        ("name", "string"), ("at", "timestamp[us, tz=UTC]"), ("images", "int64"),
    ]  # fmt: skip
    assert table.num_rows == len(rows)


def test_what_a_link_points_to_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before")
    target.chmod(0o600)
    link.symlink_to(target)
    write_rows(ROWS, Row, "csv", str(link))
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("name,")
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_device_is_written_to_and_not_replaced() -> None:
    write_rows(ROWS, Row, "csv", "/dev/null")
    assert Path("/dev/null").is_char_device()
