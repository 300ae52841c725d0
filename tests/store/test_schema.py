from rfsync.database import open_database, parse_url
from rfsync.schema import HEAD, current


def test_fixture(database_url: str) -> None:
    database = open_database(parse_url(database_url))
    with database.begin("testing") as connection:
        assert current(connection) == HEAD
    database.close()
