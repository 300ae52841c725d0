"""The key is nowhere but in the request: not in what is printed, logged or stored, whatever goes wrong."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, quote_plus

from rfsync.simulator import Body, Cut, Fault, Redirect, Reset, Status
from tests.e2e.conftest import Cli, batch

#: With everything that is written differently inside a URL, a JSON text or a Python string.
ODD = "k%2Fy+A/b?c=d&e\"f\\g'h~i#j:k@L"
PLAIN = "rf7Gq2LkZ0pWx9TtB4nV"


def forms(key: str) -> dict[str, str]:
    """How a key can be written."""
    return {
        "plain": key,
        "quoted": quote(key),
        "quoted whole": quote(key, safe=""),
        "quoted plus": quote_plus(key),
        "json": json.dumps(key)[1:-1],
        "repr": repr(key)[1:-1],
    }


def error(status: int, message: str) -> Status:
    return Status(status, body=json.dumps({"error": {"message": message}}).encode())


def faults(key: str) -> dict[str, Fault]:
    """How an API could give the key away, and what shows the address, which has it in query mode."""
    text = json.dumps(key)[1:-1]
    return {
        "echo-401": error(401, f"There is no key {key} here"),
        "echo-500": error(500, f"{key}: {key}"),
        "echo-text": Status(403, body=json.dumps({"error": key}).encode()),
        "echo-200": Body(json.dumps({"error": {"message": f"bad key {key}"}}).encode()),
        "echo-no-json": Body(f"<p>bad key {key}</p>".encode()),
        "echo-in-json": Body(f'{{"key": "{text}", "batches": null}}'.encode()),
        "echo-redirect": Redirect(f"http://127.0.0.1:1/?api_key={quote_plus(key)}"),
        "echo-path": Redirect(f"/nowhere?api_key={quote_plus(key)}"),
        "reset": Reset(),
        "cut": Cut(after=5),
        "missing": Status(404),
    }


def leaks(key_forms: dict[str, str], **places: str) -> list[str]:
    return [f"{form} in {place}" for place, text in places.items() for form, key in key_forms.items() if key in text]


def test_no_key_anywhere(cli: Cli) -> None:
    # Both ways to send it and both kinds of key, one with each database.
    auth, key = ("query", ODD) if cli.database.is_sqlite else ("bearer", PLAIN)
    cli.env["ROBOFLOW_API_KEY"] = key
    bad = faults(key)
    cli.configure(api={"auth": auth}, workspaces=[{"projects": [*bad, "widgets", "gears"]}])
    for name, fault in bad.items():
        cli.list(batch("b1", 1), project=name)
        cli.simulator.faults.add(f"/acme/{name}/batches", fault)
    cli.list(batch("b1", 1), batch("b2", 2))
    # A record that breaks the rules, one that is asked for by id and answers with the key in its id.
    cli.list(batch("b1", 1), {"id": 5, "name": key}, batch("b3", 1), project="gears")
    cli.run("sync", "acme/widgets")
    cli.list(batch("b1", 1))
    cli.world.set_batch("acme/widgets", "b2", 200, batch(key, 1))
    done = cli.run("sync", "--json", "--log-level", "debug", code=1)
    assert {name for name, one in done.projects.items() if one["outcome"] == "failed"} == set(bad)
    sent = [r for r in cli.simulator.requests if r.path.endswith("/batches")]
    if auth == "bearer":
        assert {r.headers["authorization"] for r in sent} == {f"Bearer {key}"}
        assert [r for r in sent if r.query] == []
    else:
        assert {r.query["api_key"] for r in sent} == {key}
        assert [r for r in sent if "authorization" in r.headers] == []
    shown = cli.run("status", "--json", "--log-level", "debug")
    stored = json.dumps(cli.database.dump(), ensure_ascii=False)
    found = leaks(forms(key), out=done.out, err=done.err, status=shown.out + shown.err)
    # In the dump each text is written as JSON writes it.
    found += leaks({name: json.dumps(form)[1:-1] for name, form in forms(key).items()}, database=stored)
    assert found == []


def test_no_part_of_a_key_where_a_message_was_cut(fresh: Cli) -> None:
    """A message is shown shortened; the half of a key is still half a key."""
    key = fresh.env["ROBOFLOW_API_KEY"] = PLAIN * 2
    lengths: dict[str, Any] = {f"p{n}": error(401, "x" * n + key) for n in range(250, 301, 10)}
    lengths |= {f"q{n}": Body(b"x" * n + key.encode()) for n in range(50, 81, 10)}
    fresh.configure(workspaces=[{"projects": [*lengths]}])
    for name, fault in lengths.items():
        fresh.list(project=name)
        fresh.simulator.faults.add(f"/acme/{name}/batches", fault)
    done = fresh.run("sync", "--json", code=1)
    shown = json.dumps(fresh.database.column("SELECT error FROM sync_runs"))
    assert leaks({"the first ten characters": key[:10]}, out=done.out, err=done.err, database=shown) == []


def test_no_key_from_a_discovery_that_fails(fresh: Cli) -> None:
    fresh.env["ROBOFLOW_API_KEY"] = ODD
    fresh.configure(api={"auth": "query"})
    fresh.simulator.faults.add("*", error(403, f"no {ODD}"))
    fresh.simulator.faults.add("*", Body(json.dumps({"error": ODD}).encode()))
    found: list[str] = []
    for arguments in (["--json"], []):
        done = fresh.run("sync", "acme", "--log-level", "debug", *arguments, code=1)
        found += leaks(forms(ODD), out=done.out, err=done.err)
    fresh.configure(api={"auth": "query"}, workspaces=[{"projects": ["widgets"]}])
    for name, fault in faults(ODD).items():
        if name.startswith("echo"):
            fresh.simulator.faults.add("*", fault)
            fresh.simulator.faults.add("*", fault)
    for arguments in (["--json"], []):
        done = fresh.run("check", "--log-level", "debug", *arguments, code=1)
        found += leaks(forms(ODD), out=done.out, err=done.err)
    assert found == []
