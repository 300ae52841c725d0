"""Batches that were uploaded when the calendar begins and when it ends, in time zones where it is another day."""

from __future__ import annotations

import csv
import io

import pytest

from tests.e2e.conftest import Cli, batch
from tests.e2e.test_dashboard import running

LAST, FIRST = "9999-12-31T23:59:59.999999Z", "1970-01-01T00:00:00.000000Z"


def fill(cli: Cli) -> None:
    last, first = {"_seconds": 253_402_300_799, "_nanoseconds": 999_999_000}, {"_seconds": 0, "_nanoseconds": 0}
    cli.list(batch("b1", 5, uploaded=last), batch("b2", 7, uploaded=first))
    cli.sync()
    # Their first job: the time until then is negative, or half a century.
    cli.list(batch("b1", 4, 1, uploaded=last), batch("b2", 6, 1, uploaded=first), batch("b3", 1, uploaded=last))
    cli.sync()


def test_every_format_has_them(cli: Cli) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    fill(cli)
    forms = [["--json"], ["--format", "csv"], ["-o", "rows.parquet"], []]
    as_json, as_csv, _, table = cli.run_all([["batches", *form] for form in forms])
    assert [row["uploaded_at"] for row in as_json.json] == [LAST, FIRST, LAST]
    assert [row["uploaded_at"] for row in csv.DictReader(io.StringIO(as_csv.out))] == [LAST, FIRST, LAST]
    stored = parquet.read_table(cli.folder / "rows.parquet")["uploaded_at"].to_pylist()
    assert [f"{instant:%Y-%m-%dT%H:%M:%S.%fZ}" for instant in stored] == [LAST, FIRST, LAST]
    assert table.out.count("9999-12-31 23:59:59") == 2


@pytest.mark.parametrize(
    ("zone", "last", "first"),
    [
        ("UTC", "9999-12-31 23:59", "1970-01-01 00:00"),
        ("Pacific/Kiritimati", "9999-12-31 23:59", "1969-12-31 13:20"),
        ("Pacific/Pago_Pago", "9999-12-31 12:59", "1969-12-31 13:00"),
    ],
)
def test_every_page_shows_them(cli: Cli, zone: str, last: str, first: str) -> None:
    fill(cli)
    cli.run("report", "--tz", zone, "-o", "report.html")
    assert last in (cli.folder / "report.html").read_text()
    with running(cli) as dashboard:
        shown = str(dashboard.call("batches.children", f"?tz={zone}"))
        assert [time for time in (last, first) if time not in shown] == []
        assert last in str(dashboard.call("waiting.children", f"?tz={zone}"))
        assert "Half of 2 batches" in str(dashboard.call("first-jobs-summary.children", f"?tz={zone}"))
