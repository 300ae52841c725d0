"""``rfsync drop``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command
from rfsync.cli.output import tell, utc_time
from rfsync.errors import ConfigError
from rfsync.parsing import Target, parse_target
from rfsync.text import printable

if TYPE_CHECKING:
    from rfsync.config import Config
    from rfsync.ledger.drop import Holding


@make_command("""rfsync drop acme/widgets
rfsync drop acme                              a workspace, with all its projects
rfsync drop acme/widgets --yes                in a script, where nobody can be asked""")
@click.argument("target", metavar="TARGET")
@click.option("--yes", is_flag=True, help="Don't ask.")
def command(options: Options, target: str, yes: bool) -> int:
    """Takes a project, or a whole workspace's, out of the database with all its history.

    Shows what would go, and asks. Only a backup brings it back: a project that is still configured begins anew with the
    next sync.
    """
    from rfsync.cli import wiring

    named = parse_target(target)
    config = options.begin()
    with closing(wiring.open_store(options, config)) as store:
        holdings = store.projects.holdings(named)
        _announce(named, holdings, config)
        if not yes and not _confirm(named, options):
            tell("nothing was dropped")
            return 1
        code = 0
        for holding in holdings:
            if store.projects.drop(holding.path):
                click.echo(printable(f"{holding.path} was dropped"))
            else:  # it was renamed, or dropped by another, since the question
                tell(f"{holding.path} is no longer there, and was not dropped: rfsync status shows what there is")
                code = 1
        left = None
        if any(holding.jobs for holding in holdings):
            # Once for all of them, since it looks through the ledger.
            store.addresses.take_out_unreferenced()
            left = store.addresses.erase()
    if left is not None:
        tell(left)
    return code


def _announce(named: Target, holdings: Sequence[Holding], config: Config) -> None:
    lines = []
    for holding in holdings:
        workspace, project = holding.path
        if workspace != named.workspace or named.project not in {None, project}:
            old = named.workspace if named.project is None else named
            lines.append(f"{old} is now {workspace if named.project is None else holding.path}: use the new id")
    lines = list(dict.fromkeys(lines))
    lines += (f"{holding.path}: {_describe(holding)}" for holding in holdings)
    configured = [str(holding.path) for holding in holdings if _is_configured(config, *holding.path)]
    if configured:
        lines.append(
            f"{', '.join(configured)}: still configured, so the next sync begins a new history; to prevent "
            "that, take it out of projects in [[workspaces]], or write it into exclude"
        )
    for line in lines:
        tell(line)


def _describe(holding: Holding) -> str:
    batches, runs = _number(holding.batches, "batch", "es"), _number(holding.runs, "run")
    if holding.since is None:
        return f"no history, {runs}"
    jobs = f"{_number(holding.jobs, 'job')}, " if holding.jobs else ""
    return f"{batches}, {jobs}{_number(holding.changes, 'change')} since {utc_time(holding.since)}, {runs}"


def _number(number: int, word: str, plural: str = "s") -> str:
    return f"{number:,} {word}{'' if number == 1 else plural}"


def _is_configured(config: Config, workspace: str, project: str) -> bool:
    return any(
        table.id == workspace and (table.discovers or project in table.projects) and not table.excludes(project)
        for table in config.workspaces
    )


def _confirm(named: Target, options: Options) -> bool:
    """Asks.

    Raises:
        ConfigError: there is nobody to ask.
    """
    if not sys.stdin.isatty():
        raise ConfigError(
            f"there is no terminal to ask on, so nothing was dropped: rfsync drop {named} --yes{options.flags()}"
        )
    return click.confirm("Drop this for good, with all its history?", err=True)
