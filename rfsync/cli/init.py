"""``rfsync init``."""

import os
import shlex
from pathlib import Path

import click

from rfsync.cli.options import Options, make_command
from rfsync.errors import ConfigError
from rfsync.text import printable, shown_name


def example_path() -> Path:
    """The path of ``config.example.toml``: in the installed package, or at the top of the source tree."""
    inside = Path(__file__).parent.parent / "config.example.toml"
    return inside if inside.is_file() else Path(__file__).parents[2] / "config.example.toml"


@make_command("rfsync init\nrfsync init --config /etc/rfsync/rfsync.toml")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(options: Options, force: bool) -> None:
    """Writes a commented rfsync.toml to the current folder or to --config FILE."""
    from rfsync.cli.files import open_for_writing

    path = options.config_file or "rfsync.toml"
    if os.path.lexists(path) and not force:
        raise ConfigError(f"{shown_name(path)} exists already; --force replaces it")
    with open_for_writing(path) as descriptor, os.fdopen(descriptor, "wb") as file:
        file.write(example_path().read_bytes())
    flag = f" --config {shlex.quote(path)}" if options.config_file else ""
    steps = f"Uncomment the table at its end, enter your workspace, set ROBOFLOW_API_KEY, then: rfsync check{flag}"
    click.echo(printable(f"Wrote {path}. {steps}"))
