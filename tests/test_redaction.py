"""Values that must not be seen."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.api.client import Client
from rfsync.api.keys import FoundKey
from rfsync.cli.options import Options
from rfsync.config import Config, DatabaseConfig, RemovalsConfig, WorkspaceConfig
from rfsync.database.engine import open_database, open_engine
from rfsync.database.url import parse_url
from rfsync.ledger.run_locks import Leases, NoRunLocks
from rfsync.ledger.store import Store
from rfsync.redaction import Redactor, Secret, has_address, hide_addresses
from rfsync.sync.targets import Selection
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.sync.workspaces import Workspaces

KEY = "s3cr+t/K y&%"


def redactor(*secrets: str) -> Redactor:
    made = Redactor()
    for secret in secrets:
        made.add(secret)
    return made


def test_an_address_is_hidden_wherever_it_is_in_a_text() -> None:
    for text, shown in {
        "to <ann@example.com>, bob+x@b.de;": "to <***>, ***;",
        'x: "ann smith"@example.com.': "x: ***",
        r'{"labeler":"ann\u0040example.com"}': '{"labeler":"***"}',
        "?user=ann%40example.com&x=1": "?user=***&x=1",
        "no address, 5 % of 40": "no address, 5 % of 40",
    }.items():
        assert hide_addresses(text) == shown
    texts = ["ann@example.com", " a@b ", "Ann <ann@example.com>", "a@b@c", "API", "ann", "@", "a@", "ann @b", ""]
    assert [text for text in texts if has_address(text)] == texts[:4]


def test_a_secret_shows_itself_only_when_asked_to() -> None:
    secret = Secret(KEY)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!s}{secret!r}", "%s" % secret, f"{[secret]}"]  # noqa: UP031
    assert KEY not in "".join([*shown, repr(SyncTask("acme", "widgets", secret))])
    assert secret.reveal() == KEY


def test_nothing_that_holds_a_secret_shows_it() -> None:
    text = f"postgresql://someone:{quote(KEY, safe='')}@db.example/labels"
    secret, url = Secret(KEY), parse_url(text)
    settings = Config(database=DatabaseConfig(url=text), workspaces=(WorkspaceConfig(id="acme"),))
    redact = redactor(KEY)
    client = Client(settings.api, redact, lambda: datetime.now(UTC))
    database = open_database(url)
    store = Store(database, NoRunLocks())
    task = SyncTask("acme", "widgets", secret, batch_ids=("b1",))
    options = Options(database=text, redact=redact)
    engine = open_engine(url, read_only=True)
    holders: list[object] = [
        *(secret, url, settings, settings.database, client, database, Leases(database), store, task, options),
        *(engine, engine.url, engine.pool, redact, FoundKey(secret, "$ACME_KEY")),
        SyncContext(client, Workspaces(client), store, RemovalsConfig(), lambda: datetime.now(UTC), redact),
        Selection(settings.workspaces[0], secret, ("widgets",), discover=False),
    ]
    client.close()
    for holder in holders:
        shown = [repr(holder), str(holder), f"{holder}", repr([holder]), repr({"it": holder})]
        shown.append(logging.LogRecord("x", 10, "x", 1, "%s %r", (holder, holder), None).getMessage())
        # As it is, and as the URL has it.
        assert [text for text in shown if KEY in text or quote(KEY, safe="") in text] == [], type(holder)
    assert "someone" in repr(url)


def test_secrets_are_equal_when_their_values_are() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


@pytest.mark.parametrize(
    "shown",
    [
        KEY,
        f"Authorization: Bearer {KEY}",
        f"https://h/?{urlencode({'api_key': KEY})}&x=1",
        f"https://h/{quote(KEY)}/x",
        f"https://h/{quote(KEY, safe='')}/x",
        quote_plus(KEY),
        f"{KEY}{KEY}",
        f"line\n{KEY}\nline",
    ],
)
def test_a_known_secret_is_hidden_as_it_is_and_as_a_url_has_it(shown: str) -> None:
    hidden = redactor(KEY)(shown)
    assert "***" in hidden
    for form in (KEY, quote(KEY), quote(KEY, safe=""), quote_plus(KEY)):
        assert form not in hidden


@pytest.mark.parametrize("secret", ['pass"word', "pass\\word", "pässwörd", "pass'word"])
def test_a_known_secret_is_hidden_as_json_and_python_write_it(secret: str) -> None:
    for shown in (json.dumps(secret), json.dumps(secret, ensure_ascii=False), repr(secret)):
        assert redactor(secret)(shown)[1:-1] == "***"
    assert redactor(secret)(repr(secret.encode()))[2:-1] == "***"
    # Python escapes one kind of quotes where a text has both.
    assert redactor(secret)(repr(f'it\'s "{secret}"'.encode())) == repr(b'it\'s "***"')
    assert redactor(secret)(repr(f'it\'s "{secret}"')) == repr('it\'s "***"')


@pytest.mark.parametrize(
    ("secrets", "text", "expected"),
    [
        pytest.param([], "abcd", "abcd", id="nothing-known"),
        pytest.param(["abcd"], "nothing to hide", "nothing to hide", id="not-there"),
        pytest.param(["abc"], "abcdef", "abcdef", id="too-short-to-hide"),
        pytest.param([""], "abc", "abc", id="empty"),
        pytest.param(["abcd"], "xabcdx ABCD", "x***x ABCD", id="inside-a-word"),
        pytest.param(["abcd", "xxabcdxx"], "-xxabcdxx-abcd-", "-***-***-", id="one-a-part-of-the-other"),
        pytest.param(["xxabcdxx", "abcd"], "-xxabcdxx-abcd-", "-***-***-", id="in-either-order"),
        pytest.param(["abcd", "abcd"], "abcd", "***", id="told-twice"),
        pytest.param(["pässwörd"], "pässwörd p%C3%A4ssw%C3%B6rd", "*** ***", id="not-ascii"),
    ],
)
def test_what_is_hidden(secrets: list[str], text: str, expected: str) -> None:
    assert redactor(*secrets)(text) == expected


LETTERS = st.text("aB0+/ %&=é", max_size=6)
SECRETS = st.text("aB0+/ %&=é", min_size=4, max_size=6)


@settings(max_examples=12)
@given(SECRETS, LETTERS, LETTERS)
def test_no_known_secret_is_left_in_any_text(secret: str, before: str, after: str) -> None:
    redact = redactor(secret)
    assert secret not in redact(before + secret + after)
    assert quote(secret, safe="") not in redact(before + quote(secret, safe="") + after)
