"""The database itself cancels a dashboard query that takes too long."""

from __future__ import annotations

import pytest

from rfsync.dashboard import timeouts
from rfsync.database.engine import open_engine
from rfsync.database.url import parse_url
from rfsync.errors import DatabaseError
from rfsync.history.query import Query

LONG = """SELECT count(*) FROM (
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT i FROM n) counted"""


def test_a_slow_query_is_cancelled(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "QUERY_TIMEOUT", 0.1)
    engine = timeouts.limit_query_time(open_engine(parse_url(database_url), read_only=True))
    with pytest.raises(DatabaseError, match=r"counting: (interrupted|canceling statement due to statement timeout)"):
        list(Query(engine, None).rows("counting", LONG, tuple))
    # The limit starts anew with the next query.
    assert list(Query(engine, None).rows("querying", "SELECT 1", tuple)) == [(1,)]


def test_a_query_within_the_limit_is_answered(database_url: str) -> None:
    engine = timeouts.limit_query_time(open_engine(parse_url(database_url), read_only=True))
    short = LONG.replace("2000000000", "200000")
    assert list(Query(engine, None).rows("counting", short, tuple)) == [(200_000,)]
