"""The notebook of the documentation, cell by cell, on the database of the demo."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import LONG, Cli

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook.ipynb"


def value_of(source: str, names: dict[str, Any]) -> Any:
    """What a notebook would show of a cell: the value of its last line."""
    *statements, last = ast.parse(source).body
    exec(compile(ast.Module(statements, []), "cell", "exec"), names)  # noqa: S102 our own notebook
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307


def test_every_cell_shows_something(fresh: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.finish(fresh.fork("demo"), timeout=5 * LONG)  # on a slow machine it takes that long
    monkeypatch.chdir(fresh.folder)
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {}
    shown = [value_of("".join(cell["source"]), names) for cell in cells]
    assert len(shown) == 8
    status, weeks, then, ages, work, places, deltas, figure = shown
    assert set(status["project"]) >= {"widgets", "gears"}
    assert (weeks["images"] > 0).all()
    assert len(then) == 5
    assert ages["count"] > 0
    assert work.to_numpy().sum() > 0
    assert (places["approved"] > 0).any()
    totals = status.set_index("project").loc["widgets"]
    assert deltas["images_delta"].sum() == totals["images"]
    assert deltas["num_jobs_delta"].sum() == totals["num_jobs"]
    assert figure.data
