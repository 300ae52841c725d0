"""The configuration: the contract's section 5, key by key."""

from __future__ import annotations

import os
import re
import threading
import tomllib
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from platformdirs import user_config_path

from rfsync.cli.init import example_path
from rfsync.config import Config, WorkspaceConfig, find_file, load
from rfsync.config.tables import ScheduleConfig
from rfsync.database.url import parse_url
from rfsync.errors import ConfigError
from rfsync.parsing import Target, is_loopback, parse_duration, parse_listen, parse_target

Load = Callable[[str], Config]

#: Stands for a key that must not be shown.
KEY = "rFsEcReT0123456789"
ACME = '[[workspaces]]\nid = "acme"\n'


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Load:
    path = tmp_path_factory.mktemp("config") / "given.toml"

    def read(text: str) -> Config:
        path.write_text(text, encoding="utf-8")
        return load(path, {})

    return read


def chain(error: BaseException | None) -> Iterator[str]:
    """All that a traceback would show of an error."""
    while error is not None:
        yield f"{error} {error!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


# Defaults


DEFAULTS: dict[str, dict[str, Any]] = {
    "database": {"url": "sqlite:///rfsync.db"},
    "api": {
        "base_url": "https://api.roboflow.com",
        "concurrency": 8,
        "requests_per_second": 10.0,
        "auth": "bearer",
        "attempts": 5,
        "deadline_seconds": 60.0,
        "max_wait_seconds": 60.0,
        "max_response_bytes": 536870912,
    },
    "removals": {"confirm_limit": 25, "repeat": 2, "recheck": timedelta(days=1)},
    "jobs": {"sync": "auto", "people": "address"},
    "schedule": {"every": timedelta(minutes=5), "cron": None, "timezone": "UTC", "jitter": timedelta(seconds=10)},
    "daemon": {"listen": "127.0.0.1:9108"},
    "retention": {"unchanged_runs": timedelta(days=30)},
    "worker": {"concurrency": 8},
}
TABLES = [*DEFAULTS, "workspaces"]


@pytest.mark.parametrize("text", ["", *(f"[{table}]" for table in DEFAULTS)])
def test_every_key_has_the_documented_default(read: Load, text: str) -> None:
    config = read(text)
    tables = {table: msgspec.structs.asdict(getattr(config, table)) for table in DEFAULTS}
    beside = {"url": f"sqlite:///{config.folder / 'rfsync.db'}"}
    assert tables == {**DEFAULTS, "database": beside}
    assert config.workspaces == ()
    assert set(Config.__struct_fields__) == {*TABLES, "folder"}


def test_no_file_at_all_is_all_defaults() -> None:
    assert load(None, {}) == Config()


def test_a_workspace_that_no_table_names_has_the_defaults(read: Load) -> None:
    config = read(ACME + 'projects = ["widgets"]\nexclude = ["scratch-*"]\napi_key_file = "/k"\n')
    assert config.workspace("acme") == config.workspaces[0]
    other = config.workspace("other")
    assert other == WorkspaceConfig(id="other")
    assert (other.api_key_env, other.api_key_file, other.projects, other.exclude) == (None, None, ("*",), ())


def test_the_example_file_has_the_defaults() -> None:
    config = load(example_path(), {}, database_url="sqlite:///rfsync.db")
    assert msgspec.structs.replace(config, folder=Path()) == Config()


def uncommented(levels: int) -> str:
    """The example, with so many signs of a comment taken away from the lines of its last table."""
    text = example_path().read_text(encoding="utf-8")
    before, start, table = text.partition("# [[workspaces]]")
    return before + re.sub(rf"(?m)^(# ){{1,{levels}}}", "", start + table)


def test_the_example_file_names_every_key_of_every_table() -> None:
    text = example_path().read_text(encoding="utf-8")
    tables = tomllib.loads(uncommented(2))
    named = {table: set(keys) for table, keys in tables.items() if isinstance(keys, dict)}
    (workspace,) = tables["workspaces"]
    cron = re.search(r'cron = "[^"]*"', text)  # in the words of a comment, since it excludes every
    assert cron is not None
    named["schedule"].add("cron")
    assert named == {table: set(keys) for table, keys in DEFAULTS.items()}
    assert set(workspace) | {"cron"} == set(WorkspaceConfig.__struct_fields__)


def test_the_example_file_syncs_all_of_a_workspace_once_its_table_is_uncommented(read: Load) -> None:
    config = read(uncommented(1))
    assert config.workspaces == (WorkspaceConfig(id="acme"),)
    assert msgspec.structs.replace(config, workspaces=()) == read("")


def test_the_example_file_still_loads_when_all_is_uncommented(read: Load) -> None:
    config = read(uncommented(2))
    assert [w.id for w in config.workspaces] == ["acme"]
    assert msgspec.structs.replace(config, workspaces=()) == read("")
    text = example_path().read_text(encoding="utf-8")
    cron = re.search(r'cron = "([^"]*)"', text)
    assert cron is not None
    assert read(f"[schedule]\n{cron[0]}").schedule.cron == cron[1]


