"""The dashboard in a real browser, served by the real command."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.conftest import CUT_OFF, NewPage, Watch
from tests.e2e.conftest import LONG, Cli, batch

expect.set_options(timeout=LONG * 1000)

HOSTILE = "<img/src=x/onerror=alert(1)>"
NAMES = [
    '<a href="http://evil.example">x</a>',
    "<script>alert(2)</script>",
    "%{y} <b>bold</b> &amp; \u202egnp",
    "{{7*7}}",
]
CHARTS = ["totals", "images", "jobs", "throughput", "backlog", "movers", "first-jobs"]
JOB_CHARTS = ["places", "work", "labelers", "open-jobs"]

Start = Callable[[Cli], str]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts dashboards and returns their addresses; each has to stop cleanly at the end of the test."""
    running = []

    def begin(cli: Cli, *arguments: str) -> str:
        process = cli.fork("dashboard", "--listen", "127.0.0.1:0", *arguments)
        running.append((cli, process))
        assert process.stdout is not None
        return process.stdout.readline().strip()

    yield begin
    for cli, process in running:
        process.send_signal(signal.SIGTERM)
        assert cli.finish(process).err == ""


def opened(page: Page, address: str) -> Page:
    """The page at an address, with all charts drawn."""
    page.goto(address)
    for chart in (*CHARTS, *JOB_CHARTS):
        drawn = "id => document.querySelector(`#${id} .js-plotly-plot`)?._fullLayout?.uirevision?.startsWith('view')"
        page.wait_for_function(drawn, arg=chart, timeout=LONG * 1000)
    expect(page.locator("#headline .figure")).to_have_count(5)
    expect(page.locator("#syncs tbody tr").first).to_be_visible()
    return page


def traces(page: Page, chart: str) -> list[dict[str, Any]]:
    """The traces of a chart, with their names and values."""
    found: list[dict[str, Any]] = page.evaluate(
        """id => document.querySelector(`#${id} .js-plotly-plot`)._fullData.map(
            t => ({name: t.name, x: [...(t.x || [])], y: [...(t.y || [])], shown: t.visible}))""",
        chart,
    )
    return found


def headline(page: Page) -> dict[str, str]:
    figures = page.locator("#headline .figure")
    return dict(
        zip(figures.locator(".label").all_inner_texts(), figures.locator(".value").all_inner_texts(), strict=True)
    )


def tick(page: Page) -> None:
    """Triggers a refresh."""
    page.evaluate("dash_clientside.set_props('tick', {n_intervals: (window.ticks = (window.ticks || 0) + 1)})")


def settle(page: Page) -> None:
    """Waits until the page has handled the last response."""
    page.evaluate("new Promise(done => setTimeout(() => requestAnimationFrame(done), 500))")


def test_the_charts_have_the_numbers_that_sql_gives(cli: Cli, start: Start, page: Page) -> None:
    cli.list(batch("b1", 10, 1), batch("b2", 5, 0))
    cli.list(batch("c1", 7), project="gears")
    cli.run("sync", "acme/widgets", "acme/gears")
    cli.list(batch("b1", 4, 2), batch("b2", 9, 0), batch("b3", 2, 0))
    cli.run("sync", "acme/widgets")
    opened(page, start(cli))
    sql = cli.database
    totals = "SELECT {} FROM projects ORDER BY project"
    shown = [trace for trace in traces(page, "totals") if trace["name"] in {"widgets", "gears"}]
    assert sorted(trace["name"] for trace in shown) == ["gears", "gears", "widgets", "widgets"]
    last = {(trace["name"], n % 2): trace["y"][-1] for n, trace in enumerate(shown)}
    assert [last[name, 0] for name in ("gears", "widgets")] == sql.column(totals.format("images"))
    assert [last[name, 1] for name in ("gears", "widgets")] == sql.column(totals.format("num_jobs"))
    now = [
        f"{sql.one(f'SELECT CAST(sum({of}) AS bigint) FROM projects'):,}" for of in ("images", "num_jobs", "batches")
    ]
    assert [headline(page)[of] for of in ("Images without a job", "Jobs", "Batches")] == now
    (waiting,) = traces(page, "backlog")
    assert sum(waiting["x"]) == sql.one("SELECT CAST(sum(images) AS bigint) FROM current_batches")
    moved = {trace["name"]: trace["x"] for trace in traces(page, "movers")}
    sums = """SELECT CAST(sum(CASE WHEN images_delta > 0 THEN images_delta END) AS bigint) FROM change_log
        WHERE observed_after IS NOT NULL GROUP BY project ORDER BY 1 DESC"""
    assert moved["images in"] == sql.column(sums)
    rows = page.locator("#batches tbody tr").all_inner_texts()
    expected = sql.rows("SELECT name, images, num_jobs FROM current_batches ORDER BY images DESC, project, batch_id")
    assert [row.split("\t")[1:4] for row in rows] == [[name, str(i), str(j)] for name, i, j in expected]


