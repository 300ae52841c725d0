"""The tests that the documentation names are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TOP = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_each_test_that_the_reliability_page_names_exists() -> None:
    named = NAMED.findall((TOP / "docs" / "reliability.md").read_text())
    missing = [(path, name) for path, name in named if name not in {"", *defined_in(path)}]
    assert missing == []
    assert len(named) > 40


def defined_in(path: str) -> set[str]:
    tree = ast.parse((TOP / path).read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}
