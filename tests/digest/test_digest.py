"""A digest says what the other queries say, in a few lines, of which none can steer what shows it."""

from __future__ import annotations

import html
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rig import Rig, job, record
from sqlalchemy import Engine

from rfsync import history
from rfsync.database.engine import open_engine
from rfsync.digests import Form, make_lines, make_title, render, render_page
from rfsync.errors import ConfigError, ErrorKind, FetchError

NOW = datetime(2026, 3, 10, 9, tzinfo=UTC)
#: Would mention everybody, be a link or code, become an element or steer a terminal.
HOSTILE = "@everyone _i_ `c` **b** <!channel> <@U1> [x](http://evil.example) \x1b[31m\u202e<img src=x onerror=alert(1)>"
ANN, BOB, CY, DAN, EVE = (f"{name}@example.com" for name in ("ann", "bob", "cy", "dan", "eve"))

GOLDEN = """\
Sync problem. Annotation batches of all projects: 2026-03-03 09:00 to 2026-03-10 09:00 UTC

WRONG: 1 of 2 projects may be out of date. acme/gears: its sync has failed once: HTTP 401
Came in: 1,230 images, 2 new batches. Most moved in acme/widgets (1,200 in, 100 left), acme/gears (30 in, 0 left)
Handed out: 1,019 images in 5 jobs
Labelled: 30 annotated, 13 approved, 1 rejected. Annotated by ann@example.com (20), \
bob@example.com (5), cy@example.com (2), 2 others (3)
No longer counted: 9 approved and 1 annotated images of 1 job that was removed since 2026-03-03 09:00.
In no job: 1,630 images now, in 3 batches; +1,130 since 2026-03-03 09:00
Waiting longest: “name of w2” of acme/widgets (1,200 images, for 5 days)
Open jobs: 6; 1 unchanged for 7 days or more, longest “j2” of acme/widgets by bob@example.com (20 days)
"""


@pytest.fixture
def engine(rig: Rig) -> Engine:
    """Reads what the test's rig writes."""
    rig.sync_jobs = True
    return open_engine(rig.url, read_only=True)


def observe(
    rig: Rig, days_ago: float, project: str, batches: list[dict[str, object]] | FetchError, *jobs: dict[str, object]
) -> None:
    """A run that many days ago."""
    rig.now, rig.project, rig.listed, rig.jobs = NOW - timedelta(days=days_ago), project, batches, [*jobs]
    assert rig.sync(minutes=0, allow_removals=True).ok != isinstance(batches, FetchError)


def batch(batch_id: str, images: int, jobs: int, days_ago: float = 30, name: str = "") -> dict[str, object]:
    uploaded = {"_seconds": int((NOW - timedelta(days=days_ago)).timestamp())}
    return {**record(batch_id, images, jobs, name or f"name of {batch_id}"), "uploaded": uploaded}


def labelled(job_id: str, images: int, done: int, labeler: str | None, **counts: int) -> dict[str, object]:
    unannotated = images - done - sum(counts.values())
    return job(job_id, images, done, unannotated=unannotated, labeler=labeler, sourceBatch="p/w1", **counts)


def seed(rig: Rig) -> None:
    """Two projects; the first has jobs, one of which is stuck and one is removed; the sync of the second fails."""
    old = labelled("j1", 10, 1, ANN), labelled("j2", 50, 0, BOB)
    observe(rig, 20, "widgets", [batch("w1", 500, 2)], *old)
    observe(rig, 6, "widgets", [batch("w1", 400, 3), batch("w2", 1200, 0, 5)], labelled("j1", 10, 1, ANN, approved=9),
            old[1], labelled("j3", 1000, 19, ANN))  # fmt: skip
    mine = labelled("j3", 1000, 20, ANN, approved=4, rejected=1), labelled("j4", 10, 5, BOB), labelled("j5", 2, 2, CY)
    observe(rig, 1, "widgets", [batch("w1", 400, 5), batch("w2", 1200, 0, 5)], old[1], *mine)
    observe(rig, 20, "gears", [batch("g1", 0, 0)])
    observe(rig, 3, "gears", [batch("g2", 30, 1)], labelled("j9", 3, 2, DAN), labelled("j8", 4, 1, EVE))
    observe(rig, 1, "gears", FetchError(ErrorKind.AUTH, "HTTP 401", http_status=401, attempts=1))


