"""``rfsync digest``."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rfsync.cli.options import Options, make_command, utc_now
from rfsync.cli.output import as_json, tell
from rfsync.cli.queries import warn_of_renamed
from rfsync.errors import ConfigError
from rfsync.text import rfc3339, shown_name

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from rfsync.config import Config
    from rfsync.digests import Form
    from rfsync.digests.notify import Message, Notifier
    from rfsync.history import Digest


@make_command("""rfsync digest
rfsync digest acme/widgets --since 30d --format markdown
RFSYNC_NOTIFY_URL_FILE=/etc/rfsync/notify rfsync digest --notify""")
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@click.option("--since", default="7d", metavar="TIME", show_default=True, help="What happened at this time or later.")
@click.option("--format", "form", type=click.Choice(("text", "markdown", "html", "json")), default="text",
              show_default=True, help="Form of the output or message.")  # fmt: skip
@click.option("--notify", is_flag=True,
              help="Print nothing, and send it to what $RFSYNC_NOTIFY_URL or the file $RFSYNC_NOTIFY_URL_FILE names.",
)  # fmt: skip
def command(options: Options, targets: tuple[str, ...], since: str, form: Any, notify: bool) -> int:
    """Some ten lines for people: what came, was handed out and labelled, what waits longest and what is wrong.

    With --notify they are mailed, or posted to Slack, Teams or one of a hundred other services, through Apprise; exit
    code 1 if that fails. TARGET is a workspace or workspace/project; default: everything in the database. TIME is ISO
    8601, a date, or an age such as 7d.
    """
    from rfsync.cli import wiring
    from rfsync.digests import make_lines, make_title, render_page
    from rfsync.history import require_known
    from rfsync.history.arguments import read_time

    now = utc_now()
    begin = read_time(since, "--since", now)
    if begin >= now:
        raise ConfigError(f"--since {shown_name(since)} is not in the past")
    config = options.begin()
    notifier = _notifier(options, form) if notify else None
    engine = wiring.open_reader(options, config)
    warn_of_renamed(require_known(engine, targets))
    facts = _facts(engine, config, targets, begin, now)
    if notifier is not None:
        notifier.send(_message(facts, targets, form))
    elif form == "json":
        click.echo(as_json(_plain(facts)))
    else:
        click.echo(render_page(make_title(facts, targets), make_lines(facts), form), nl=False)
    return 0


def _facts(engine: Engine, config: Config, targets: tuple[str, ...], since: datetime, now: datetime) -> Digest:
    """The facts; of problems those of projects that have to be fresh, the configured ones, never observed or not."""
    from rfsync.cli.configured import look
    from rfsync.history import ProblemRow, digest
    from rfsync.ledger.projects import ProjectPath
    from rfsync.parsing import parse_target
    from rfsync.schedule import stale_at

    def stale_from(workspace: str, observed_at: datetime) -> datetime:
        return stale_at(config.schedule_of(workspace).build(), observed_at)

    jobs_off = config.jobs.sync is False
    facts = digest(engine, targets or None, since=since, now=now, stale_from=stale_from, jobs_off=jobs_off)
    overview = look(engine, config, [parse_target(target) for target in targets])
    found = {ProjectPath(row.workspace, row.project): row for row in facts.problems}
    never = [path for path in sorted(overview.expected - found.keys()) if overview.rows[path].observed_at is None]
    unknown = [ProblemRow(path.workspace, path.project, "it was never observed") for path in never]
    unknown += [
        ProblemRow(workspace, "*", "none of its projects was ever observed") for workspace in overview.unobserved
    ]
    unknown += [ProblemRow(*path, "it is gone from its workspace; its history is kept") for path in overview.departed]
    kept = [row for path, row in found.items() if path in overview.expected]
    facts = facts._replace(projects=facts.projects + len(unknown), problems=[*unknown, *kept])
    # Who wants no jobs does not need to read every week that there are none.
    return facts._replace(jobs_note="") if config.jobs.sync is False and not facts.jobs_known else facts


def _notifier(options: Options, form: str) -> Notifier:
    """What sends the message.

    Raises:
        ConfigError: there is no URL, or a wrong one, or JSON was asked for.
    """
    from rfsync.api.keys import readable_by_others
    from rfsync.digests.notify import Notifier, find_urls, notify_file

    if form == "json":
        raise ConfigError("--notify sends text, markdown or html: leave out --format json")
    notifier = Notifier(find_urls(os.environ, options.redact))
    file = notify_file(os.environ)
    if file is not None and readable_by_others(Path(file).expanduser()):
        tell(f"everybody on this machine can read {shown_name(file)}, which has URLs with secrets: chmod 600 it")
    return notifier


def _message(facts: Digest, targets: tuple[str, ...], form: Form) -> Message:
    from rfsync.digests import is_wrong, make_lines, make_title, render, to_text
    from rfsync.digests.notify import Message

    # A title is plain text, whatever its body is.
    title = to_text(make_title(facts, targets), "text", chat=True)
    return Message(title, render(make_lines(facts), form, chat=True), form, is_wrong(facts))


def _plain(value: Any) -> Any:
    """A value as JSON has it; rows as objects."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(one) for name, one in value._asdict().items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value
