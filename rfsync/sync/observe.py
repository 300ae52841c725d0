"""A project's lists, fetched and written: asked for again where that turns out to be needed."""

from rfsync.errors import FetchError
from rfsync.ledger.runs import Run
from rfsync.records import Kind
from rfsync.sync.confirm import FoundOwners, write_asking
from rfsync.sync.lists import JobsFailure, ListAnswer, failed_jobs, fetch_again, fetch_jobs, fetch_list
from rfsync.sync.observation import Observation
from rfsync.sync.removals import UNASKED
from rfsync.sync.renames import FoundRename, Search, listed_ids
from rfsync.sync.result import Result
from rfsync.sync.task import SyncContext, SyncTask


def observe(context: SyncContext, run: Run, task: SyncTask) -> Result:
    """Fetches the lists and applies their changes.

    Raises:
        FetchError: there was no valid batch list, or it can't be told whose it is.
        DatabaseError: the database refused or vanished.
    """
    with context.timer("fetch"):
        batches = fetch_list(context, run, task, Kind.BATCH)
        context.workspaces.answered.add(task.path)
        jobs = fetch_jobs(context, run, task)
    search = Search(context, run, task, batches.response)
    unsought = {} if run.observed else listed_ids(batches, jobs)
    found = FoundRename(run)
    if not run.observed and (asked := search.before_writing(unsought, jobs)) is not None:
        found, unsought = asked, {}
    confirmations = found.confirmations
    while True:
        accept = f"rfsync sync {task} --allow-removals"
        observation = Observation(context, found.run, task, batches, jobs, accept, found.note, unsought)
        written = write_asking(context, found.run, task, observation.write, confirmations)
        if isinstance(written, Result):
            return written
        confirmations = UNASKED
        if isinstance(written, FoundOwners):
            found, unsought = search.among(written.owners), {}
        elif written.kind is Kind.BATCH:
            batches = fetch_again(context, task, batches)
        elif isinstance(jobs, ListAnswer):
            jobs = _jobs_again(context, task, jobs)


def _jobs_again(context: SyncContext, task: SyncTask, jobs: ListAnswer) -> ListAnswer | JobsFailure:
    try:
        return fetch_again(context, task, jobs)
    except FetchError as error:
        return failed_jobs(context, error)
