"""The command line: ``rfsync``. Commands are imported when they are called, and what they need when they need it."""

from __future__ import annotations

import io
import os
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from rfsync.cli.options import CONTEXT, Options, common_options, drop_output
from rfsync.errors import ConfigError, DatabaseError, RfsyncError
from rfsync.text import printable
from rfsync.version import __version__

_EPILOG = """\b
Exit codes:
  0  every project was synced (or a newer observation stands)
  1  at least one project failed or was refused; the others are written.
     For verify, check and status --max-age: something is wrong
  2  the command line or the configuration is wrong; nothing was done
  3  the database can't be reached or is not at this version's schema;
     nothing was written
  70 a bug in rfsync, 130 stopped by Ctrl-C or SIGTERM

\b
First steps:
  rfsync demo                               a tour that needs no key
  ROBOFLOW_API_KEY=… rfsync sync acme/widgets
"""

#: Command -> (module with a function ``command``, what it does). In the order of the help.
_COMMANDS = {
    "init": ("init", "Writes a commented rfsync.toml."),
    "check": ("check", "Checks configuration, database, keys and projects."),
    "sync": ("sync", "Syncs each project once, then exits."),
    "daemon": ("daemon", "The same on a schedule, until it is stopped."),
    "status": ("status", "Each project's totals, last run, age and health."),
    "batches": ("batches", "The batches, as they stand or stood at a time."),
    "changes": ("changes", "The ledger: every change of every batch."),
    "totals": ("totals", "Totals and what moved, by hour, day, week or month."),
    "report": ("report", "One self-contained page of charts."),
    "dashboard": ("dashboard", "The history live in a browser."),
    "import": ("import_", "Imports saved answers as observations of the past."),
    "verify": ("verify", "Proves that the books balance."),
    "prune": ("prune", "Deletes old runs that changed nothing."),
    "db": ("db", "The schema: upgrade, current, check."),
    "simulate": ("simulate", "A local stand-in for the API."),
    "demo": ("demo", "A whole tour against the stand-in."),
}


class _Commands(click.Group):
    """Knows its commands by name, and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"rfsync.cli.{_COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Commands, epilog=_EPILOG, context_settings=CONTEXT)
@common_options
def cli() -> None:
    """Keeps the history of Roboflow's annotation batches.

    Polls the batch list of each project into SQLite or PostgreSQL, and writes every change of image and job count into
    a ledger whose sums always balance.
    """


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and returns its exit code. The one place where errors become messages."""
    # Started with >&- or 2>&-, Python has no such stream at all, and whatever writes to it would crash.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 for as long as the process lives
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115 for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that can't show a name is no reason to fail
    options = Options()

    def tell(crash: Any) -> None:
        _say(options, _bug(crash.exc_value))

    # What is raised in a thread or a destructor and handled by nobody, Python would print as it is.
    threading.excepthook = sys.unraisablehook = tell
    try:
        code = cli.main(arguments, prog_name="rfsync", standalone_mode=False, obj=options)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _say(options, "stopped")
        return 130
    except ConfigError as error:
        _say(options, printable(options.redact(f"error: {error}")))
        return 2
    except DatabaseError as error:
        _say(options, printable(options.redact(f"error: {error}")))
        return 3
    except RfsyncError as error:
        _say(options, printable(options.redact(f"error: {error}")))
        return 1
    except Exception as error:
        _say(options, _bug(error))
        return 70
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
    return code if isinstance(code, int) else 0


def _bug(error: BaseException | None) -> str:
    lines = "".join(traceback.format_exception(error)).splitlines()
    shown = "\n".join(map(printable, lines))
    return f"this is a bug in rfsync {__version__}, please report it:\n{shown}"


def _say(options: Options, text: str) -> None:
    sys.stderr.write(options.redact(f"rfsync: {text.rstrip()}\n"))
