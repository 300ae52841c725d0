"""The person that an argument names."""

import re
from typing import Final

from sqlalchemy import Engine

from rfsync.errors import ConfigError
from rfsync.history.query import Query
from rfsync.redaction import has_address
from rfsync.text import shown_name

#: Names those jobs that are nobody's.
NOBODY: Final = "nobody"
_NUMBERED: Final = re.compile(r"person-([1-9][0-9]{0,17})", re.IGNORECASE)
_WAYS: Final = "rfsync jobs and rfsync work --labelers show people by the names that can be given"


def read_person(engine: Engine, value: str | None, name: str) -> int | None:
    """The number of a person; 0 for ``nobody``, None for None.

    Args:
        value: a mail address that is stored, in upper or lower case; ``person-7``, whether or not that person's address
            is stored; or ``nobody``.
        name: of the argument, for messages.

    Raises:
        ConfigError: the database has no such person.
        DatabaseError: the database can't be read.
    """
    if value is None:
        return None
    wanted = value.strip().casefold()
    if wanted == NOBODY:
        return 0
    number = int(found[1]) if (found := _NUMBERED.fullmatch(wanted)) else None
    people = list(Query(engine, None).rows("looking for a person", "SELECT id, address FROM people", tuple))
    # Not compared by the database, which may know only the letters of ASCII.
    for person, address in people:
        if person == number or (address is not None and address.strip().casefold() == wanted):
            return int(person)
    # A mail address is not repeated: messages are kept in logs.
    who = "with this mail address" if has_address(value) else shown_name(value)
    is_named = number is not None or any(address is not None for _, address in people)
    kept = "" if is_named else ", and stores no mail addresses, only numbers such as person-7"
    raise ConfigError(f"{name}: the database has no person {who}{kept}: {_WAYS}")