# Values


@pytest.mark.parametrize(
    ("text", "table", "key", "value"),
    [
        ('[database]\nurl = "postgresql://user@host/name"', "database", "url", "postgresql://user@host/name"),
        ('[api]\nbase_url = "https://h/v1"', "api", "base_url", "https://h/v1"),
        ("[api]\nconcurrency = 256", "api", "concurrency", 256),
        ("[api]\nrequests_per_second = 1", "api", "requests_per_second", 1.0),
        ("[api]\nrequests_per_second = 0.01", "api", "requests_per_second", 0.01),
        ('[api]\nauth = "query"', "api", "auth", "query"),
        ("[api]\nattempts = 1", "api", "attempts", 1),
        ("[api]\ndeadline_seconds = 86400", "api", "deadline_seconds", 86_400.0),
        ("[api]\nmax_wait_seconds = 0", "api", "max_wait_seconds", 0.0),
        ("[api]\nmax_response_bytes = 1", "api", "max_response_bytes", 1),
        ("[removals]\nconfirm_limit = 0", "removals", "confirm_limit", 0),
        ("[removals]\nrepeat = 1", "removals", "repeat", 1),
        ('[jobs]\nsync = "auto"', "jobs", "sync", "auto"),
        ("[jobs]\nsync = true", "jobs", "sync", True),
        ("[jobs]\nsync = false", "jobs", "sync", False),
        ('[jobs]\npeople = "pseudonym"', "jobs", "people", "pseudonym"),
        ('[schedule]\nevery = "90s"', "schedule", "every", timedelta(seconds=90)),
        ('[schedule]\njitter = "0s"', "schedule", "jitter", timedelta(0)),
        ('[daemon]\nlisten = ""', "daemon", "listen", ""),
        ('[daemon]\nlisten = "[::1]:1"', "daemon", "listen", "[::1]:1"),
        ('[retention]\nunchanged_runs = "12h"', "retention", "unchanged_runs", timedelta(hours=12)),
        ("[worker]\nconcurrency = 32", "worker", "concurrency", 32),
    ],
)
def test_a_value_is_taken(read: Load, text: str, table: str, key: str, value: object) -> None:
    assert getattr(getattr(read(text), table), key) == value


def test_a_workspace_table_is_taken_whole(read: Load) -> None:
    text = ACME + (
        'api_key_env = "ACME_KEY_2"\napi_key_file = "/run/secrets/roboflow"\n'
        'projects = ["*"]\nexclude = ["scratch-*", "Old?"]\n'
        '[[workspaces]]\nid = "b"\nprojects = ["widgets", "gears"]\n'
    )
    acme, b = read(text).workspaces
    assert acme == WorkspaceConfig("acme", "ACME_KEY_2", "/run/secrets/roboflow", ("*",), ("scratch-*", "Old?"))
    assert acme.discovers
    assert [p for p in ("scratch-1", "my-scratch-1", "Old1", "old1", "Old") if acme.excludes(p)] == [
        "scratch-1",
        "Old1",
    ]
    assert not b.discovers


def test_cron_takes_the_place_of_every(read: Load) -> None:
    assert read('[schedule]\ncron = "*/5 * * * *"').schedule == ScheduleConfig(every=None, cron="*/5 * * * *")


WRONG = {
    "database.url": ["5"],
    "api.base_url": ["5", '""', '"api.roboflow.com"', '"ftp://h"', '"https://"', '"https://:80"', '"https://h:99999"'],
    "api.concurrency": ["0", "257", "-1", "1.5", "true", '"8"', "[8]"],
    "api.requests_per_second": ["0", "-1", "nan", "inf", "true", '"10"'],
    "api.auth": ['"basic"', '""', "5"],
    "api.attempts": ["0", "101", "5.0", "99999999999999999999"],
    "api.deadline_seconds": ["0", "86401", "nan", '"60s"'],
    "api.max_wait_seconds": ["-0.1", "inf", "nan"],
    "api.max_response_bytes": ["0", "1.5"],
    "removals.confirm_limit": ["-1", "1.5", '"25"'],
    "removals.repeat": ["0", "true"],
    "removals.recheck": ['"1 d"', '"PT1D"', "1", "true"],
    "jobs.sync": ['"true"', '"no"', '""', "1", "0", "1.0", "[true]"],
    "jobs.people": ['"addresses"', '""', "true", "5"],
    "schedule.every": ['"0s"', '"5"', '"-5m"', '"1.5h"', '"5M"', '"PT5M"', '""', "300", "true"],
    "schedule.jitter": ['"10 s"', '"s"', "10", "2026-01-01"],
    "schedule.cron": [
        '""',
        '"* * * *"',
        '"* * * * * *"',
        '"60 * * * *"',
        '"*/0 * * * *"',
        '"@hourly"',
        '"a b c d e"',
        '"0 0 * * 8"',
        '"0 0 30 2 *"',
        "5",
    ],
    "schedule.timezone": ['"Mars/Olympus"', '""', '"../UTC"', '"/etc/localtime"', "1"],
    "daemon.listen": ['"9108"', '":9108"', '"h:"', '"h:65536"', '"h:-1"', '"h:0x1"', '"h:٣"', "9108"],
    "worker.concurrency": ["0", "257", "1.5", '"8"'],
    "retention.unchanged_runs": ['""', '"for ever"', '"9999999999d"', "30"],
}