def test_strange_names_are_plain_text(fresh: Cli, start: Start, page: Page) -> None:
    project = HOSTILE.replace("/", ".")
    fresh.list(*(batch(f"b{n}", 9 - n, 0, name=name) for n, name in enumerate(NAMES)), project=project)
    fresh.run("sync", f"acme/{project}")
    fresh.list(*(batch(f"b{n}", 3, 1, name=name) for n, name in enumerate(NAMES)), project=project)
    work = {"numImages": 9, "annotated": 4, "sourceBatch": "p/b0", "status": NAMES[2]}
    jobs = [{**work, "id": f"j{n}", "name": name, "labeler": name} for n, name in enumerate(NAMES)]
    fresh.world.set_jobs(f"acme/{project}", jobs)
    fresh.run("sync", f"acme/{project}")
    address = start(fresh)
    opened(page, address)
    labels = page.locator("#labelers .annotation-text")
    expect(labels).to_have_text([name.replace("\u202e", "\ufffd") for name in sorted(NAMES)])
    page.get_by_role("link", name=NAMES[0]).click()
    expect(page.locator("tr.history h3")).to_contain_text(NAMES[0])
    expect(page.locator(".shares li")).to_have_text(
        ["0 approved", "16 annotated", "0 rejected", "20 in a job, not annotated", "3 in no job"]
    )
    expect(page.locator("tr.history tbody tr:has(.bar)")).to_have_count(len(NAMES))
    expect(page.locator("#syncs")).to_contain_text(project)
    assert page.locator("main img, main script, a[href*=evil]").count() == 0
    for chart in (*CHARTS, *JOB_CHARTS):
        assert page.locator(f"#{chart} image[href], #{chart} svg a").count() == 0
    page.locator("#target").click()
    expect(page.get_by_text(f"acme/{project}").first).to_be_visible()


def test_a_view_is_stored_in_the_address(fresh: Cli, start: Start, page: Page, new_page: NewPage) -> None:
    fresh.list(*(batch(f"b{n:02}", n, 0, name=f"name {n:02}") for n in range(40)))
    fresh.list(batch("c1", 7), project="gears")
    fresh.run("sync", "acme/widgets", "acme/gears")
    opened(page, start(fresh))

    # Without waiting for the effect of each click.
    for name in ("all", "90d", "month", "week"):
        page.get_by_role("link", name=name, exact=True).click()
    page.locator("#target").click()
    page.get_by_role("option", name="acme/widgets").click()
    expect(page).to_have_url(re.compile("target=acme/widgets"))
    # Also without waiting after typing.
    page.locator("#zone").fill("Asia/Kolkata")
    for name in ("Batch", "Next"):
        page.get_by_role("link", name=name, exact=True).click()
    expect(page.locator(".pager")).to_contain_text("26 to 40 of 40")
    assert sorted(page.url.split("?")[1].split("&")) == [
        "by=week", "page=2", "period=90d", "sort=name", "target=acme/widgets", "tz=Asia/Kolkata",
    ]  # fmt: skip
    other = opened(new_page(), page.url)
    expect(other.locator(".pager")).to_contain_text("26 to 40 of 40")
    assert other.locator("#batches tbody tr").all_inner_texts() == page.locator("#batches tbody tr").all_inner_texts()
    assert other.locator("[aria-current]").all_inner_texts() == ["90d", "week"]
    assert other.locator("#zone").input_value() == "Asia/Kolkata"
    expect(other.locator("#target")).to_contain_text("acme/widgets")
    other.locator("#name").fill("name 3")
    expect(other.locator(".pager")).to_contain_text("1 to 10 of 10")
    other.locator("#first").fill("2026-01-01")
    other.locator("#first").press("Enter")
    other.wait_for_url(re.compile("from=2026-01-01&to=2026-01-01"))
    other.locator("#last").fill("2026-03-01")
    other.locator("#last").press("Enter")
    other.wait_for_url(re.compile("from=2026-01-01&to=2026-03-01"))
    other.locator("#first").fill("")
    other.locator("#first").press("Enter")
    other.wait_for_url(re.compile("^(?!.*(from|to)=)"))
    expect(other.locator("#last")).to_have_value("")
    other.go_back()
    expect(other.locator("#last")).to_have_value("2026-03-01")
    other.go_back()
    other.go_back()
    expect(other.locator("#first")).to_have_value("")
    expect(other.locator("[aria-current]").first).to_have_text("90d")


