"""The dashboard as the real command over real HTTP, without a browser."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rfsync.dashboard.view import SORTS
from rfsync.simulator import Status
from tests.e2e.conftest import LONG, Cli, Process, batch

#: One of each callback's.
OUTPUTS = [
    "notes.children", "alerts.children", "waiting.children", "first-jobs-summary.children", "batches.children",
    "periods.children",
]  # fmt: skip


class Dashboard:
    """A running dashboard, in a new Python if that is what a test is about."""

    def __init__(self, cli: Cli, *arguments: str, listen: str = "127.0.0.1:0", new_python: bool = False) -> None:
        begin = cli.start if new_python else cli.fork
        self.process: Process = begin("dashboard", "--listen", listen, *arguments)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.communicate(timeout=LONG)
        self.port = int(self.url.rstrip("/").rpartition(":")[2])
        self.callbacks: dict[str, dict[str, Any]] = {}

    def ask(
        self, path: str = "/", *, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers in lower case, and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONG)
        try:
            sent = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, body, sent | (headers or {}))
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def post(self, body: bytes) -> tuple[int, str]:
        status, _, text = self.ask("/_dash-update-component", method="POST", body=body)
        return status, text

    def payload(self, output: str, search: object) -> dict[str, Any]:
        """What the page would send for the callback that has an output."""
        if not self.callbacks:
            found = json.loads(self.ask("/_dash-dependencies")[2])
            self.callbacks = {one["output"]: one for one in found if not one.get("clientside_function")}
        (name,) = (name for name in self.callbacks if output in name)
        callback = self.callbacks[name]

        def part(one: dict[str, str]) -> dict[str, Any]:
            return {**one, "value": search if one["id"] in {"address", "charted"} else None}

        outputs = [dict(zip(("id", "property"), o.rsplit(".", 1), strict=True)) for o in name.strip(".").split("...")]
        return {
            "output": name,
            "outputs": outputs if name.startswith("..") else outputs[0],
            "inputs": [part(one) for one in callback["inputs"]],
            "state": [part(one) for one in callback["state"]],
            "changedPropIds": [f"{one['id']}.{one['property']}" for one in callback["inputs"][:1]],
        }

    def call(self, output: str, search: object = "") -> dict[str, Any]:
        """What a callback gives for an address: component -> property -> value."""
        status, text = self.post(json.dumps(self.payload(output, search)).encode())
        assert status == 200, text
        answer: dict[str, Any] = json.loads(text)
        found: dict[str, Any] = answer["response"]
        return found


def texts(component: Any) -> list[str]:
    """All that a component shows, in order."""
    if isinstance(component, list):
        return [text for one in component for text in texts(one)]
    if isinstance(component, dict):
        return texts(component.get("props", {}).get("children"))
    return [] if component is None else [str(component)]


def fill(cli: Cli) -> Cli:
    """Two projects that were synced."""
    cli.list(batch("b1", 10, 1, name="first"), batch("b2", 5, 0, name="100%_of it"))
    cli.list(batch("c1", 7), project="gears")
    cli.run("sync", "acme/widgets", "acme/gears")
    return cli


@contextmanager
def running(cli: Cli) -> Iterator[Dashboard]:
    dashboard = Dashboard(cli)
    yield dashboard
    dashboard.process.send_signal(signal.SIGTERM)
    done = cli.finish(dashboard.process)
    assert "bug" not in done.err


@pytest.fixture
def filled(cli: Cli) -> Cli:
    return fill(cli)


@pytest.fixture
def dashboard(filled: Cli) -> Iterator[Dashboard]:
    with running(filled) as dashboard:
        yield dashboard


@pytest.fixture
def server(fresh: Cli) -> Iterator[Dashboard]:
    """For what is the same whatever the database."""
    with running(fill(fresh)) as dashboard:
        yield dashboard


def test_each_answer_has_its_headers(server: Dashboard) -> None:
    for path, status in [
        ("/", 200), ("/_dash-layout", 200), ("/_dash-dependencies", 200), ("/assets/dashboard.css", 200),
        ("/nowhere", 404), ("/assets/../../etc/passwd", 404), ("/_reload-hash", 404), ("/_dash-update-component", 405),
        ("/_dash-component-suites/os/path.py", 404), ("/_dash-component-suites/dash/dash.py", 404),
    ]:  # fmt: skip
        code, headers, body = server.ask(path)
        assert code == status, path
        assert "Traceback" not in body
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert (
            policy["default-src"]
            == policy["base-uri"]
            == policy["form-action"]
            == policy["frame-ancestors"]
            == "'none'"
        )
        assert policy["connect-src"] == "'self'"
        assert policy["script-src"].split()[0] == "'self'"
        assert all(source.startswith("'sha256-") for source in policy["script-src"].split()[1:])
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        if not path.startswith(("/assets", "/_dash-component")):
            assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_the_page_asks_nobody_else_and_has_no_tools_for_developers(server: Dashboard) -> None:
    body = server.ask()[2]
    config = json.loads(body.split('<script id="_dash-config" type="application/json">')[1].split("</script>")[0])
    assert (config["ui"], config["props_check"], config["disable_version_check"]) == (False, False, True)
    assert "hot_reload" not in config
    asked = re.findall(r'(?:src|href)="([^"]*)"', body)
    assert len(asked) > 10
    assert [address for address in asked if not re.match("/[^/]", address)] == []


def test_it_answers_to_its_own_names_only(server: Dashboard) -> None:
    port = server.port
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert server.ask(headers={"Host": host})[0] == 200, host
    for host in [
        f"evil.example:{port}", f"localhost.evil.example:{port}", f"127.0.0.1.evil.example:{port}",
        f"evil@127.0.0.1:{port}", "127.0.0.1", "localhost:1", "", f":{port}", f"127.0.0.1:{port}@evil", "[::1",
        "127.0.0.1:99999999999",
        f"0.0.0.0:{port}", f"192.0.2.1:{port}",
    ]:  # fmt: skip
        for path in ("/", "/_dash-layout", "/assets/dashboard.css"):
            status, _, body = server.ask(path, headers={"Host": host})
            assert status in {400, 403}, host  # the server itself refuses what is no header at all
            assert "<" not in body


def test_a_further_name(fresh: Cli) -> None:
    fresh.run("sync", "acme/widgets", code=1)
    dashboard = Dashboard(fresh, "--host", "rfsync.example.com", "--host", "localhost:9000")
    for host, status in [
        ("rfsync.example.com", 200), ("rfsync.example.com:8443", 200), ("localhost:9000", 200),
        (f"127.0.0.1:{dashboard.port}", 200), ("localhost:9001", 403), ("example.com", 403),
    ]:  # fmt: skip
        assert dashboard.ask(headers={"Host": host})[0] == status, host


def test_an_address_is_a_view(dashboard: Dashboard) -> None:
    for search in [
        "", "?target=acme", "?target=acme/widgets&period=all&by=hour&tz=Asia/Kolkata", "?period=1y&by=month",
        "?from=2026-01-01&to=2026-02-01&by=week", "?from=1970-01-02&to=9000-01-01&by=hour",
        "?from=2999-01-01&to=2999-01-02", "?project=acme/widgets&batch=b1", "?project=acme/widgets&batch=nothing",
        "?sort=-uploaded&page=2&name=zzz",
        *(f"?sort={way}{by}" for by in SORTS for way in ("", "-")),
    ]:  # fmt: skip
        alerts = texts(dashboard.call("notes.children", search)["notes"]["children"])
        assert not any("is not known here" in text for text in alerts), search
        for output in OUTPUTS:
            assert dashboard.call(output, search), (output, search)


def test_what_an_address_gets_wrong_is_said(server: Dashboard) -> None:
    for search, told in [
        ("?period=1", "period"),
        ("?by=year", "by"), ("?tz=Mars/Olympus", "tz"), ("?tz=../../etc/passwd", "tz"),
        ("?tz=%00", "tz"), ("?from=2026-02-30", "from"),
        ("?from=2026-02-01&to=2026-01-01", "from"), ("?to=0001-01-01", "to"),
        ("?from=9999-12-31&to=9999-12-31", "from"), ("?sort=evil;DROP", "sort"), ("?page=0", "page"),
        ("?page=99999999999999999999", "page"), ("?page=\u0661", "page"),
        ("?batch=b1&project=acme/nothing", "batch"), ("?by=\u0664", "by"),
    ]:  # fmt: skip
        charts, table = server.call("notes.children", search), server.call("batches.children", search)
        alerts = texts([charts["notes"]["children"], table["batches-alert"]["children"]])
        assert any(text.startswith(f"{told}=") and "is not known here" in text for text in alerts), (search, alerts)
        for output in OUTPUTS:
            assert server.call(output, search), (output, search)


def test_an_unknown_target_is_not_all_projects(server: Dashboard) -> None:
    for search, named in [
        ("?target=acme/nothing", "acme/nothing"), ("?target=nothing&by=week", "nothing"), ("?target=a/b/c", "a/b/c"),
        ("?target=a%00b/'%22", "a\ufffdb/'\""),
    ]:  # fmt: skip
        overview = server.call("notes.children", search)
        said = texts(overview["notes"]["children"])
        assert "".join(said) == f"The database has no {named}. There is: acme, acme/gears, acme/widgets."
        assert "totals-chart" not in overview
        assert [one["value"] for one in overview["targets"]["data"]] == ["", "acme", "acme/gears", "acme/widgets"]
        for output in OUTPUTS[:-1]:
            answer = server.call(output, search)
            shown = {name: part["children"] for name, part in answer.items() if "children" in part and name != "notes"}
            assert not any(shown.values()), (output, search)


def test_anything_may_come_as_an_address(dashboard: Dashboard) -> None:
    for search in [
        5, 1e300, True, [], {"a": 1}, "?", "???&&&=", "?" + "a=1&" * 1000, "?" + "x" * 20_000, "?target=%ff",
        "?name=%00", "?name=%25_!'\"", "?project=acme/widgets&batch=%00%ed%a0%80",
    ]:  # fmt: skip
        for output in OUTPUTS:
            assert dashboard.call(output, search), search


def test_what_is_no_request_of_the_page_is_refused(server: Dashboard) -> None:
    good = server.payload("batches.children", "")
    bad: list[Any] = [
        [], "", None, 5, {}, {**good, "output": "nothing.children"}, {**good, "output": None}, {**good, "inputs": []},
        {**good, "inputs": good["inputs"] * 2}, {**good, "inputs": [good["inputs"]]}, {**good, "inputs": {}},
        {**good, "outputs": []}, {**good, "outputs": good["outputs"][:1]}, {**good, "state": [{"id": "url"}]},
        {**good, "changedPropIds": ["{"]}, {**good, "changedPropIds": ["url.href"]}, {**good, "changedPropIds": None},
        {**good, "outputs": [{**good["outputs"][0], "property": "style"}, *good["outputs"][1:]]},
        {**good, "inputs": [{**good["inputs"][0], "id": {"index": 1}}, *good["inputs"][1:]]},
        {  # which the browser answers
            "output": "lost.children", "outputs": {"id": "lost", "property": "children"},
            "inputs": [{"id": "clock", "property": "n_intervals", "value": 1}],
            "state": [{"id": "answered", "property": "data", "value": None}],
            "changedPropIds": ["clock.n_intervals"],
        },
    ]  # fmt: skip
    bodies = [json.dumps(one).encode() for one in bad]
    bodies += [b"", b"{", b"\xff", b"[" * 60_000, b'{"output": NaN}', json.dumps(good).encode()[:-5]]
    for body in bodies:
        status, text = server.post(body)
        assert (status, "Traceback" in text) == (400, False), body[:200]
    assert server.post(b'{"output": "' + b"x" * 70_000)[0] == 413
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        assert server.ask("/_dash-update-component", method=method)[0] == 405
    assert server.post(json.dumps(good).encode())[0] == 200


def test_the_table_is_found_sorted_and_cut_by_the_database(filled: Cli, dashboard: Dashboard) -> None:
    filled.list(*(batch(f"b{n:03}", n % 7, n % 3, name=f"name {n}") for n in range(60)))
    filled.run("sync", "--allow-removals", "acme/widgets")

    def names(search: str) -> list[str]:
        found: list[str] = []

        def walk(one: Any) -> None:
            if isinstance(one, list):
                for part in one:
                    walk(part)
            elif isinstance(one, dict):
                props = one.get("props", {})
                if one.get("type") == "A" and "aria-expanded" in props:
                    found.append(props["children"])
                walk(props.get("children"))

        walk(dashboard.call("batches.children", search)["batches"]["children"])
        return found

    order = "images DESC, workspace, project, batch_id"
    for page in (1, 2, 3):
        sql = f"SELECT name FROM current_batches ORDER BY {order} LIMIT 25 OFFSET {25 * (page - 1)}"
        assert names(f"?page={page}") == filled.database.column(sql)
    assert names("?page=77") == names("?page=3")
    own = "SELECT name FROM current_batches WHERE project = 'widgets'"
    assert names("?target=acme/widgets&sort=jobs") == filled.database.column(
        f"{own} ORDER BY num_jobs, batch_id LIMIT 25"
    )
    assert names("?name=NAME+1&sort=name") == filled.database.column(f"{own} AND name LIKE 'name 1%' ORDER BY name")
    assert names("?name=b007") == ["name 7"]
    assert names("?name=%25") == names("?name=_") == []


def test_a_percent_sign_is_just_one(dashboard: Dashboard) -> None:
    for search in ("?name=%25", "?name=_of", "?name=100%25_OF"):
        said = texts(dashboard.call("batches.children", search)["batches"]["children"])
        assert ("100%_of it" in said, "first" in said) == (True, False)


def test_it_only_reads(filled: Cli, dashboard: Dashboard) -> None:
    before = filled.database.dump()
    for output in OUTPUTS:
        dashboard.call(output, "?period=all")
    assert filled.database.dump() == before


def test_an_unhealthy_sync_is_said_loudly(filled: Cli, dashboard: Dashboard) -> None:
    assert dashboard.call("alerts.children")["alerts"]["children"] == []
    filled.simulator.faults.add("/acme/widgets/batches", Status(403), times=None)
    filled.run("sync", "acme/widgets", code=1)
    (alert,) = dashboard.call("alerts.children")["alerts"]["children"]
    assert alert["props"]["className"] == "alert bad"
    said = " ".join(texts(alert))
    assert "acme/widgets" in said
    assert "failed once" in said
    assert "acme/gears" not in said
    assert dashboard.call("alerts.children", "?target=acme/gears")["alerts"]["children"] == []


def test_old_data_is_said_loudly(filled: Cli) -> None:
    filled.configure(more='[schedule]\nevery = "1s"\njitter = "0s"\n')
    early = "2020-01-01 00:00:00.000000" + ("" if filled.database.is_sqlite else "+00")
    filled.database.execute(f"UPDATE projects SET observed_at = '{early}' WHERE project = 'gears'")
    filled.configure(more='[schedule]\nevery = "30d"\n')
    dashboard = Dashboard(filled)
    said = texts(dashboard.call("alerts.children")["alerts"]["children"])
    assert "acme/gears" in said
    assert "acme/widgets" not in said
    assert any("its data is old" in text for text in said)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(filled: Cli, number: signal.Signals) -> None:
    dashboard = Dashboard(filled, new_python=True)
    with socket.create_connection(("127.0.0.1", dashboard.port)) as idle:
        idle.sendall(b"GET / HT")  # and never more
        dashboard.process.send_signal(number)
        done = filled.finish(dashboard.process)
    assert (done.out, done.err) == ("", "")


def test_a_port_that_is_taken(fresh: Cli) -> None:
    fresh.run("sync", "acme/widgets", code=1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = fresh.run("dashboard", "--listen", address, code=2)
    assert f"--listen {address}: Address already in use" in done.err


@pytest.mark.new_python
def test_where_it_can_not_listen(fresh: Cli) -> None:
    fresh.run("sync", "acme/widgets", code=1)
    assert "192.0.2.1:8050" in fresh.run("dashboard", "--listen", "192.0.2.1:8050", code=2).err
    assert "HOST:PORT" in fresh.run("dashboard", "--listen", "8050", code=2).err


def test_beyond_loopback_it_warns(fresh: Cli) -> None:
    fresh.run("sync", "acme/widgets", code=1)
    dashboard = Dashboard(fresh, listen="0.0.0.0:0")
    for host, status in [("127.0.0.1", 200), ("192.0.2.7", 200), ("localhost", 200), ("evil.example", 403)]:
        assert dashboard.ask(headers={"Host": f"{host}:{dashboard.port}"})[0] == status, host
    dashboard.process.send_signal(signal.SIGTERM)
    assert "WARNING: anybody who reaches 0.0.0.0:" in fresh.finish(dashboard.process).err


@pytest.mark.new_python
def test_without_a_database(fresh: Cli) -> None:
    assert "there is no database" in fresh.run("dashboard", code=3).err


@pytest.mark.new_python
@pytest.mark.parametrize("missing", ["dash", "waitress"])
def test_without_the_extra(fresh: Cli, tmp_path: Path, missing: str) -> None:
    (tmp_path / "broken").mkdir()
    broken = f'raise ModuleNotFoundError("none here", name={missing!r})\n'
    (tmp_path / "broken" / f"{missing}.py").write_text(broken)
    done = fresh.run("dashboard", code=2, env={"PYTHONPATH": str(tmp_path / "broken")})
    assert f"the dashboard needs {missing}: pip install dash waitress" in done.err
