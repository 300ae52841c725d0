"""Two simulated years of polling: the changes and runs of each day. The same size gives the same history anywhere.

Shares no code with rfsync. Polls that changed nothing are left out, except for one an hour in the last days.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bench.data import ID_CHARACTERS

#: The end of the history: fixed, so that nothing depends on today.
END = datetime(2026, 1, 1, tzinfo=UTC)
#: Seconds between polls, and the seconds of a weekday between which batches change.
EVERY, FROM, UNTIL = 300, 6 * 3600, 18 * 3600
#: Runs that changed nothing are kept for the last so many days; before that only their times are known.
KEPT_DAYS = 30
#: Share of all changes that are in the large project.
LARGE_SHARE = 0.01
#: Changes in one observation to choose from: five on average.
CHANGES = (1, 1, 2, 3, 5, 8, 15)

#: The ledger's columns without its id: run, project, batch, after, at, change, images, jobs, deltas, name.
Change = tuple[int, int, str, str | None, str, str, int, int, int, int, str]
#: id, project, started, finished, outcome, batches listed, added, changed, removed, restored, images delta, jobs delta.
Run = tuple[int, int, str, str, str, int, int, int, int, int, int, int]


class Size(NamedTuple):
    """The size of a history."""

    #: Of the ledger.
    rows: int = 10_000_000
    projects: int = 1_000
    #: Batches of the large project at the first poll; the others have a fortieth of that.
    large: int = 10_000
    days: int = 730
    #: Of the ledger of jobs.
    jobs: int = 0

    @property
    def first(self) -> datetime:
        """The day of the first poll."""
        return END - timedelta(days=self.days)


class Project:
    """A project's present batches: one list for each field."""

    def __init__(self, number: int, workspace: str, name: str) -> None:
        self.number, self.workspace, self.name = number, workspace, name
        self.ids: list[str] = []
        self.names: list[str] = []
        self.uploaded: list[str] = []
        self.images: list[int] = []
        self.jobs: list[int] = []
        self.first: list[str] = []
        self.changed: list[str] = []
        self.removed: list[bool] = []
        #: Batches, images and jobs, without those of removed batches.
        self.totals = (0, 0, 0)


