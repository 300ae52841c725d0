"""``rfsync init``."""

from pathlib import Path

import click

from rfsync.cli.options import Options, make_command
from rfsync.errors import ConfigError


def example_path() -> Path:
    """The path of ``config.example.toml``: in the installed package, or at the top of the source tree."""
    inside = Path(__file__).parent.parent / "config.example.toml"
    return inside if inside.is_file() else Path(__file__).parents[2] / "config.example.toml"


@make_command("rfsync init\nrfsync init --config /etc/rfsync/rfsync.toml")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(options: Options, force: bool) -> None:
    """Writes a commented rfsync.toml to the current folder or to --config FILE."""
    from rfsync.cli.output import write_atomically

    path = Path(options.config_file or "rfsync.toml")
    if path.exists() and not force:
        raise ConfigError(f"{path} exists already; --force replaces it")
    with write_atomically(path) as temporary:
        temporary.write_bytes(example_path().read_bytes())
    click.echo(f"Wrote {path}. Enter your workspace in it, set ROBOFLOW_API_KEY, then: rfsync check")
