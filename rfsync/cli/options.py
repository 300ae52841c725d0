"""The options that all commands share, accepted before and after the command's name."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rfsync.logs import FORMATS, LEVELS
from rfsync.redaction import Redactor
from rfsync.version import __version__

if TYPE_CHECKING:
    from rfsync.config import Config

#: Of every command.
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

_F = TypeVar("_F", bound=Callable[..., Any])


@dataclass
class Options:
    """What was said on the command line, and what follows from it."""

    config_file: str | None = None
    #: May hold a password.
    database: str | None = field(default=None, repr=False)
    log_level: str | None = None
    log_format: str | None = None
    redact: Redactor = field(default_factory=Redactor)

    def start_logging(self, default_level: str = "warning") -> None:
        """Sends logs to standard error from here on."""
        from rfsync.logs import configure

        configure(self.log_level or default_level, self.log_format or "console", self.redact)

    @property
    def database_source(self) -> str:
        """Where the database's URL was written, for messages."""
        if self.database:
            return "--database"
        return "$RFSYNC_DATABASE_URL" if os.environ.get("RFSYNC_DATABASE_URL", "").strip() else "[database] url"

    def file(self) -> Path | None:
        """The configuration file; None: there is none."""
        from rfsync.config import find_file

        return find_file(self.config_file, os.environ)

    def load(self) -> Config:
        """The configuration.

        Raises:
            ConfigError: it is wrong.
        """
        from rfsync.config import load

        return load(self.file(), os.environ, database_url=self.database)

    def flags(self) -> str:
        """The options that name configuration and database, for a command that a message proposes; no password."""
        named = (("--config", self.config_file), ("--database", self.database))
        return "".join(f" {option} {shlex.quote(self.redact(value))}" for option, value in named if value)

    def begin(self) -> Config:
        """As ``load``, and then ``start_logging``."""
        config = self.load()
        self.start_logging()
        return config


def utc_now() -> datetime:
    """This moment, aware."""
    return datetime.now(UTC)


def drop_output() -> None:
    """Sends all further output to nowhere; Python would complain once more when it closes the stream."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _keep(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and parameter.name is not None:
        setattr(ctx.ensure_object(Options), parameter.name, value)


def common_options(function: _F) -> _F:
    """Adds the common options to a command; given twice, the later place wins."""
    kept = functools.partial(click.option, callback=_keep, expose_value=False)
    for option in (
        click.version_option(__version__, prog_name="rfsync", message="%(prog)s %(version)s"),
        kept("--log-format", type=click.Choice(FORMATS), help="Form of the logs."),
        kept("--log-level", type=click.Choice(LEVELS),
             help="Least level of the logs on standard error.  [default: warning]"),
        kept("--database", metavar="URL",
             help="sqlite:///FILE or postgresql://USER@HOST/NAME; beats $RFSYNC_DATABASE_URL and the file."),
        kept("--config", "config_file", metavar="FILE",
             help="Configuration; else $RFSYNC_CONFIG, ./rfsync.toml, the user's own."),
    ):  # fmt: skip
        function = option(function)
    return function


def parsed_by(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A callback that parses an option's value; a ``ValueError`` is the user's error."""

    def callback(_: click.Context, __: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return callback


def make_command(example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with the common options, whose help ends with an example."""
    epilog = "\b\n" + "\n".join(["Example:", *(f"  {line}" for line in example.splitlines())])

    def decorate(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except BrokenPipeError:
                # Whoever read the output has had enough: no error, and not click's to turn into one.
                drop_output()
                return 0

        return click.command(epilog=epilog, context_settings=CONTEXT)(common_options(click.pass_obj(run)))

    return decorate