def test_a_wrong_value_of_every_key_is_looked_for() -> None:
    assert set(WRONG) == {f"{table}.{key}" for table, keys in DEFAULTS.items() for key in keys}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value_is_refused_with_its_file_table_and_key(read: Load, key: str) -> None:
    table, _, name = key.partition(".")
    for value in WRONG[key]:
        with pytest.raises(ConfigError) as caught:
            read(f"[{table}]\n{name} = {value}\n")
        file, _, rest = str(caught.value).partition(": ")
        assert Path(file).name == "given.toml"
        assert rest.startswith((f"[{table}] {name}:", f"[{table}] {name} must "))


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("id = 5", "id"),
        ('id = ""', "id"),
        ('id = "a/b"', "id"),
        ('id = "."', "id"),
        ('id = "a b"', "id"),
        ('id = "acme"', "id"),
        ("", "id"),
        ('id = "b"\napi_key_env = 5', "api_key_env"),
        ('id = "b"\napi_key_env = ""', "api_key_env"),
        ('id = "b"\napi_key_env = "$KEY"', "api_key_env"),
        ('id = "b"\napi_key_file = ""', "api_key_file"),
        ('id = "b"\napi_key_file = ["/k"]', "api_key_file"),
        ('id = "b"\nprojects = "widgets"', "projects"),
        ('id = "b"\nprojects = [5]', "projects"),
        ('id = "b"\nprojects = []', "projects"),
        ('id = "b"\nprojects = [""]', "projects"),
        ('id = "b"\nprojects = ["b/widgets"]', "projects"),
        ('id = "b"\nprojects = ["widg*"]', "projects"),
        ('id = "b"\nprojects = ["*", "widgets"]', "projects"),
        ('id = "b"\nexclude = "x"', "exclude"),
        ('id = "b"\nexclude = [5]', "exclude"),
    ],
)
def test_a_wrong_workspace_is_refused_with_its_number_and_key(read: Load, line: str, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"\[\[workspaces\]\] number 2\b.*\b{key}\b"):
        read(f"{ACME}[[workspaces]]\n{line}\n")


@pytest.mark.parametrize(
    ("text", "where", "key"),
    [
        ("retries = 1", "top level", "retries"),
        ("[apis]\nattempts = 1", "top level", "apis"),
        ("[api]\nretries = 1", r"\[api\]", "retries"),
        ("[api.more]\nretries = 1", r"\[api\]", "more"),
        ('[schedule]\nEvery = "5m"', r"\[schedule\]", "Every"),
        (ACME + "project = 1", r"\[\[workspaces\]\] number 1", "project"),
        pytest.param('[api]\n"a\\nb" = 1', r"\[api\]", r"a\\nb", id="a-key-of-two-lines-in-a-table"),
        pytest.param('"a\\nb" = 1', "top level", r"a\\nb", id="a-key-of-two-lines-at-the-top-level"),
    ],
)
def test_an_unknown_key_is_refused_with_its_table(read: Load, text: str, where: str, key: str) -> None:
    with pytest.raises(ConfigError, match=rf"(?s){where}.*{key}"):
        read(text)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_is_none_is_refused_by_its_name(read: Load, table: str) -> None:
    for value in ("5", '"x"', "[5]"):
        with pytest.raises(ConfigError, match=rf"\[{table}\]"):
            read(f"{table} = {value}")


def test_a_workspace_table_that_is_not_a_list_is_refused(read: Load) -> None:
    with pytest.raises(ConfigError, match=r"\[\[workspaces\]\]"):
        read('[workspaces]\nid = "acme"')


def test_a_workspace_may_have_a_schedule_of_its_own(read: Load) -> None:
    config = read(
        '[schedule]\ncron = "0 6 * * 1-5"\ntimezone = "Europe/Berlin"\njitter = "1m"\n'
        '[[workspaces]]\nid = "a"\n[[workspaces]]\nid = "b"\nevery = "1h"\n'
        '[[workspaces]]\nid = "c"\ncron = "5 4 * * sun"\n'
    )
    own = {name: config.schedule_of(name) for name in ("a", "b", "c", "not named")}
    assert own["a"] == own["not named"] == config.schedule
    assert (own["b"].every, own["b"].cron) == (timedelta(hours=1), None)
    assert (own["c"].every, own["c"].cron) == (None, "5 4 * * sun")
    assert {(s.timezone, s.jitter) for s in own.values()} == {("Europe/Berlin", timedelta(minutes=1))}


