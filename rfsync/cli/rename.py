"""``rfsync rename``."""

from contextlib import closing

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.parsing import parse_target
from rfsync.text import printable


@make_command("""rfsync rename acme/widgets acme/sprockets
rfsync rename acme newco                      a workspace, with all its projects""")
@click.argument("old", metavar="FROM")
@click.argument("new", metavar="TO")
def command(options: Options, old: str, new: str) -> None:
    """Tells that a project, or a whole workspace, has another URL id now.

    Its history goes on under the new id, and the old one means it from then on. A sync finds most renames by itself;
    this is for where it can't. Refused if TO was observed, since it then has a history of its own.
    """
    from rfsync.cli import wiring

    before, after = parse_target(old), parse_target(new)
    if (before.project is None) != (after.project is None):
        raise click.BadParameter("FROM and TO are both WORKSPACE/PROJECT, or both WORKSPACE", param_hint="TO")
    if before == after:
        raise click.BadParameter(f"it is {old!r} already", param_hint="TO")
    config = options.begin()
    with closing(wiring.open_store(options, config)) as store:
        for was, now in store.projects.rename(before, after, utc_now()):
            click.echo(printable(f"{was} is now {now}"))
