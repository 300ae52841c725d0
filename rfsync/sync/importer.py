"""Saved answers of the API, written as observations of the past."""

import hashlib
import shlex
import time
from dataclasses import replace
from enum import StrEnum
from functools import partial

from sqlalchemy import Engine

from rfsync import history
from rfsync.api.answers import parse
from rfsync.api.client import Response
from rfsync.errors import DatabaseError, ErrorKind, FetchError, RfsyncError
from rfsync.ledger.transaction import Transaction
from rfsync.parsing import Target
from rfsync.records import Kind
from rfsync.redaction import Secret
from rfsync.sync.lists import ListAnswer, log_rejected
from rfsync.sync.observation import Observation
from rfsync.sync.result import Result
from rfsync.sync.run import finish_run
from rfsync.sync.saved_answers import Moment
from rfsync.sync.task import SyncContext, SyncTask


class Skipped(StrEnum):
    """Why a moment was not applied."""

    #: The history has these observations.
    KNOWN = "known"
    #: The history has later observations, but not this one.
    TOO_OLD = "too old"
    #: It was refused before; the same answer again is not a second one that lacks the same.
    REFUSED = "refused"


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

    What they lack is removed, since the API can't be asked any more. As with a poll, nothing of it is applied
    if too many are missing, until the next answer lacks the same.

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
    known = context.store.projects.snapshot(task.path)
    if known.seen is not None and moment.at <= known.seen:
        return Skipped.KNOWN if _is_known(context, task, moment, reader) else Skipped.TOO_OLD
    if not context.allow_removals and context.store.projects.was_refused(task.path, moment.at):
        return Skipped.REFUSED
    return None


def _is_known(context: SyncContext, task: SyncTask, moment: Moment, reader: Engine) -> bool:
    """True if the history has an observation of that time, and it says the same."""
    if not context.store.projects.was_observed(task.path, moment.at):
        return False
    rows = history.batches(reader, Target(task.workspace, task.project), as_of=moment.at)
    state = {row.batch_id: (row.images, row.num_jobs) for row in rows}
    answer = parse(moment.answers[Kind.BATCH].read())
    listed = {batch.id: (batch.images, batch.num_jobs) for batch in answer.records}
    return listed.keys() - answer.rejected_ids == state.keys() - answer.rejected_ids and all(
        reported in {None, known}
        for batch_id, counts in listed.items()
        for reported, known in zip(counts, state[batch_id], strict=True)
    )


def _apply(context: SyncContext, task: SyncTask, moment: Moment) -> Result:
    saved = moment.answers[Kind.BATCH]
    body = saved.read()
    answer = parse(body)
    log_rejected(task, Kind.BATCH, answer.rejected)
    response = Response(
        200, bytearray(), None, hashlib.sha256(body).hexdigest(), moment.at, 0, len(body), time.monotonic_ns() // 1000
    )
    context = replace(context, clock=lambda: moment.at)
    run = context.store.begin_run(task.path, task.name, context.trigger, moment.at)
    accept = f"rfsync import {task} {shlex.quote(str(saved.path))} --allow-removals"
    observation = Observation(context, run, task, ListAnswer(Kind.BATCH, response, answer), None, accept)

    def write(transaction: Transaction) -> Result:
        written_at = transaction.state.written_at
        if written_at is not None and written_at >= moment.at:
            return observation.supersede(transaction)
        return observation.write_offline(transaction)

    result = finish_run(context, run, task, partial(context.store.write, run, write))
    if result.outcome == "failed":
        # Nothing but the database and a bug can fail it; and the next files must not overtake this one.
        raise (RfsyncError if result.is_bug else DatabaseError)(result.error or "")
    return result