class World:
    """All projects, simulated once from the first day to the last.

    `large` is the number of the large project. A second workspace has a hundredth of the projects, at least one.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self._rng = random.Random(size.rows)  # noqa: S311 - seeded on purpose
        others = max(size.projects // 100, 1)
        names = [("acme", f"project-{n:04}") for n in range(size.projects)]
        names += [("other", f"project-{n:04}") for n in range(others)]
        self.projects = [Project(n, *name) for n, name in enumerate(names, 1)]
        self.large = size.projects // 2
        self._runs = 0
        self._rows = 0

    def days(self) -> Iterator[tuple[list[Change], list[Run]]]:
        """Changes and runs of each day, in the order of time."""
        size = self.size
        dates = [size.first + timedelta(days=n) for n in range(size.days)]
        working = sum(date.weekday() < 5 for date in dates) * (UNTIL - FROM) // EVERY
        for number, date in enumerate(dates):
            changes: list[Change] = []
            runs: list[Run] = []
            for second in range(0, 86_400, EVERY):
                polled = {}
                if number == 0 and second == FROM:
                    polled = {p: size.large // (1 if p.number == self.large else 40) for p in self.projects}
                elif date.weekday() < 5 and FROM <= second < UNTIL and (number or second > FROM):
                    polled = self._polled((size.rows - self._rows) / max(working, 1))
                if date.weekday() < 5 and FROM <= second < UNTIL:
                    working -= 1
                if second % 3600 == 0 and number >= size.days - KEPT_DAYS:
                    polled = {p: polled.get(p, 0) for p in self.projects}
                for project in sorted(polled, key=lambda p: p.number):
                    self._observe(project, date, second, polled[project], changes, runs, known=bool(project.ids))
            yield changes, runs

    def _polled(self, due: float) -> dict[Project, int]:
        """Changed projects and the number of their changes, about `due` in all."""
        rng = self._rng
        polled: dict[Project, int] = {}
        due = int(due + rng.random())
        while due > 0 and len(polled) < len(self.projects):
            number = self.large - 1 if rng.random() < LARGE_SHARE else rng.randrange(len(self.projects))
            project = self.projects[number]
            if project not in polled:
                polled[project] = min(rng.choice(CHANGES), due)
                due -= polled[project]
        return polled

    def _observe(
        self, project: Project, date: datetime, second: int, number: int,
        changes: list[Change], runs: list[Run], *, known: bool,
    ) -> None:  # fmt: skip
        """Append a run and its `number` changes; in a project that is not yet known these are its batches."""
        self._runs += 1
        sent = date + timedelta(seconds=second, milliseconds=100 * project.number, microseconds=self._rng.randrange(99))
        at = f"{sent:%Y-%m-%d %H:%M:%S.%f}"
        after = f"{sent - timedelta(seconds=EVERY):%Y-%m-%d %H:%M:%S.%f}"
        finished = f"{sent + timedelta(milliseconds=400):%Y-%m-%d %H:%M:%S.%f}"
        counts = dict.fromkeys(("added", "changed", "removed", "restored"), 0)
        touched: set[int] = set()
        images_sum = jobs_sum = 0
        for _ in range(number):
            batch, change, images, jobs, images_delta, jobs_delta = self._change(project, touched, at, after, known)
            counts[change] += 1
            images_sum += images_delta
            jobs_sum += jobs_delta
            changes.append((
                self._runs, project.number, project.ids[batch], after if known else None, at, change,
                images, jobs, images_delta, jobs_delta, project.names[batch],
            ))  # fmt: skip
        self._rows += number
        batches, images, jobs = project.totals
        batches += counts["added"] + counts["restored"] - counts["removed"]
        project.totals = (batches, images + images_sum, jobs + jobs_sum)
        outcome = "changed" if number else "unchanged"
        runs.append((
            self._runs, project.number, at, finished, outcome, batches, *counts.values(), images_sum, jobs_sum,
        ))  # type: ignore[arg-type] # four counts  # fmt: skip

    def _change(
        self, project: Project, touched: set[int], at: str, after: str, known: bool
    ) -> tuple[int, str, int, int, int, int]:
        """Change a batch; its index, the kind of change, images and jobs after it, and their deltas."""
        draw = self._rng.random
        kind = draw()
        if not known or kind < 0.05 or len(touched) == len(project.ids):
            return self._add(project, touched, at, after)
        batch = int(draw() * len(project.ids))
        while batch in touched:
            batch = int(draw() * len(project.ids))
        touched.add(batch)
        project.changed[batch] = at
        images, jobs = project.images[batch], project.jobs[batch]
        if project.removed[batch]:
            project.removed[batch] = False
            return batch, "restored", images, jobs, images, jobs
        if kind < 0.1:
            project.removed[batch] = True
            return batch, "removed", 0, 0, -images, -jobs
        if images and kind < 0.8:
            taken, started = 1 + int(draw() * images), 1  # a new job takes images
        else:
            taken, started = -1 - int(draw() * 300), -1 if jobs else 0
        project.images[batch], project.jobs[batch] = images - taken, jobs + started
        return batch, "changed", images - taken, jobs + started, -taken, started

    def _add(self, project: Project, touched: set[int], at: str, after: str) -> tuple[int, str, int, int, int, int]:
        batch, images = len(project.ids), self._rng.randint(1, 500)
        touched.add(batch)
        project.ids.append("".join(self._rng.choices(ID_CHARACTERS, k=20)))
        project.names.append(f"Uploaded on {after[:10]} at {after[11:16]}")
        project.uploaded.append(after)
        project.images.append(images)
        project.jobs.append(0)
        project.first.append(at)
        project.changed.append(at)
        project.removed.append(False)
        return batch, "added", images, 0, images, 0
