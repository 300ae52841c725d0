"""Killed at any moment, again and again, while others go on: the state is always one whole observation."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from multiprocessing.connection import Connection

import pytest
from forked import fork_server
from rig import Rig, expire_leases
from victims import Restless, ids, keep_syncing

from rfsync.database.engine import open_engine
from rfsync.ledger.verify import verify
from rfsync.simulator import Simulator

#: CI does all that docs/reliability.md promises.
KILLS = 200 if os.environ.get("CI") else 40
#: At work at the same time.
AT_ONCE = 3
#: The longest that one goes on before the next is killed, in seconds.
LIFE = 0.08


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Restless(), compress=False) as simulator:
        yield simulator


class Victim:
    """A process that syncs, and what it has said of its runs."""

    def __init__(self, url: str, base_url: str) -> None:
        self._pipe: Connection
        self._pipe, its_end = fork_server().Pipe(duplex=False)
        self._process = fork_server().Process(target=keep_syncing, args=(url, base_url, its_end), daemon=True)
        self._process.start()
        its_end.close()

    def kill(self) -> dict[int, str]:
        """Ends it at this moment; the outcomes that it had told until then, by run."""
        self._process.kill()
        self._process.join()
        told: dict[int, str] = {}
        try:
            while self._pipe.poll():
                run_id, outcome, error = self._pipe.recv()
                assert outcome in {"changed", "superseded"}, error
                told[run_id] = outcome
        except EOFError:
            pass  # killed in the middle of a word
        self._pipe.close()
        self._process.close()
        return told

    def live(self, seconds: float) -> None:
        """Lets it go on for so long."""
        self._process.join(seconds)
        assert self._process.is_alive()


def test_killed_at_any_moment_under_load(rig: Rig, simulator: Simulator) -> None:
    seeded = random.Random(20_261_123)  # noqa: S311 no secret
    victims = [Victim(rig.text, simulator.url) for _ in range(AT_ONCE)]
    told: dict[int, str] = {}
    try:
        seen = 0
        for _ in range(KILLS):
            victims[0].live(seeded.uniform(0, LIFE))
            told |= victims.pop(seeded.randrange(AT_ONCE)).kill()
            seen = max(seen, whole_observation(rig, seen))
            victims.append(Victim(rig.text, simulator.url))
    finally:
        for victim in victims:
            told |= victim.kill()
    assert seen > KILLS // 5  # half as many observations were seen, at least: it was no empty exercise
    # What was told is in the database: no crash took it back.
    stored = dict(rig.rows("SELECT id, outcome FROM sync_runs"))
    assert {run_id: stored.get(run_id) for run_id in told} == told
    settle(rig)
    rig.store.abandon_dead_runs(rig.now)
    outcomes = {outcome for (outcome,) in rig.rows("SELECT DISTINCT outcome FROM sync_runs")}
    assert {"changed", "abandoned"} <= outcomes <= {"changed", "superseded", "abandoned"}
    whole_observation(rig, seen)
    verdict = verify(open_engine(rig.url, read_only=True))
    assert verdict.ok, verdict.findings


def whole_observation(rig: Rig, least: int) -> int:
    """The number of the answer that is stored, which has to be stored whole, as the answer of the jobs beside it."""
    rows = rig.rows("SELECT batch_id, images FROM current_batches")
    if not rows:
        return 0
    jobs = rig.rows("SELECT job_id, num_images FROM current_jobs")
    for stored in (rows, jobs):
        (number,) = {images for _, images in stored}
        assert isinstance(number, int)
        assert sorted(str(record_id) for record_id, _ in stored) == sorted(ids(number))
        # Of requests that are on their way at once, the one sent first may be answered last, and with more: each
        # process can be put aside between looking at the clock and sending. So those may change places, and no others.
        assert number >= least - 2 * AT_ONCE
    return int(str(rows[0][1]))


def settle(rig: Rig) -> None:
    """Waits until the server has noticed that those who were killed are gone, and lets their leases expire."""
    if rig.file is None:
        sessions = (
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
        )
        while len(rig.rows(sessions)) > 1:
            pass
        expire_leases(
            rig.text, [int(str(i)) for (i,) in rig.rows("SELECT id FROM sync_runs WHERE outcome = 'running'")]
        )
