"""Projects that are gone: deleted, or in the trash, from where they may come back."""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from rfsync.errors import Cancelled, ErrorKind, FetchError
from rfsync.ledger.diff import diff
from rfsync.ledger.runs import Run, RunRow
from rfsync.ledger.transaction import Transaction
from rfsync.records import Kind
from rfsync.sync.ordering import is_superseded, observed_at, sent_us, warn_of_clock
from rfsync.sync.result import Result, finish
from rfsync.sync.suggestions import suggest_project, suggest_workspace
from rfsync.sync.task import SyncContext, SyncTask

#: New projects that a message names; of the others, their number.
_MAX_NAMED: Final = 5
#: New projects that are looked at before one counts as departed.
_MAX_LOOKED_AT: Final = 5


@dataclass(frozen=True, slots=True)
class _NotFound:
    """The 404 to the request for a project's own list, as an observation."""

    error: FetchError
    sent_at: datetime
    sent_us: int

    def row(self, outcome: str) -> RunRow:
        """The run that it makes."""
        return RunRow(outcome, self.error.attempts, self.error.http_status, self.error.response_bytes)


class _Everything(Container[str]):
    def __contains__(self, _item: object) -> bool:
        return True


def conclude_not_found(
    context: SyncContext, run: Run, task: SyncTask, error: FetchError, look: Callable[[SyncTask], Result]
) -> Result:
    """Finds out what it means that a project's own list answers 404: that it has departed, if its workspace lacks it.

    Args:
        look: syncs another project, here and now.

    Raises:
        FetchError: ``error``, if it means something else, or nothing that can be told.
        DatabaseError: the database refused or vanished.
    """
    found = _NotFound(error, error.sent_at or context.clock(), error.sent_us)
    try:
        listed = context.workspaces.projects(task.workspace, task.key)
    except FetchError as unlisted:
        if not run.departed:
            is_none = unlisted.kind is ErrorKind.NOT_FOUND and not run.observed
            raise error.reworded(f"{error}{suggest_workspace(context, run.path)}") if is_none else error from None
        listed = {}
    if run.departed and task.project not in listed:
        return context.store.write(run, partial(_write_still_away, context, run, found))
    observed = {known.project for known in context.store.projects.of_workspace(task.workspace) if known.observed}
    new = [project for project in listed if project not in observed]
    if not run.observed and task.project not in listed:
        error = error.reworded(f"{error}{suggest_project(run.path, listed)}")
    if not run.observed or task.project in listed or not listed:
        raise _naming(error, run, new)
    covered = [project for project in new if context.workspaces.covers(task.workspace, project)]
    if sum(f"{task.workspace}/{project}" not in context.workspaces.tried for project in covered) > _MAX_LOOKED_AT:
        raise _naming(error, run, new)  # they have runs of their own; then there are fewer
    # The new ones that are synced too are looked at first: it may be one of them.
    for project in covered:
        other = replace(task, project=project, name=None, listed=True)
        result = context.workspaces.tried.get(str(other)) or look(other)
        if result.old == run.path:
            context.store.write(run, partial(_supersede, context, run, found))
            return result
        if result.outcome == "abandoned":
            raise Cancelled("asked to stop")
        if not result.ok:
            raise _naming(error, run, [project])
    text = _describe_departure(run, [project for project in new if project not in covered])
    return context.store.write(run, partial(_write_departure, context, run, found, text))


def _describe_departure(run: Run, new: Sequence[str]) -> str:
    text = "it is gone: its workspace no longer has it, and its list answers 404; its history is kept"
    if not new:
        return text
    return (
        f"{text}. New in its workspace, and not synced: {_names(run, new)}; if it is one of them under another id: "
        f"rfsync rename {run.path} NEW"
    )


def _naming(error: FetchError, run: Run, new: Sequence[str]) -> FetchError:
    """The error, with the projects that the workspace has and that are new here: it may be one of them."""
    if not new:
        return error
    return error.reworded(f"{error}; new in its workspace: {_names(run, new)}")


def _names(run: Run, projects: Sequence[str]) -> str:
    names = ", ".join(f"{run.path.workspace}/{project}" for project in projects[:_MAX_NAMED])
    return names + (f" and {len(projects) - _MAX_NAMED} more" if len(projects) > _MAX_NAMED else "")


def _supersede(context: SyncContext, run: Run, found: _NotFound, transaction: Transaction) -> Result:
    return finish(context, run, transaction, transaction.state, found.row("superseded"))


def _write_still_away(context: SyncContext, run: Run, found: _NotFound, transaction: Transaction) -> Result:
    state = transaction.state
    if is_superseded(run, state, found):
        return _supersede(context, run, found, transaction)
    at = observed_at(state, found)
    state = replace(state, written_at=at).with_list(Kind.BATCH, observed_at=at, sent_us=sent_us(run, found))
    return finish(context, run, transaction, state, found.row("unchanged"))


def _write_departure(context: SyncContext, run: Run, found: _NotFound, text: str, transaction: Transaction) -> Result:
    """Removes all that the project had, in one observation.

    Args:
        text: for people.
    """
    state = transaction.state
    if is_superseded(run, state, found) or (state.workspace, state.project) != run.path:
        return _supersede(context, run, found, transaction)
    at = observed_at(transaction.state, found)
    warn_of_clock(run, transaction.state, found)
    changes = {}
    kinds = Kind if transaction.state.jobs.observed_at else (Kind.BATCH,)
    for kind in kinds:
        missing = transaction.load_missing(kind)
        changes[kind] = diff(transaction.load(kind), (), gone=_Everything()).changes
        transaction.apply(kind, changes[kind], at)
        # What an earlier departure removed, and was not seen since, may come back after this one, too.
        removed_before = {record_id: row for record_id, row in missing.items() if row.removed}
        transaction.keep_missing(kind, missing, removed_before, at)
    state = replace(transaction.state, departed_at=at, written_at=at)
    for kind in kinds:
        state = state.with_list(
            kind, observed_at=at, sent_us=sent_us(run, found), etag=None, fingerprint=None, listed=None,
            missing_streak=0,
        )  # fmt: skip
    return finish(context, run, transaction, state, replace(found.row("changed"), error=text), changes)