def test_each_view_is_requested_once_and_only_its_changed_parts(fresh: Cli, start: Start, page: Page) -> None:
    fresh.list(batch("b1", 10, 1), batch("b2", 9))
    fresh.run("sync", "acme/widgets")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or "") if request.method == "POST" else None)
    opened(page, start(fresh) + "?target=acme/widgets&sort=name")
    expect(page.locator("#batches tbody tr")).to_have_count(2)
    settle(page)
    parts = ["buckets", "headline", "syncs", "stuck", "waiting", "first-jobs-summary", "batches"]
    assert sorted(next(p for p in parts if f"{p}.children" in question) for question in asked) == sorted(parts)
    assert all("target=acme/widgets" in question for question in asked)
    assert ["sort=name" in question for question in asked].count(True) == 2  # the table and the links
    asked.clear()
    page.get_by_role("link", name="Changed", exact=True).click()
    expect(page.locator("[aria-sort]")).to_contain_text("Changed")
    # A link that is opened in a new window leads to the current view, although it was rendered for an earlier one.
    waiting = page.locator("#waiting a")
    waiting.focus()
    expect(waiting).to_have_attribute(
        "href", re.compile("^/.target=acme/widgets&sort=-changed&project=acme/widgets&batch=b2$")
    )
    settle(page)
    assert sorted(next(p for p in parts if f"{p}.children" in question) for question in asked) == ["batches", "buckets"]


def is_request_for(request: Request, part: str) -> bool:
    """True if a request is for this part of the page."""
    return f"{part}.children" in (request.post_data or "")


