"""Two years of polling, played: what every run saw, in the order of time. The same for the same size, on any machine.

Shares no code with rfsync. What is not played are the polls that changed nothing, but for one an hour of the last days.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bench.data import ID_CHARACTERS

#: The moment at which it all ends; nothing depends on today.
END = datetime(2026, 1, 1, tzinfo=UTC)
#: Polls come every so many seconds, and something changes on weekdays from the first until before the last.
EVERY, FROM, UNTIL = 300, 6 * 3600, 18 * 3600
#: Of so many last days the runs that changed nothing are still there; of those before it is known that they were.
KEPT_DAYS = 30
#: The share of all changes that the large project has.
LARGE_SHARE = 0.01
#: Changes of one observation: five, on average.
CHANGES = (1, 1, 2, 3, 5, 8, 15)

#: As the columns of the ledger without its id: run, project, batch, after, at, change, images, jobs, deltas, name.
Change = tuple[int, int, str, str | None, str, str, int, int, int, int, str]
#: id, project, started, finished, outcome, batches listed, added, changed, removed, restored, images' and jobs' delta.
Run = tuple[int, int, str, str, str, int, int, int, int, int, int, int]


class Size(NamedTuple):
    """Of a history."""

    rows: int = 10_000_000
    projects: int = 1_000
    #: Batches of the large project when it is first seen; the others have a fortieth.
    large: int = 10_000
    days: int = 730

    @property
    def first(self) -> datetime:
        """The day of the first poll."""
        return END - timedelta(days=self.days)


class Project:
    """Its batches as they are, each by its number in the lists."""

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
        #: Batches, images and jobs that are there.
        self.totals = (0, 0, 0)


class World:
    """The projects, the dice and the numbers given so far.

    `large` is the number of the large project. A second workspace has a hundredth of the projects, and one at least.
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self._dice = random.Random(size.rows)  # noqa: S311 - seeded on purpose
        others = max(size.projects // 100, 1)
        names = [("acme", f"project-{n:04}") for n in range(size.projects)]
        names += [("other", f"project-{n:04}") for n in range(others)]
        self.projects = [Project(n, *name) for n, name in enumerate(names, 1)]
        self.large = size.projects // 2
        self._runs = 0
        self._rows = 0

    def days(self) -> Iterator[tuple[list[Change], list[Run]]]:
        """What each day had, in the order of time."""
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
        """The projects in which something changed, and how much, so that about `due` changes come of it."""
        dice = self._dice
        polled: dict[Project, int] = {}
        due = int(due + dice.random())
        while due > 0 and len(polled) < len(self.projects):
            number = self.large - 1 if dice.random() < LARGE_SHARE else dice.randrange(len(self.projects))
            project = self.projects[number]
            if project not in polled:
                polled[project] = min(dice.choice(CHANGES), due)
                due -= polled[project]
        return polled

    def _observe(
        self, project: Project, date: datetime, second: int, number: int,
        changes: list[Change], runs: list[Run], *, known: bool,
    ) -> None:  # fmt: skip
        """One run: adds its row, and those of `number` changes; a project that is not known shows as many batches."""
        self._runs += 1
        sent = date + timedelta(
            seconds=second, milliseconds=100 * project.number, microseconds=self._dice.randrange(99)
        )
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
        there, images, jobs = project.totals
        there += counts["added"] + counts["restored"] - counts["removed"]
        project.totals = (there, images + images_sum, jobs + jobs_sum)
        outcome = "changed" if number else "unchanged"
        runs.append((
            self._runs, project.number, at, finished, outcome, there, *counts.values(), images_sum, jobs_sum,
        ))  # type: ignore[arg-type] # four counts  # fmt: skip

    def _change(
        self, project: Project, touched: set[int], at: str, after: str, known: bool
    ) -> tuple[int, str, int, int, int, int]:
        """A batch's number, the change, its counts after it and their deltas."""
        chance = self._dice.random
        kind = chance()
        if not known or kind < 0.05 or len(touched) == len(project.ids):
            return self._add(project, touched, at, after)
        batch = int(chance() * len(project.ids))
        while batch in touched:
            batch = int(chance() * len(project.ids))
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
            taken, begun = 1 + int(chance() * images), 1  # a job took some
        else:
            taken, begun = -1 - int(chance() * 300), -1 if jobs else 0
        project.images[batch], project.jobs[batch] = images - taken, jobs + begun
        return batch, "changed", images - taken, jobs + begun, -taken, begun

    def _add(self, project: Project, touched: set[int], at: str, after: str) -> tuple[int, str, int, int, int, int]:
        batch, images = len(project.ids), self._dice.randint(1, 500)
        touched.add(batch)
        project.ids.append("".join(self._dice.choices(ID_CHARACTERS, k=20)))
        project.names.append(f"Uploaded on {after[:10]} at {after[11:16]}")
        project.uploaded.append(after)
        project.images.append(images)
        project.jobs.append(0)
        project.first.append(at)
        project.changed.append(at)
        project.removed.append(False)
        return batch, "added", images, 0, images, 0
