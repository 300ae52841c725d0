"""``rfsync verify``."""

from dataclasses import asdict

import click

from rfsync.cli.options import Options, make_command
from rfsync.cli.output import as_json as to_json
from rfsync.text import printable


@make_command("rfsync verify\nrfsync verify --database postgresql://rfsync@db/labels --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(options: Options, as_json: bool) -> int:
    """Proves that the books balance, and names whatever does not.

    Recomputes every sum from the ledger: batches, projects, days and runs. Read-only; exits with 1 on a finding.
    """
    from rfsync.cli import wiring
    from rfsync.ledger.verify import verify

    verdict = verify(wiring.open_reader(options, options.begin()))
    if as_json:
        click.echo(to_json({"ok": verdict.ok, **asdict(verdict)}))
        return 0 if verdict.ok else 1
    scope = f"{verdict.changes:,} changes of {verdict.batches:,} batches in {verdict.projects:,} projects"
    if verdict.ok:
        click.echo(f"The books balance: {scope}.")
        return 0
    for finding in verdict.findings:
        click.echo(printable(str(finding)))
    if verdict.total > len(verdict.findings):
        click.echo(f"… and {verdict.total - len(verdict.findings):,} more.")
    click.echo(f"The books do not balance: {verdict.total:,} findings in {scope}.")
    return 1
