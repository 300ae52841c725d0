"""``rfsync simulate``."""

from __future__ import annotations

import shlex
import signal
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from rfsync.cli.options import Options, make_command, parsed_by, utc_now
from rfsync.errors import ConfigError, ListenError
from rfsync.parsing import is_loopback, parse_listen
from rfsync.threads import starting

if TYPE_CHECKING:
    from rfsync.simulator import Worlds

#: Simulated time before the start.
_HISTORY = timedelta(days=60)
#: Simulated seconds per second: one hour per minute, so that something happens while somebody watches.
_SPEED = 60
#: The first projects of each workspace.
_PROJECTS = ("widgets", "gears", "scratch-tests")


def _loopback_address(text: str) -> tuple[str, int]:
    host, port = parse_listen(text)
    if not is_loopback(host):
        raise ValueError(f"{host} is not a loopback address; the stand-in is for this machine only")
    return host, port


@make_command("""rfsync simulate --listen 127.0.0.1:8787 --seed 7
rfsync simulate --workspace acme --workspace other --projects 20 --key ONE --key TWO""")
@click.option("--listen", metavar="HOST:PORT", default="127.0.0.1:8787", callback=parsed_by(_loopback_address),
              show_default=True)  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="The same seed gives the same history.")
@click.option(
    "--workspace", "workspaces", metavar="ID", multiple=True, help="A workspace; several are possible.  [default: acme]"
)
@click.option("--projects", type=click.IntRange(min=1), metavar="N", default=3, show_default=True,
              help="How many projects each workspace has.")  # fmt: skip
@click.option("--key", "keys", metavar="KEY", multiple=True,
              help="Accept this key only; one for each --workspace, in the same order, opens that alone.")  # fmt: skip
@click.option("--no-jobs", "jobs_status", type=click.IntRange(400, 599), metavar="STATUS",
              help="Answer requests for annotation jobs with this status, as if the key may not see them.")  # fmt: skip
def command(
    options: Options,
    listen: tuple[str, int],
    seed: int,
    workspaces: tuple[str, ...],
    projects: int,
    keys: tuple[str, ...],
    jobs_status: int | None,
) -> None:
    """Runs a local stand-in for the API, with batches and annotation jobs that appear, change and disappear.

    Starts with 60 days of history; one minute is one simulated hour. Accepts any key, unless --key says which. Ends
    with Ctrl-C.
    """
    from rfsync.simulator import Faults, Simulator, Status

    workspaces = workspaces or ("acme",)
    accepted = _accepted(workspaces, keys)
    for key in keys:
        options.redact.add(key)
    options.start_logging()
    world = _worlds(seed, workspaces, projects)
    faults = Faults()
    if jobs_status is not None:
        faults.add("/*/*/jobs*", Status(jobs_status), times=None)
    with ExitStack() as stack:
        try:
            with starting():
                simulator = Simulator(world, host=listen[0], port=listen[1], keys=accepted, faults=faults)
                stack.enter_context(simulator)
        except OSError as error:
            raise ListenError("--listen {}", *listen, error) from error
        stop = threading.Event()
        # Explicitly, because a shell makes its background commands ignore Ctrl-C; and before the address is printed,
        # because a reader may stop the process from then on.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        _introduce(simulator.url, workspaces, keys[0] if keys else "any")
        stop.wait()
        click.echo("stopped", err=True)


def _worlds(seed: int, workspaces: tuple[str, ...], projects: int) -> Worlds:
    """The workspaces with their history, from now on at a speed of ``_SPEED``."""
    from rfsync.simulator import World, Worlds

    began = utc_now()
    clock = lambda: began + (utc_now() - began) * _SPEED  # noqa: E731 of this run
    names = [*_PROJECTS, *(f"project-{number}" for number in range(len(_PROJECTS) + 1, projects + 1))][:projects]
    return Worlds(
        [World(seed, start=began - _HISTORY, workspace=one, projects=names, clock=clock) for one in workspaces]
    )


def _accepted(workspaces: tuple[str, ...], keys: tuple[str, ...]) -> Mapping[str, str] | tuple[str, ...] | None:
    """The keys, as ``Simulator`` takes them.

    Raises:
        ConfigError: there are not as many as workspaces.
    """
    if len(set(workspaces)) < len(workspaces):
        raise ConfigError("--workspace is given twice with the same id")
    if len(keys) <= 1:
        return keys or None
    if len(keys) != len(workspaces) or len(set(keys)) < len(keys):
        raise ConfigError(
            f"--key is given {len(keys)} times, --workspace {len(workspaces)} times: give one key for all workspaces, "
            "or a different one for each"
        )
    return dict(zip(keys, workspaces, strict=True))


def _introduce(url: str, workspaces: tuple[str, ...], key: str) -> None:
    """Says where it listens, and how to sync it."""
    named = f"the workspace {workspaces[0]}" if len(workspaces) == 1 else f"the workspaces {', '.join(workspaces)}"
    click.echo(f"The stand-in for Roboflow's API listens at {url}, with {named}. To sync it:")
    click.echo(f"  printf '[api]\\nbase_url = \"{url}\"\\n' > simulated.toml")
    click.echo(
        f"  ROBOFLOW_API_KEY={shlex.quote(key)} rfsync sync {workspaces[0]} --config simulated.toml --database sqlite:///simulated.db"
    )
    click.echo("Ctrl-C ends it.")
