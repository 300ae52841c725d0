"""The addresses of a store's people, and how they are taken out of the database for good."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, select, update

from rfsync.errors import DatabaseError
from rfsync.ledger.known_projects import Transact
from rfsync.ledger.people import PeopleMode, forget, note_mode, take_out_addresses, take_out_unreferenced
from rfsync.schema.models import Project, SyncRun

log = logging.getLogger("rfsync.sync")


class Addresses:
    """The addresses of a store's people.

    Args:
        erase: see ``Database.erase``.
        dry: nothing is written.
    """

    def __init__(self, transact: Transact, erase: Callable[[str], str | None], *, dry: bool) -> None:
        self._transact = transact
        self._erase = erase
        self._dry = dry
        self._lock = threading.Lock()

    def switch(self, mode: PeopleMode) -> None:
        """Follows a change of what is kept of people: takes all addresses out, or lets them come again.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        with self._lock:
            if mode == "address":
                self._transact("storing addresses again", _read_lists_again)
                return
            number = self._transact("taking out addresses", take_out_addresses)
            if number:
                log.warning("the mail addresses of %d people were taken out of the database, for [jobs] people", number)
            try:
                left = self.erase()
            except DatabaseError as error:
                left = str(error)
            if left is not None:
                log.warning("%s", left)
            # Where something is left, or the process ends here, the next run tries once more.
            if left is None or not number:
                self._transact("taking out addresses", partial(note_mode, mode=mode))

    def forget(self, address: str, at: datetime) -> int | None:
        """See ``people.forget``; ``erase`` comes after it.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        return self._transact("forgetting a person", partial(forget, address=address, at=at))

    def take_out_unreferenced(self) -> None:
        """Takes the addresses of people out whom no project refers to any more; ``erase`` comes after it.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        if self._transact("taking out addresses", take_out_unreferenced):
            # On PostgreSQL, a run that is writing jobs may refer to one of these people once it has committed. This
            # waits for it, and the next run stores the address again.
            self._transact("taking out addresses", _read_lists_of_running_again)

    def erase(self) -> str | None:
        """Leaves nothing of addresses that were taken out, as far as the database can.

        Returns:
            What is left, and where; None: nothing.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        return self._erase("people")


def _read_lists_again(connection: Connection) -> None:
    """People get their addresses when they are seen again: a list that is known need not be read otherwise."""
    connection.execute(update(Project).values(jobs_etag=None, jobs_fingerprint=None))
    note_mode(connection, "address")


def _read_lists_of_running_again(connection: Connection) -> None:
    running = select(SyncRun.project_id).where(SyncRun.outcome == "running")
    connection.execute(update(Project).where(Project.id.in_(running)).values(jobs_etag=None, jobs_fingerprint=None))
