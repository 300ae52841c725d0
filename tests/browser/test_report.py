"""The report in a real browser: its charts match plain SQL, it makes no requests and runs no foreign script."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from rig import Rig, job

from rfsync.charts import FLOW_NAMES
from rfsync.errors import ErrorKind, FetchError
from rfsync.schema import upgrade as schema
from tests.browser.conftest import CUT_OFF, NewPage, Watch
from tests.e2e.conftest import COMMAND, Cli

#: Names that would become an element, a link or an alert if they were not escaped.
EVIL = "<img src=x onerror=alert(1)>"
EVIL_BATCH = "</script><script>alert(2)</script><a href='http://evil.example'>%{y} $x$</a>"
#: The name of its line, escaped for Plotly.
EVIL_ESCAPED = "&lt;img src=x onerror=alert(1)&gt;"
TODAY = datetime.combine(datetime.now(UTC).date(), time(), UTC)


def batch(
    batch_id: str, images: int, jobs: int = 0, *, name: str | None = None, days_old: float = 41
) -> dict[str, Any]:
    uploaded = int((TODAY - timedelta(days=days_old)).timestamp())
    record = {"id": batch_id, "images": images, "numJobs": jobs, "name": name or f"name of {batch_id}"}
    return {**record, "uploaded": {"_seconds": uploaded}}


def observe(
    rig: Rig, days_ago: int, project: str, listed: Sequence[dict[str, Any]] | FetchError, *jobs: dict[str, object]
) -> None:
    """A run at noon that many days ago."""
    rig.jobs = list(jobs)
    rig.now, rig.project = TODAY - timedelta(days=days_ago, hours=-12), project
    rig.listed = listed if isinstance(listed, FetchError) else [*listed]
    assert rig.sync(minutes=0).ok != isinstance(listed, FetchError)


def write_history(url: str) -> None:
    """Forty days of two projects, the second observed only at their beginning and end."""
    rig = Rig(url)
    rig.sync_jobs = True
    small = batch("b", 20, 1)
    ann, evil = ({"sourceBatch": "p/a", "labeler": labeler} for labeler in ("ann@example.com", EVIL_BATCH))
    try:
        observe(rig, 40, "widgets", [batch("a", 100), small])
        observe(rig, 39, "widgets", [batch("a", 60, 1), small], job("j1", 40, unannotated=40, **ann))
        observe(rig, 38, "widgets", [batch("a", 60, 1), small, batch("c", 500, name=EVIL_BATCH, days_old=38)])
        observe(rig, 35, "widgets", [batch("a", 60, 1), small, batch("c", 480, 1, name=EVIL_BATCH, days_old=38)])
        now = [batch("a", 90), small, batch("c", 400, 2, name=EVIL_BATCH, days_old=38)]
        observe(rig, 6, "widgets", now, job("j1", 40, unannotated=40, **ann), job("j2", 8, 3, unannotated=5, **evil))
        done = job("j1", 40, 30, unannotated=5, approved=5, **ann)
        observe(rig, 1, "widgets", now, done, job("j2", 8, 2, unannotated=6, **evil))
        observe(rig, 40, EVIL, [batch("x", 7)])
        observe(rig, 2, EVIL, [batch("x", 9)])
        observe(rig, 1, EVIL, FetchError(ErrorKind.AUTH, f"HTTP 401 {EVIL}", http_status=401, attempts=1))
    finally:
        rig.close()


#: For tests that do not depend on the database.
ON_SQLITE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def known(cli: Cli) -> Cli:
    """A database with that history."""
    write_history(cli.database.url)
    return cli


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of that history, for the tests that only read it."""
    folder = tmp_path_factory.mktemp("report")
    schema.ensure_sqlite(folder / "rfsync.db").close()
    write_history(f"sqlite:///{folder / 'rfsync.db'}")
    arguments = ["report", "--database", "sqlite:///rfsync.db", "-o", "report.html", "--tz", "Europe/Berlin"]
    subprocess.run([*COMMAND, *arguments], cwd=folder, check=True, capture_output=True)
    return folder / "report.html"


def make(cli: Cli, *arguments: str) -> Path:
    """The page of a database."""
    cli.run("report", "-o", "report.html", *arguments)
    return cli.folder / "report.html"


def show(page: Page, path: Path) -> None:
    page.goto(path.as_uri())
    page.wait_for_function("[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('.main-svg'))")


def points(page: Page, chart: str, trace: str, axis: str = "y") -> dict[str, Any]:
    """x -> y of a trace, days as ``YYYY-MM-DD``; what is not drawn is left out."""
    script = """([chart, name, axis]) => document.getElementById(chart)._fullData
        .filter(trace => trace.name === name && trace.yaxis === axis)
        .map(trace => [Array.from(trace.x), Array.from(trace.y)])"""
    ((x, y),) = page.evaluate(script, [chart, trace, axis])
    return {str(at)[:10]: value for at, value in zip(x, y, strict=True) if value is not None}


