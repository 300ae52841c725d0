"""``rfsync simulate``."""

import signal
import threading
from contextlib import ExitStack
from datetime import timedelta

import click

from rfsync.cli.options import Options, make_command, parsed_by, utc_now
from rfsync.errors import ListenError
from rfsync.parsing import is_loopback, parse_listen
from rfsync.threads import starting

#: Simulated time before the start.
_HISTORY = timedelta(days=60)
#: Simulated seconds per second: one hour per minute, so that something happens while somebody watches.
_SPEED = 60


def _loopback_address(text: str) -> tuple[str, int]:
    host, port = parse_listen(text)
    if not is_loopback(host):
        raise ValueError(f"{host} is not a loopback address; the stand-in is for this machine only")
    return host, port


@make_command("rfsync simulate --listen 127.0.0.1:8787 --seed 7")
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:8787", callback=parsed_by(_loopback_address),
              show_default=True)  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same history.")
def command(options: Options, listen: tuple[str, int], seed: int) -> None:
    """Runs a local stand-in for the API: one workspace, acme, with batches that appear, change and disappear.

    Starts with 60 days of history; one minute is one simulated hour. Accepts any key. Ends with Ctrl-C.
    """
    from rfsync.simulator import Simulator, World

    options.start_logging()
    began = utc_now()
    world = World(seed, start=began - _HISTORY, clock=lambda: began + (utc_now() - began) * _SPEED)
    with ExitStack() as stack:
        try:
            with starting():
                simulator = stack.enter_context(Simulator(world, host=listen[0], port=listen[1]))
        except OSError as error:
            raise ListenError("--listen {}", *listen, error) from error
        stop = threading.Event()
        # Explicitly, because a shell makes its background commands ignore Ctrl-C; and before the address is printed,
        # because a reader may stop the process from then on.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        click.echo(f"The stand-in for Roboflow's API listens at {simulator.url}, with the workspace acme. To sync it:")
        click.echo(f"  printf '[api]\\nbase_url = \"{simulator.url}\"\\n' > simulated.toml")
        click.echo("  ROBOFLOW_API_KEY=any rfsync sync acme --config simulated.toml --database sqlite:///simulated.db")
        click.echo("Ctrl-C ends it.")
        stop.wait()
        click.echo("stopped", err=True)
