"""No key and no password is anywhere but where it belongs: not in what is printed, logged or stored."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event
from typing import Any, Self
from urllib.parse import quote, quote_plus

import click
import psycopg
import pytest
from psycopg import sql

from rfsync.cli import _COMMANDS
from rfsync.cli.db import command as db_command
from rfsync.logs import FORMATS as LOGS
from rfsync.simulator import Body, Cut, Fault, Redirect, Reset, Stall, Status
from rfsync.text import printable
from tests.e2e.conftest import LONG, Cli, MakeCli, batch, count_lists

#: With everything that is written differently inside a URL, a JSON text or a Python string.
ODD = "k%2Fy+A/b?c=d&e\"f\\g'h~i#j:k@L"
PLAIN = "rf7Gq2LkZ0pWx9TtB4nV"
#: An answer of the API, to be imported.
SAVED = "saved-2026-01-01.json"
SAVED_JOBS = "saved-jobs-2026-01-02.json"
#: Of a role in the database; with what is not ASCII, too.
PASSWORD = "p@ss/w:rd+1 %25?#&='\"\\é"


def forms(key: str) -> dict[str, str]:
    """How a key can be written."""
    return {
        "plain": key,
        "quoted": quote(key),
        "quoted whole": quote(key, safe=""),
        "quoted plus": quote_plus(key),
        "json": json.dumps(key)[1:-1],
        "repr": repr(key)[1:-1],
        "repr within quotes": repr(f"'\"{key}")[4:-1],
        "repr of bytes": repr(key.encode())[2:-1],
        "repr of bytes within quotes": repr(f"'\"{key}".encode())[5:-1],
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


def test_a_key_file_that_every_user_can_read_is_told_once_a_workspace(fresh: Cli) -> None:
    modes = {"all": 0o644, "others": 0o604, "group": 0o640, "mine": 0o600}
    files = {workspace: fresh.folder / workspace for workspace in modes}
    for workspace, mode in modes.items():
        files[workspace].write_text(f"{PLAIN}-of-{workspace}")
        files[workspace].chmod(mode)
        for project in ("widgets", "gears"):
            fresh.world.set(f"{workspace}/{project}", [batch(f"{workspace} {project}", 1)])
    fresh.configure(workspaces=[{"id": name, "api_key_file": str(file)} for name, file in files.items()])
    done = fresh.run("sync", *[f"{name}/widgets" for name in modes], *modes)
    lines = [line.partition(" warning ")[2] for line in done.warnings.splitlines()]
    assert lines == [
        f"{name}: every user can read its key in {files[name]}: chmod o-r {files[name]}" for name in ("all", "others")
    ]
    assert PLAIN not in done.out + done.err


# Bugs

#: A command in which something is broken; what breaks knows all secrets, and says them in every way it can.
_BROKEN = """
import os, sys, warnings
from rfsync import cli
from rfsync.api import client
from rfsync.api import deadline
from rfsync.sync import run as sync

secrets = os.environ["ROBOFLOW_API_KEY"] + " of " + os.environ["RFSYNC_DATABASE_URL"] + " by " + os.environ["PASSWORD"]

def fail(*_, **__):
    try:
        try:
            {{}}[secrets]
        except KeyError as error:
            raise ValueError(secrets.encode()) from error
    except ValueError:
        raise RuntimeError("it's \\"" + secrets + "\\"", [secrets])

class Fragile:
    __del__ = fail

observe = sync.observe

def after(then):
    def broken(*arguments):
        result = observe(*arguments)
        then()
        return result
    sync.observe = broken

