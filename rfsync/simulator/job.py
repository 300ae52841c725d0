"""An annotation job: some images of a batch, handed to a labeler, and then to a reviewer."""

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rfsync.simulator.source import Record

_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

Status = Literal["assigned", "review", "complete"]


@dataclass(slots=True)
class Job:
    """An annotation job in its project.

    Each of its images is unannotated, waiting for the reviewer, approved, rejected, or skipped, which no count shows.
    """

    #: Opaque, as a batch's.
    id: str
    name: str
    batch_id: str
    created: datetime
    #: ``API``, or the id of a user.
    created_by: str
    #: All its images; it keeps them until it is deleted.
    images: int
    #: Mail address; null or empty for nobody.
    labeler: str | None
    reviewer: str | None
    #: Nobody works on it before.
    rests_until: datetime
    unannotated: int
    #: Annotated, and neither approved nor rejected since.
    waiting: int = 0
    approved: int = 0
    rejected: int = 0
    status: Status = "assigned"
    #: Time at which a finished job is no longer listed; None while it is not finished.
    leaves_at: datetime | None = None
    #: Time at which one that is no longer listed stops answering by its id.
    gone_at: datetime | None = None

    def annotate(self, count: int, skipped: int) -> None:
        """Annotates rejected images again, then others, of which some are skipped."""
        redone = min(self.rejected, count)
        count = min(self.unannotated, count - redone)
        self.rejected -= redone
        self.unannotated -= count
        self.waiting += redone + max(0, count - skipped)

    def undo(self, count: int) -> None:
        """Takes annotations back."""
        count = min(self.waiting, count)
        self.waiting -= count
        self.unannotated += count

    def review(self, approved: int, rejected: int) -> None:
        """Approves and rejects some of the images that wait for it."""
        self.waiting -= approved + rejected
        self.approved += approved
        self.rejected += rejected

    def record(self, project_id: str, owner: str, *, counts_reviewed: bool) -> Record:
        """The job in wire format.

        Args:
            project_id: the internal one, which a renaming does not change.
            owner: the id of the user who owns the project.
            counts_reviewed: ``annotated`` still counts what was approved or rejected; the API's documentation does not
                say whether it does.
        """
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "numImages": self.images,
            "annotated": self.waiting + (self.approved + self.rejected if counts_reviewed else 0),
            "unannotated": self.unannotated,
            "approved": self.approved,
            "rejected": self.rejected,
            "labeler": self.labeler,
            "reviewer": self.reviewer,
            "sourceBatch": f"{project_id}/{self.batch_id}",
            "project": project_id,
            "owner": owner,
            "createdBy": self.created_by,
            "instructionsText": "",
            "created": timestamp(self.created),
        }


def timestamp(moment: datetime) -> Record:
    """A time in wire format, with milliseconds, as in the API's documentation."""
    return {"_seconds": int(moment.timestamp()), "_nanoseconds": moment.microsecond // 1000 * 1_000_000}


def new_id(rng: random.Random) -> str:
    """An id of 20 letters and digits, as a document store generates them."""
    return "".join(_ID_LETTERS[rng.randrange(len(_ID_LETTERS))] for _ in range(20))