@pytest.mark.parametrize(
    "text", ['every = "0s"', "every = 5", 'cron = "0 0 30 2 *"', 'every = "5m"\ncron = "0 * * * *"']
)
def test_a_wrong_schedule_of_a_workspace_is_refused_by_its_number(read: Load, text: str) -> None:
    with pytest.raises(ConfigError, match=r"\[\[workspaces\]\] number 1"):
        read(f"[[workspaces]]\nid = 'a'\n{text}\n")


def test_both_every_and_cron_are_refused(read: Load) -> None:
    with pytest.raises(ConfigError, match=r"\[schedule\] .*every.*cron"):
        read('[schedule]\nevery = "5m"\ncron = "*/5 * * * *"')


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"= 5", id="not-toml"),
        pytest.param(b"a = 1\na = 2", id="twice"),
        pytest.param(b"\xff", id="not-utf8"),
        pytest.param(b"[api]\nattempts = 1" + b"0" * 5000, id="a-number-of-5001-digits"),
        pytest.param(b"a = " + b"[" * 5000, id="endless-nesting"),
    ],
)
def test_a_file_that_is_no_toml_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        load(path, {})


WINDOWS = '[database]\r\nurl = "sqlite:///ü.db"\r\n'


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "rfsync.toml"
    path.write_bytes(WINDOWS.encode("utf-8-sig"))
    assert load(path, {}).database.url == f"sqlite:///{tmp_path / 'ü.db'}"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (WINDOWS.encode("utf-16"), "UTF-16: save it as UTF-8"),
        (WINDOWS.encode("utf-16-le"), "UTF-16: save it as UTF-8"),
        (WINDOWS.encode("utf-16-be"), "UTF-16: save it as UTF-8"),
        (WINDOWS.encode("cp1252"), r"not UTF-8 \(line 2\): save it as UTF-8"),
        ("[database]\nurl = “sqlite:///x.db”".encode(), "line 2 has a left double quotation mark: write plain quotes"),
        ("[database]\nurl = 'sqlite:///x.db’".encode(), "line 2 has a right single quotation mark"),
        ("[database]\nurl =\u00a0'sqlite:///x.db'".encode(), "line 2 has a no-break space"),
    ],
    ids=["utf-16", "utf-16-le-without-mark", "utf-16-be-without-mark", "cp1252", "quotes", "quote", "blank"],
)
def test_what_a_text_processor_made_of_a_file_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "rfsync.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"rfsync\.toml: not valid TOML: .*{reason}"):
        load(path, {})


def test_typographic_quotes_within_a_text_are_no_matter(read: Load) -> None:
    assert read('[database]\nurl = "sqlite:////“x”.db"').database.url == "sqlite:////“x”.db"


def test_a_file_that_can_not_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(str(tmp_path))):
        load(tmp_path, {})


