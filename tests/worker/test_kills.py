"""Workers are killed every few seconds while others go on: the books balance, and every project is fresh."""

from __future__ import annotations

import os
import random
import threading
from multiprocessing.context import ForkServerProcess

from forked import fork_server
from workers import EACH_SECOND, Busy, work

from rfsync.simulator import Simulator
from tests.worker.conftest import Queue

#: CI does all that docs/reliability.md promises.
RUNS = 2000 if os.environ.get("CI") else 200
#: At work at the same time.
AT_ONCE = 3
#: The longest time from one kill to the next, in seconds.
LIFE = 4.0
PROJECTS = tuple(f"p{number}" for number in range(40))


def test_killed_every_few_seconds(queue: Queue) -> None:
    seeded = random.Random(20_261_129)  # noqa: S311 no secret
    with Simulator(Busy(PROJECTS), compress=False) as api:

        def begin() -> ForkServerProcess:
            arguments = (queue.url, api.url, PROJECTS, EACH_SECOND)
            process = fork_server().Process(target=work, args=arguments, daemon=True)
            process.start()
            return process

        ended = "SELECT count(*) FROM sync_runs WHERE outcome <> 'running'"
        workers, kills = [begin() for _ in range(AT_ONCE)], 0
        try:
            while queue.one(ended) < RUNS:
                threading.Event().wait(seeded.uniform(0.5, LIFE))
                victim = workers.pop(seeded.randrange(AT_ONCE))
                victim.kill()
                victim.join()
                kills += 1
                workers.append(begin())
            since = queue.one("SELECT clock_timestamp()")
            fresh = "SELECT count(DISTINCT project_id) FROM sync_runs WHERE outcome = 'changed' AND started_at > %s"
            queue.until(lambda: queue.one(fresh, since) == len(PROJECTS))
        finally:
            for worker in workers:
                worker.kill()
                worker.join()
    assert kills >= 2
    queue.verify()
    # The n-th answer of a project is in the ledger once at most, whoever has got it.
    twice = """SELECT project_id, batch_id, images FROM batch_changes
        GROUP BY project_id, batch_id, images HAVING count(*) > 1"""
    assert queue.rows(twice) == []
    outcomes = {outcome for (outcome,) in queue.rows("SELECT DISTINCT outcome FROM sync_runs")}
    assert outcomes <= {"changed", "superseded", "abandoned", "running"}