def test_charts_have_the_numbers_of_the_database(known: Cli, page: Page) -> None:
    show(page, make(known))
    ask = known.database.rows
    for project, name in (("widgets", "widgets"), (EVIL, EVIL_ESCAPED)):
        days = ask(f"SELECT day, images, num_jobs FROM project_totals_daily WHERE project = '{project}' ORDER BY day")
        images, jobs = points(page, "totals", name), points(page, "totals", name, "y2")
        assert {day: (images[day], jobs[day]) for day, _, _ in days} == {day: (i, j) for day, i, j in days}
        seen = f"""SELECT DISTINCT substr(CAST(r.started_at AS text), 1, 10) FROM sync_runs r
            JOIN projects p ON p.id = r.project_id WHERE p.project = '{project}' AND r.outcome <> 'failed'"""
        assert set(images) == set(known.database.column(seen))
    for of in ("images", "jobs"):
        flows = ask(
            f"""SELECT day, CAST(sum({of}_gained) AS bigint), CAST(sum({of}_lost) AS bigint) FROM project_totals_daily d
            WHERE day > (SELECT min(day) FROM project_totals_daily e WHERE e.project = d.project) GROUP BY day"""
        )
        gained, lost = (points(page, f"flow-{of}", name) for name in FLOW_NAMES[of])
        drawn = {day: (gained[day], -lost[day]) for day in gained if (gained[day], lost[day]) != (0, 0)}
        assert drawn == {day: (up, down) for day, up, down in flows if up or down}
        assert drawn
    check_jobs(known, page)


def check_jobs(known: Cli, page: Page) -> None:
    """What is drawn of annotation jobs is what plain SQL gives."""
    yesterday = f"{TODAY - timedelta(days=1):%Y-%m-%d}"
    now = """SELECT CAST(sum(j.approved) AS bigint), CAST(sum(j.annotated) AS bigint), 0,
        CAST(sum(j.num_images - j.annotated - j.approved) AS bigint), (SELECT CAST(sum(images) AS bigint) FROM projects)
        FROM current_jobs j"""
    names = ("approved", "annotated", "rejected", "in a job, not annotated", "in no job")
    assert [(points(page, "places", name)[yesterday]) for name in names] == [*known.database.rows(now)[0]] == [
        5, 32, 0, 11, 519,
    ]  # fmt: skip
    work = "SELECT CAST(sum(annotated_gained) AS bigint), CAST(sum(annotated_lost) AS bigint) FROM labeler_daily"
    drawn = [sum(points(page, "work", name).values()) for name in FLOW_NAMES["annotated"]]
    assert [drawn[0], -drawn[1]] == [*known.database.rows(work)[0]] == [33, 1]
    bars = "chart => document.getElementById(chart)._fullData.map(trace => [trace.name, ...trace.x])"
    assert page.evaluate(bars, "labelers") == [["annotated", 30, 3], ["approved", 5, 0], ["rejected", 0, 0]]
    assert page.evaluate(bars, "open-jobs")[1] == ["annotated", 75, 25]


def test_a_bar_of_a_part_of_a_day_is_hatched(report: Path, page: Page) -> None:
    show(page, report)
    hatched = """[...document.querySelectorAll('#flow-images .trace.bars')].slice(0, 2).map(bars =>
        [...bars.querySelectorAll('path')].filter(bar => bar.style.fill.startsWith('url(')).length)"""
    assert page.evaluate(hatched) == [2, 2]
    expect(page.locator("#flow-images .legendtext")).to_contain_text(["images in", "images left", "part of a day"])
    table = page.locator("section:has(#flow-images) tbody td:first-child").all_text_contents()
    assert [cell for cell in table if "(part)" in cell] == [table[0], table[-1]]


