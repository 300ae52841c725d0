"""The books balance and the past stays what it was, after any sequence of observations, failures and clock jumps."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from conftest import Rig, record
from hypothesis import given, settings
from hypothesis import strategies as st

from rfsync.config import RemovalsConfig
from rfsync.database import instant
from rfsync.engine import open_engine
from rfsync.errors import ErrorKind, FetchError
from rfsync.verify import verify

IDS = ("a", "B", "é", "🐙", "zz")
COUNTS = st.one_of(st.none(), st.integers(0, 9), st.just(2**53 - 1))
RECORDS = st.dictionaries(
    st.sampled_from(IDS), st.tuples(COUNTS, COUNTS, st.sampled_from([None, "x", "y"])), min_size=1
)


@dataclass(frozen=True)
class Listed:
    """A list is answered; of what it lacks the API says ``missing`` when asked."""

    records: dict[str, tuple[int | None, int | None, str | None]]
    missing: str
    #: A record that breaks the rules, with this id.
    broken: str | None


@dataclass(frozen=True)
class Failed:
    """The API answers nothing of use."""

    body: bytes | None


@dataclass(frozen=True)
class Jump:
    """The clock is set."""

    minutes: int


@dataclass(frozen=True)
class Restart:
    """The process ends, and another begins."""


STEPS = st.one_of(
    st.builds(
        Listed, RECORDS, st.sampled_from(["gone", "there", "in doubt"]), st.one_of(st.none(), st.sampled_from(IDS))
    ),
    st.builds(Failed, st.sampled_from([None, b"{}", b"<html>", b'{"batches": [{}]}'])),
    st.builds(Jump, st.sampled_from([-1440, -5, 60, 1440, 525_600])),
    st.builds(Restart),
)
State = dict[str, tuple[int, int, str | None]]


@dataclass
class Model:
    """What has to be stored, kept in the simplest way."""

    current: State
    known: State

    def observe(self, listed: Listed, by_id: str) -> None:
        """Applies a list as the contract says."""
        seen = {i: r for i, r in listed.records.items() if i != listed.broken}
        for batch_id, (images, jobs, name) in seen.items():
            old = self.known.get(batch_id, (0, 0, None))
            merged = (
                old[0] if images is None else images,
                old[1] if jobs is None else jobs,
                old[2] if name is None else name,
            )
            self.current[batch_id] = self.known[batch_id] = merged
        if by_id == "gone":
            for batch_id in [i for i in self.current if i not in seen and i != listed.broken]:
                del self.current[batch_id]


def play(rig: Rig, model: Model, step: Listed) -> None:
    rig.listed = [record(i, *rest) for i, rest in step.records.items() if i != step.broken]
    if step.broken is not None:
        rig.listed.append({"id": step.broken, "images": -1})
    error = {"gone": ErrorKind.NOT_FOUND, "in doubt": ErrorKind.SERVER}.get(step.missing)
    rig.by_id = {
        i: record(i, None, None) if error is None else FetchError(error, "no")
        for i in IDS
        if i not in step.records and i != step.broken
    }
    result = rig.sync()
    if 2 * (step.broken is not None) > len(rig.listed):
        assert result.error_kind == ErrorKind.BAD_RESPONSE
        return
    assert result.ok, result
    model.observe(step, step.missing)


def stored(rig: Rig, at: datetime | None = None) -> State:
    """The batches of the project now, or as they were."""
    if at is None:
        query = "SELECT batch_id, images, num_jobs, name FROM current_batches"
        values: dict[str, object] = {"project": rig.project}
    else:
        query = """SELECT batch_id, images, num_jobs, name FROM batch_history
            WHERE valid_from <= :at AND (valid_to > :at OR valid_to IS NULL)"""
        values = {"at": at, "project": rig.project}
    query += (" AND" if at else " WHERE") + " project = :project"
    with rig.database.begin("testing") as connection:
        return {str(i): (images, jobs, name) for i, images, jobs, name in connection.execute(query, values)}


@settings(max_examples=40)
@given(st.lists(STEPS, min_size=1, max_size=12))
def test_any_sequence(rig: Rig, steps: list[Listed | Failed | Jump | Restart]) -> None:
    rig.project = uuid.uuid4().hex
    rig.removals = RemovalsConfig(confirm_limit=1000)  # nothing is refused: that has tests of its own
    model = Model({}, {})
    past: dict[datetime, State] = {}
    for step in steps:
        match step:
            case Listed():
                play(rig, model, step)
            case Failed(body):
                rig.listed = body or FetchError(ErrorKind.NETWORK, "no connection")
                assert rig.sync().outcome == "failed"
            case Jump(minutes):
                rig.jump(minutes)
            case Restart():
                rig.restart()
        assert stored(rig) == model.current
        at = instant(rig.value("SELECT observed_at FROM projects WHERE project = :project"))
        if at is not None:
            past[at] = dict(model.current)
    for at, state in past.items():
        assert stored(rig, at) == state
    verdict = verify(open_engine(rig.url, read_only=True))
    assert verdict.ok, verdict.findings
