"""One case on one database: each contender in turn, round after round, so that noise affects all of them alike."""

import sys
from typing import NamedTuple

from bench.api import Answers, Api, Expected, project_names
from bench.cases import Case
from bench.contenders import Contender, Task
from bench.databases import Sqlite
from bench.measure import BrokenError, Usage, measure, per_poll


class Result(NamedTuple):
    case: Case
    database: str
    usages: dict[str, list[Usage]]
    """By contender, in the order of the rounds."""
    failures: dict[str, str]
    """Why a contender has no usages."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def prepare(api: Api, database: Sqlite, cases: list[Case]) -> dict[str, str]:
    """Make snapshots of each contender's empty database, and of the one that its own initial load leaves.

    Args:
        cases: they all start from the same data.

    Returns:
        Why a contender can't be measured, by contender.
    """
    failures, before = {}, cases[0].before
    for contender in dict.fromkeys(contender for case in cases for contender in case.contenders):
        if not contender.installed:
            failures[contender.name] = "not installed"
            continue
        expected = api.serve(before)
        task = _task(api, database, before)
        try:
            database.clear()
            if contender.prepare:
                contender.prepare(task)
            database.snapshot(f"{contender.name} empty")
            _poll(api, contender, task, before, expected)
            database.snapshot(f"{contender.name} loaded")
        except BrokenError as error:
            failures[contender.name] = f"failed: {error}"
            say(f"{database.name}, {contender.name} {failures[contender.name]}")
    return failures


def run(api: Api, database: Sqlite, case: Case, runs: int, failed: dict[str, str]) -> Result:
    task = _task(api, database, case.answers)
    result = Result(case, database.name, {}, dict(failed))
    for contender in case.contenders * runs:
        if contender.name in result.failures:
            continue
        expected = api.serve(case.answers)
        database.restore(f"{contender.name} {'empty' if case.initial else 'loaded'}")
        try:
            usage = _poll(api, contender, task, case.answers, expected)
        except BrokenError as error:
            result.failures[contender.name] = f"failed: {error}"
            result.usages.pop(contender.name, None)
            say(f"{case.key}/{database.name}, {contender.name} failed: {error}")
        else:
            result.usages.setdefault(contender.name, []).append(usage)
            say(f"{case.key}/{database.name}, {contender.name}: {usage.seconds:.3f} s, {usage.peak:.0f} MiB")
    return result


def _task(api: Api, database: Sqlite, answers: Answers) -> Task:
    return Task(database, api.url, project_names(answers.projects), answers.polls, jobs=answers.jobs > 0)


def _poll(api: Api, contender: Contender, task: Task, answers: Answers, expected: Expected) -> Usage:
    """Measure a contender, and check that it sent every request and wrote the right rows: doing less is no speed."""
    usage = measure(contender.command(task), task.environment, task.database.home)
    if (requests := api.requests()) != answers.requests:
        raise BrokenError(f"{requests} requests instead of {answers.requests}")
    checks = [(query, tuple(expected.batches)) for query in contender.totals]
    if task.jobs:
        checks += [(query, tuple(expected.jobs)) for query in contender.job_totals]
    for query, wanted in checks:
        if (found := task.database.query(query)) != wanted:
            raise BrokenError(f"{query}: {found} instead of {wanted}")
    return per_poll(usage, task.database.home) if task.polls > 1 else usage