# Keys


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{name} = "{key}"', "the top level"),
        ('[api]\n{name} = "{key}"', r"\[api\]"),
        ('api.{name} = "{key}"', r"\[api\]"),
        ('[daemon]\n{name} = ["{key}"]', r"\[daemon\]"),
        ('[keys]\n{name} = "{key}"', r"\[keys\]"),
        (ACME + '{name} = "{key}"', r"\[\[workspaces\]\]"),
        (ACME + '[[workspaces]]\nid = "b"\n{name} = "{key}"', r"\[\[workspaces\]\]"),
        ('[workspaces]\n{name} = "{key}"', r"\[workspaces\]"),
    ],
    ids=["top", "table", "dotted", "in-a-list", "unknown-table", "workspace", "second-workspace", "no-array"],
)
def test_a_key_in_the_file_is_refused_unseen_with_how_to_do_it(read: Load, text: str, where: str) -> None:
    for name in ("api_key", "apikey", "API-KEY", "key", "token", "secret", "roboflow_api_key"):
        with pytest.raises(ConfigError, match=where) as caught:
            read(text.replace("{name}", name).replace("{key}", KEY))
        for part in ("api_key_env", "api_key_file", repr(name)):
            assert part in str(caught.value)
        assert KEY not in "".join(chain(caught.value))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'{ACME}api_key_env = "{KEY}"', id="where-the-name-of-a-variable-belongs"),
        pytest.param(f'{ACME}api_key_env = ["{KEY}"]', id="in-a-list"),
        pytest.param(f'[workspaces.acme]\napi_key = "{KEY}"', id="in-a-table-of-another-make"),
        pytest.param(f'[api]\nbase_url = "https://h/?api_key={KEY}"', id="in-the-query"),
        pytest.param(f'[api]\nbase_url = "https://{KEY}@h/"', id="as-user"),
        pytest.param(f'[api]\nbase_url = "https://:{KEY}@h:x/"', id="as-password"),
        pytest.param(f'[api]\nbase_url = "https://h/#{KEY}"', id="in-the-fragment"),
        pytest.param(f'{ACME}base_url = "https://h/?api_key={KEY}"', id="in-the-query-for-one-workspace"),
        pytest.param(f'[api]\nrf_credential = "{KEY}"', id="under-another-name"),
        pytest.param(f"[api]\napi_key = {KEY}", id="without-quotes"),
        pytest.param(f'[api\napi_key = "{KEY}"', id="in-broken-toml"),
    ],
)
def test_what_is_most_likely_a_key_is_never_shown(read: Load, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert KEY not in "".join(chain(caught.value))


@pytest.mark.parametrize("name", ["A", "_A1", "ROBOFLOW_API_KEY"])
def test_the_name_of_a_variable_is_taken(read: Load, name: str) -> None:
    assert read(f'{ACME}api_key_env = "{name}"').workspaces[0].api_key_env == name


def test_the_database_url_is_not_shown_with_the_configuration(read: Load) -> None:
    config = read('[database]\nurl = "postgresql://user:hunter22@h/d"')
    assert "hunter22" not in f"{config} {config!r} {config.database}"


# Where it comes from


@pytest.mark.parametrize(
    ("option", "variable", "file", "expected"),
    [
        pytest.param("sqlite:///o", "sqlite:///v", "sqlite:///f", "sqlite:///o", id="the-command-line-beats-all"),
        pytest.param(None, "sqlite:///v", "sqlite:///f", "sqlite:///v", id="the-environment-beats-the-file"),
        pytest.param(None, None, "sqlite:////f", "sqlite:////f", id="the-file-beats-the-default"),
        pytest.param(None, None, None, "sqlite:///rfsync.db", id="the-default"),
        pytest.param("sqlite:///o", None, None, "sqlite:///o", id="the-command-line-without-a-file"),
        pytest.param(None, "sqlite:///v", None, "sqlite:///v", id="the-environment-without-a-file"),
        pytest.param(None, "", "sqlite:////f", "sqlite:////f", id="an-empty-variable-is-none"),
        pytest.param("", "sqlite:///v", None, "sqlite:///v", id="an-empty-option-is-none"),
    ],
)
def test_precedence_of_the_database_url(
    tmp_path: Path, option: str | None, variable: str | None, file: str | None, expected: str
) -> None:
    path = tmp_path / "rfsync.toml"
    path.write_text("" if file is None else f'[database]\nurl = "{file}"')
    env = {} if variable is None else {"RFSYNC_DATABASE_URL": variable}
    assert load(None if file is None else path, env, database_url=option).database.url == expected


def test_the_file_is_the_given_one_else_the_variable_s_else_the_one_here_else_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    users = user_config_path("rfsync", appauthor=False)
    assert users.is_relative_to(tmp_path)
    for folder in (here, users):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    given, named = tmp_path / "given.toml", tmp_path / "named.toml"
    env = {"RFSYNC_CONFIG": str(named)}
    assert find_file(None, {}) is None
    (users / "rfsync.toml").touch()
    assert find_file(None, {}) == users / "rfsync.toml"
    (here / "rfsync.toml").touch()
    assert find_file(None, {}) == Path("rfsync.toml")
    assert find_file(None, {"RFSYNC_CONFIG": ""}) == Path("rfsync.toml")
    named.touch()
    assert find_file(None, env) == named
    given.touch()
    assert find_file(str(given), env) == given
    assert find_file(given, {"RFSYNC_CONFIG": str(tmp_path / "none.toml")}) == given


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rfsync.toml").touch()
    for missing in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match=rf"--config .*{re.escape(str(missing))}"):
            find_file(missing, {})
        with pytest.raises(ConfigError, match=rf"\$RFSYNC_CONFIG .*{re.escape(str(missing))}"):
            find_file(None, {"RFSYNC_CONFIG": str(missing)})


@pytest.mark.parametrize("around", ["{}\r", " {}\n", "\t{} \r\n", "\u00a0{}"])
def test_blanks_around_what_the_environment_gives_are_no_part_of_it(tmp_path: Path, around: str) -> None:
    path = tmp_path / "rfsync.toml"
    path.touch()
    assert find_file(None, {"RFSYNC_CONFIG": around.format(path)}) == path
    assert load(None, {"RFSYNC_DATABASE_URL": around.format("sqlite:///cr.db")}).database.url == "sqlite:///cr.db"


