"""A local stand-in for Roboflow's REST API: seeded, deterministic, with faults on demand.

    with Simulator(World(start=datetime.now(UTC))) as simulator:
        requests.get(f"{simulator.url}/acme/widgets/batches", params={"api_key": "any"})

It imports nothing else from this project, so it can't share a bug with the client or the parser.
"""

from rfsync.simulator.exchange import Exchange
from rfsync.simulator.faults import (
    Body,
    Bytes,
    Cut,
    Drip,
    EndlessHeaders,
    Fault,
    Faults,
    Interim,
    Redirect,
    Reset,
    Stall,
    Status,
    Surplus,
    Zeros,
)
from rfsync.simulator.fixed import DOCUMENTED_JOB, FixedWorld
from rfsync.simulator.routes import Request
from rfsync.simulator.server import Simulator
from rfsync.simulator.source import Record, Source, UnknownObjectError
from rfsync.simulator.wire import Answer
from rfsync.simulator.world import World
from rfsync.simulator.worlds import Worlds

__all__ = [
    "DOCUMENTED_JOB",
    "Answer",
    "Body",
    "Bytes",
    "Cut",
    "Drip",
    "EndlessHeaders",
    "Exchange",
    "Fault",
    "Faults",
    "FixedWorld",
    "Interim",
    "Record",
    "Redirect",
    "Request",
    "Reset",
    "Simulator",
    "Source",
    "Stall",
    "Status",
    "Surplus",
    "UnknownObjectError",
    "World",
    "Worlds",
    "Zeros",
]
