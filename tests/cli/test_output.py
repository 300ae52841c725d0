"""Output for people and for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from rfsync.cli.output import ago, count, open_output, print_table, resolve_format, signed, utc_time
from rfsync.cli.output import as_json as to_json
from rfsync.errors import ConfigError
from rfsync.text import age, escaped, printable, rfc3339

NOON = datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=UTC)


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


def test_a_moment_is_shown_to_the_second_in_utc() -> None:
    assert utc_time(None) == "-"
    assert utc_time(NOON.astimezone(timezone(timedelta(hours=9)))) == "2026-01-02 12:00:00"


def test_a_delta_has_its_sign() -> None:
    deltas = {0: "0", 5: "+5", -5: "-5", 1_234_567: "+1,234,567", -1000: "-1,000"}
    assert {number: signed(number) for number in deltas} == deltas


def test_a_count_has_thousands_separators_and_none_is_a_dash() -> None:
    assert [count(n) for n in (None, 0, 999, 1000, 2**53 - 1)] == ["-", "0", "999", "1,000", "9,007,199,254,740,991"]


def test_characters_that_control_the_terminal_or_are_invisible_are_replaced() -> None:
    controls = "\0\x07\b\t\n\r\x1b\x7f\x85\x9b\u061c\u200b\u200e\u200f\u2028\u2029\u202a\u202d\u202e"
    controls += "\u2060\u2066\u2069\ufeff\ud800"
    assert [ascii(c) for c in controls if printable(f"a{c}b") != "a\ufffdb"] == []


def test_rare_invisible_characters_are_replaced() -> None:
    invisible = "\u00ad\u180e\ufff9\U000e0041"
    assert [ascii(c) for c in invisible if printable(f"a{c}b") != "a\ufffdb"] == []


def test_ordinary_names_are_left_alone() -> None:
    for text in ("", "plain", "Ünï ¢ödé", "日本語", "😀", "עברית", "a\u00a0b", "±×–…"):
        assert printable(text) == text


def test_json_keeps_its_meaning_and_controls_no_terminal() -> None:
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


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


ROWS = [("acme", "failed", "-5"), ("日本", "-", "1,000"), ("x", "fine", "")]


def test_a_table_has_aligned_columns_and_no_trailing_spaces() -> None:
    file = io.StringIO()
    print_table(("A", "B", "N"), ROWS, right=("N",), file=file)
    assert file.getvalue() == (
        "A     B           N\n"
        "acme  failed     -5\n"
        "日本  -       1,000\n"
        "x     fine\n"
    )  # fmt: skip


def test_a_table_without_rows_is_its_header() -> None:
    file = io.StringIO()
    print_table(("A", "B"), [], file=file)
    assert file.getvalue() == "A  B\n"


def test_important_cells_are_coloured_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    shown = Terminal()
    print_table(("A", "B", "N"), ROWS, file=shown)
    assert "\x1b[31m\x1b[1mfailed\x1b[0m" in shown.getvalue()
    assert "\x1b" not in shown.getvalue().splitlines()[-1]
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
        colourless = Terminal()
        print_table(("A", "B", "N"), ROWS, file=colourless)
        assert "\x1b" not in colourless.getvalue()
        monkeypatch.undo()


def test_a_long_table_is_not_held_in_memory() -> None:
    """Each block is written before the next one is read."""
    written: list[int] = []
    file = io.StringIO()

    def rows() -> Iterator[tuple[str, str]]:
        for number in range(25_000):
            written.append(file.tell())
            yield (f"row{number}", "x" * (30 if number == 24_999 else 1))

    print_table(("A", "B"), rows(), file=file)
    assert written[9_999] == 0 < written[10_000] == written[19_999] < written[20_000]
    lines = file.getvalue().splitlines()
    assert len(lines) == 25_001
    # A wider cell widens the column from its block on, and is not cut off.
    assert lines[-1].split() == ["row24999", "x" * 30]
    assert lines[0].split() == ["A", "B"]


# Formats


@pytest.mark.parametrize(
    ("form", "output", "as_json", "expected"),
    [
        pytest.param(None, None, False, "table", id="default"),
        pytest.param("csv", None, False, "csv", id="named"),
        pytest.param(None, None, True, "json", id="json-flag"),
        pytest.param("csv", None, True, "csv", id="option-beats-json-flag"),
        pytest.param(None, "a/b.parquet", False, "parquet", id="by-extension"),
        pytest.param("json", "b.csv", False, "json", id="option-beats-extension"),
        pytest.param(None, "b.csv", True, "json", id="json-flag-beats-extension"),
        pytest.param(None, "B.CSV", False, "csv", id="capitals"),
        pytest.param(None, "b.txt", False, "table", id="text"),
        pytest.param("table", "b.xlsx", False, "table", id="named-whatever-the-extension"),
        pytest.param(None, "b.xlsx", True, "json", id="json-flag-whatever-the-extension"),
        pytest.param(None, "-", False, "table", id="standard-output"),
        pytest.param(None, "/dev/stdout", False, "table", id="standard-output-by-its-path"),
        pytest.param(None, "/dev/null", False, "table", id="device"),
    ],
)
def test_the_format_is_resolved(form: str | None, output: str | None, as_json: bool, expected: str) -> None:
    assert resolve_format(form, output, as_json=as_json) == expected


@pytest.mark.parametrize("name", ["b.xlsx", "b.csv.gz", "b.table", "csv", ".csv", "b.", "", "a.csv/b", "b.pdf"])
def test_a_file_whose_ending_says_no_format_is_refused_with_the_endings_that_do(tmp_path: Path, name: str) -> None:
    output = str(tmp_path / name)
    with pytest.raises(ConfigError) as caught:
        resolve_format(None, output, as_json=False)
    for part in (output, ".csv, .json, .jsonl, .parquet or .txt", "--format"):
        assert part in str(caught.value)


def test_data_is_utf_8_in_a_pipe_and_what_a_terminal_can_show_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    written = {}
    for terminal in (False, True):
        raw = io.BytesIO()
        stdout = io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace")
        monkeypatch.setattr(stdout, "isatty", lambda terminal=terminal: terminal, raising=False)
        monkeypatch.setattr("sys.stdout", stdout)
        with open_output(None, data=True) as file:
            file.write("é")
        written[terminal] = raw.getvalue()
    assert written == {False: "é".encode(), True: b"\\xe9"}
