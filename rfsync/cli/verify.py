"""``rfsync verify``."""

from dataclasses import asdict
from typing import Final

import click

from rfsync.cli.options import Options, make_command
from rfsync.cli.output import as_json as to_json
from rfsync.text import printable

_ADVICE: Final = """
What to do:
- Change nothing by hand. Stop the syncs, and keep a copy of the database as it is.
- If there is a backup that passes rfsync verify, restore it (docs/operations.md, Restore).
- If nothing but rfsync has written to the database, and the disk is sound, it is a bug: report it with these lines."""
_LAST_WAY: Final = """
- The last way is to begin anew, without its history: rfsync drop {project}{flags}; rfsync sync {project}{flags}"""


@make_command("rfsync verify\nrfsync verify --database postgresql://rfsync@db/labels --json")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(options: Options, as_json: bool) -> int:
    """Proves that the books balance, and names whatever does not.

    Recomputes every sum from the ledgers: batches, jobs, projects, days, labelers and runs. Says in words what is
    wrong, one line each, and what to do next. Read-only; exits with 1 on a finding.
    """
    from rfsync.cli import wiring
    from rfsync.ledger.rules import OF_WORKSPACE
    from rfsync.ledger.verify import verify

    verdict = verify(wiring.open_reader(options, options.begin()))
    if as_json:
        named = [{**asdict(finding), "message": str(finding)} for finding in verdict.findings]
        click.echo(to_json({"ok": verdict.ok, **asdict(verdict), "findings": named}))
        return 0 if verdict.ok else 1
    of_batches = f"{verdict.changes:,} changes of {verdict.batches:,} batches"
    of_jobs = f"{verdict.job_changes:,} changes of {verdict.jobs:,} jobs"
    scope = f"{of_batches} and {of_jobs} in {verdict.projects:,} project{'' if verdict.projects == 1 else 's'}"
    if verdict.ok:
        click.echo(f"The books balance: {scope}.")
        return 0
    for finding in verdict.findings:
        click.echo(printable(str(finding)))
    if verdict.total > len(verdict.findings):
        click.echo(f"… and {verdict.total - len(verdict.findings):,} more.")
    findings = f"{verdict.total:,} finding{'' if verdict.total == 1 else 's'}"
    click.echo(f"The books do not balance: {findings} in {scope}.")
    # What is wrong with the sums of a workspace is not mended by dropping one of its projects.
    own = [finding for finding in verdict.findings if finding.rule not in OF_WORKSPACE and finding.project is not None]
    last_way = _LAST_WAY.format(project=f"{own[0].workspace}/{own[0].project}", flags=options.flags()) if own else ""
    click.echo("\n".join(map(printable, f"{_ADVICE}{last_way}".split("\n"))))
    return 1