def hold_overviews(page: Page) -> list[Route]:
    """Holds all further requests for the upper charts."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if is_request_for(route.request, "headline"):
            held.append(route)
        else:
            route.continue_()

    page.route("**/_dash-update-component*", hold)
    return held


def second_request(held: list[Route], page: Page) -> list[Route]:
    """Waits until two requests are held."""
    for _ in range(20 * int(LONG)):
        if len(held) == 2:
            break
        page.wait_for_timeout(50)
    return held


def test_a_project_stays_selected_while_the_projects_are_loading(fresh: Cli, start: Start, page: Page) -> None:
    fresh.list(batch("b1", 10, 1))
    fresh.list(batch("c1", 7), project="gears")
    fresh.run("sync", "acme/widgets", "acme/gears")
    held = hold_overviews(page)
    page.goto(start(fresh) + "?target=acme/widgets&page=1")
    expect(page.locator("#batches tbody tr")).to_have_count(1)
    page.locator("#target").click()
    expect(page.get_by_role("option")).to_have_text(["All projects", "acme/widgets"])
    page.keyboard.press("Escape")
    page.locator("#zone").fill("Asia/Tokyo")
    page.locator("#zone").press("Enter")
    expect(page).to_have_url(re.compile(r"\?target=acme/widgets&page=1&tz=Asia/Tokyo$"))
    for asked in second_request(held, page):  # for the previous and for the current address
        asked.continue_()
    expect(page.locator("#headline .figure")).to_have_count(5)
    expect(page.locator("#target")).to_contain_text("acme/widgets")
    assert page.url.endswith("?target=acme/widgets&page=1&tz=Asia/Tokyo")
    page.locator("#target").click()
    page.get_by_role("option", name="All projects").click()
    expect(page).to_have_url(re.compile(r"/\?tz=Asia/Tokyo$"))


def test_an_unknown_project_is_named_and_stays_in_the_address(fresh: Cli, start: Start, page: Page) -> None:
    fresh.list(batch("b1", 10, 1))
    fresh.run("sync", "acme/widgets")
    page.goto(start(fresh) + "?target=acme/gears&by=week")
    expect(page.locator("#notes")).to_have_text("The database has no acme/gears. There is: acme/widgets.")
    expect(page.locator("main")).to_be_hidden()
    with page.expect_response(lambda answer: is_request_for(answer.request, "headline")):
        tick(page)
    settle(page)
    expect(page.locator("#notes")).to_contain_text("acme/gears")
    assert page.url.endswith("?target=acme/gears&by=week")
    page.locator("#notes").get_by_role("link", name="acme/widgets").click()
    expect(page.locator("#headline .value").first).to_have_text("10")
    expect(page).to_have_url(re.compile(r"\?target=acme/widgets&by=week$"))
    page.wait_for_function("() => document.querySelector('#totals .main-svg')?.clientWidth > 300")


def test_an_outdated_response_is_not_shown(fresh: Cli, start: Start, page: Page) -> None:
    fresh.list(batch("b1", 10, 1))
    fresh.run("sync", "acme/widgets")
    held = hold_overviews(page)
    page.goto(start(fresh))
    page.get_by_role("link", name="90d", exact=True).click()
    expect(page.locator("[aria-current]").first).to_have_text("90d")
    early, late = second_request(held, page)
    late.continue_()
    shown = "document.querySelector('#totals .js-plotly-plot')?._fullLayout?.uirevision"
    page.wait_for_function(f"() => {shown} === 'view?period=90d'")
    with page.expect_response(lambda answer: answer.request == early.request) as answer:
        early.continue_()
    assert answer.value.ok
    settle(page)
    assert page.evaluate(shown) == "view?period=90d"
    expect(page.locator("#headline .small").first).to_contain_text("since")


def test_a_batch_s_history_is_a_click_away(fresh: Cli, start: Start, page: Page) -> None:
    for images, jobs in [(10, 0), (6, 1), (0, 2)]:
        fresh.list(batch("b1", images, jobs, name="the one"), batch("b2", 50))
        fresh.run("sync", "acme/widgets")
    opened(page, start(fresh))
    page.get_by_role("link", name="the one").and_(page.locator("[aria-expanded]")).click()
    rows = page.locator("tr.history tbody tr")
    expect(rows).to_have_count(3)
    shown = [row.split("\t")[1:6] for row in rows.all_inner_texts()]
    sql = """SELECT change, images, images_delta, num_jobs, num_jobs_delta FROM change_log WHERE batch_id = 'b1'
        ORDER BY observed_at DESC"""
    written = [
        [c, str(i), f"{d:+}" if d else "0", str(j), f"{e:+}" if e else "0"]
        for c, i, d, j, e in fresh.database.rows(sql)
    ]
    assert shown == written
    page.get_by_role("link", name="Close").click()
    expect(rows).to_have_count(0)


def zoom(page: Page) -> None:
    """Zooms into the upper chart with the mouse."""
    box = page.locator("#totals .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 200, box["y"] + 40, steps=4)
    page.mouse.up()


#: The visible time range of the upper chart.
RANGE = "document.querySelector('#totals .js-plotly-plot')._fullLayout.xaxis.range"


def test_a_refresh_keeps_zoom_and_scroll_position(fresh: Cli, start: Start, page: Page) -> None:
    fresh.list(batch("b1", 10, 1))
    fresh.run("sync", "acme/widgets")
    opened(page, start(fresh) + "?by=hour&period=7d")
    whole = page.evaluate(RANGE)
    zoom(page)
    page.wait_for_function(f"whole => String({RANGE}) !== String(whole)", arg=whole)
    zoomed = page.evaluate(RANGE)
    page.evaluate("window.kept = document.querySelector('#totals .main-svg'); scrollTo(0, 300)")
    fresh.list(batch("b1", 4, 2), batch("b2", 20))
    fresh.run("sync", "acme/widgets")
    tick(page)
    expect(page.locator("#headline .value").first).to_have_text("24")
    expect(page.locator("#batches tbody tr")).to_have_count(2)
    page.wait_for_function("document.querySelector('#totals .js-plotly-plot')._fullData[0].y.at(-1) === 24")
    assert page.evaluate(RANGE) == zoomed
    assert page.evaluate("[window.kept.isConnected, scrollY]") == [True, 300]


def test_a_chart_extends_with_time_unless_it_is_zoomed(fresh: Cli, start: Start, page: Page) -> None:
    fresh.list(batch("b1", 10, 1))
    fresh.run("sync", "acme/widgets")
    end = ["2100"]

    def later(route: Route) -> None:
        if not is_request_for(route.request, "headline"):
            route.continue_()
            return
        answer = route.fetch()
        body = answer.json()
        axis = body["response"]["totals-chart"]["data"]["props"]["figure"]["layout"]["xaxis"]
        axis["autorangeoptions"]["include"][1] = f"{end[0]}-01-01T00:00:00"
        route.fulfill(response=answer, json=body)

    def refreshed(year: str) -> str:
        """The end of the chart after a response whose time range ends in that year."""
        end[0] = year
        tick(page)
        given = "document.querySelector('#totals .js-plotly-plot').layout.xaxis.autorangeoptions.include[1]"
        page.wait_for_function(f"year => {given}.startsWith(year)", arg=year)
        return page.evaluate(f"{RANGE}[1].slice(0, 4)")

    opened(page, start(fresh))
    page.route("**/_dash-update-component*", later)
    assert refreshed("2100") == "2100"
    zoom(page)
    page.wait_for_function(f"() => {RANGE}[1] < '2100'")
    zoomed = page.evaluate(RANGE)
    assert refreshed("2200") == zoomed[1][:4]
    assert page.evaluate(RANGE) == zoomed
    for _ in range(10):  # a slow machine may take the two for single clicks
        page.locator("#totals .nsewdrag").first.dblclick()
        page.wait_for_timeout(500)
        if page.evaluate(RANGE) != zoomed:
            break
    assert page.evaluate(f"{RANGE}[1].slice(0, 4)") == "2200"
    assert refreshed("2300") == "2300"


def test_the_database_goes_away_and_comes_back(fresh: Cli, start: Start, page: Page) -> None:
    fresh.list(batch("b1", 10, 1))
    fresh.run("sync", "acme/widgets")
    address = start(fresh)
    opened(page, address)
    path = fresh.database.path
    away = path.with_name("away.db")
    path.rename(away)
    tick(page)
    expect(page.locator("#alerts .bad")).to_contain_text("The database can't be read")
    assert headline(page)["Batches"] == "1"
    page.goto(address)  # a page opened in the meantime
    expect(page.locator("#alerts .bad")).to_contain_text("The database can't be read")
    away.rename(path)
    tick(page)
    expect(page.locator("#headline .value").first).to_have_text("10")
    expect(page.locator(".unreadable")).to_have_count(0)


def test_a_stopped_dashboard_is_reported(fresh: Cli, page: Page, watch: Watch) -> None:
    fresh.list()
    fresh.run("sync", "acme/widgets")
    process = fresh.fork("dashboard", "--listen", "127.0.0.1:0")
    assert process.stdout is not None
    page.clock.install()
    page.goto(process.stdout.readline().strip())
    expect(page.locator("#syncs")).to_contain_text("acme/widgets")
    process.send_signal(signal.SIGTERM)
    fresh.finish(process)
    page.clock.run_for(240_000)
    expect(page.locator("#lost")).to_contain_text("is rfsync dashboard still running?")
    watch.clear()  # the requests that failed


def test_a_hanging_dashboard_is_reported(fresh: Cli, start: Start, page: Page) -> None:
    fresh.list()
    fresh.run("sync", "acme/widgets")
    page.clock.install()
    opened(page, start(fresh))
    held = hold_overviews(page)
    page.clock.run_for(240_000)
    expect(page.locator("#lost")).to_contain_text("is rfsync dashboard still running?")
    with page.expect_response(lambda answer: answer.request == held[-1].request):
        for route in held:
            route.continue_()
    page.clock.run_for(10_000)
    expect(page.locator("#lost")).to_have_text("")


def test_nothing_observed_yet(fresh: Cli, start: Start, page: Page) -> None:
    fresh.run("db", "upgrade")
    page.goto(start(fresh))
    expect(page.locator("#freshness")).to_have_text("Nothing was observed yet.")
    expect(page.locator("#alerts")).to_contain_text("rfsync sync")
    expect(page.locator("#batches")).to_contain_text("No batch")


def test_it_fits_phones_and_wide_screens(fresh: Cli, start: Start, page: Page, tmp_path: Path) -> None:
    projects = [f"conveyor-belt-inspection-hall-{n:02}-north-side" for n in range(3)]
    for images in (0, 9):
        for n, project in enumerate(projects):
            named = (batch(f"b{m:02}", m + images * n, m % 2, name="a name that is long " * (m % 5)) for m in range(40))
            fresh.list(*named, project=project)
            long: list[dict[str, Any]] = [
                {"id": f"j{m:02}", "name": "a long name " * (m % 5), "labeler": f"labeler.{m}@{project}.example.com"}
                for m in range(12)
            ]
            jobs = [{**one, "numImages": 1_000_000, "annotated": images * n} for one in long]
            fresh.world.set_jobs(f"acme/{project}", jobs)
        fresh.run("sync", *(f"acme/{project}" for project in projects))
    address = start(fresh)
    cases: list[tuple[int, Literal["light", "dark"]]] = [(400, "dark"), (400, "light"), (1600, "light"), (1600, "dark")]
    for width, scheme in cases:
        page.emulate_media(color_scheme=scheme)
        if page.viewport_size != {"width": width, "height": 800}:
            page.set_viewport_size({"width": width, "height": 800})
            opened(page, address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(CUT_OFF) == []
        # A number that is cut off looks like a smaller one. Only the batches have too many columns for a phone.
        tables = "[...document.querySelectorAll('.scroll')].filter(table => !table.closest('#batches'))"
        assert page.evaluate(f"{tables}.length") >= 3
        assert page.evaluate(f"{tables}.map(one => one.scrollWidth - one.clientWidth).filter(more => more > 0)") == []
        background, text = page.evaluate("['background-color', 'color'].map(of => getComputedStyle(document.body)[of])")
        light = [sum(map(int, re.findall(r"\d+", colour)[:3])) > 380 for colour in (background, text)]
        assert light == ([True, False] if scheme == "light" else [False, True])
        folder = Path(os.environ.get("RFSYNC_SCREENSHOTS", tmp_path))
        assert page.screenshot(path=folder / f"{scheme}-{width}.png")


def test_everything_is_reachable_by_keyboard(fresh: Cli, start: Start, page: Page) -> None:
    fresh.list(batch("b1", 10, 1, name="the one"))
    fresh.run("sync", "acme/widgets")
    opened(page, start(fresh))
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        said = page.evaluate(
            """(() => {const e = document.activeElement; return e.innerText || e.id
                || (e.closest(".choice") || e).querySelector("label")?.htmlFor || e.ariaLabel || ""})()"""
        )
        reached.add(said)
        if said == "the one":
            page.keyboard.press("Enter")
            break
    assert {"All projects", "7d", "first", "last", "hour", "zone", "the one"} <= reached
    expect(page.locator(".history, .apart").first).to_be_visible()
