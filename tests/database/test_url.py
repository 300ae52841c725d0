"""Where a database is: the URL, and what is shown of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg as psycopg_dialect

from rfsync.database.url import parse_url, shown_url, sqlite_file, url_secrets
from rfsync.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///rfsync.db", Path("rfsync.db")),
        ("sqlite:////var/lib/rfsync.db", Path("/var/lib/rfsync.db")),
        ("sqlite:///folder/with space.db", Path("folder/with space.db")),
        ("sqlite+pysqlite:///x.db", Path("x.db")),
    ],
)
def test_an_sqlite_url_names_a_file(url: str, path: Path) -> None:
    parsed = parse_url(url)
    assert (parsed.get_backend_name(), sqlite_file(parsed), url_secrets(parsed)) == ("sqlite", path, [])


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
@pytest.mark.parametrize(
    "rest",
    [
        "user@host/name", "/name", "user:pw@[::1]:5432/name?sslmode=require", "u:12?34567@h/db", "h1:1,h2:2/name",
        "u:p%40%2Fw@h/db", "u@/db?host=/var/run/x", "?host=/tmp&user=x",
        "u@%2Fvar%2FRun:5433/db",
        "u@h1,h2:7/db?target_session_attrs=any",
        "h/db?password=a+b", "u:a+b@h:1/na%20me?sslmode=disable&connect_timeout=3",
    ],
)  # fmt: skip
def test_a_postgresql_url_is_as_libpq_takes_it(scheme: str, rest: str) -> None:
    parsed = parse_url(f"{scheme}://{rest}")
    assert sqlite_file(parsed) is None
    _, given = psycopg_dialect().create_connect_args(parsed)
    expected = conninfo_to_dict(f"postgresql://{rest}")
    assert {k: str(v) for k, v in given.items() if v != ""} == {k: v for k, v in expected.items() if v != ""}


@pytest.mark.parametrize(
    "url",
    [
        "", "rfsync.db", "sqlite:", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://host/x",
        "mysql://user:hunter22@host/name", "postgresql+asyncpg://user:hunter22@host/name", "://x",
        "postgresql://user:hunter22@host:port/name", "postgresql://user:hunter22@[::1/name",
        "user:hunter22@postgresql://host/name", "psql --password hunter22 postgresql://host/name",
    ],
)  # fmt: skip
def test_another_database_is_refused_by_table_and_key_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^\[database\] url") as caught:
        parse_url(url)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("rfsync.db", "sqlite:///rfsync.db"), ("sqlite:rfsync.db", "sqlite:///rfsync.db"),
        ("sqlite://rfsync.db", "sqlite:///rfsync.db"), ("./a-b/rfsync", "sqlite:///./a-b/rfsync"),
        ("/var/lib/rfsync.db", "sqlite:////var/lib/rfsync.db"),
    ],
)  # fmt: skip
def test_a_file_is_refused_with_its_url(written: str, right: str) -> None:
    for source in ("--database", "[database] url"):
        with pytest.raises(ConfigError) as caught:
            parse_url(written, source)
        assert str(caught.value).startswith(source)
        assert str(caught.value).endswith(f": write {right}")
    assert sqlite_file(parse_url(right)) == Path(right.removeprefix("sqlite:///"))


@pytest.mark.parametrize(
    "written", ["hunter22", "u:hunter22.x@h/db", "psql --password hunter22.x", "sqlite://h/x?pw=2"]
)
def test_what_may_be_a_password_is_not_repeated(written: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_url(written)
    assert written.removeprefix("sqlite://") not in str(caught.value)


def test_a_password_with_a_slash_is_refused_before_it_is_taken_for_the_name_of_a_database() -> None:
    for rest in (
        "12/hunter22@host/name",
        "/hunter22@host/name?sslmode=require",
        "/a?hunter22@host",
        "12/a?hunter22@h/b",
    ):
        url = f"postgresql://user:{rest}"
        with pytest.raises(ConfigError, match=r"^\[database\] url.*%2F") as caught:
            parse_url(url)
        assert "hunter22" not in str(caught.value)
    for url in ("postgresql://user@host/na%40me", "postgresql://user@host/name?application_name=a@b"):
        assert parse_url(url).host == "host"


@pytest.mark.parametrize("around", [" {}", "{}\r\n", "\t{} ", "\ufeff{}"])
def test_blanks_around_a_url_are_none_of_it(around: str) -> None:
    for url in ("sqlite:///cr.db", "postgresql://user:hunter22@host/name?sslmode=require"):
        assert parse_url(around.format(url)) == parse_url(url)


@pytest.mark.parametrize("character", ["\r", "\n", "\t", "\x00", "\x1b", "\x85", "\u200b", "\u202e"])
@pytest.mark.parametrize("url", ["sqlite:///a{}b.db", "postgresql://user:hunter22{}@host/name", "postgresql://h/a{}b"])
def test_what_is_not_to_be_seen_in_a_url_is_refused(url: str, character: str) -> None:
    with pytest.raises(ConfigError, match=r"^\[database\] url has a control character") as caught:
        parse_url(url.format(character))
    assert "hunter22" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:///x.db?mode=ro", "has no options"),
        ("sqlite:///x.db?", "has no options"),
        ("postgresql://user:hunter22@h/d?sslmod=require", "know the option sslmod "),
        ("postgresql://user:hunter22@h/d?autocommit=true", "know the option autocommit "),
        ("postgresql://user:hunter22@h/d?prepare_threshold=1", "know the option prepare_threshold "),
        ("postgresql://user:hunter22@h/d?plugin=x", "know the option plugin "),
        ("postgresql://h/d?sslmode", "know the option sslmode "),
        ("postgresql://h/d?%2073slmode=x", "know one of the options "),
        ("postgresql://h/d?password=very&hunter22=x", "know one of the options "),
        ("postgresql://h/d?password=very&hunter22", "know one of the options "),
        ("postgresql://h/d?sslmode=require&sslmode=disable", "option sslmode stands there more than once"),
    ],
)
def test_options_that_a_url_can_not_have_are_refused(url: str, told: str) -> None:
    with pytest.raises(ConfigError, match=r"^\[database\] url: ") as caught:
        parse_url(url)
    assert told in str(caught.value)
    assert "hunter22" not in str(caught.value)


def test_every_option_of_libpq_is_taken() -> None:
    for option in pq.Conninfo.get_defaults():
        name = option.keyword.decode()
        assert name in {*parse_url(f"postgresql://host/name?{name}=1").query, "host"}


@pytest.mark.parametrize("password", ["hunter22", "hunter%2F22"])
@pytest.mark.parametrize(
    "shown", ["user:{}@host/name", "user:12?{}@host/name", "host/name?user=u&password={}", "host/name?sslpassword={}"]
)
def test_a_password_is_never_shown(shown: str, password: str) -> None:
    url = parse_url(f"postgresql://{shown.format(password)}")
    assert any(password in secret or "hunter/22" in secret for secret in url_secrets(url))
    assert "hunter" not in shown_url(url)
    assert "***" in shown_url(url)


def test_an_at_sign_in_a_password_needs_no_escape() -> None:
    url = parse_url("postgresql://user:a@b@host/name")
    assert (url.username, url.password, url.host) == ("user", "a@b", "host")


def test_a_password_in_the_query_is_never_shown_however_it_is_written() -> None:
    for password in ("hunter%2f22", "hunter+22"):
        assert "hunter" not in shown_url(parse_url(f"postgresql://host/name?password={password}"))