def text_of(facts: history.Digest, form: Form = "text") -> str:
    return render_page(make_title(facts, []), make_lines(facts), form)


def test_the_facts_are_those_of_the_other_queries(rig: Rig, engine: Engine) -> None:
    seed(rig)
    facts = history.digest(engine, since="7d", now=NOW)
    assert text_of(facts) == GOLDEN
    assert GOLDEN in (Path(__file__).parents[2] / "docs" / "digest.md").read_text()
    since: dict[str, Any] = {"since": facts.since, "now": NOW, "summed": True}
    totals = list(history.totals(engine, **since, first_looks=False))
    assert facts.change is not None
    assert facts.change.images_gained == sum(row.images_gained for row in totals)
    assert facts.change.images == sum(row.images_delta for row in totals)
    assert facts.images == totals[-1].images == sum(row.images for row in history.batches(engine))
    work = list(history.work(engine, **since))
    for of in ("jobs_opened", "images_assigned", "annotated_gained", "approved_gained", "rejected_gained"):
        assert sum(getattr(row, of) for row in facts.labelers) == sum(getattr(row, of) for row in work) > 0
    assert list(facts.waiting) == history.waiting(engine)
    assert facts.open_jobs == len(history.open_jobs(engine, limit=None))
    assert list(facts.stuck) == history.open_jobs(engine, unchanged_for="7d", now=NOW)
    one = history.digest(engine, "acme/widgets", since="2026-03-03T09:00", now=NOW)
    assert [line.label for line in make_lines(one)][:2] == ["Came in", "Handed out"]
    assert make_title(one, ["acme/widgets"])[1] == "acme/widgets"


def test_what_is_not_known_is_said(rig: Rig, engine: Engine) -> None:
    empty = history.digest(engine, now=NOW)
    assert (empty.projects, empty.observed_at) == (0, None)
    assert "Nothing was observed yet" in text_of(empty)
    rig.sync_jobs = False
    observe(rig, 20, "widgets", [batch("w1", 500, 2)])
    unknown = text_of(history.digest(engine, since="3d", now=NOW))
    assert "WRONG: The project may be out of date. acme/widgets: it was last observed on 2026-02-18" in unknown
    assert "Nothing was observed since 2026-03-07 09:00: what happened in that time is not known." in unknown
    assert not {"Came in", "Left", "than on"} & {*unknown.replace(":", "\n").split("\n")}
    observe(rig, 2, "widgets", [batch("w1", 500, 2)])
    quiet = text_of(history.digest(engine, since="3d", now=NOW))
    assert "Jobs: Annotation jobs were never asked for" in quiet
    assert "Nothing came, left or was labelled since 2026-03-07 09:00." in quiet
    observe(rig, 1, "widgets", [batch("w1", 499, 3)])
    assert "Left: 1 image, mostly assigned to jobs\n" in text_of(history.digest(engine, since="3d", now=NOW))
    stale = history.digest(engine, since="3d", now=NOW, stale_from=lambda _, at: at + timedelta(hours=1))
    assert [row.reason for row in stale.problems] == ["its data is old: three polls have been due since then"]
    # The jobs are known, but their last list is old.
    rig.sync_jobs = True
    observe(rig, 0.5, "widgets", [batch("w1", 499, 3)], labelled("j1", 5, 1, ANN))
    rig.now, rig.jobs = NOW, FetchError(ErrorKind.SERVER, "HTTP 500", http_status=500, attempts=1)
    rig.sync(minutes=0)
    late = text_of(history.digest(engine, since="1h", now=NOW + timedelta(minutes=1)))
    assert "WRONG: The jobs of 1 project are out of date" in late
    assert "No list of annotation jobs was read since 2026-03-10 08:01: what was done is not known." in late
    off = text_of(history.digest(engine, since="1h", now=NOW + timedelta(minutes=1), jobs_off=True))
    assert "Jobs: Annotation jobs were last observed at 20" in off
    assert "WRONG" not in off
    for wrong in ("2027-01-01", NOW):
        with pytest.raises(ConfigError, match=r"^since: "):
            history.digest(engine, since=wrong, now=NOW)


