"""Every command, query and line of Python of docs/recipes.md gives what the page shows, on both databases."""

from __future__ import annotations

import doctest
import re
import shlex
import signal
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

import rfsync
from rfsync.cli import cli
from rfsync.cli.options import Options
from tests.conftest import DEMO_END
from tests.deploy.pages import DOCS, Ask, as_markdown, queries

PAGE = (DOCS / "recipes.md").read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=\n## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """One of the demo's two databases, for commands too; five minutes after it ended."""
    if request.param == "SQLite":
        url = f"sqlite:///{request.getfixturevalue('demo_database')}"
    else:
        url = request.getfixturevalue("demo_postgres")
    monkeypatch.setenv("RFSYNC_DATABASE_URL", url)
    for module in ("rfsync.cli.status", "rfsync.history.batches"):
        monkeypatch.setattr(import_module(module), "utc_now", lambda: DEMO_END + timedelta(minutes=5))
    # What a command changes in its process.
    monkeypatch.setattr(Options, "start_logging", lambda _: None)
    handler = signal.getsignal(signal.SIGTERM)
    yield request.param
    signal.signal(signal.SIGTERM, handler)


def test_each_recipe_has_a_command_sql_and_python() -> None:
    assert len(SECTIONS) == 9
    for section in SECTIONS.values():
        assert len(blocks(section, "console")) == len(blocks(section, "pycon")) == 1
        assert len(queries(section, "SQLite")) == len(queries(section, "PostgreSQL")) == 1


@pytest.mark.parametrize("recipe", SECTIONS)
def test_the_command_prints_what_the_page_shows(database: str, recipe: str, tmp_path: Path) -> None:
    (block,) = blocks(SECTIONS[recipe], "console")
    line, output = block.split("\n", 1)
    program, *arguments = shlex.split(line.removeprefix("$ "))
    assert program == "rfsync"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        result = CliRunner().invoke(cli, arguments, obj=Options(), catch_exceptions=False)
    assert (result.stdout, result.stderr) == (output, "")


@pytest.mark.parametrize("recipe", SECTIONS)
def test_sql_answers_what_the_page_shows(request: pytest.FixtureRequest, database: str, recipe: str) -> None:
    ask: Ask = request.getfixturevalue(f"ask_{database.lower()}")
    for query, table in queries(SECTIONS[recipe], database):
        assert as_markdown(*ask(query)) == table


@pytest.mark.parametrize("recipe", SECTIONS)
def test_python_prints_what_the_page_shows(database: str, recipe: str) -> None:
    (block,) = blocks(SECTIONS[recipe], "pycon")
    engine = rfsync.connect()
    example = doctest.DocTestParser().get_doctest(block, {"rfsync": rfsync, "engine": engine}, recipe, None, 0)
    said: list[str] = []
    failed, tried = doctest.DocTestRunner().run(example, out=said.append)
    engine.dispose()
    assert "".join(said) == ""
    assert tried > failed == 0
