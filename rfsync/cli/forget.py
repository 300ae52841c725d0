"""``rfsync forget``."""

from contextlib import closing

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import tell
from rfsync.errors import ConfigError, RfsyncError


@make_command("""rfsync forget ann@example.com""")
@click.argument("addresses", metavar="ADDRESS", nargs=-1)
def command(options: Options, addresses: tuple[str, ...]) -> None:
    """Takes a person's mail address out of the database, for good.

    The person's work stays, under a number: person-7. If the address comes again, it is not stored. Capitals don't
    matter. docs/privacy.md says what backups and exported files still have.
    """
    from rfsync.cli import wiring

    # No message repeats what was given: logs are kept, too.
    for text in addresses:
        options.redact.add(text)
    if len(addresses) != 1 or not addresses[0].strip():
        raise ConfigError("forget takes one ADDRESS, such as: rfsync forget ann@example.com")
    config = options.begin()
    with closing(wiring.open_store(options, config)) as store:
        number = store.addresses.forget(addresses[0], utc_now())
        if number is None:
            raise RfsyncError("no person of this address is in the database, so nothing was changed")
        click.echo(f"forgotten: the address of person-{number} is in the database no more, and will not be again")
        left = store.addresses.erase()
    if left is not None:
        tell(left)
