"""What the API may answer, and what rfsync makes of it: the table of section 2, a project for each line."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.conftest import Cli, batch

HUGE = 2**53 - 1
#: What is stored of every project before the answer in question.
STORED = [batch("a", 10, 1), batch("b", 20, 2), batch("c", 30, 3), batch("d", 40, 4)]
NAMES = {one: f"name of {one}" for one in "abcd"}


def of(**changes: object) -> list[object]:
    """The stored list with other records in place of some; None leaves one out."""
    records = {str(one["id"]): one for one in STORED} | changes
    return [one for one in records.values() if one is not None]


def raw(text: str) -> bytes:
    """A list whose record ``b`` is written in just this way."""
    return json.dumps({"batches": of(b="B")}).replace('"B"', text).encode()


@dataclass
class Applied:
    """An answer that counts: with these images afterwards, and these names."""

    answer: Any
    images: dict[str, int]
    changes: tuple[int, int] = (0, 0)  # added, changed
    rejected: int = 0
    #: Of the rejected records, as counted from 0.
    positions: tuple[int, ...] = ()
    names: dict[str, str | None] = field(default_factory=dict)


SAME = {"a": 10, "b": 20, "c": 30, "d": 40}


def rejected(record: object, position: int = 1) -> Applied:
    """Beside a bad record ``b`` a change of ``a`` that has to get in."""
    answer = of(a=batch("a", 11, 1), b=record)
    return Applied(answer, {**SAME, "a": 11}, (0, 1), 1, (position,))


APPLIED = {
    "bare-list": Applied(json.dumps(of(b=batch("b", 21, 2))).encode(), {**SAME, "b": 21}, (0, 1)),
    "unknown-fields": Applied({"batches": of(b=batch("b", 20, 2, colour="red")), "next": None}, SAME),
    "no-counts": Applied(of(b={"id": "b", "name": "name of b", "images": None}), SAME),
    "no-counts-new": Applied(of(e={"id": "e", "numJobs": None}), {**SAME, "e": 0}, (1, 0), names={"e": None}),
    "no-name": Applied(of(b=batch("b", 21, 2, name=None, uploaded=None)), {**SAME, "b": 21}, (0, 1)),
    "count-5.0": Applied(raw('{"id": "b", "images": 5.0, "numJobs": 2e0}'), {**SAME, "b": 5}, (0, 1)),
    "count-5e0": Applied(raw('{"id": "b", "images": 5e0, "numJobs": 2}'), {**SAME, "b": 5}, (0, 1)),
    "largest-count": Applied(of(b=batch("b", HUGE, 2)), {**SAME, "b": HUGE}, (0, 1)),
    "twice-the-same": Applied([*of(), batch("b", 20, 2)], SAME),
    "nul-in-name": Applied(of(b=batch("b", 20, 2, name="a\0b")), SAME, (0, 1), names={"b": "a\ufffdb"}),
    "half-a-pair-in-name": Applied(of(b=batch("b", 20, 2, name="a\ud83db")), SAME, (0, 1), names={"b": "a\ufffdb"}),
    "emoji-in-name": Applied(
        raw(r'{"id": "b", "images": 20, "name": "\ud83d\ude00"}'), SAME, (0, 1), names={"b": "😀"}
    ),
    "uploaded-only-seconds": Applied(of(b=batch("b", 20, 2, uploaded={"_seconds": 0})), SAME, (0, 1)),
    "uploaded-latest": Applied(
        of(b=batch("b", 20, 2, uploaded={"_seconds": 253_402_300_799, "_nanoseconds": 999_999_999})), SAME, (0, 1)
    ),
    "no-object": rejected(["b"]),
    "id-missing": rejected({"images": 21}),
    "id-empty": rejected(batch("", 21)),
    "id-no-string": rejected({"id": 7, "images": 21}),
    "id-with-nul": rejected(batch("b\0", 21)),
    "id-half-a-pair": rejected(batch("b\ud83d", 21)),
    "name-no-string": rejected(batch("b", 21, name=5)),
    "count-negative": rejected(batch("b", -1)),
    "count-fractional": rejected(batch("b", 21.5)),
    "count-true": rejected(batch("b", True)),
    "count-text": rejected(batch("b", "21")),
    "count-too-large": rejected(batch("b", 21, HUGE + 1)),
    "count-infinite": Applied(raw('{"id": "b", "images": 1e999}'), SAME, rejected=1, positions=(1,)),
    "uploaded-no-object": rejected(batch("b", 21, uploaded="2022-11-22")),
    "uploaded-no-seconds": rejected(batch("b", 21, uploaded={"_nanoseconds": 5})),
    "uploaded-before-1970": rejected(batch("b", 21, uploaded={"_seconds": -1})),
    "uploaded-after-9999": rejected(batch("b", 21, uploaded={"_seconds": 253_402_300_800})),
    "uploaded-nanoseconds": rejected(batch("b", 21, uploaded={"_seconds": 5, "_nanoseconds": 1_000_000_000})),
    "twice-different": Applied([*of(), batch("b", 21, 2)], SAME, rejected=2, positions=(1, 4)),
    "half-rejected": Applied(of(c=5, d=6), SAME, rejected=2, positions=(2, 3)),
}
#: Whose bad record does not tell which batch it is about, so that one is missing; the API still has it.
UNNAMED = {"no-object", "id-missing", "id-empty", "id-no-string", "id-with-nul", "id-half-a-pair", "half-rejected"}
REFUSED: dict[str, Any] = {
    "no-json": b"<html>sorry</html>",
    "nothing": b"",
    "cut-json": json.dumps(of()).encode()[:-5],
    "nan": raw('{"id": "b", "images": NaN}'),
    "object": {},
    "null": None,
    "text": "batches",
    "batches-null": {"batches": None},
    "batches-object": {"batches": {"b": 1}},
    "error-with-200": {"error": {"message": "something is wrong"}},
    "mostly-rejected": of(b=1, c=2, d=3),
    "all-rejected": [{}],
}


def test_every_answer_of_the_contract(cli: Cli) -> None:
    projects = [*APPLIED, *REFUSED]
    for project in projects:
        cli.list(*STORED, project=project)
    cli.configure(workspaces=[{"projects": projects}])
    cli.run("sync")
    for project, applied in APPLIED.items():
        cli.world.set(f"acme/{project}", applied.answer)
    for project, answer in REFUSED.items():
        cli.world.set(f"acme/{project}", answer)
    for project in UNNAMED:
        for record in STORED[1:]:
            cli.world.set_batch(f"acme/{project}", str(record["id"]), 200, record)
    before = {project: current(cli, project) for project in REFUSED}
    asked = len(cli.simulator.requests)
    done = cli.run("sync", "--json", code=1)

    names = ("outcome", "added", "changed", "removed", "rejected", "error_kind")
    found = {project: tuple(one[name] for name in names) for project, one in done.projects.items()}
    assert found == {
        **{
            project: ("changed" if any(one.changes) else "unchanged", *one.changes, 0, one.rejected, None)
            for project, one in APPLIED.items()
        },
        **dict.fromkeys(REFUSED, ("failed", 0, 0, 0, 0, "bad_response")),
        "mostly-rejected": ("failed", 0, 0, 0, 3, "bad_response"),
        "all-rejected": ("failed", 0, 0, 0, 1, "bad_response"),
    }
    # A batch whose record is rejected is not asked for by id: nobody takes it for missing.
    assert {r.path.split("/")[2] for r in cli.simulator.requests[asked:] if r.path.count("/") == 4} <= UNNAMED
    stored = {project: current(cli, project) for project in projects}
    assert {project: stored[project][0] for project in APPLIED} == {name: one.images for name, one in APPLIED.items()}
    assert {project: stored[project][1] for project in APPLIED} == {
        name: {**dict.fromkeys(one.images), **NAMES} | one.names for name, one in APPLIED.items()
    }
    assert {project: stored[project] for project in REFUSED} == before
    uploaded = """SELECT project, uploaded_at FROM current_batches
        WHERE batch_id = 'b' AND project LIKE 'uploaded-%' AND changed_at > first_seen_at ORDER BY project"""
    assert cli.database.rows(uploaded) == [
        ("uploaded-latest", "9999-12-31 23:59:59.999999"),
        ("uploaded-only-seconds", "1970-01-01 00:00:00.000000"),
    ]

    # Each rejected record is named with its place and why.
    for project, applied in APPLIED.items():
        lines = [line.partition(f"acme/{project}:")[2] for line in done.err.splitlines()]
        said = [line for line in lines if "rejected" in line]
        assert len(said) == len(applied.positions), project
        assert all(re.search(rf"\b{one}\b", line) for one, line in zip(applied.positions, said, strict=True)), said

    # Nothing was kept of an answer that was not applied whole: it comes again in full, and says the same again.
    asked = len(cli.simulator.requests)
    again = cli.run("sync", "--json", code=1)
    conditional = {
        request.path.split("/")[2]
        for request in cli.simulator.requests[asked:]
        if request.path.endswith("/batches") and "if-none-match" in request.headers
    }
    assert not conditional & {project for project, one in APPLIED.items() if one.rejected}
    assert {project: one["rejected"] for project, one in again.projects.items()} == {
        project: one["rejected"] for project, one in done.projects.items()
    }
    cli.verify()


def test_a_page_of_a_list_removes_nothing_however_often_it_comes(cli: Cli) -> None:
    records = [batch(f"b{number:03}", number, 1) for number in range(110)]
    cli.list(*records)
    cli.sync()
    before = cli.database.dump()
    cli.simulator.page_size = 60
    for _ in range(2):
        project = cli.sync(code=1)
        assert (project["outcome"], project["error_kind"], project["attempts"]) == ("failed", "bad_response", 1)
        assert "continuationToken" in project["error"]
    after = cli.database.dump()
    assert {table for table in before if before[table] != after[table]} == {"sync_runs"}
    # A list that fits into one page is whole.
    cli.simulator.page_size = 110
    assert cli.sync()["outcome"] == "unchanged"
    cli.balance()


def current(cli: Cli, project: str) -> tuple[dict[str, int], dict[str, str]]:
    """The images and the names of a project's batches."""
    rows = cli.database.rows(
        f"SELECT batch_id, images, name FROM current_batches WHERE project = '{project}' ORDER BY batch_id"
    )
    return {one: images for one, images, _ in rows}, {one: name for one, _, name in rows}
