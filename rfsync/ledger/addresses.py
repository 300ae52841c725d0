"""The addresses of a store's people, and how they are taken out of the database for good."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlalchemy import Connection

from rfsync.errors import DatabaseError
from rfsync.ledger.known_projects import Transact
from rfsync.ledger.people import forget, note_mode, take_out_addresses

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
        self._are_out = False

    def take_out(self) -> None:
        """Takes the addresses of all people out, as a sync does that stores pseudonyms; looks for them only once.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        with self._lock:
            if self._dry or self._are_out:
                return
            number = self._transact("taking out addresses", _follow)
            self._are_out = True
        if number:
            log.warning("the mail addresses of %d people were taken out of the database, for [jobs] people", number)
            try:
                left = self.erase()
            except DatabaseError as error:
                left = str(error)
            if left is not None:
                log.warning("%s", left)

    def forget(self, address: str, at: datetime) -> int | None:
        """See ``people.forget``; ``erase`` comes after it.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        return self._transact("forgetting a person", partial(forget, address=address, at=at))

    def erase(self) -> str | None:
        """Leaves nothing of addresses that were taken out, as far as the database can.

        Returns:
            What is left, and where; None: nothing.

        Raises:
            DatabaseError: the database refused or vanished.
        """
        return self._erase("people")


def _follow(connection: Connection) -> int:
    note_mode(connection, "pseudonym")
    return take_out_addresses(connection)