@pytest.mark.parametrize("blank", ["", " ", "\r\n"])
def test_a_blank_variable_is_one_that_is_not_set(blank: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_file(None, {"RFSYNC_CONFIG": blank}) is None
    assert load(None, {"RFSYNC_DATABASE_URL": blank}) == load(None, {})


@pytest.mark.parametrize("control", ["\r", "\n", "\x1b", "\x7f", "\x85"])
def test_control_characters_within_a_variable_are_refused_unseen(control: str) -> None:
    for take, name in ((load, "RFSYNC_DATABASE_URL"), (find_file, "RFSYNC_CONFIG")):
        with pytest.raises(ConfigError, match=rf"^\${name} has a line break or another control") as caught:
            take(None, {name: f"postgresql://user:{KEY}{control}@host/name"})  # type: ignore[operator]
        assert KEY not in "".join(chain(caught.value))


def test_the_file_may_come_through_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert find_file(tmp_path / "pipe", {}) == tmp_path / "pipe"


# Its small languages


def not_refused(texts: Iterable[str], take: Callable[[str], object], error: type[Exception], said: str) -> list[str]:
    """Those of ``texts`` that are taken, or refused without a word of what they are about."""
    taken = []
    for text in texts:
        try:
            take(text)
        except error as refusal:
            if said in str(refusal):
                continue
        taken.append(text)
    return taken


@pytest.mark.parametrize(
    "url",
    [
        "https://api.roboflow.com",
        "https://api.roboflow.com/",
        "HTTPS://proxy.example:8443/roboflow/v1",
        "http://127.0.0.1:8000",
        "http://[::1]:8000",
        "http://localhost:8000/x",
        "HTTP://LOCALHOST",
    ],
)
def test_a_base_url_is_https_or_on_this_machine(read: Load, url: str) -> None:
    assert read(f'[api]\nbase_url = "{url}"').api.base_url == url


HTTP = ["api.roboflow.com", "10.0.0.1", "192.168.0.1", "127.0.0.1.example.com", "localhost.example.com", "127.1"]
# What looks like this machine and isn't, and what may well be this machine, but says so in a way that others read
# otherwise: 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1 to some, 0.0.0.0 is every address there is.
TRICKY = [
    *["localhost.evil.example", "127.0.0.1.evil.example", "localhost.", "127.0.0.1.", "localhost%2eevil.example"],
    *["0.0.0.0", "[::]", "[::ffff:10.0.0.1]", "[fe80::1]", "2130706433", "0x7f.1", "0x7f000001", "0177.0.0.1"],  # noqa: S104
    "0",
    *["127.0.0.1;evil.example", "127.0.0.1,evil.example", "127.0.0.1%00.evil.example", "evil.example:80"],
]


@pytest.mark.parametrize(
    "urls",
    [
        pytest.param([f"http://{host}" for host in HTTP], id="plain-http-to-another-machine"),
        pytest.param([f"HTTP://{host}/x" for host in (*HTTP, *TRICKY)], id="in-capitals"),
        pytest.param([f"http://{host}" for host in TRICKY], id="plain-http-to-what-looks-like-this-machine"),
        pytest.param(["https://user@h", "https://@h", "https://user:pw@h"], id="a-user"),
        pytest.param(
            ["http://user@127.0.0.1", "http://127.0.0.1@h", "http://127.0.0.1:80@h", "http://127.0.0.1\\\\@h"],
            id="a-user-that-looks-like-this-machine",
        ),
        pytest.param(["https://h?x=1", "https://h/#x"], id="more-than-a-path"),
        pytest.param(["file:///etc/passwd", "//api.roboflow.com", "api.roboflow.com:443"], id="another-scheme"),
        pytest.param(["https://[::1", "https://[h]", "https://h\u2100", "https://h:bad"], id="no-host-or-port"),
        pytest.param(["https://h/?", "https://h/#"], id="an-empty-query"),
        pytest.param(["https://h ", " https://h", "https:// h", "https://h\\n", "https://h\\u0000"], id="blanks"),
    ],
)
def test_another_base_url_is_refused(read: Load, urls: list[str]) -> None:
    def take(url: str) -> Config:
        return read(f'[api]\nbase_url = "{url}"')

    def take_for_one(url: str) -> Config:
        return read(f'[[workspaces]]\nid = "other"\n{ACME}base_url = "{url}"')

    assert not_refused(urls, take, ConfigError, "[api] base_url") == []
    assert not_refused(urls, take_for_one, ConfigError, "[[workspaces]] number 2 (acme) base_url") == []


def test_a_workspace_may_have_a_base_url_of_its_own(read: Load) -> None:
    config = read(f'{ACME}base_url = "https://api.roboflow.eu"\n[[workspaces]]\nid = "other"')
    assert config.base_urls == {"acme": "https://api.roboflow.eu"}
    assert config.api.base_url == "https://api.roboflow.com"
    with pytest.raises(ConfigError, match=r"\[\[workspaces\]\] number 1 base_url: must be text in quotes"):
        read(f"{ACME}base_url = 5")


def test_loopback_is_this_machine_alone() -> None:
    hosts = ["localhost", "127.0.0.1", "127.255.255.254", "::1", "::", "10.0.0.1", "localhost.evil", "", "a"]
    assert [host for host in hosts if is_loopback(host)] == hosts[:4]


def test_a_duration_is_a_number_and_a_unit() -> None:
    for text, expected in {
        "90s": timedelta(seconds=90), "5m": timedelta(minutes=5), "12h": timedelta(hours=12), "30d": timedelta(days=30),
        "0s": timedelta(0), "007m": timedelta(minutes=7), "36500d": timedelta(days=36_500),
    }.items():  # fmt: skip
        assert parse_duration(text) == expected
    wrong = ["", "5", "m", "5 m", "-5m", "1.5h", "5M", "5m30s", "1w", "5m\n5m", "1111111111s", "36501d", "٣d"]
    assert not_refused(wrong, parse_duration, ValueError, "duration") == []


def test_listen_is_a_host_and_a_port() -> None:
    assert parse_listen("127.0.0.1:9108") == ("127.0.0.1", 9108)
    assert parse_listen("[::1]:80") == ("::1", 80)
    assert parse_listen("localhost:0") == ("localhost", 0)
    assert parse_listen("h:65535") == ("h", 65_535)
    wrong = ["", ":", "h", "h:", ":80", "h:65536", "h:-1", "h:+1", "h:1.5", "h:²", "h:" + "9" * 5000]
    assert not_refused(wrong, parse_listen, ValueError, "") == []


def test_listen_has_a_host_and_an_ipv6_address_its_brackets() -> None:
    assert not_refused(["[]:80", "[:80", "::1:80"], parse_listen, ValueError, "HOST:PORT") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("acme", Target("acme", None)), ("acme/widgets", Target("acme", "widgets")),
        ("Acme-1/wid_gets.2", Target("Acme-1", "wid_gets.2")), ("äöü/日本", Target("äöü", "日本")),
    ],
)  # fmt: skip
def test_a_target_is_a_workspace_or_one_of_its_projects(text: str, expected: Target) -> None:
    assert parse_target(text) == expected
    assert str(expected) == text


