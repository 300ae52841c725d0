"""``rfsync report`` as a command; what its page shows is in tests/browser."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import Cli, batch


@pytest.fixture
def synced(cli: Cli) -> Cli:
    """With two projects in the database."""
    cli.list(batch("b1", 10, 1))
    cli.list(batch("g1", 5, 0), project="gears")
    cli.run("sync", "acme/widgets", "acme/gears")
    return cli


def test_one_file_with_nothing_beside_it(synced: Cli) -> None:
    done = synced.finish(synced.start("report", "-o", "report.html"))
    assert (done.out, done.err) == ("", "rfsync: wrote report.html\n")
    page = (synced.folder / "report.html").read_text()
    ours = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r"\ssrc(set)?=|@import|url\(", ours)
    assert re.findall(r'href="([^"]*)"', ours) == []
    assert page.count("plotly.js v") == 1


def test_only_the_targets_are_in_it(synced: Cli) -> None:
    synced.run("report", "acme/widgets", "-o", "one.html")
    page = (synced.folder / "one.html").read_text()
    assert "acme/widgets" in page
    assert "acme/gears" not in page


def test_a_page_that_is_there_is_replaced(synced: Cli) -> None:
    (synced.folder / "report.html").write_text("old")
    synced.run("report", "-o", "report.html")
    assert (synced.folder / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "-o"),
        (("acme/unknown", "-o", "report.html"), "acme/unknown"),
        (("a/b/c", "-o", "report.html"), "a/b/c"),
        (("-o", "report.html", "--tz", "Mars/Olympus"), "Mars/Olympus"),
        (("-o", "no/such/folder/report.html"), "no/such/folder/report.html"),
    ],
)
def test_what_can_not_be_done_is_named(synced: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = synced.run("report", *arguments, code=2)
    assert said in done.err
    assert not list(synced.folder.glob("*.html"))


def test_without_a_database_nothing_is_written(fresh: Cli) -> None:
    done = fresh.run("report", "-o", "report.html", code=3)
    assert "there is no database" in done.err
    assert not (fresh.folder / "report.html").exists()
