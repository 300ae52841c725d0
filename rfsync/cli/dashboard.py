"""``rfsync dashboard``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command
from rfsync.errors import ConfigError
from rfsync.parsing import is_loopback, parse_listen

if TYPE_CHECKING:
    from rfsync.config import Config


def _address(_: click.Context, __: click.Parameter, value: str) -> tuple[str, int]:
    try:
        return parse_listen(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@make_command(
    "dashboard",
    example="""rfsync dashboard
rfsync dashboard --listen 127.0.0.1:0
rfsync dashboard --listen 127.0.0.1:8050 --host rfsync.example.com   behind a reverse proxy""",
)
@click.option(
    "--listen", callback=_address, default="127.0.0.1:8050", metavar="HOST:PORT", show_default=True,
    help="Where; port 0 is any that is free.",
)  # fmt: skip
@click.option(
    "--host", "hosts", multiple=True, metavar="NAME[:PORT]",
    help="A further name that it may be asked by; can be repeated.",
)  # fmt: skip
def command(options: Options, listen: tuple[str, int], hosts: tuple[str, ...]) -> int:
    """The history live in a browser, read-only, until SIGTERM or Ctrl-C.

    Whoever reaches the address can read all of it: it has no login, and is not reached from elsewhere unless --listen
    says so.
    """
    try:
        from rfsync.dashboard.app import make_app
        from rfsync.dashboard.callbacks import Source
        from rfsync.dashboard.security import Hosts
        from rfsync.dashboard.server import listen as bind
        from rfsync.dashboard.server import serve
        from rfsync.dashboard.timeouts import bounded
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "rfsync":
            raise
        raise ConfigError(f"the dashboard needs {error.name}: pip install 'rfsync[dashboard]'") from None
    config = options.load()
    options.start_logging()
    engine = bounded(options.reader(config))
    host, _ = listen
    bound = bind(*listen)
    with bound:
        port = bound.getsockname()[1]
        allowed = Hosts(host, port, hosts)
        source = Source(engine, _old_after(config), options.redact, lambda: datetime.now(UTC))
        app = make_app(source, allowed)
        serve(app, bound, lambda: _tell(host, port))
    return 0


def _tell(host: str, port: int) -> None:
    if not is_loopback(host):
        click.secho(
            f"rfsync: WARNING: anybody who reaches {host}:{port} can read the whole history: there is no login. "
            "Put a reverse proxy with authentication in front of it, and let it listen on 127.0.0.1.",
            err=True, fg="red", bold=True,
        )  # fmt: skip
    click.echo(f"http://{f'[{host}]' if ':' in host else host}:{port}/")


def _old_after(config: Config) -> Callable[[str, datetime], datetime]:
    from rfsync.schedule import make_schedule, stale_at

    return lambda workspace, observed_at: stale_at(make_schedule(config.schedule_of(workspace)), observed_at)
