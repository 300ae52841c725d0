"""What queries are asked with: the same forms and the same errors in each of them, when it is called."""

from __future__ import annotations

import pydoc
import re
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from inspect import signature
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from job_ledger import Jobs, Seen
from rig import Rig, record
from sqlalchemy import Engine, event

import rfsync
from rfsync import ConfigError
from rfsync.database.engine import open_engine

#: Noon in UTC, and a midnight in Berlin.
NOON, TONIGHT = datetime(2026, 1, 2, 12, tzinfo=UTC), datetime(2026, 1, 2, 23, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: Function -> its arguments that are times.
TIMES = {
    "batches": ["as_of"],
    "changes": ["since", "until"],
    "totals": ["since", "until", "now"],
    "throughput": ["since", "until", "now"],
    "flow": ["since", "until"],
    "movers": ["since", "until"],
    "first_jobs": ["since", "until"],
    "backlog": ["now"],
    "freshness": ["now"],
    "jobs": ["as_of"],
    "job_changes": ["since", "until"],
    "work": ["since", "until", "now"],
    "labelers": ["since", "until"],
    "image_places": ["since", "until", "now"],
    "open_jobs": ["now"],
    "removed_jobs": ["since", "until"],
    "stages": ["since", "until"],
    "falls": ["since", "until"],
}
ARGUMENTS = [(name, argument) for name, arguments in TIMES.items() for argument in arguments]
REQUIRED: dict[str, dict[str, Any]] = {
    name: {"since": "2026-01-01"} for name in ("flow", "movers", "labelers", "removed_jobs")
}
USUAL: dict[str, dict[str, Any]] = {
    "throughput": {"window": 1},
    "movers": {"of": "batches"},
    "backlog": {"edges": (12,)},
    "open_jobs": {"unchanged_for": "190h"},
}

Ask = Callable[..., Any]


@pytest.fixture
def engine(rig: Rig) -> Iterator[Engine]:
    """A batch that grows every six hours for four days, and gets its first job on the third one; beside it jobs."""
    jobs = Jobs(rig)
    for hours in range(0, 96, 6):
        rig.now = datetime(2026, 1, 1, tzinfo=UTC) + hours * HOUR
        rig.listed = [record("g1", 10 + hours, hours // 36, "Upload via API"), record(f"n{hours}", 1, hours // 36)]
        jobs.sync({"j": Seen(num_images=100, annotated=hours), f"k{hours}": Seen(num_images=1)})
    made = open_engine(rig.url, read_only=True)
    yield made
    made.dispose()


@pytest.fixture
def ask(engine: Engine) -> Ask:
    """A function by its name, and all of its rows."""

    def call(name: str, **arguments: Any) -> list[Any]:
        return list(
            getattr(rfsync, name)(engine, "acme/widgets", **REQUIRED.get(name, {}) | USUAL.get(name, {}) | arguments)
        )

    return call


def test_a_time_may_be_written_in_each_form(ask: Ask) -> None:
    for name, argument in ARGUMENTS:

        def at(time: Any, name: str = name, argument: str = argument) -> list[Any]:
            return ask(name, **{argument: time})

        noon = NOON + (10 * DAY if argument == "now" else timedelta())  # totals end with what is known, at least
        for same in (noon.astimezone(ZoneInfo("Asia/Kathmandu")), f"{noon:%Y-%m-%dT%H:%M}", f"{noon:%F %H:30}+00:30"):
            assert at(same) == at(noon), (name, argument)
        day = noon.date() + DAY
        assert at(day) == at(f"{day}") == at(noon + 12 * HOUR) != at(noon), (name, argument)
        if argument == "since":
            assert at("1s") != at(NOON), name
            assert "by" in signature(getattr(rfsync, name)).parameters or at("36500d") == at("1930-01-01"), name


@pytest.mark.parametrize("name", ["totals", "throughput", "work", "image_places"])
def test_a_time_without_an_offset_is_of_the_time_zone(ask: Ask, name: str) -> None:
    for argument in ("since", "until"):
        here: dict[str, Any] = {"tz": "Europe/Berlin"}
        expected = ask(name, **here, **{argument: TONIGHT})
        assert expected != ask(name, **here, **{argument: TONIGHT + HOUR})
        for same in (date(2026, 1, 3), "2026-01-03", "2026-01-03T00:00"):
            assert ask(name, **here, **{argument: same}) == expected, argument


def test_what_is_no_time_is_an_error_that_names_the_argument(ask: Ask) -> None:
    naive = datetime(2026, 1, 2, 12)  # noqa: DTZ001 that is the point
    wrong: dict[Any, str] = {
        naive: "2026-01-02 12:00:00 has no time zone: use datetime(…, tzinfo=UTC), a date, or a text such as",
        "soon": "'soon' is not a time: write a date such as 2026-01-31",
        7: "'7' is not a time: write",
        datetime(1, 1, 1, tzinfo=UTC): "is out of range: years are from 1900 to 9998",
        date(9999, 1, 1): "'9999-01-01' is out of range",
    }
    for name, argument in ARGUMENTS:
        for time, message in wrong.items():
            with pytest.raises(ConfigError, match=rf"^{argument}: .*{re.escape(message)}"):
                ask(name, **{argument: time})


def test_an_empty_range_is_an_error(ask: Ask) -> None:
    for name in (name for name, argument in ARGUMENTS if argument == "until"):
        for until in (NOON, NOON - HOUR):
            with pytest.raises(ConfigError, match=r"^since: .* is not before until "):
                ask(name, since=NOON, until=until)
        with pytest.raises(ConfigError, match=r"^since: '2d' is not before until '3d'$"):
            ask(name, since="2d", until="3d")


def test_what_is_required_shows_in_the_signature(engine: Engine) -> None:
    for name in REQUIRED:
        with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'since'"):
            getattr(rfsync, name)(engine)


def test_a_target_that_is_none_is_the_error_of_the_command_line(engine: Engine) -> None:
    """When the function is called, even if it returns an iterator."""
    wrong: dict[Any, str] = {
        "acme/gone": "the database has no acme/gone: rfsync status shows what it has",
        ("acme/widgets", "acmee"): "the database has no acmee: rfsync status shows what it has; did you mean acme?",
        "acme/widgts": "did you mean acme/widgets?",
        (5,): "targets: 5 is no target, such as 'acme' or 'acme/widgets'",
        "a/b/c": "TARGET 'a/b/c' is neither a workspace nor workspace/project",
        (): "targets: () is neither a target nor a list of some; None stands for everything",
        iter(["acme"]): "is neither a target nor a list",
    }
    for name in (*TIMES, "waiting", "status", "first_observed"):
        for targets, message in wrong.items():
            with pytest.raises(ConfigError, match=re.escape(message)):
                getattr(rfsync, name)(engine, targets, **REQUIRED.get(name, {}))


def test_many_targets_are_looked_for_at_once(engine: Engine) -> None:
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _1, _2, statement, *_: sent.append(statement))
    assert len(rfsync.status(engine, ["acme/widgets"] * 50)) == 1
    assert sum(statement.startswith("WITH") for statement in sent) == 2


def test_any_other_argument_that_is_wrong(ask: Ask) -> None:
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("totals", {"by": "days"}, "by: 'days' is not one of 'hour', 'day', 'week', 'month'"),
        ("throughput", {"by": "year"}, "by: 'year' is not one of"),
        ("throughput", {"window": 0}, "window: 0 is not a whole number from 1 to"),
        ("totals", {"tz": "Mars"}, "'Mars' is no time zone: use a name like Europe/Berlin"),
        ("totals", {"by": "hour", "since": "1900-01-01"}, "there are more than 100,000 periods by hour"),
        ("movers", {"of": "jobs"}, "of: 'jobs' is not one of 'projects', 'batches'"),
        ("movers", {"limit": -1}, "limit: -1 is not a whole number from 0 to 1,000,000,000"),
        ("waiting", {"limit": 2.5}, "limit: 2.5 is not a whole number from 0 to 1,000,000,000"),
        ("changes", {"limit": -1}, "limit: -1 is not"),
        ("backlog", {"edges": (7, 1)}, "edges: (7, 1) are not ascending ages in days"),
        ("backlog", {"edges": ()}, "edges: () are not ascending"),
        ("backlog", {"edges": (0, 1)}, "edges: 0 is not a whole number from 1 to"),
        ("batches", {"as_of": "9998-01-01"}, "as_of: '9998-01-01' is in the future"),
        (
            "batches",
            {"unchanged_for": "a week"},
            "unchanged_for: 'a week' is not a duration: write 90s, 5m, 12h or 30d",
        ),
        ("batches", {"unchanged_for": -DAY}, "unchanged_for: -1 day, 0:00:00 is not a duration from 0s to 36500d"),
        ("batches", {"unchanged_for": timedelta.max}, "is not a duration from 0s to 36500d"),
        ("backlog", {"edges": (1, 10**9)}, "edges: 1000000000 is not a whole number from 1 to 36,500"),
        ("changes", {"batch_ids": ["g1", "n1"]}, "there is no batch with the id 'n1'"),
        ("changes", {"batch_ids": []}, "batch_ids: there is none in it; None stands for all batches"),
        ("changes", {"batch_ids": "\udcff"}, "there is no batch with the id '\\udcff'"),
        ("changes", {"batch_ids": ["\0"]}, "there is no batch with the id (1 characters, not shown)"),
    ]
    for name, arguments, message in wrong:
        with pytest.raises(ConfigError, match=re.escape(message)):
            ask(name, **arguments)


def test_the_name_of_batches_instead_of_an_id(rig: Rig, engine: Engine) -> None:
    with pytest.raises(ConfigError, match=r"'Upload via API': this is the name of g1 of acme/widgets$"):
        rfsync.changes(engine, batch_ids="Upload via API")
    rig.project = "gears"
    rig.listed = [record(f"x{n}", 1, 0, "Upload via API") for n in range(6)]
    assert rig.sync().ok
    ids = ", ".join(f"x{n} of acme/gears" for n in range(5))
    with pytest.raises(ConfigError, match=rf"'Upload via API': this is the name of {ids}, …$"):
        rfsync.changes(engine, batch_ids=["g1", "Upload via API"])
    with pytest.raises(ConfigError, match=r"there is no batch with the id 'g1' in acme/gears$"):
        rfsync.changes(engine, "acme/gears", batch_ids=["g1"])
    removed = rfsync.changes(engine, batch_ids="n0")
    assert [row.change for row in removed] == ["added", "removed"]


def test_the_batches_that_nobody_has_touched_for_a_while(rig: Rig, engine: Engine) -> None:
    last = rig.now
    rig.listed.append(record("late", 5, 0))  # type: ignore[union-attr]
    assert rig.sync(minutes=60).ok

    def unchanged(**arguments: Any) -> list[str]:
        return [row.batch_id for row in rfsync.batches(engine, **arguments)]

    now = last + 2 * HOUR
    assert unchanged(as_of=now) == unchanged(as_of=now, unchanged_for="1h") == ["g1", "late", "n90"]
    assert unchanged(as_of=now, unchanged_for="61m") == unchanged(as_of=now, unchanged_for=2 * HOUR) == ["g1", "n90"]
    assert unchanged(as_of=now, unchanged_for="121m") == []
    assert unchanged(as_of=last - 6 * HOUR, unchanged_for="0s") == ["g1", "n84"]
    assert unchanged(as_of=last - HOUR, unchanged_for="5h") == ["g1", "n84"]
    assert unchanged(as_of=last - HOUR, unchanged_for="301m") == []
    assert unchanged(unchanged_for="1d") == ["g1", "late", "n90"]
    assert unchanged(unchanged_for="36500d") == []


def test_help_describes_every_field_of_every_row() -> None:
    kinds = [getattr(rfsync, name) for name in rfsync.__all__ if hasattr(getattr(rfsync, name), "_fields")]
    assert len(kinds) > 10
    for kind in kinds:
        text = pydoc.plain(pydoc.render_doc(kind))
        described = re.findall(r"^ \|      ([\w, ]+): \S", text, re.MULTILINE)
        assert sorted(", ".join(described).split(", ")) == sorted(kind._fields), kind
