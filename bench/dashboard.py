"""Time of the dashboard's first view on a large ledger: `python -m bench.dashboard`, a few minutes.

It runs the real command on each database, with a million ledger rows by default, and measures

- until all queries of the first view are answered, sent at once as a browser does;
- until a page in headless Chromium shows its figures, and its last chart, in a new context and in a browser with a warm
  cache. The difference to the queries is the browser's own: it compiles plotly.js and draws. The floor of that is the
  time that plotly.js takes in an empty page.
"""

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from bench.databases import Postgres, Sqlite
from bench.ledger import build
from bench.table import table
from bench.world import END, Size

#: True once the headline figures are shown; and once all charts, batches and syncs are.
_FIGURES = "() => document.querySelectorAll('#headline .figure').length === 5"
_DRAWN = """() => [...document.querySelectorAll('.js-plotly-plot')].length === 7
    && [...document.querySelectorAll('.js-plotly-plot')].every(g => g._fullLayout?.uirevision?.startsWith('view'))
    && document.querySelector('#batches tbody tr') && document.querySelector('#syncs tbody tr')"""
_PLOTLY = "_dash-component-suites/plotly/package_data/plotly.min.js"
#: Chromium keeps compiled code from the third visit on.
_VISITS = 3
_WINDOW: Any = {"width": 1400, "height": 900}
#: The last thirty days of the ledger: the default, if the ledger went on until today.
_SEARCH = f"?from={END - timedelta(days=30):%Y-%m-%d}&to={END - timedelta(days=1):%Y-%m-%d}"


@contextmanager
def dashboard(url: str) -> Iterator[str]:
    """Run the command; gives its address."""
    command = [sys.executable, "-m", "rfsync", "dashboard", "--database", url, "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.send_signal(signal.SIGTERM)


def payloads(address: str) -> Iterator[bytes]:
    """The request bodies of a first view."""
    with urllib.request.urlopen(f"{address}_dash-dependencies") as answer:  # noqa: S310 our own
        callbacks = json.load(answer)
    for callback in callbacks:
        if not callback["clientside_function"]:
            yield json.dumps(_payload(callback)).encode()


def _payload(callback: dict[str, Any]) -> dict[str, Any]:
    def part(one: dict[str, str]) -> dict[str, Any]:
        value = _SEARCH if one["id"] in {"address", "charted"} else None
        return {"id": one["id"], "property": one["property"], "value": value}

    name = callback["output"]
    outputs = [dict(zip(("id", "property"), one.rsplit(".", 1), strict=True)) for one in name.strip(".").split("...")]
    return {
        "output": name,
        "outputs": outputs if name.startswith("..") else outputs[0],
        "inputs": [part(one) for one in callback["inputs"]],
        "state": [part(one) for one in callback["state"]],
        "changedPropIds": [f"{one['id']}.{one['property']}" for one in callback["inputs"][:1]],
    }


def post(address: str, body: bytes) -> int:
    """Send a query; return the size of its answer in bytes."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{address}_dash-update-component", body, headers)  # noqa: S310 our own
    with urllib.request.urlopen(request) as answer:  # noqa: S310 our own
        return len(answer.read())


def query_time(address: str, runs: int) -> tuple[float, int]:
    """Median seconds until all queries of a first view are answered, and the bytes of the answers."""
    bodies = list(payloads(address))
    times = []
    size = 0
    with ThreadPoolExecutor(len(bodies)) as pool:
        for _ in range(runs):
            start = perf_counter()
            size = sum(pool.map(lambda body: post(address, body), bodies))
            times.append(perf_counter() - start)
    return median(times), size


def browser_times(address: str, runs: int, work: Path) -> dict[str, tuple[float, float, float]]:
    """Median seconds to the figures, to the last chart, and for plotly.js in an empty page; empty without Chromium."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        return {}
    from playwright.sync_api import BrowserContext, sync_playwright

    def visit(context: BrowserContext) -> tuple[float, float]:
        page = context.new_page()
        start = perf_counter()
        page.goto(f"{address}{_SEARCH}")
        times = []
        for condition in (_FIGURES, _DRAWN):
            page.wait_for_function(condition)
            times.append(perf_counter() - start)
        page.close()
        return times[0], times[1]

    def bare(context: BrowserContext) -> float:
        page = context.new_page()
        page.goto(f"{address}nowhere")
        start = perf_counter()
        page.add_script_tag(url=f"{address}{_PLOTLY}")
        seconds = perf_counter() - start
        page.close()
        return seconds

    with sync_playwright() as playwright:
        start: Any = {"executable_path": found, "args": ["--no-sandbox", "--disable-gpu"]}
        with playwright.chromium.launch(**start) as browser:
            new = [visit(browser.new_context(viewport=_WINDOW)) for _ in range(runs + 1)]
            alone = [bare(browser.new_context()) for _ in range(runs)]
        with playwright.chromium.launch_persistent_context(work / "browser", viewport=_WINDOW, **start) as context:
            again = [visit(context) for _ in range(_VISITS + runs)]
            kept = [bare(context) for _ in range(runs)]
    # The first page includes the start of the browser.
    timed = {"new": (new[1:], alone), "warm cache": (again[_VISITS:], kept)}
    return {
        name: (median(a for a, _ in visits), median(b for _, b in visits), median(floor))
        for name, (visits, floor) in timed.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the ledger (1000000)")
    parser.add_argument("--projects", type=int, default=100, help="(100)")
    parser.add_argument("--runs", type=int, default=5, help="rounds (5)")
    options = parser.parse_args()
    size = Size(rows=options.rows, projects=options.projects, days=365)
    rows = []
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rfsync-bench-")))
        for make in (Sqlite, Postgres):
            database = stack.enter_context(closing(make(work)))
            database.clear()
            build(database.url, size)
            counts = database.query("SELECT (SELECT count(*) FROM batch_changes), (SELECT count(*) FROM batches)")
            with dashboard(database.url) as address:
                seconds, answers = query_time(address, options.runs)
                browsers = browser_times(address, options.runs, work / database.name)
            row = [database.name, *(f"{count:,}" for count in counts), f"{seconds:.2f} s", f"{answers / 1024:,.0f} KiB"]
            for browser, times in browsers.items():
                rows.append([*row, browser, *(f"{time:.2f} s" for time in times)])
            if not browsers:
                rows.append([*row, "no Chromium", "–", "–", "–"])
    head = ["database", "ledger", "batches", "queries", "answers", "browser", "figures", "charts", "plotly.js alone"]
    print(table(head, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