def test_anything_else_is_no_target() -> None:
    wrong = [
        "", "/", "acme/", "/widgets", "a/b/c", "a//b", "a b", "a/b ", "a/*", "*", ".", "..", "a/..", "./b", "a/b?x",
        "a/b#x", "a\\b", "a\nb", "a\x00b", "a/\x7f", "a\ud800", "https://app.roboflow.com/acme/widgets",
    ]  # fmt: skip
    assert not_refused(wrong, parse_target, ConfigError, "TARGET") == []


# Messages


@pytest.mark.parametrize(
    ("text", "corrected"),
    [
        ('[api]\nattempts = "3"', "without quotes or unit: write attempts = 3"),
        ('[api]\ndeadline_seconds = "90s"', "write deadline_seconds = 90"),
        ("[api]\nattempts = 5.0", "whole number: write attempts = 5"),
        ("[api]\nattempts = true", "whole number: such as attempts = 5"),
        ("[api]\nattempts = 101", "must be at most 100, and 101 is not: such as attempts = 5"),
        ("[api]\nmax_wait_seconds = -0.1", "must be at least 0, and -0.1 is not: such as max_wait_seconds = 60.0"),
        ('[api]\nauth = "basic"', 'must be "bearer" or "query": write auth = "bearer"'),
        ('[jobs]\nsync = "yes"', 'must be "auto", true or false: write sync = "auto"'),
        ('[jobs]\nsync = "false"', "write sync = false"),
        ("[jobs]\npeople = false", 'must be "address" or "pseudonym": write people = "address"'),
        ('[api]\nbase_url = "api.roboflow.eu"', 'write base_url = "https://api.roboflow.eu"'),
        ("[database]\nurl = 5", 'text in quotes: write url = "sqlite:///rfsync.db"'),
        ("[schedule]\nevery = 300", 'in quotes, with its unit: such as every = "5m"'),
        ('[schedule]\nevery = "5 min"', "'5 min' is not a duration: write 90s, 5m, 12h or 30d; such as every = \"5m\""),
        ('[schedule]\ncron = "@hourly"', '1 fields instead of five: such as cron = "*/5 * * * *"'),
        ('[schedule]\ntimezone = "CET time"', 'such as timezone = "Europe/Berlin"'),
        ('[daemon]\nlisten = "9108"', 'such as listen = "127.0.0.1:9108"'),
        (ACME + 'projects = "widgets"', 'a list of texts: write projects = ["widgets"]'),
        (ACME + 'projects = "widgets, gears"', 'write projects = ["widgets", "gears"]'),
        (ACME + "projects = [5]", 'write projects = ["5"]'),
        (ACME + "projects = [[]]", 'write projects = ["*"]'),
        (ACME + 'projects = ["acme/widgets", "gears"]', 'write projects = ["widgets", "gears"]'),
        (ACME + 'projects = ["https://app.roboflow.com/acme/widgets"]', 'write projects = ["widgets"]'),
        (ACME + 'projects = ["other/gears"]', '[[workspaces]] table with id = "other", as projects = ["gears"]'),
        (ACME + 'exclude = "scratch-*"', 'write exclude = ["scratch-*"]'),
        (ACME + 'exclude = ["acme/scratch-*"]', 'write exclude = ["scratch-*"]'),
        (ACME + 'exclude = ["*/scratch-*"]', 'write exclude = ["scratch-*"]'),
        (ACME + 'api_key_env = "$ROBOFLOW_API_KEY"', 'such as api_key_env = "ROBOFLOW_API_KEY"'),
        (ACME + ACME, 'keep one, with projects = ["*"]'),
        (f'{ACME}projects = ["a"]\n{ACME}projects = ["b", "a"]', 'keep one, with projects = ["a", "b"]'),
        ('[[workspaces]]\nid = "acme/widgets"', 'write id = "acme" and projects = ["widgets"]'),
        ('[[workspaces]]\nid = "acme/b"\nprojects = ["a"]', 'write id = "acme" and projects = ["a", "b"]'),
        ('[[workspaces]]\nid = "https://app.roboflow.com/acme"', 'write id = "acme"'),
        ('[[workspaces]]\nid = "Acme Inc"', "'Acme Inc' is no id: write the one in app.roboflow.com/ID"),
        ("[[workspaces]]\nid = 5", 'text in quotes: write id = "5"'),
        ("[[workspaces]]", 'id is missing: write id = "acme"'),
        ('[workspaces]\nid = "acme"', "too few brackets: write [[workspaces]], one for each workspace"),
        ('[workspaces.acme]\nprojects = ["a"]', '[workspaces.acme] must be [[workspaces]], with id = "acme" below it'),
        ('[[workspace]]\nid = "acme"', "unknown key 'workspace': write [[workspaces]]"),
        ('workspaces = ["acme"]', "write [[workspaces]] in a line of its own, and its keys below it"),
        ("[[api]]\nattempts = 3", "[[api]] has too many brackets: write [api]"),
        ("api = 5", "write [api] in a line of its own, and its keys below it"),
        ("attempts = 3", "attempts belongs below a line [api]"),
        ('[api]\nevery = "5m"', "every belongs below a line [schedule] or [[workspaces]]"),
        (ACME + "attempts = 3", "attempts belongs below a line [api]"),
        (ACME + 'Projects = ["a"]', "unknown key 'Projects': write projects"),
        (ACME + 'project = ["a"]', "unknown key 'project': write projects"),
        ("[daemon]\nport = 9108", "unknown key 'port': the keys here are listen"),
        ('[api]\nfolder = "x"', "unknown key 'folder': the keys here are base_url,"),
        ('folder = "x"', "unknown key 'folder': the keys here are database,"),
        (
            ACME + 'id = "b"',
            "line 3: id stands in this table already; each workspace begins with a line [[",
        ),
        ("[[workspaces]]\nid = acme", 'line 2: id needs a value, and text stands in quotes: id = "…"'),
        ('[[workspaces]]\nid: "acme"', 'line 2: write id = "…", with = and not with :'),
        ("[schedule]\nevery = 5m", 'line 2: text stands in quotes, as a whole: every = "…"'),
    ],
)
def test_an_error_says_what_was_written_and_the_corrected_line(read: Load, text: str, corrected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert corrected in str(caught.value)
    assert "`" not in str(caught.value)  # as in msgspec's own words


# Paths


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("sqlite:///rfsync.db", "sqlite:///{folder}/rfsync.db"),
        ("sqlite:///data/x.db", "sqlite:///{folder}/data/x.db"),
        ("sqlite:///../x.db", "sqlite:///{folder}/../x.db"),
        ("sqlite+pysqlite:///x.db", "sqlite+pysqlite:///{folder}/x.db"),
        ("sqlite:////var/x.db", "sqlite:////var/x.db"),
        ("sqlite:///~/x.db", "sqlite:///~/x.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("postgresql:///rfsync", "postgresql:///rfsync"),
        ("rfsync.db", "rfsync.db"),
    ],
)
def test_a_relative_path_in_the_file_starts_from_its_folder(tmp_path: Path, written: str, expected: str) -> None:
    path = tmp_path / "rfsync.toml"
    path.write_text(f'[database]\nurl = "{written}"')
    assert load(path, {}).database.url == expected.format(folder=tmp_path)
    assert load(path, {}, database_url="sqlite:///x.db").database.url == "sqlite:///x.db"
    assert load(path, {"RFSYNC_DATABASE_URL": "sqlite:///x.db"}).database.url == "sqlite:///x.db"