def test_what_there_is_now_and_what_moved(known: Cli, page: Page) -> None:
    show(page, make(known))
    ask = known.database.rows
    bars = "chart => Array.from(document.getElementById(chart)._fullData[0].x)"
    ((images, jobs, batches),) = ask(
        "SELECT CAST(sum(images) AS bigint), CAST(sum(num_jobs) AS bigint), CAST(sum(batches) AS bigint) FROM projects"
    )
    assert page.locator(".headlines strong").all_inner_texts() == [f"{n:,}" for n in (images, jobs, batches)]
    assert page.evaluate(bars, "backlog") == [0, 0, 0, images, 0]
    # Of the last 30 days: all of it was observed six days ago, or one.
    found = page.evaluate("Array.from(document.getElementById('movers-projects')._fullData, trace => trace.x)")
    sums = """SELECT CAST(sum(CASE WHEN images_delta > 0 THEN images_delta END) AS bigint),
        CAST(-sum(CASE WHEN images_delta < 0 THEN images_delta ELSE 0 END) AS bigint)
        FROM change_log WHERE observed_after IS NOT NULL AND observed_at >= :since GROUP BY project ORDER BY 1 DESC"""
    recent = sums.replace(":since", f"'{TODAY - timedelta(days=29):%Y-%m-%d}'")
    assert [tuple(x) for x in zip(*found, strict=True)] == [(gained, -lost) for gained, lost in ask(recent)]
    assert page.evaluate(bars, "first-jobs") == [0, 0, 0, 1, 1, 0, 0]
    week = points(page, "throughput", "images left")
    assert week[f"{TODAY - timedelta(days=6):%Y-%m-%d}"] == 80
    assert max(week) == f"{TODAY - timedelta(days=1):%Y-%m-%d}"  # today is not over
    assert week[max(week)] == 80
    waiting = page.locator("section", has=page.locator("#waiting")).locator("tbody tr")
    assert [row.split("\t")[-1] for row in waiting.all_inner_texts()] == ["9", "90"]


def test_each_chart_has_a_table(report: Path, page: Page) -> None:
    show(page, report)
    for chart in page.locator(".chart").all():
        details = chart.locator("xpath=..").locator("details")
        assert details.count() == 1
        details.locator("summary").press("Enter")  # reached and opened by the keyboard alone
        assert details.locator("tbody tr").count() > 0
    day = f"{TODAY - timedelta(days=35):%Y-%m-%d}"
    row = page.locator("section:has(#totals) tr", has_text=day).inner_text()
    assert row.split("\t") == [day, "1 project", "4", "567", "3"]


def test_names_from_the_api_are_plain_text(report: Path, page: Page, watch: Watch) -> None:
    show(page, report)
    assert page.locator("img, iframe, object, embed, form, base").count() == 0
    assert [link.get_attribute("href") for link in page.locator("a").all()] == ["#health"]
    assert page.locator("svg a").count() == 0
    assert page.locator("#totals .legendtext").all_text_contents()[0:2] == ["widgets", EVIL]
    labels = page.locator("#movers-batches .annotation-text").all_text_contents()
    assert "</script><script>ale…ample'>%{y} $x$</a> · widgets" in labels
    assert f"auth: HTTP 401 {EVIL}" in page.locator("section", has=page.locator("#health")).inner_text()
    labelers = page.locator("#labelers .annotation-text").all_text_contents()
    assert labelers == ["ann@example.com", "</script><script>alert(2)…il.example'>%{y} $x$</a>"]
    lost = page.locator("#movers-batches .barlayer .trace").nth(1)
    lost.locator("path").first.hover(force=True)  # a layer above receives the event
    assert EVIL_BATCH in page.locator("#movers-batches .hoverlayer text").first.text_content(timeout=10_000)
    assert (watch.dialogs, watch.errors) == ([], [])


def test_it_makes_no_requests(report: Path, page: Page, watch: Watch) -> None:
    show(page, report)
    assert watch.requests == [report.as_uri()]


