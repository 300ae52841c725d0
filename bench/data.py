"""Seeded batch lists like Roboflow's, and later versions of them. Shares no code with rfsync."""

import random
import string
from datetime import UTC, datetime
from typing import NamedTuple

ID_CHARACTERS = string.ascii_letters + string.digits
FIRST_UPLOAD = 1_669_146_024_818  # milliseconds since 1970
LAST_UPLOAD = 1_767_225_600_000


class Batch(NamedTuple):
    id: str
    uploaded: int
    """Milliseconds since 1970, the precision of Roboflow's API."""
    images: int
    jobs: int


class Totals(NamedTuple):
    """The totals that every contender's database must have after a poll."""

    batches: int
    images: int
    jobs: int


def first(count: int, seed: int) -> list[Batch]:
    """A project's initial batches, sorted by id."""
    rng = random.Random(seed)  # noqa: S311 - seeded on purpose
    return sorted(_new(rng) for _ in range(count))


def later(batches: list[Batch], share: float, seed: str) -> list[Batch]:
    """The project after `share` of its batches changed: one in ten is new, of the others a job took images."""
    # Not the seed of `first`, which would generate the same ids again.
    rng = random.Random(f"later {seed}")  # noqa: S311 - seeded on purpose
    touched = round(len(batches) * share)
    added = touched // 10
    after = list(batches)
    for at in rng.sample(range(len(batches)), touched - added):
        old = after[at]
        after[at] = old._replace(images=rng.randint(0, max(old.images - 1, 0)), jobs=old.jobs + 1)
    return sorted(after + [_new(rng) for _ in range(added)])


def totals(projects: list[list[Batch]]) -> Totals:
    every = [batch for batches in projects for batch in batches]
    return Totals(len(every), sum(batch.images for batch in every), sum(batch.jobs for batch in every))


def body(batches: list[Batch]) -> bytes:
    return b'{"batches":[%s]}' % ",".join(map(_json, batches)).encode()


def new_id(rng: random.Random) -> str:
    return "".join(rng.choices(ID_CHARACTERS, k=20))


def _new(rng: random.Random) -> Batch:
    return Batch(new_id(rng), rng.randrange(FIRST_UPLOAD, LAST_UPLOAD), rng.randint(1, 500), rng.randint(0, 5))


def _json(batch: Batch) -> str:
    """One record, with the documented fields in the documented order."""
    seconds, milliseconds = divmod(batch.uploaded, 1000)
    when = datetime.fromtimestamp(seconds, UTC)
    name = f"Uploaded on {when:%m/%d/%y} at {when.hour % 12 or 12}:{when:%M} {'pm' if when.hour >= 12 else 'am'}"
    return (
        f'{{"name":"{name}","numJobs":{batch.jobs},"images":{batch.images},'
        f'"uploaded":{{"_seconds":{seconds},"_nanoseconds":{milliseconds * 1_000_000}}},"id":"{batch.id}"}}'
    )
