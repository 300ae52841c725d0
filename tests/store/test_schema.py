from sqlalchemy import text

from rfsync import schema
from rfsync.engine import open_engine, parse_url
from rfsync.models import HEAD


def test_fixture(database_url: str) -> None:
    engine = open_engine(parse_url(database_url), "write")
    with engine.connect() as connection:
        assert schema.current(connection) == HEAD
        assert connection.execute(text("SELECT count(*) FROM sync_health")).scalar() == 0
    engine.dispose()