def test_the_policy_blocks_other_scripts(report: Path, page: Page, watch: Watch) -> None:
    show(page, report)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.let_in = 1";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", '<b onclick="window.let_in = 1" id="trap">x</b>');
        }"""
    )
    page.locator("#trap").click()
    assert page.evaluate("window.let_in") is None
    refused = page.evaluate("fetch('http://127.0.0.1:1/').then(() => 'asked', error => error.name)")
    assert refused == "TypeError"
    assert all("Content Security Policy" in error for error in watch.errors)
    assert len(watch.errors) >= 3
    watch.clear()


@pytest.mark.parametrize("width", [400, 1600])
def test_it_fits_phones_and_wide_screens(report: Path, new_page: NewPage, width: int) -> None:
    page = new_page(viewport={"width": width, "height": 800})
    show(page, report)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    wider = (
        "[...document.querySelectorAll('.main-svg')].filter(svg => svg.clientWidth > svg.closest('.chart').clientWidth)"
    )
    assert page.evaluate(f"{wider}.length") == 0
    assert page.evaluate(CUT_OFF) == []
    # A number that is cut off looks like a smaller one: -15 of -150.
    tables = "[...document.querySelectorAll('.scroll')].filter(table => !table.closest('details'))"
    assert page.evaluate(f"{tables}.length") >= 3
    assert page.evaluate(f"{tables}.map(one => one.scrollWidth - one.clientWidth).filter(more => more > 0)") == []


def test_it_follows_light_and_dark(report: Path, new_page: NewPage) -> None:
    page = new_page(color_scheme="light")
    show(page, report)

    def colours() -> tuple[str, str, str]:
        return (
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
            page.evaluate("getComputedStyle(document.body).color"),
            page.evaluate("getComputedStyle(document.querySelector('#totals .ytick text')).fill"),
        )

    light = colours()
    page.emulate_media(color_scheme="dark")
    dark = colours()
    assert light == ("rgb(255, 255, 255)", "rgb(27, 31, 36)", "rgb(89, 97, 108)")
    assert dark == ("rgb(21, 24, 28)", "rgb(231, 234, 238)", "rgb(154, 163, 174)")
    page.emulate_media(media="print")
    assert colours() == light


def test_charts_are_not_cut_off_when_printed(report: Path, new_page: NewPage) -> None:
    page = new_page(color_scheme="dark", viewport={"width": 1600, "height": 900})
    show(page, report)
    widths = "[...document.querySelectorAll('.chart .main-svg')].map(svg => svg.clientWidth)"
    before = page.evaluate(widths)
    page.evaluate(f"addEventListener('beforeprint', () => {{ window.printed = {widths}; }})")
    assert page.pdf(prefer_css_page_size=True).startswith(b"%PDF-")
    sheet = 178 / 25.4 * 96
    assert {round(width) for width in page.evaluate("window.printed")} == {round(sheet)}
    page.wait_for_function(f"before => JSON.stringify({widths}) === JSON.stringify(before)", arg=before)


def test_without_javascript_the_numbers_are_there(report: Path, new_page: NewPage) -> None:
    page = new_page(java_script_enabled=False)
    page.goto(report.as_uri())
    assert "The charts need JavaScript" in page.locator("noscript").inner_text()
    page.locator("section:has(#backlog) summary").click()
    assert "30 to 90 days" in page.locator("section:has(#backlog) table").inner_text()


def test_it_has_a_title_and_ordered_headings(report: Path, page: Page) -> None:
    show(page, report)
    headings = page.locator("h1, h2, h3").evaluate_all("all => all.map(one => one.tagName)")
    assert (headings[0], set(headings[1:])) == ("H1", {"H2"})
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title().startswith("Annotation batches of all projects, ")
    assert page.locator("header").inner_text().count("Europe/Berlin") == 1
    assert "The last sync of 1 of 2 projects failed." in page.locator(".trouble").first.inner_text()
    assert page.locator("[id]").evaluate_all("all => all.length === new Set(all.map(one => one.id)).size")


@ON_SQLITE
def test_an_empty_database_gives_a_page_that_says_what_to_do(cli: Cli, page: Page) -> None:
    show(page, make(cli))
    assert "Nothing observed yet" in page.locator("main").inner_text()
    assert page.locator("pre").inner_text() == "rfsync sync WORKSPACE/PROJECT"
    assert page.locator("script, .chart").count() == 0


@ON_SQLITE
def test_a_project_that_was_never_observed_says_why(cli: Cli, page: Page) -> None:
    rig = Rig(cli.database.url)
    observe(rig, 0, "widgets", FetchError(ErrorKind.AUTH, "HTTP 401: no such key", http_status=401, attempts=1))
    rig.close()
    show(page, make(cli))
    assert "never observed successfully" in page.locator(".empty").inner_text()
    assert "HTTP 401: no such key" in page.locator("table").inner_text()


@ON_SQLITE
def test_one_observation_is_a_page(cli: Cli, page: Page) -> None:
    rig = Rig(cli.database.url)
    observe(rig, 0, "widgets", [batch("a", 5), batch("b", 2, 1)])
    rig.close()
    show(page, make(cli))
    assert page.locator(".headlines strong").all_inner_texts() == ["7", "1", "2"]
    first = f"{TODAY + timedelta(hours=12):%Y-%m-%d %H:%M}"
    without = ", without what 1 project had when first observed"
    assert page.locator(".headlines small").all_inner_texts() == [f"±0 since {first}{without}"] * 3
    assert points(page, "totals", "widgets") == {f"{TODAY:%Y-%m-%d}": 7}


@ON_SQLITE
def test_a_new_project_is_no_change_of_the_others(cli: Cli, page: Page) -> None:
    rig = Rig(cli.database.url)
    observe(rig, 9, "widgets", [batch("a", 10)])
    observe(rig, 1, "widgets", [batch("a", 4, 1)])
    observe(rig, 1, "gears", [batch("g", 1_000)])
    rig.close()
    show(page, make(cli))
    changes = page.locator(".headlines li").first.locator("small").all_inner_texts()
    assert [change[:9] for change in changes] == ["−6 since ", "−6 since "]
    assert changes[0].endswith(", without what 1 project had when first observed")
    show(page, make(cli, "acme/gears"))
    assert page.locator(".headlines strong").first.inner_text() == "1,000"