def test_projects_that_are_gone_are_named(rig: Rig, engine: Engine) -> None:
    seed(rig)
    rig.project, rig.projects = "widgets", ["others", "gears"]
    assert rig.sync().departed
    facts = history.digest(engine, since="7d", now=NOW)
    assert (facts.projects, [row.project for row in facts.departed]) == (1, ["widgets"])
    gone = "Gone: acme/widgets is no longer in the workspace, with all batches; the history is kept\n"
    assert gone in text_of(facts)
    assert "Gone" not in text_of(history.digest(engine, since=facts.departed[0].departed_at + timedelta(minutes=1),
                                                now=NOW))  # fmt: skip
    many = make_lines(facts._replace(problems=[], departed=[*facts.departed] * 9))
    shown = "Gone: " + ", ".join(["acme/widgets"] * 3) + " and 6 other projects are no longer in the workspace"
    assert render(many[:1], "text").startswith(shown)
    rig.project, rig.projects = "gears", ["others"]
    assert rig.sync().departed
    assert text_of(history.digest(engine, since="7d", now=NOW)).splitlines()[2:] == [
        "Gone: acme/widgets, acme/gears are no longer in the workspace, with all batches; the history is kept"
    ]


def test_many_projects_are_still_ten_lines(rig: Rig, engine: Engine) -> None:
    seed(rig)
    facts = history.digest(engine, since="7d", now=NOW)
    problem = history.ProblemRow("acme", "p", "it was never observed")
    found = make_lines(facts._replace(projects=400, problems=[problem] * 215))
    assert render(found[:1], "text") == (
        "WRONG: 215 of 400 projects may be out of date. " + "acme/p: it was never observed; " * 3
        + "and 212 more: rfsync status lists them all\n"
    )  # fmt: skip
    assert len(found) <= 10
    title = "".join(make_title(facts._replace(problems=[]), [f"acme/p{n}" for n in range(215)]))
    assert title.startswith("Annotation batches of acme/p0, acme/p1, acme/p2 and 212 more: 2026-03-03")


def test_names_are_plain_text_in_every_form(rig: Rig, engine: Engine) -> None:
    hostile: Any = {"labeler": HOSTILE, "name": HOSTILE}
    observe(rig, 9, "widgets", [batch("b", 5, 0, name=HOSTILE)], job("j", 2, 0, **hostile))
    observe(rig, 8, "widgets", [batch("b", 6, 0, name=HOSTILE)], job("j", 2, 1, unannotated=1, **hostile))
    facts = history.digest(engine, since="30d", now=NOW)
    forms: tuple[Form, ...] = ("text", "markdown", "html")
    for form in forms:
        for chat in (False, True):
            shown = render(make_lines(facts), form, chat=chat)
            assert "everyone" in shown
            assert not {"\x1b", "\u202e"} & set(shown)
            assert len(shown.splitlines()) <= 12
            if chat or form == "markdown":
                ours = shown.replace("<strong>", "").replace("</strong>", "").replace("<li>", "").replace("</li>", "")
                ours = html.unescape(ours.replace("<ul>", "").replace("</ul>", "")).replace("**", "")
                assert not set("@<>[]`*") & set(ours)
    assert "<img" not in render_page(make_title(facts, [HOSTILE]), make_lines(facts), "html")
    assert "\\_i\\_" in render(make_lines(facts), "markdown")


def test_a_pseudonym_stands_for_a_labeler(rig: Rig, engine: Engine) -> None:
    rig.people = "pseudonym"
    rig.restart()
    observe(rig, 9, "widgets", [batch("w1", 5, 1)], labelled("j1", 9, 0, ANN))
    observe(rig, 8, "widgets", [batch("w1", 5, 1)], labelled("j1", 9, 4, ANN))
    shown = text_of(history.digest(engine, since="30d", now=NOW))
    assert "Annotated by person-1 (4)" in shown
    assert "by person-1 (8 days)" in shown
    assert "ann" not in shown.replace("annotated", "").replace("Annotat", "")
