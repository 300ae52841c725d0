"""A copy that is killed at any moment, again and again, and goes on each time."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from filled import dump, fill
from forked import fork_server
from rig import Rig, job, record
from victims import copy_in_pieces

from rfsync.database.engine import open_database
from rfsync.database.url import parse_url
from rfsync.ledger.verify import verify
from rfsync.schema import upgrade as schema

#: The longest that the first one lives, in seconds; each later one may live longer.
LIFE = 0.05


def test_killed_at_any_moment_all_of_it_arrives_once(
    rig: Rig, new_postgres: Callable[[str | None], str], postgres_template: str, tmp_path: Path
) -> None:
    fill(rig, "gears")
    rig.listed = [record(f"b{number}", number) for number in range(150)]
    rig.jobs = [job(f"j{number}", number, labeler=f"{number % 9}@example.com") for number in range(150)]
    for _ in range(2):
        rig.sync(allow_removals=True)
    to_url = f"sqlite:///{tmp_path / 'new.db'}" if rig.file is None else new_postgres(postgres_template)
    seeded = random.Random(20_261_129)  # noqa: S311 no secret
    life, kills = LIFE, 0
    while True:
        process = fork_server().Process(target=copy_in_pieces, args=(rig.text, to_url), daemon=True)
        process.start()
        process.join(seeded.uniform(0, life))
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        if has_ended(to_url):  # it was killed after its last commit
            break
        kills += 1
        life *= 1.2
    assert process.exitcode in {0, -signal.SIGKILL}
    assert kills > 3
    with closing(Rig(to_url)) as new:
        assert dump(new) == dump(rig)
        assert verify(new.database.engine).ok


def has_ended(url: str) -> bool:
    """Whether the copy into a database was proved and released."""
    with closing(open_database(parse_url(url))) as database, database.begin("testing") as connection:
        if schema.recorded(connection) != schema.HEAD:
            return False
        return connection.exec_driver_sql("SELECT count(*) FROM sync_runs").scalar_one() > 0
