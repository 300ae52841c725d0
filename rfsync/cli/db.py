"""``rfsync db``: the schema, in alembic's own words."""

import click

from rfsync.cli.options import CONTEXT, Options, common_options, make_command
from rfsync.text import printable


@click.group("db", context_settings=CONTEXT, epilog="Example: rfsync db upgrade")
@common_options
def command() -> None:
    """The schema of the database.

    An SQLite database is made and upgraded by whatever opens it for writing; a PostgreSQL one only by this.
    """


@make_command("rfsync db upgrade --database postgresql://rfsync@db/labels")
def upgrade(options: Options) -> None:
    """Brings the database to this version's schema."""
    from rfsync.cli import wiring
    from rfsync.database.engine import open_engine
    from rfsync.database.url import sqlite_file
    from rfsync.schema import upgrade as schema

    config = options.begin()
    url = wiring.database_url(options, config)
    path = sqlite_file(url)
    missing = path is not None and not path.exists()
    schema.upgrade(open_engine(url, read_only=False), None if missing else wiring.current_revision(options, config))
    click.echo(f"The database {printable(wiring.shown_database(url))} is at schema {schema.HEAD}.")


@make_command("rfsync db current")
def current(options: Options) -> None:
    """Shows the schema that the database is at, and the one that this version needs."""
    from rfsync.cli import wiring
    from rfsync.schema.upgrade import HEAD

    revision = wiring.current_revision(options, options.begin())
    click.echo(f"{revision or 'none'} (head)" if revision == HEAD else f"{revision or 'none'}, needed: {HEAD}")


@make_command("rfsync db check")
def check(options: Options) -> int:
    """Exits with 3 if the database is not at this version's schema, with 1 if its tables differ from it."""
    from rfsync.cli import wiring
    from rfsync.schema import upgrade as schema

    differences = schema.drift(wiring.open_reader(options, options.begin()))
    for difference in differences:
        click.echo(difference)
    click.echo("The tables differ from this version's." if differences else "The tables are as they should be.")
    return 1 if differences else 0


for _command in (upgrade, current, check):
    command.add_command(_command)
