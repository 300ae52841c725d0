"""The file of an SQLite database: found by one name, and noticed when another takes its place."""

import logging
import os
from pathlib import Path

from rfsync.errors import DatabaseError

log = logging.getLogger("rfsync.sync")


def real_path(path: Path) -> Path:
    """The file's own name: what stands beside it does not stand beside a symbolic link to it."""
    return Path(os.path.realpath(path))


class DatabaseFile:
    """The file that an engine has opened, for as long as the engine lives.

    Args:
        path: the file, or a symbolic link to it; relative to the working directory of this moment.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        #: How many files the path has led to, one after the other; 0: it was never opened.
        self.number = 0
        self._identity: tuple[int, int] | None = None

    @property
    def real(self) -> Path:
        """The file's own name now."""
        return real_path(self.path)

    def require(self) -> None:
        """Passes if there is a file.

        Raises:
            DatabaseError: there is none.
        """
        if self.path.exists():
            return
        if self.number:
            raise DatabaseError(
                f"the database {self.path} was removed or renamed while it was in use: put it back, or restart rfsync "
                "to begin a new one"
            )
        raise DatabaseError(f"there is no database {self.path}: rfsync sync makes it")

    def note_opened(self, *, read_only: bool) -> None:
        """To be called after each opening.

        Args:
            read_only: it was opened for reading only.

        Raises:
            DatabaseError: the file has other names, by which SQLite would not find the log that belongs to it.
        """
        found = self.path.stat()
        if found.st_nlink > 1:
            raise DatabaseError(
                f"the database {self.path} has {found.st_nlink} names (hard links), and SQLite would keep a log of its "
                f"own for each: find the others with find -samefile {self.path}, and keep one"
            )
        identity = (found.st_dev, found.st_ino)
        if identity == self._identity:
            return
        if self.number:
            done = "read" if read_only else "written"
            log.error("another file has taken the place of the database %s, and is %s from now on", self.path, done)
        self._identity = identity
        self.number += 1

    def is_still_there(self) -> bool:
        """Tells whether the path leads to the file that was opened."""
        try:
            found = self.path.stat()
        except OSError:
            return False
        return self._identity == (found.st_dev, found.st_ino)
