"""``rfsync db``: the schema, in alembic's own words."""

import click

from rfsync.cli.options import CONTEXT, Options, common_options, make_command
from rfsync.errors import SchemaError
from rfsync.text import printable


@click.group("db", context_settings=CONTEXT, epilog="Example: rfsync db upgrade")
@common_options
def command() -> None:
    """The schema of the database.

    An SQLite database is made and upgraded by whatever opens it for writing; a PostgreSQL one only by this.
    """


@make_command("rfsync db upgrade --database postgresql://rfsync@db/labels")
def upgrade(options: Options) -> None:
    """Brings the database to this version's schema, and the tables of the workers' queue to procrastinate's."""
    from rfsync.cli import wiring
    from rfsync.database.engine import Database, open_engine
    from rfsync.database.url import sqlite_file
    from rfsync.schema import upgrade as schema
    from rfsync.schema.queue_tables import is_installed, upgrade_queue_tables

    config = options.begin()
    url = wiring.database_url(options, config)
    path = sqlite_file(url)
    missing = path is not None and not path.exists()
    engine = open_engine(url, read_only=False)
    schema.upgrade(engine, None if missing else wiring.current_revision(options, config))
    click.echo(f"The database {printable(wiring.shown_database(url))} is at schema {schema.HEAD}.")
    if path is None and is_installed():
        tables = upgrade_queue_tables(Database(engine))
        made_by = f"at procrastinate's {tables.migration}" if tables.migration else "those of another application"
        click.echo(f"The tables of the workers' queue are {made_by}.")
        if tables.problem is not None:
            raise SchemaError(tables.problem)


@make_command("rfsync db current")
def current(options: Options) -> None:
    """Shows the schema that the database is at, and the one that this version needs."""
    from rfsync.cli import wiring
    from rfsync.schema.upgrade import HEAD

    revision = wiring.current_revision(options, options.begin())
    click.echo(f"{revision or 'none'} (head)" if revision == HEAD else f"{revision or 'none'}, needed: {HEAD}")


@make_command("rfsync db check")
def check(options: Options) -> int:
    """Exits with 3 if the database is not at this version's schema, with 1 if its tables differ from it.

    Where procrastinate is installed, the tables of the workers' queue have to be at its version, too.
    """
    from rfsync.cli import wiring
    from rfsync.database.engine import Database
    from rfsync.schema import upgrade as schema
    from rfsync.schema.queue_tables import is_installed, require_queue_tables

    engine = wiring.open_reader(options, options.begin())
    if engine.dialect.name == "postgresql" and is_installed():
        require_queue_tables(Database(engine))
    differences = schema.drift(engine)
    for difference in differences:
        click.echo(difference)
    click.echo("The tables differ from this version's." if differences else "The tables are as they should be.")
    return 1 if differences else 0


for _command in (upgrade, current, check):
    command.add_command(_command)
