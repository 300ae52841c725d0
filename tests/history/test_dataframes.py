"""Rows as data frames and Arrow tables, and what the package exports."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import rfsync
from rfsync import history
from rfsync.history import BacklogRow, BatchRow, ChangeRow, FirstJobRow, TotalRow
from rfsync.history.dataframes import to_arrow, to_pandas

AT = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
ROWS = [
    ChangeRow("acme", "widgets", "a", None, "added", None, AT, 5, 1, 5, 1, 7),
    ChangeRow("acme", "widgets", "a", "A", "changed", AT, AT, 2**53 - 1, 1, 0, 0, 8),
]


def test_a_data_frame_has_instants_in_utc_and_whole_numbers() -> None:
    frame = to_pandas(ROWS)
    assert list(frame.columns) == list(ChangeRow._fields)
    assert str(frame["observed_at"].dtype) == str(frame["observed_after"].dtype) == "datetime64[us, UTC]"
    assert frame["observed_at"][0].to_pydatetime() == AT
    assert frame["observed_after"].isna().tolist() == [True, False]
    assert frame["images"].tolist() == [5, 2**53 - 1]
    assert frame["images"].dtype == "int64"


def test_a_data_frame_holds_every_instant_that_there_is() -> None:
    ends = [datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), None]
    frame = to_pandas([BatchRow("acme", "widgets", "a", None, end, 5, 1, AT, AT) for end in ends])
    assert str(frame["uploaded_at"].dtype) == "datetime64[us, UTC]"
    assert [None if end is pd.NaT else str(end) for end in frame["uploaded_at"]] == [
        "1970-01-01 00:00:00+00:00", "9999-12-31 23:59:59.999999+00:00", None
    ]  # fmt: skip
    assert str(to_pandas([], BatchRow)["uploaded_at"].dtype) == "datetime64[us, UTC]"


def test_an_arrow_table_gives_back_what_went_in() -> None:
    table = to_arrow(iter(ROWS))
    assert [ChangeRow(**row) for row in table.to_pylist()] == ROWS
    assert table.schema.field("observed_at").type == pa.timestamp("us", "UTC")
    assert table.schema.field("name").type == pa.string()


@pytest.mark.parametrize("kind", [TotalRow, BacklogRow, FirstJobRow])
def test_an_answer_without_rows_has_its_columns(kind: type[object]) -> None:
    assert list(to_pandas([], kind).columns) == to_arrow([], kind).column_names == list(kind._fields)  # type: ignore[attr-defined]
    assert to_pandas([]).empty
    assert to_arrow([]).num_columns == 0


def test_the_package_exports_every_question() -> None:
    asked = {name for name in history.__all__ if name not in {"Age", "BY", "By", "Targets", "Time", "require_known"}}
    assert asked <= set(rfsync.__all__)
    for name in rfsync.__all__:
        assert getattr(rfsync, name) is not None
    assert rfsync.totals is history.totals
    # Python would put a folder of that name in the place of the function.
    assert set(rfsync.__all__).isdisjoint(path.stem for path in Path(str(rfsync.__file__)).parent.iterdir())
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = rfsync.nothing_such  # type: ignore[attr-defined]


def test_the_page_on_python_names_every_question_with_its_arguments() -> None:
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
    described = dict(re.findall(r"^\| `(\w+)\((.*?)\)`", page, re.MULTILINE))
    asked = {n for n in rfsync.__all__ if n.islower()} - {"connect", "to_arrow", "to_pandas", "__version__"}
    asked -= {"list_projects", "sync_project"}  # which ask the API
    assert set(described) == asked
    for name, arguments in described.items():
        known = set(inspect.signature(getattr(rfsync, name)).parameters)
        assert set(re.findall(r"(\w+)(?:=[^,]*)?(?:, |$)", re.sub(r"\([^)]*\)", "", arguments))) <= known, name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(str(rfsync.__file__)).read_text())
    imported = {a.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for a in node.names}
    assert imported - {"import_module", "TYPE_CHECKING", "Any"} == set(rfsync.__all__)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, rfsync; print([m for m in ('sqlalchemy', 'pandas', 'pyarrow', 'plotly') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
