"""The documentation names tests that are there, and installations that work."""

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


def test_what_is_on_no_index_is_installed_from_a_clone_into_an_environment_outside_of_it() -> None:
    pages = [*TOP.glob("*.md"), *(TOP / "docs").glob("*.md"), *(TOP / "docs").glob("*.ipynb")]
    text = "\n".join(page.read_text() for page in [*pages, *(TOP / "rfsync").rglob("*.py")])
    installed = re.findall(r"pip install ([^`\n]*)", text)
    assert "." in {line.split()[0] for line in installed}
    assert [line for line in installed if re.search(r"(^|[\s'])rfsync\b", line)] == []
    folders = re.findall(r"python3 -m venv (\S+)", text)
    assert {*folders} == {"~/.venvs/rfsync", "/opt/rfsync"}
