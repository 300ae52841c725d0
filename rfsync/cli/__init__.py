"""The command line. A command is imported when it is called, and its dependencies when they are used."""

import gc
import io
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import MutableMapping, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click

from rfsync.cli.options import CONTEXT, Options, common_options, drop_output
from rfsync.errors import OPENING, ConfigError, DatabaseError, RfsyncError
from rfsync.logs import FORMATS, with_fields
from rfsync.redaction import hide_addresses
from rfsync.text import printable
from rfsync.version import __version__

_EPILOG = """\b
Exit codes:
  0  every project was synced, or superseded by a newer observation
  1  at least one project, or its job list, failed or was refused; the
     others are written. For verify, check, copy and status --max-age:
     something is wrong; for digest --notify: it was not delivered
  2  the command line or the configuration is invalid; nothing was done
  3  the database can't be reached or is not at this version's schema;
     nothing was written
  70 a bug in rfsync, 130 stopped by Ctrl-C or SIGTERM

\b
First steps:
  rfsync demo                               a tour that needs no key
  ROBOFLOW_API_KEY=… rfsync sync acme/widgets
"""

#: Command -> (module with a function ``command``, short help), in the order of the help.
_COMMANDS = {
    "init": ("init", "Writes a commented rfsync.toml."),
    "check": ("check", "Checks configuration, database, keys and projects."),
    "sync": ("sync", "Syncs each project once, then exits."),
    "daemon": ("daemon", "Syncs on a schedule, until stopped."),
    "worker": ("worker", "The daemon for many machines, on PostgreSQL."),
    "status": ("status", "Each project's totals, last run, age and health."),
    "batches": ("batches", "The batches now, or as they were at a given time."),
    "jobs": ("jobs", "The annotation jobs now, or as they were at a given time."),
    "progress": ("progress", "Where the images of each batch are now."),
    "changes": ("changes", "The ledger: every change of every batch or job."),
    "falls": ("falls", "Why the count of a batch fell."),
    "totals": ("totals", "Totals, gains and losses by hour, day, week or month."),
    "work": ("work", "Annotated, approved and rejected by time or labeler."),
    "report": ("report", "Writes one self-contained page of charts."),
    "digest": ("digest", "Some ten lines about the last days; --notify sends them."),
    "dashboard": ("dashboard", "Serves live charts of the history for a browser."),
    "import": ("import_", "Imports saved answers as past observations."),
    "verify": ("verify", "Proves that the books balance."),
    "rename": ("rename", "Gives a project or workspace its new id."),
    "forget": ("forget", "Takes a person's mail address out for good."),
    "drop": ("drop", "Takes a project or workspace out of the database."),
    "prune": ("prune", "Deletes old runs that changed nothing."),
    "copy": ("copy", "Moves everything to another database, either way."),
    "db": ("db", "The schema: upgrade, current, check."),
    "simulate": ("simulate", "Runs a local stand-in for the API."),
    "demo": ("demo", "Runs a tour against the stand-in."),
}


class _Commands(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"rfsync.cli.{_COMMANDS[cmd_name][0]}").command
        command.name = cmd_name
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Commands, epilog=_EPILOG, context_settings=CONTEXT)
@common_options
def cli() -> None:
    """Keeps the history of Roboflow's annotation batches and jobs.

    Polls the lists of batches and jobs of each project into SQLite or PostgreSQL, and writes every change of their
    counts into ledgers whose sums always balance.
    """


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code. The only place that turns errors into messages."""
    # Imports and large answers make many objects and hardly any garbage: looking for it as often as by default would be
    # a tenth of the time of a sync.
    gc.set_threshold(50_000)
    # Polls wait for the network and for the database most of the time. To switch between 32 threads as often as by
    # default is a tenth of the time of a sync, too.
    sys.setswitchinterval(0.02)
    _forget_other_programs(os.environ)
    # If the process was started with >&- or 2>&-, the stream is None and writing to it would raise an exception.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 for as long as the process lives
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # an unencodable name must not fail the command
    options = Options(log_format=_log_format(sys.argv[1:] if arguments is None else arguments))

    def report_crash(crash: Any) -> None:
        _print(options, _bug(options, crash.exc_value))

    # Exceptions that are not handled in a thread or a destructor.
    threading.excepthook = sys.unraisablehook = report_crash
    try:
        code = cli.main(arguments, prog_name="rfsync", standalone_mode=False, obj=options)
    except click.ClickException as error:
        if options.log_format == "json":
            _log(options, error.format_message())
        else:
            error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _print(options, "stopped")
        return 130
    except RfsyncError as error:
        text = str(error)
        if isinstance(error, DatabaseError) and text.startswith(f"{OPENING}: "):
            text += f"; if that is the wrong server or name, correct {options.database_source}"
        if options.log_format == "json":
            _log(options, text, details=list(error.details))
        else:
            lines = (options.redact(line) for line in (f"error: {text}", *(f"  {one}" for one in error.details)))
            _print(options, "\n".join(map(printable, lines)))
        return 2 if isinstance(error, ConfigError) else 3 if isinstance(error, DatabaseError) else 1
    except Exception as error:
        _print(options, _bug(options, error))
        return 70
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
    return code if isinstance(code, int) else 0


def _log_format(arguments: Sequence[str]) -> str | None:
    """The form of the logs that the command line asks for, even if something else of it is wrong."""
    pairs = [*pairwise(arguments), *(argument.split("=", 1) for argument in arguments if "=" in argument)]
    return next((value for name, value in pairs if name == "--log-format" and value in FORMATS), None)


#: Variables that libraries read, and that were meant for other programs: a dashboard, web application or notebook of
#: its own, or a server whose processes share their metrics. Dash and prometheus_client read lower case, too.
_OTHERS: Final = re.compile(r"(DASH|FLASK|WERKZEUG|PLOTLY|PROMETHEUS)_.*|REACT_VERSION", re.IGNORECASE)


def _forget_other_programs(env: MutableMapping[str, str]) -> None:
    for name in [name for name in env if _OTHERS.fullmatch(name)]:
        del env[name]


def _bug(options: Options, error: BaseException | None) -> str:
    lines = hide_addresses(options.redact("".join(traceback.format_exception(error)))).splitlines()
    shown = "\n".join(map(printable, lines))
    return f"this is a bug in rfsync {__version__}, please report it:\n{shown}"


def _print(options: Options, text: str) -> None:
    if options.log_format == "json":
        _log(options, text.rstrip())
        return
    sys.stderr.write(options.redact(f"rfsync: {text.rstrip()}\n"))


def _log(options: Options, text: str, **fields: object) -> None:
    """Whoever collects the logs as JSON gets what ends the command in the same form."""
    options.start_logging()
    logging.getLogger("rfsync").error(
        "%s", text, extra=with_fields({name: value for name, value in fields.items() if value})
    )
