"""The lines of a digest, from its facts; there is none about what there is nothing to say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeAlias

from rfsync import charts
from rfsync.charts.labels import shortened
from rfsync.history.digest import STUCK, Digest
from rfsync.history.net_change import NetChange
from rfsync.history.place_rows import OpenJobRow
from rfsync.history.problems import ProblemRow
from rfsync.history.rows import DepartureRow, MoverRow, WaitingRow
from rfsync.report.formatting import age, plural
from rfsync.text import printable

#: Problems and labelers that are named.
_LISTED: Final = 3
#: Targets that a title names.
_TITLED: Final = 3
#: Maximum length of a name and of a reason, in characters: some chats take no more than 2,000 in all.
_NAME_LENGTH: Final = 60
_REASON_LENGTH: Final = 120


class Name(str):
    """Text from outside, such as a name; it has to be escaped."""

    __slots__ = ()


#: Our own words, and names among them.
Parts: TypeAlias = tuple[str, ...]


class Line(NamedTuple):
    """A line of a digest.

    Attributes:
        label: what it is about; empty: it is a sentence.
        parts: its text; those of the type ``Name`` are from outside.
        urgent: something is wrong.
    """

    label: str
    parts: Parts
    urgent: bool = False


def make_title(facts: Digest, targets: Sequence[str]) -> Parts:
    """What the digest is about, and of which time.

    Args:
        targets: as they were named; empty for all projects.
    """
    named = [_name(target) for target in targets[:_TITLED]]
    more = len(targets) - len(named)
    scope = (*_joined([(name,) for name in named], ", "), f" and {more:,} more" if more else "")
    wrong = "Sync problem. " if is_wrong(facts) else ""
    time = f": {_moment(facts.since)} to {_moment(facts.until)} UTC"
    return (f"{wrong}Annotation batches of ", *(scope if targets else ("all projects",)), time)


def is_wrong(facts: Digest) -> bool:
    """Tells whether something is wrong with the sync."""
    return bool(facts.problems) or facts.jobs_failed


def make_lines(facts: Digest) -> list[Line]:
    """The lines: what is wrong, what happened, what there is now."""
    lines = [_problems(facts), _jobs_note(facts), _gone(facts)]
    if facts.observed_at is not None:
        lines += [*_happened(facts), *_now(facts)]
    elif not any(lines):
        lines.append(Line("", ("Nothing was observed yet: what there is to say begins with the first sync.",)))
    return [line for line in lines if line is not None]


def _problems(facts: Digest) -> Line | None:
    if not facts.problems:
        return None
    found = len(facts.problems)
    subject = "The project" if facts.projects == 1 else f"{found:,} of {plural(facts.projects, 'project')}"
    listed: list[Parts] = [(_project(row), ": ", _name(row.reason, _REASON_LENGTH)) for row in facts.problems[:_LISTED]]
    more = f"; and {found - len(listed):,} more: rfsync status lists them all" if found > len(listed) else ""
    return Line("WRONG", (f"{subject} may be out of date. ", *_joined(listed, "; "), more), urgent=True)


def _jobs_note(facts: Digest) -> Line | None:
    if not facts.jobs_note:
        return None
    return Line("WRONG" if facts.jobs_failed else "Jobs", (facts.jobs_note,), urgent=facts.jobs_failed)


def _gone(facts: Digest) -> Line | None:
    if not facts.departed:
        return None
    listed: list[Parts] = [(_project(row),) for row in facts.departed[:_LISTED]]
    more = len(facts.departed) - len(listed)
    others = f" and {plural(more, 'other project')}" if more else ""
    are = "is" if len(facts.departed) == 1 else "are"
    text = f"{others} {are} no longer in the workspace, with all batches; the history is kept"
    return Line("Gone", (*_joined(listed, ", "), text))


def _happened(facts: Digest) -> list[Line | None]:
    """What came, was handed out and labelled."""
    if facts.change is None or not facts.observed:
        last = "" if facts.observed_at is None else f" The last observation was on {_moment(facts.observed_at)}."
        text = f"Nothing was observed since {_moment(facts.since)}: what happened in that time is not known.{last}"
        return [Line("", (text,), urgent=True)]
    lines = [_came(facts, facts.change), *_work(facts, facts.change)]
    if not any(lines):
        lines = [Line("", (f"Nothing came, left or was labelled since {_moment(facts.since)}.",))]
    removed = charts.removed_summary(facts.removed_jobs, f"since {_moment(facts.since)}")
    return [*lines, Line("", (removed,)) if removed else None]


def _came(facts: Digest, change: NetChange) -> Line | None:
    batches = sum(row.batches_added for row in change.projects)
    counts = [
        plural(number, word) for number, word in ((change.images_gained, "image"), (batches, "new batch")) if number
    ]
    if not counts:
        return None
    moved = sum(row.images_gained > 0 or row.images_lost > 0 for row in change.projects)
    if facts.projects < 2 or not facts.movers:
        return Line("Came in", (" in ".join(counts),))
    listed: list[Parts] = [
        (_project(row), f" ({row.images_gained:,} in, {row.images_lost:,} left)") for row in facts.movers
    ]
    others = moved - len(listed)
    more = f", and {plural(others, 'other project')}" if others > 0 else ""
    return Line("Came in", (f"{', '.join(counts)}. Most moved in ", *_joined(listed, ", "), more))


def _work(facts: Digest, change: NetChange) -> list[Line | None]:
    """What was handed out and labelled; where that is not known, what left."""
    lost = change.images_lost
    left = Line("Left", (f"{plural(lost, 'image')}, mostly assigned to jobs",)) if lost else None
    if not facts.jobs_known:
        return [left]
    if not facts.jobs_observed:
        text = f"No list of annotation jobs was read since {_moment(facts.since)}: what was done is not known."
        return [left, Line("", (text,), urgent=True)]
    rows = facts.labelers
    assigned, opened = (sum(getattr(row, of) for row in rows) for of in ("images_assigned", "jobs_opened"))
    handed_out = plural(assigned, "image") + (f" in {plural(opened, 'job')}" if opened else "")
    done = {of: sum(getattr(row, f"{of}_gained") for row in rows) for of in charts.WORK}
    counts = ", ".join(f"{number:,} {of}" for of, number in done.items() if number)
    top = [row for row in charts.top_labelers(rows, _LISTED) if row.annotated_gained]
    people: list[Parts] = [(_name(charts.person(row.labeler)), f" ({row.annotated_gained:,})") for row in top]
    who = (". Annotated by ", *_joined(people, ", ")) if people else ()
    return [
        Line("Handed out", (handed_out,)) if assigned or opened else left,
        Line("Labelled", (counts, *who)) if counts else None,
    ]


def _now(facts: Digest) -> list[Line | None]:
    """What there is now, and waits longest."""
    waits = [_waiting(row, facts.until) for row in facts.waiting]
    return [_in_no_job(facts), Line("Waiting longest", _joined(waits, "; ")) if waits else None, _open_jobs(facts)]


def _in_no_job(facts: Digest) -> Line | None:
    change = facts.change
    if change is None or not (facts.images or change.images):
        return None
    text = f"{plural(facts.images, 'image')} now"
    if facts.batches:
        text += f", in {plural(facts.batches, 'batch')}"
    if change.images and facts.observed:
        text += f"; {change.images:+,} since {_moment(facts.since)}"
        if change.first_observed:
            text += f", without what {plural(change.first_observed, 'project')} had when first observed"
    return Line("In no job", (text,))


def _waiting(row: WaitingRow, now: datetime) -> Parts:
    return (
        *_quoted(row.name or row.batch_id),
        " of ",
        _project(row),
        f" ({plural(row.images, 'image')}, for {age(row.waiting_since, now)})",
    )


def _open_jobs(facts: Digest) -> Line | None:
    if not facts.open_jobs:
        return None
    if not facts.stuck_jobs:
        return Line("Open jobs", (f"{facts.open_jobs:,}",))
    stuck = f"{facts.open_jobs:,}; {facts.stuck_jobs:,} unchanged for {STUCK.days} days or more, longest "
    return Line("Open jobs", (stuck, *_joined([_stuck(row, facts.until) for row in facts.stuck], "; ")))


def _stuck(row: OpenJobRow, now: datetime) -> Parts:
    return (
        *_quoted(row.name or row.job_id),
        " of ",
        _project(row),
        " by ",
        _name(charts.person(row.labeler)),
        f" ({age(row.changed_at, now)})",
    )


def _project(row: ProblemRow | DepartureRow | MoverRow | WaitingRow | OpenJobRow) -> Name:
    return _name(f"{row.workspace}/{row.project}")


def _name(text: str, limit: int = _NAME_LENGTH) -> Name:
    """A text from outside, in one line; its middle is left out if it is long."""
    return Name(shortened(printable(text), limit))


def _quoted(name: str) -> Parts:
    return ("“", _name(name), "”")


def _joined(items: Sequence[Parts], separator: str) -> Parts:
    return tuple(part for n, item in enumerate(items) for part in ((separator, *item) if n else item))


def _moment(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"
