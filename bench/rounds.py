"""One case on one database: each contender in turn, round after round, so that a noisy minute hits all alike."""

import sys
from typing import NamedTuple

from bench.api import Api, project_names
from bench.cases import Case
from bench.contenders import FLOOR, MERGE, RFSYNC, SCD2, Contender, Task
from bench.data import Totals
from bench.measure import BrokenError, Usage, measure
from bench.stages import Stage


class Result(NamedTuple):
    case: Case
    database: str
    usages: dict[str, list[Usage]]
    """By contender, in the order of the rounds."""
    failures: dict[str, str]
    """By contender: why it has no usages."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def contenders(case: Case) -> tuple[Contender, ...]:
    return (FLOOR, RFSYNC, MERGE, SCD2) if case.dlt else (FLOOR, RFSYNC)


def prepare(api: Api, stage: Stage, cases: list[Case]) -> dict[str, str]:
    """Keep each contender's empty state, and the one its own initial load leaves. Gives who failed, and why.

    The cases start from the same data.
    """
    stage.forget()
    expected = api.serve(cases[0].before)
    task = Task(stage, api.url, project_names(cases[0].answers.projects))
    failures = {}
    for contender in dict.fromkeys(each for case in cases for each in contenders(case)):
        if not contender.installed:
            failures[contender.name] = "not installed"
            continue
        try:
            stage.clear()
            contender.prepare(task)
            stage.keep(f"{contender.name} empty")
            _poll(contender, task, expected)
            stage.keep(f"{contender.name} loaded")
        except BrokenError as error:
            failures[contender.name] = f"failed: {error}"
            say(f"{stage.name}, {contender.name} {failures[contender.name]}")
    return failures


def run(api: Api, stage: Stage, case: Case, runs: int, failed: dict[str, str]) -> Result:
    expected = api.serve(case.answers)
    task = Task(stage, api.url, project_names(case.answers.projects))
    result = Result(case, stage.name, {}, dict(failed))
    for contender in contenders(case) * runs:
        if contender.name in result.failures:
            continue
        stage.restore(f"{contender.name} {'empty' if case.initial else 'loaded'}")
        try:
            usage = _poll(contender, task, expected)
        except BrokenError as error:
            result.failures[contender.name] = f"failed: {error}"
            result.usages.pop(contender.name, None)
            say(f"{case.key}/{stage.name}, {contender.name} failed: {error}")
        else:
            result.usages.setdefault(contender.name, []).append(usage)
            say(f"{case.key}/{stage.name}, {contender.name}: {usage.seconds:.3f} s, {usage.peak:.0f} MiB")
    return result


def _poll(contender: Contender, task: Task, expected: Totals) -> Usage:
    """A contender that writes nothing, or the wrong thing, must not look fast."""
    usage = measure(contender.command(task), task.environment, task.stage.home)
    for question in contender.totals:
        if (found := task.stage.ask(question)) != expected:
            raise BrokenError(f"{question}: {found} instead of {tuple(expected)}")
    return usage
