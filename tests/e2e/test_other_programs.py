"""Variables that were meant for other programs, and that libraries would read in ours."""

from __future__ import annotations

import os
import re
import signal

import pytest
import requests

from rfsync.cli import main
from tests.e2e.conftest import LONG, Cli
from tests.e2e.test_dashboard import Dashboard, fill

OTHERS = {
    "DASH_URL_BASE_PATHNAME": "/x/",
    "dash_url_base_pathname": "/x/",
    "DASH_ASSETS_EXTERNAL_PATH": "https://other.example.com/",
    "DASH_SERVE_DEV_BUNDLES": "true",
    "DASH_DEBUG": "true",
    "DASH_UI": "true",
    "DASH_COMPRESS": "true",
    "DASH_MCP_ENABLED": "true",
    "FLASK_DEBUG": "1",
    "FLASK_RUN_FROM_CLI": "true",
    "PLOTLY_RENDERER": "nothing_such",
    "REACT_VERSION": "15.0.0",
}


def pages(cli: Cli, *, new_python: bool) -> dict[str, tuple[int, str, str]]:
    """The dashboard's pages and scripts: status, kind, and content but for what is random at each start."""
    dashboard = Dashboard(cli, new_python=new_python)
    paths = ["/", "/_dash-layout", "/_dash-dependencies", "/x/", "/assets/icon.svg"]
    paths += re.findall(r'(?:src|href)="(/[^"]+)"', dashboard.ask("/")[2])
    found = {}
    for path in paths:
        status, headers, body = dashboard.ask(path)
        found[path] = (status, headers["content-type"], re.sub('"end_id":"[^"]+"', "", body))
    dashboard.process.send_signal(signal.SIGTERM)
    cli.finish(dashboard.process)
    return found


def test_the_dashboard_is_the_same_whatever_the_environment_says_to_others(cli: Cli) -> None:
    fill(cli)
    usual = pages(cli, new_python=False)
    assert len(usual) > 15
    assert {status for path, (status, _, _) in usual.items() if path != "/x/"} == {200}
    cli.env |= OTHERS
    # Some are read when a library is imported.
    assert pages(cli, new_python=True) == usual


@pytest.mark.parametrize("name", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
def test_the_metrics_are_not_shared_with_another_server(fresh: Cli, name: str) -> None:
    fresh.configure(more='[daemon]\nlisten = "127.0.0.1:0"\n', workspaces=[{"projects": ["widgets"]}])
    fresh.list()
    shared = fresh.folder / "shared"
    shared.mkdir()
    process = fresh.start("daemon", env={name: str(shared)})
    assert process.stderr is not None
    url = next(match[1] for line in process.stderr if (match := re.search(r"health and metrics: (\S+)", line)))
    assert "rfsync_" in requests.get(f"{url.removesuffix('/')}/metrics", timeout=LONG).text
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=LONG)
    assert process.returncode == 0
    assert list(shared.iterdir()) == []


def test_other_variables_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"DASHBOARD": "1", "MY_FLASK_DEBUG": "1", "NO_COLOR": "1", "REQUESTS_CA_BUNDLE": "/ca", "PGHOST": "db"}
    for name, value in {**kept, **OTHERS}.items():
        monkeypatch.setenv(name, value)
    assert main(["--version"]) == 0
    assert {name: os.environ.get(name) for name in kept} == kept
    assert OTHERS.keys() & os.environ.keys() == set()
