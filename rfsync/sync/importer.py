"""Saved answers of the API, written as observations of the past."""

import hashlib
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import Engine

from rfsync import history
from rfsync.api.answers import parse
from rfsync.api.client import Response
from rfsync.errors import DatabaseError, ErrorKind, FetchError, RfsyncError
from rfsync.ledger.record_types import RECORD_TYPES
from rfsync.ledger.transaction import Transaction
from rfsync.parsing import Target
from rfsync.records import Kind
from rfsync.redaction import Secret
from rfsync.sync.lists import ListAnswer, read_list
from rfsync.sync.observation import Observation
from rfsync.sync.people import addresses_of
from rfsync.sync.result import Result
from rfsync.sync.run import finish_run
from rfsync.sync.saved_answers import Moment, SavedAnswer
from rfsync.sync.task import SyncContext, SyncTask
from rfsync.text import rfc3339


class Skipped(StrEnum):
    """Why a moment was not applied."""

    #: The history has these observations.
    KNOWN = "known"
    #: The history has later observations, but not this one.
    TOO_OLD = "too old"
    #: It was refused before; the same answer again is not a second one that lacks the same.
    REFUSED = "refused"


#: What is compared beside the counts, of those that a list and the history have under the same name.
_TOLD: Final[Mapping[Kind, tuple[str, ...]]] = {Kind.BATCH: ("name",), Kind.JOB: ("name", "status", "batch_id")}


class OfflineFetcher:
    """A fetcher without an API: it answers no request."""

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        """See ``Client.get``.

        Raises:
            FetchError: always.
        """
        raise FetchError(ErrorKind.REQUEST, f"{'/'.join(segments)}: a saved answer can't be asked")

    def cancel(self) -> None:
        """See ``Client.cancel``."""


def import_moment(context: SyncContext, task: SyncTask, moment: Moment, reader: Engine) -> Result | Skipped:
    """Applies the answers of a moment as one observation, with a run of that time.

    What a list lacks is removed, since the API can't be asked any more. As with a poll, a list that lacks too much is
    not applied until the next one lacks the same: a batch list takes the whole moment with it, a job list beside one
    does not.

    Args:
        context: its clock is not used.
        reader: for questions to the history.

    Raises:
        ConfigError: a file can't be read any more.
        BadResponse: one is no longer a valid answer.
        DatabaseError: the database refused or vanished.
        RfsyncError: a bug ended the run.
    """
    return reason_to_skip(context, task, moment, reader) or _apply(context, task, moment)


def reason_to_skip(context: SyncContext, task: SyncTask, moment: Moment, reader: Engine) -> Skipped | None:
    """Why a moment would not be applied to the history as it is now; None: it would be.

    Args:
        context: its clock is not used.
        reader: for questions to the history; it isn't used as long as the project was never observed.

    Raises:
        ConfigError: a file can't be read any more.
        BadResponse: one is no longer a valid answer.
        DatabaseError: the database refused or vanished.
    """
    projects = context.store.projects
    seen = projects.snapshot(task.path).seen
    if seen is not None and moment.at <= seen:
        reasons = {_reason_of_past(context, task, saved, reader) for saved in moment.answers.values()}
        return next(reason for reason in (Skipped.TOO_OLD, Skipped.REFUSED, Skipped.KNOWN) if reason in reasons)
    kinds = [*moment.answers]
    if not context.allow_removals and any(projects.was_refused(task.path, kind, moment.at) for kind in kinds):
        return Skipped.REFUSED
    return None


def _reason_of_past(context: SyncContext, task: SyncTask, saved: SavedAnswer, reader: Engine) -> Skipped:
    """Why a list of a time that was observed, or is before one that was, is not applied."""
    projects = context.store.projects
    if projects.was_observed(task.path, saved.kind, saved.at):
        return Skipped.KNOWN if _says_the_same(task, saved, reader) else Skipped.TOO_OLD
    return Skipped.REFUSED if projects.was_refused(task.path, saved.kind, saved.at) else Skipped.TOO_OLD


def _says_the_same(task: SyncTask, saved: SavedAnswer, reader: Engine) -> bool:
    """True if the history has for that time what the list says."""
    target, type_ = Target(task.workspace, task.project), RECORD_TYPES[saved.kind]
    rows: Iterable[tuple[object, ...]] = (
        history.batches(reader, target, as_of=saved.at)
        if saved.kind is Kind.BATCH
        else history.jobs(reader, target, as_of=saved.at)
    )
    told: Callable[[Any], tuple[object, ...]] = attrgetter(*type_.counts, *_TOLD[saved.kind])
    state = {getattr(row, type_.key): told(row) for row in rows}
    answer = parse(saved.read(), saved.kind)
    listed = {record.id: told(record) for record in answer.records}
    return listed.keys() - answer.rejected_ids == state.keys() - answer.rejected_ids and all(
        reported in {None, known}
        for record_id, values in listed.items()
        for reported, known in zip(values, state[record_id], strict=True)
    )


def _apply(context: SyncContext, task: SyncTask, moment: Moment) -> Result:
    lists = {kind: _read(task, saved) for kind, saved in moment.answers.items()}
    context = replace(context, clock=lambda: moment.at)
    run = context.store.begin_run(task.path, task.name, context.trigger, moment.at)
    observation = Observation(context, run, task, lists.get(Kind.BATCH), lists.get(Kind.JOB), _accept(task, moment))

    def write(transaction: Transaction) -> Result:
        written_at = transaction.state.written_at
        if written_at is not None and written_at >= moment.at:
            return observation.supersede(transaction)
        return observation.write_offline(transaction)

    def write_all() -> Result:
        for listed in lists.values():
            if listed.answer is not None:
                context.store.write_people(addresses_of(listed.answer.records))
        return context.store.write(run, write)

    result = finish_run(context, run, task, write_all)
    if result.outcome == "failed":
        # Nothing but the database and a bug can fail it; and the next files must not overtake this one.
        raise (RfsyncError if result.is_bug else DatabaseError)(result.error or "")
    return result


def _read(task: SyncTask, saved: SavedAnswer) -> ListAnswer:
    body = saved.read()
    fingerprint, size = hashlib.sha256(body).hexdigest(), len(body)
    response = Response(200, body, None, fingerprint, saved.at, 0, size, time.monotonic_ns() // 1000)
    return read_list(task, saved.kind, response)


def _accept(task: SyncTask, moment: Moment) -> str:
    """The command that applies the same, whatever it lacks."""
    answers = moment.answers.values()
    sources = {answer.source for answer in answers}
    options = ["--at", rfc3339(moment.at) or ""] if "--at" in sources else ["--mtime"] if "mtime" in sources else []
    return shlex.join(["rfsync", "import", str(task), *(str(a.path) for a in answers), *options, "--allow-removals"])