{broken}
sys.exit(cli.main(sys.argv[1:]))
"""


#: What is broken, the exit code, and what is said of it: a bug's causes, too.
BUG = ("please report it:\nTraceback", "KeyError", "ValueError", "RuntimeError")
BROKEN: dict[str, tuple[str, int, Sequence[str]]] = {
    "after a run": ("after(fail)", 0, BUG),  # was committed, it stands
    "before a request": ("client.Client.get = fail", 1, BUG),
    "in a request": ("client.Client._attempt = fail", 1, BUG),
    "before all runs": ("client.Client.__init__ = fail", 70, BUG),
    "in a thread": ("deadline.DeadlineThread._run = fail", 0, BUG),
    "in a destructor": ("after(Fragile)", 0, BUG),
    "a warning": ("after(lambda: warnings.warn(secrets))", 0, ["UserWarning: *** of postgresql"]),
}


def test_a_bug_shows_no_secret_wherever_it_is(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres_template: str
) -> None:
    # This role needs no password, and may have one in its URL all the same.
    url = new_postgres(postgres_template).replace("postgres:@", f"postgres:{quote(PASSWORD, safe='')}@")
    assert quote(PASSWORD, safe="") in url
    cli = make_cli(url)
    env = {**cli.env, "ROBOFLOW_API_KEY": ODD, "RFSYNC_DATABASE_URL": url, "PASSWORD": PASSWORD}
    with contextlib.ExitStack() as stack:
        started = {}
        for number, (where, (broken, _, _)) in enumerate(BROKEN.items()):
            cli.list(batch("b1", 1), project=f"p{number}")
            command = [sys.executable, "-c", _BROKEN.format(broken=broken), "sync", f"acme/p{number}"]
            process = subprocess.Popen(
                [*command, "--log-level", "debug"],
                cwd=cli.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
            started[where] = stack.enter_context(process)
        for where, process in started.items():
            out, err = process.communicate(timeout=LONG)
            _, code, said = BROKEN[where]
            assert (process.returncode, [words for words in said if words not in err]) == (code, []), (where, err)
            for secret in (ODD, PASSWORD):
                assert leaks(forms(secret), out=out, err=err) == [], where


# Every command

ROLE = "guarded"
WRONG = "wr0ng/p@ss:w%+rd"
#: Not even libpq can read it, and says what it can't read.
GARBLED = "hunter22%zz"
#: Of a batch: clears the screen, turns the direction of writing, rings the bell, and begins a line of its own.
NAME = "a\x1b[2J\u202eb\u2066c\x07\n"
#: Each workspace's from another place: a variable, a file, and what the official command line keeps.
KEYS = {"acme": PLAIN, "file": ODD, "cli": "cL1-kEy/of+the=official?"}
#: The first one's id has what the configuration lets through, since it can stand in an address.
PROJECTS = {"acme": "pro\u202eject\x9b2J", "file": "project", "cli": "project"}
#: Ways to tell a command where the database is.
HOWS = ("option", "variable", "file")
#: Projects whose lists give the key away, or are no good otherwise.
BAD = [*faults(""), "echo-name"]
#: Of people who work on jobs; nothing is kept of them but pseudonyms. The first one is to be forgotten.
ADDRESS, OTHER = "ann.o'brien+labels@example.com", "Bob@Example.org"
SECRETS = {**KEYS, "role": PASSWORD, "wrong password": WRONG, "garbled password": GARBLED}
SECRETS |= {"address": ADDRESS, "other address": OTHER}
FORMS = {f"{form} {name}": text for name, secret in SECRETS.items() for form, text in forms(secret).items()}
FORMS |= {f"begin of {name}": secret[:8] for name, secret in SECRETS.items()}


@pytest.fixture(scope="module")
def role(postgres: str) -> None:
    """``ROLE``, which the server lets in with ``PASSWORD`` alone."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        made = sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(PASSWORD))
        connection.execute(made)
        found = connection.execute("SHOW hba_file").fetchone()
        assert found
        rules = Path(found[0])
        rules.write_text(f"local all {ROLE} scram-sha-256\nhost all {ROLE} all scram-sha-256\n{rules.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
    for _ in range(1_000):  # until the server has read its rules again
        try:
            psycopg.connect(postgres, user=ROLE, password=WRONG).close()
        except psycopg.OperationalError:
            return
    raise AssertionError("the server lets everybody in")


# Calls the command's own ``main`` for each line of its input: starting Python for each would take longer than they do.
_MANY = """
import json, os, sys
from rfsync.cli import demo, main
demo._DAYS = 2  # of its 60
for line in sys.stdin:
    arguments, env = json.loads(line)
    os.environ.update(env)
    code = main(arguments)
    for name in env:
        del os.environ[name]
    print(end="\\0", file=sys.stderr, flush=True)
    print(f"\\0{code}", flush=True)
"""


class Everything:
    """Runs commands with all secrets around, and keeps what they say; as a context manager, which ends them."""

    def __init__(self, cli: Cli) -> None:
        self.cli = cli
        #: By command.
        self.out: dict[str, str] = {}
        #: Command, whether it ended well, and the form of its logs.
        self.seen: set[tuple[str, bool, str]] = set()
        #: URL, and how it was told.
        self.told: set[tuple[str, str]] = set()
        official = cli.folder / "nobody" / ".config" / "roboflow" / "config.json"
        official.parent.mkdir(parents=True)
        kept = {"workspaces": {"w": {"url": "cli", "apiKey": KEYS["cli"]}}}
        texts = {official: json.dumps(kept), cli.folder / "key.txt": KEYS["file"] + "\n"}
        for path, text in texts.items():
            path.touch(0o600)
            path.write_text(text)
        self._own_files = {*texts, cli.folder / "rfsync.toml", cli.folder / SAVED_JOBS}
        cli.env["ROBOFLOW_API_KEY"] = KEYS["acme"]
        self._errors = cli.folder / "stderr"
        with self._errors.open("w") as errors:
            self._many = subprocess.Popen(
                [sys.executable, "-c", _MANY],
                cwd=cli.folder, env=cli.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        with self._many:  # closes its pipes, which ends it
            if error is not None:
                self._many.kill()

    def configure(self, *, bad: bool, auth: str = "bearer") -> None:
        more = BAD if bad else []
        workspaces: list[dict[str, object]] = [
            {"id": "acme", "projects": [PROJECTS["acme"], *more]},
            {"id": "file", "api_key_file": str(self.cli.folder / "key.txt"), "exclude": [] if bad else BAD},
            {"id": "cli", "api_key_env": "NOT_SET", "projects": [PROJECTS["cli"], *more]},
        ]
        more_tables = '[daemon]\nlisten = "127.0.0.1:0"\n[jobs]\npeople = "pseudonym"\n'
        self.cli.configure(api={"auth": auth}, workspaces=workspaces, more=more_tables)

    def run(self, code: int, *commands: Sequence[str], url: str | None = None, how: str | None = None) -> None:
        """Runs commands; how they are told the URL, and the form of their logs, change from one to the next."""
        assert self._many.stdin
        assert self._many.stdout
        for arguments in commands:
            number = len(self.out)
            form = LOGS[number % 2]
            options, env = self._telling(url or self.cli.database.url, how or HOWS[number % 3], number)
            command = [*options, "--log-level", "debug", "--log-format", form, *arguments]
            self._many.stdin.write(json.dumps([command, env]) + "\n")
            self._many.stdin.flush()
            out = ""
            while not (ended := re.search(r"\0(\d+)\n\Z", out)):
                line = self._many.stdout.readline()
                assert line, self._errors.read_text()
                out += line
            assert int(ended[1]) == code, (arguments, out, self._errors.read_text().split("\0")[-2])
            self.keep(arguments, out[: ended.start()], form, well=code == 0)

    def keep(self, arguments: Sequence[str], said: str, form: str, *, well: bool) -> None:
        self.out[f"{len(self.out)} {' '.join(arguments)}"] = said
        self.seen.add((arguments[0], well, form))

    def _telling(self, url: str, how: str, number: int) -> tuple[list[str], dict[str, str]]:
        self.told.add((url, how))
        if how == "option":
            return ["--database", url], {}
        if how == "variable":
            return [], {"RFSYNC_DATABASE_URL": url}
        file = self.cli.folder / f"{number}.toml"
        text = (self.cli.folder / "rfsync.toml").read_text()
        file.write_text(text.replace(json.dumps(self.cli.database.url), json.dumps(url)))
        self._own_files.add(file)
        return ["--config", str(file)], {}

    def files(self) -> dict[str, str]:
        """What the commands have left in their folder, and what they said on standard error."""
        paths = [path for path in self.cli.folder.rglob("*") if path.is_file() and path not in self._own_files]
        return {path.name: path.read_bytes().decode("utf-8", "replace") for path in paths}


def test_no_command_shows_a_secret_and_no_name_steers_the_terminal(
    make_cli: MakeCli, role: None, new_postgres: Callable[[str | None], str], postgres_template: str
) -> None:
    address = new_postgres(postgres_template).partition("@")[2]
    cli = make_cli(f"postgresql://{ROLE}:{quote(PASSWORD, safe='')}@{address}")
    for workspace, key in KEYS.items():
        records = [batch(f"b{NAME}", 1, name=NAME), batch("b2", 5, name=NAME)]
        cli.world.set(f"{workspace}/{PROJECTS[workspace]}", records)
        cli.world.set_jobs(f"{workspace}/{PROJECTS[workspace]}", [labelled(f"j{NAME}"), labelled("j2")])
        for name, fault in {**faults(key), "echo-name": error(500, NAME + key)}.items():
            cli.world.set(f"{workspace}/{name}", [])
            cli.simulator.faults.add(f"/{workspace}/{name}/batches", fault, times=None)
    project = f"acme/{PROJECTS['acme']}"
    # Where a workspace has such a project, it is left out.
    cli.world.set(f"file/{PROJECTS['acme']}", [])

    with Everything(cli) as every:
        when_all_is_well(every, project)
        seen = while_one_is_running(every)
        # The API says what it must not, and nonsense.
        for workspace, key in KEYS.items():
            fault = error(500, f"{NAME}{key} of {ADDRESS} or <{OTHER}>")
            cli.simulator.faults.add(f"/{workspace}/{PROJECTS[workspace]}/jobs", fault, times=None)
        for auth in ("query", "bearer"):
            every.configure(bad=True, auth=auth)
            every.run(1, ["sync"], ["check"], ["sync", "--json"], ["check", "--json"])
        cli.world.set(project, [batch("b2", 6), {"id": 5, "name": NAME}, batch("b4", name=NAME)])
        cli.world.set_batch(project, f"c{NAME}", 500, {"error": NAME + PLAIN})
        cli.database.execute("UPDATE batches SET images = images + 1 WHERE removed_at IS NULL")
        every.run(1, ["verify"], ["verify", "--json"], ["status", "--max-age", "0s"], ["sync", "--json"])
        urls = when_the_database_is_not_to_be_had(every, address)
        # The command line is wrong.
        taken = cli.simulator.url.removeprefix("http://")
        wrong = [["init", "--config", "key.txt"], ["simulate", "--listen", taken], ["demo", "--seed", "none"]]
        every.run(2, *wrong, *wrong[1:], *wrong, how="variable")

    # Each command was tried: well and badly, and with both forms of its logs; and each URL was told in every way.
    assert {(command, well) for command, well, _ in every.seen} == {(name, ok) for name in _COMMANDS for ok in (0, 1)}
    assert {(command, form) for command, _, form in every.seen} == {(name, form) for name in _COMMANDS for form in LOGS}
    assert isinstance(db_command, click.Group)
    assert [name for name in db_command.commands if not any(f" db {name}" in said for said in every.out)] == []
    assert {(url, how) for url in (cli.database.url, *urls) for how in HOWS} - every.told == set()
    # The keys were sent, so that they could have been shown.
    sent = {r.headers.get("authorization", "") for r in cli.simulator.requests}
    assert {f"Bearer {key}" for key in KEYS.values()} - sent == set()

    stored = {
        table: "\n".join(str(value) for row in rows for value in row) for table, rows in cli.database.dump().items()
    }
    left = every.files()
    assert leaks(FORMS, **every.out, **seen, **stored, **left) == []
    assert "rfsync-demo.db" in left
    said = [*every.out.values(), *left.pop("stderr").split("\0")]
    assert [text for text in said if steered(text) or "Traceback" in text] == []
    # What could have steered it was there to be shown.
    assert PROJECTS["acme"] in stored["projects"]
    assert NAME in stored["batches"]
    assert NAME in stored["jobs"]
    assert len(cli.database.rows("SELECT DISTINCT labeler, reviewer FROM current_jobs")) == 1


def labelled(job_id: str) -> dict[str, object]:
    """A job as the API writes it."""
    people = {"labeler": ADDRESS, "reviewer": OTHER, "createdBy": OTHER}
    return {"id": job_id, "name": NAME, "status": NAME, "numImages": 5, "annotated": 2, **people}


def when_all_is_well(every: Everything, project: str) -> None:
    every.configure(bad=False)
    every.run(0, ["sync"])
    every.cli.world.set(project, [batch(f"c{NAME}", 1, name=NAME), batch("b2", 6, name=NAME)])
    every.run(0, ["sync", "--dry-run"], ["check"], ["check", "--json"], ["sync"], ["sync", "--json"])
    every.run(0, ["db", "upgrade"], ["db", "check"], ["db", "current"])
    every.run(0, ["status"], ["status", "--json"], ["verify"], ["verify", "--json"], ["prune"], ["prune"])
    asked = (
        ["batches"],
        ["changes"],
        ["totals"],
        ["falls"],
        ["jobs"],
        ["progress"],
        ["work", "--labelers"],
        ["changes", "--of", "jobs"],
    )
    every.run(0, *([*command, *form] for command in asked for form in ([], ["--json"])))
    every.run(0, *[["digest"]] * 2, ["digest", "--format", "json"], ["digest", "--format", "html"])
    report, saved = ["report", "-o", "report.html"], ["import", "acme/saved", SAVED, SAVED_JOBS]
    (every.cli.folder / SAVED).write_text(json.dumps([batch("b1", name=NAME), {"id": 5, "name": NAME}]))
    people = {"labeler": ADDRESS, "reviewer": OTHER}
    bad = [labelled(""), {"id": "j3", "status": [people], **people}, {"id": "j4", "annotated": people}]
    (every.cli.folder / SAVED_JOBS).write_text(json.dumps({"jobs": [*map(labelled, ("j1", "j2", "j5")), *bad]}))
    every.run(0, report, saved, report, saved)
    every.run(0, ["rename", "acme/saved", "acme/kept"], ["rename", "acme/kept", "acme/saved"])
    unwanted, drop = ["import", "acme/unwanted", SAVED], ["drop", "acme/unwanted", "--yes"]
    every.run(0, unwanted, drop, unwanted, drop)
    every.run(0, ["forget", ADDRESS], ["forget", ADDRESS])
    url = every.cli.database.url
    copies = [["copy", "--from", url, "--to", f"sqlite:///copy-{number}.db"] for number in range(2)]
    every.run(0, *copies, how="variable")
    every.run(0, ["init", "--config", "one.toml"], ["init", "--config", "two.toml"], ["demo"], how="variable")
    keep_a_server(every, "simulate", "console")
    for form in LOGS:
        keep_a_server(every, "dashboard", form)
        keep_a_daemon(every, "daemon", form)
        keep_a_daemon(every, "worker", form)


#: As if the last runs were of last year.
UNPOLLED = "UPDATE sync_runs SET started_at = started_at - interval '1 year' WHERE outcome <> 'running'"


def keep_a_server(every: Everything, name: str, form: str) -> None:
    """It has begun to listen."""
    command = [name, "--listen", "127.0.0.1:0", "--log-level", "debug", "--log-format", form]
    process = every.cli.fork(*command, env={"RFSYNC_DATABASE_URL": every.cli.database.url})
    assert process.stdout
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    done = every.cli.finish(process)
    every.keep(command, first + done.out + done.err, form, well=True)


def keep_a_daemon(every: Everything, name: str, form: str) -> None:
    """It has polled everything once."""
    # A worker leaves alone what was polled just now.
    every.cli.database.execute(*(["DELETE FROM procrastinate_periodic_defers", UNPOLLED] if name == "worker" else ()))
    before = count_lists(every.cli.simulator.requests)
    command = [name, "--log-format", form, "--log-level", "debug"]
    process = every.cli.fork(*command, env={"RFSYNC_DATABASE_URL": every.cli.database.url})
    every.cli.await_lists(before + len(KEYS))
    process.send_signal(signal.SIGTERM)
    done = every.cli.finish(process)
    every.keep(command, done.out + done.err, form, well=True)


def while_one_is_running(every: Everything) -> dict[str, str]:
    """What others on the machine and in the database can see of it."""
    cli = every.cli
    held, before = Event(), count_lists(cli.simulator.requests)
    cli.simulator.faults.add("/*/*/batches", Stall(held), times=len(KEYS))
    process = cli.start("sync", env={"RFSYNC_DATABASE_URL": cli.database.url})
    cli.await_lists(before + len(KEYS))
    sessions = cli.database.column(
        "SELECT CAST(a AS text) FROM pg_stat_activity a WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert [session for session in sessions if "rfsync" in session]
    seen = {f"session {number}": session for number, session in enumerate(sessions)}
    if sys.platform == "linux":
        titles = [Path(f"/proc/{process.pid}/cmdline"), *Path(f"/proc/{process.pid}").glob("task/*/comm")]
        seen |= {str(path): path.read_bytes().decode() for path in titles}
    held.set()
    done = cli.finish(process)
    every.keep(["sync"], done.out + done.err, "console", well=True)
    return seen


#: What ``when_all_is_well`` has copied.
COPIED = "sqlite:///copy-0.db"


def when_the_database_is_not_to_be_had(every: Everything, address: str) -> list[str]:
    """The URLs that lead to none."""
    server, query = address.partition("?")[::2]
    right, wrong = quote(PASSWORD, safe=""), quote(WRONG, safe="")
    users = [f"{ROLE}:{wrong}@{address}", f"{ROLE}:{right}@127.0.0.1:1/labels", f"{ROLE}:{right}@{server}_not?{query}"]
    urls = [f"postgresql://{user}" for user in (*users, f"{ROLE}:{GARBLED}@{address}")]
    for url in urls:
        every.run(3, ["sync"], ["status"], ["verify"], ["db", "current"], ["daemon"], ["prune"], ["worker"], url=url)
        every.run(3, *[[name] for name in ("falls", "jobs", "progress", "work", "digest") for _ in LOGS], url=url)
        every.run(3, ["batches"], ["changes"], ["totals"], ["report", "-o", "r.html"], ["dashboard"], url=url)
        every.run(3, ["import", "acme/saved", SAVED], *[["rename", "acme/saved", "acme/kept"]] * 2, url=url)
        every.run(3, *[["drop", "acme/saved", "--yes"]] * 2, *[["forget", ADDRESS]] * 2, ["worker"], url=url)
        every.run(1, ["check"], ["check", "--json"], url=url)
        every.run(3, ["db", "upgrade"], ["db", "check"], ["sync", "--dry-run"], url=url)
        copies = [["copy", "--from", *both] for both in ((url, "--to", COPIED), (COPIED, "--to", url))]
        every.run(3, *copies, url=url, how="variable")
    return urls


def steered(text: str) -> bool:
    """Whether there is more in a text than lines that a terminal shows as they are."""
    return any(printable(line) != line for line in text.split("\n"))
