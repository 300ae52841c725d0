"""The command, the stand-in and the databases of the end-to-end tests, and the role that only reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.e2e.conftest import Cli, MakeCli, cli, fresh, make_cli, simulator, world

__all__ = ["cli", "fresh", "make_cli", "simulator", "world"]

DEPLOY = Path(__file__).parents[2] / "deploy"


@dataclass(frozen=True)
class Reader:
    """A PostgreSQL database with the role of ``deploy/postgres/reader.sql``."""

    cli: Cli

    @property
    def url(self) -> str:
        """Of that role."""
        return make_url(self.cli.database.url).set(username="rfsync_reader").render_as_string(hide_password=False)

    def make(self) -> None:
        """Runs the file as the owner."""
        self.cli.database.execute((DEPLOY / "postgres" / "reader.sql").read_text())


@pytest.fixture
def reader(
    make_cli: MakeCli, new_postgres: Callable[[str | None], str], postgres_template: str, world: object
) -> Iterator[Reader]:
    """On an empty database at this version's schema."""
    made = Reader(make_cli(new_postgres(postgres_template)))
    made.cli.list()
    made.make()
    yield made
    made.cli.database.execute("DROP OWNED BY rfsync_reader", "DROP ROLE rfsync_reader")
