"""``rfsync check``: what is wrong, how to fix it, and which command to run next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rfsync.simulator import Status
from tests.e2e.conftest import KEY, Cli, MakeCli, batch, job


def wrong(checks: list[dict[str, Any]]) -> list[str]:
    """What is wrong; each has to come with its remedy."""
    assert [one for one in checks if not one["ok"] and not one["remedy"]] == []
    return [one["what"] for one in checks if not one["ok"]]


@pytest.mark.new_python
def test_all_is_well_and_what_comes_next(fresh: Cli) -> None:
    fresh.list(batch("b1", 1_500), batch("b2", 7))
    fresh.list(project="gears")
    fresh.configure(workspaces=[{"projects": ["*"]}])
    done = fresh.run("check")
    assert done.err == ""
    assert "rfsync sync" in done.out.splitlines()[-1]
    assert "given up after 30 s at the latest (1 attempt of 30 s, up to 0.01 s between them)" in done.out
    assert [word for word in ("acme/widgets", "acme/gears", "1,507") if word not in done.out] == []
    assert not fresh.database.path.exists()
    fresh.run("sync")
    before = fresh.database.dump()
    printed = fresh.run("check", "--json").json
    assert printed["ok"] is True
    assert wrong(printed["checks"]) == []
    assert fresh.database.dump() == before


def test_each_thing_that_is_wrong_has_a_remedy(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str], fresh: Cli
) -> None:
    fresh.world.set("acme/widgets", [])
    fresh.world.set("other/widgets", [])
    fresh.list(project="gears")
    fresh.simulator.faults.add("/acme/gears/batches", Status(500), times=None)
    fresh.simulator.keys = [KEY]
    env = {"WRONG_KEY": "key-that-is-wrong"}
    table: dict[str, object] = {"projects": ["widgets"]}
    unmade = make_cli(new_postgres(None))
    cases: dict[str, tuple[Cli, list[dict[str, object]], str]] = {
        "wrong key": (fresh, [{**table, "api_key_env": "WRONG_KEY"}], "key-that-is-wrong"),
        "no key": (fresh, [{**table, "api_key_env": "NO_KEY"}], ""),
        "unknown project": (fresh, [{"projects": ["widgets", "wodgets"]}], ""),
        "unknown workspace": (fresh, [{"id": "akme", "projects": ["*"]}], ""),
        "trouble": (fresh, [{"projects": ["gears"]}], ""),
        "no schema": (unmade, [table], ""),
    }
    for name, (cli, workspaces, secret) in cases.items():
        cli.configure(workspaces=[*workspaces, {"id": "other", **table}])
        done = cli.run("check", "--json", env=env, code=1)
        assert done.json["ok"] is False
        assert wrong(done.json["checks"]), name
        # What comes after what is wrong is looked at all the same.
        assert "other/widgets" in done.out, name
        assert not secret or secret not in done.out + done.err
    remedies = [one["remedy"] for one in done.json["checks"] if one["remedy"]]
    people = unmade.run("check", code=1).out
    assert [remedy for remedy in remedies if remedy not in people] == []
    assert unmade.database.rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace") == []


def test_a_refusal_comes_with_the_apis_hint_and_leads_to_the_right_place(fresh: Cli) -> None:
    places = {401: "scopes", 402: "plan", 403: "may read this", 404: "address", 423: "billing", 451: "[api] base_url"}
    fresh.configure(workspaces=[{"projects": [f"p{status}" for status in places]}])
    for status in places:
        fault = Status(status, hint=f"hint {status} for {KEY}\x1b[2J")
        fresh.simulator.faults.add(f"/acme/p{status}/batches", fault, times=None)
    done = fresh.run("check", "--json", code=1)
    assert KEY not in done.out
    checks = {one["subject"]: one for one in done.json["checks"] if one["what"] == "project"}
    for status, place in places.items():
        check = checks[f"acme/p{status}"]
        assert place in check["remedy"], status
        assert f"(the API says: simulated status {status}; hint: hint {status} for ***\ufffd[2J)" in check["found"]
    assert len({check["remedy"] for check in checks.values()}) == len(places)


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_a_key_that_sees_no_jobs_is_wrong_only_where_they_are_needed(fresh: Cli, status: int) -> None:
    fresh.list(batch("b1", 1))
    fresh.list(batch("b1", 1), project="gears")
    fresh.world.set_jobs("acme/gears", [{"id": "j1", "numImages": 1_500, "annotated": 20}, {"id": "j2"}, {"id": 5}])
    refused = Status(status, body=b'{"error": "ann@example.com may not"}')
    fresh.simulator.faults.add("/acme/widgets/jobs", refused, times=None)
    sync = {"false": None, '"auto"': (True, True), "true": (False, False)}
    for value, expected in sync.items():
        fresh.configure(workspaces=[{"projects": ["widgets", "gears"]}], more=f"[jobs]\nsync = {value}\n")
        done = fresh.run("check", "--json", code=0 if expected is None or expected[0] else 1)
        jobs = {one["subject"]: one for one in done.json["checks"] if one["what"] == "jobs"}
        if expected is None:
            assert jobs == {}
            continue
        gears, widgets = jobs["acme/gears"], jobs["acme/widgets"]
        assert (gears["ok"], gears["warning"], gears["remedy"]) == (True, False, None)
        assert gears["found"].startswith("2 jobs, 1,500 images in them; 1 records break the rules, the first at 2")
        assert (widgets["ok"], widgets["warning"]) == expected
        assert ("only batches are synced" in widgets["found"]) is expected[0]
        assert "(the API says: *** may not)" in widgets["found"]
        assert "scope annotation-job:read" in widgets["remedy"]
        assert "[jobs] sync = false" in widgets["remedy"]


def test_a_job_list_that_fails_otherwise_is_wrong(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    fresh.configure(workspaces=[{"projects": ["widgets"]}])
    fresh.simulator.faults.add("/acme/widgets/jobs", Status(500), times=None)
    done = fresh.run("check", "--json", code=1)
    assert wrong(done.json["checks"]) == ["jobs"]


def test_what_the_next_sync_does_to_addresses_is_told_before_it(cli: Cli) -> None:
    """A switch to pseudonyms takes them out for good; the other way they come again."""

    def people(value: str) -> list[dict[str, Any]]:
        cli.configure(workspaces=[{"projects": ["widgets"]}], more=f'[jobs]\npeople = "{value}"\n')
        return [one for one in cli.run("check", "--json").json["checks"] if one["what"] == "people"]

    cli.list(batch("b1", 1))
    assert people("pseudonym") == []
    people("address")
    cli.world.set_jobs("acme/widgets", [job("j1", 5)])
    cli.run("sync")
    stored = cli.database.one("SELECT count(*) FROM people WHERE address IS NOT NULL")
    assert people("address") == []
    (told,) = people("pseudonym")
    assert (told["ok"], told["warning"]) == (True, True)
    assert f"the next sync takes all mail addresses ({stored}) out of it for good" in told["found"]
    assert ("VACUUM INTO" if cli.database.is_sqlite else "pg_dump") in told["remedy"]
    cli.run("sync")
    assert people("pseudonym") == []
    (told,) = people("address")
    assert told["warning"] is False
    assert f"those without a mail address ({stored}) who are seen again get theirs" in told["found"]
    cli.run("sync")
    assert people("address") == []


def test_what_others_can_read_is_a_warning(fresh: Cli) -> None:
    fresh.list(batch("b1", 1))
    key = fresh.folder / "roboflow.key"
    key.write_text(KEY)
    key.chmod(0o644)
    more = '[daemon]\nlisten = "0.0.0.0:9108"\n'
    fresh.configure(workspaces=[{"projects": ["widgets"], "api_key_file": str(key)}], more=more)
    checks = fresh.run("check", "--json").json["checks"]
    found = {one["what"]: one for one in checks if one["warning"]}
    assert {what: one["ok"] for what, one in found.items()} == {"key": True, "endpoint": True}
    assert found["key"]["remedy"] == f"chmod o-r {key}"
    assert found["endpoint"]["subject"] == "0.0.0.0:9108"
    people = fresh.run("check").out
    assert people.count("warn ") == 2
    key.chmod(0o600)
    fresh.configure(workspaces=[{"projects": ["widgets"], "api_key_file": str(key)}])
    assert [one for one in fresh.run("check", "--json").json["checks"] if one["warning"]] == []


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, False)])
def test_a_password_in_a_file_that_everybody_can_read_is_a_warning(fresh: Cli, mode: int, warned: bool) -> None:
    file = fresh.folder / "with-password.toml"
    file.write_text('[database]\nurl = "postgresql://me:pass-word-1@127.0.0.1:1/x"\n')
    file.chmod(mode)
    env = {name: value for name, value in fresh.env.items() if name != "RFSYNC_DATABASE_URL"}
    fresh.env = env
    done = fresh.run("check", "--json", "--config", str(file), code=1)
    found = [one["subject"] for one in done.json["checks"] if one["warning"]]
    assert found == ([str(file)] if warned else [])
    assert "pass-word-1" not in done.out + done.err