def test_the_folder_of_a_link_is_where_the_link_is(tmp_path: Path) -> None:
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles" / "mine.toml").touch()
    (tmp_path / "rfsync.toml").symlink_to("dotfiles/mine.toml")
    assert load(tmp_path / "rfsync.toml", {}).database.url == f"sqlite:///{tmp_path / 'rfsync.db'}"


def test_a_file_that_comes_through_a_pipe_has_no_folder(tmp_path: Path) -> None:
    (tmp_path / "rfsync.toml").write_text('[database]\nurl = "sqlite:///x.db"')
    with (tmp_path / "rfsync.toml").open("rb") as file:
        for name in (f"/dev/fd/{file.fileno()}", f"/proc/{os.getpid()}/fd/{file.fileno()}"):
            file.seek(0)
            assert load(Path(name), {}).database.url == "sqlite:///x.db"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=['[database]\nurl = "sqlite:///y.db"'])
    writer.start()
    assert load(pipe, {}).database.url == "sqlite:///y.db"
    writer.join()


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rfsync.toml").touch()
    assert find_file(None, {"RFSYNC_CONFIG": "~/rfsync.toml"}) == tmp_path / "rfsync.toml"
    assert parse_url("sqlite:///~/x.db").database == str(tmp_path / "x.db")
