"""A question of the dashboard that takes too long is ended by the database itself."""

from __future__ import annotations

import pytest

from rfsync.dashboard import timeouts as bounds
from rfsync.database.engine import open_engine
from rfsync.database.url import parse_url
from rfsync.errors import DatabaseError
from rfsync.history.query import Query

LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000000000) SELECT count(*) FROM n"


def test_a_question_has_an_end(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "LONGEST", 0.1)
    engine = bounds.bounded(open_engine(parse_url(database_url), read_only=True))
    with pytest.raises(DatabaseError, match=r"counting: (interrupted|canceling statement due to statement timeout)"):
        list(Query(engine, None).rows("counting", LONG, tuple))
    # The next one has time of its own.
    assert list(Query(engine, None).rows("asking", "SELECT 1", tuple)) == [(1,)]


def test_a_question_that_ends_in_time_is_answered(database_url: str) -> None:
    engine = bounds.bounded(open_engine(parse_url(database_url), read_only=True))
    few = LONG.replace("2000000000", "200000")
    assert list(Query(engine, None).rows("counting", few, tuple)) == [(200_000,)]
