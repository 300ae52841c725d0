"""``rfsync dashboard``."""

import click

from rfsync.cli.options import Options, make_command, parsed_by, utc_now
from rfsync.errors import ConfigError
from rfsync.parsing import is_loopback, parse_listen


@make_command("""rfsync dashboard
rfsync dashboard --listen 127.0.0.1:0
rfsync dashboard --listen 127.0.0.1:8050 --host rfsync.example.com   behind a reverse proxy""")
@click.option("--listen", callback=parsed_by(parse_listen), default="127.0.0.1:8050", metavar="HOST:PORT",
              show_default=True, help="Address to listen on; port 0 selects any free port.")  # fmt: skip
@click.option("--host", "hosts", multiple=True, metavar="NAME[:PORT]",
              help="Additional host name of the dashboard; may be repeated.")  # fmt: skip
def command(options: Options, listen: tuple[str, int], hosts: tuple[str, ...]) -> int:
    """Serves live charts of the history for a browser, read-only, until SIGTERM or Ctrl-C.

    Anybody who can reach the address can read the whole history: there is no login. It only listens on this machine
    unless --listen says otherwise.
    """
    from rfsync.cli import wiring
    from rfsync.schedule import stale_at

    try:
        from rfsync.dashboard.app import make_app
        from rfsync.dashboard.callbacks import DashboardContext
        from rfsync.dashboard.security import Hosts
        from rfsync.dashboard.server import listen as open_listener
        from rfsync.dashboard.server import serve
        from rfsync.dashboard.timeouts import limit_query_time
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "rfsync":
            raise
        raise ConfigError(f"the dashboard needs {error.name}: pip install dash waitress") from None
    config = options.begin()
    engine = limit_query_time(wiring.open_reader(options, config))
    context = DashboardContext(
        engine,
        lambda workspace, at: stale_at(config.schedule_of(workspace).build(), at),
        options.redact,
        utc_now,
        jobs_off=config.jobs.sync is False,
    )
    host = listen[0]
    with open_listener(*listen) as listener:
        port = listener.getsockname()[1]
        serve(make_app(context, Hosts(host, port, hosts)), listener, lambda: _announce(host, port))
    return 0


def _announce(host: str, port: int) -> None:
    if not is_loopback(host):
        click.secho(
            f"rfsync: WARNING: anybody who reaches {host}:{port} can read the whole history: there is no login. "
            "Listen on 127.0.0.1 and put a reverse proxy with authentication in front of it.",
            err=True, fg="red", bold=True,
        )  # fmt: skip
    click.echo(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
