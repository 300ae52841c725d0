"""People: each labeler or reviewer is stored once, and known again by a keyed digest of the address."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal, NamedTuple

from sqlalchemy import Connection, Text, bindparam, cast, select, union, update

from rfsync.database.upsert import insert
from rfsync.schema.models import Job, JobChange, PeopleKey, Person

#: What is kept of people: their addresses, or nothing but a number.
PeopleMode = Literal["address", "pseudonym"]
#: Digests in one question.
_CHUNK: Final = 500
_KEY: Final = select(PeopleKey.secret, PeopleKey.mode)
_KNOWN: Final = select(Person.digest, Person.id, Person.address, Person.forgotten_at).where(
    Person.digest.in_(bindparam("digests", expanding=True))
)


class _Known(NamedTuple):
    id: int
    #: Whether the address is stored, or must not be.
    settled: bool


class People:
    """The people of a database, within one transaction.

    Args:
        connection: in that transaction.
        mode: "address" stores the addresses of people, but for those who are forgotten; "pseudonym" stores none.
        dry: nothing is written. People who are not known get numbers below 0.
    """

    def __init__(self, connection: Connection, mode: PeopleMode, *, dry: bool = False) -> None:
        self._connection = connection
        self._mode = mode
        self._dry = dry
        self._key: str | None = None
        #: By the texts that name them.
        self._numbers: dict[str, int] = {}
        #: By their digests: those who are not known, of a dry run.
        self._invented: dict[str, int] = {}
        #: Of a dry run: those who would be written, because they are new or their address is.
        self._unwritten: set[str] = set()

    def resolve(self, addresses: Iterable[str]) -> dict[str, int]:
        """Numbers people; those who are new get one.

        Args:
            addresses: mail addresses, or other texts that name a person; compared without regard to case and to blanks
                around them.

        Returns:
            The number of each, by the text as given; 0, which is nobody, for a blank one.
        """
        asked = list(dict.fromkeys(addresses))
        self._numbers |= {address: 0 for address in asked if not address.strip()}
        new = [address for address in asked if address not in self._numbers]
        if new:
            self._numbers |= self._look_up(new)
        return {address: self._numbers[address] for address in asked}

    def are_written(self, addresses: Iterable[str]) -> bool:
        """Tells, of a dry run, whether it found nothing to write about these people."""
        return self._unwritten.isdisjoint(addresses)

    def _look_up(self, addresses: list[str]) -> dict[str, int]:
        if self._key is None:
            self._key = _read_key(self._connection) if self._dry else _make_key(self._connection, self._mode)
        digests = {address: _digest(self._key, address) for address in addresses}
        known = _read(self._connection, digests.values())
        # Of two spellings of an address the first is stored.
        missing = {digests[address]: address for address in reversed(addresses)}
        missing = {digest: address for digest, address in missing.items() if not self._is_done(known, digest)}
        if missing and not self._dry:
            self._write(missing)
            known |= _read(self._connection, missing)
        else:
            self._unwritten |= {address for address, digest in digests.items() if digest in missing}
        return {address: self._number(known, digest) for address, digest in digests.items()}

    def _is_done(self, known: dict[str, _Known], digest: str) -> bool:
        return digest in known and (known[digest].settled or self._mode == "pseudonym")

    def _number(self, known: dict[str, _Known], digest: str) -> int:
        if digest in known:
            return known[digest].id
        return self._invented.setdefault(digest, -1 - len(self._invented))

    def _write(self, missing: dict[str, str]) -> None:
        """Args: ``missing``: digest -> address, of people who are new, or whose address is."""
        statement = insert(self._connection.dialect.name, Person)
        # Also where another transaction adds the same people, or forgets them, meanwhile.
        statement = statement.on_conflict_do_update(
            index_elements=[Person.digest],
            set_={"address": statement.excluded.address},
            where=Person.address.is_(None) & Person.forgotten_at.is_(None) & statement.excluded.address.is_not(None),
        )
        keep = self._mode == "address"
        # In the same order as all others: else two transactions could wait for each other.
        rows = [{"digest": digest, "address": missing[digest] if keep else None} for digest in sorted(missing)]
        self._connection.execute(statement, rows)


def forget(connection: Connection, address: str, at: datetime) -> int | None:
    """Takes a person's address out, for good.

    Args:
        at: the time now.

    Returns:
        The number of the person; None: the database has no such one.
    """
    key = connection.execute(_KEY).scalar()
    found = {} if key is None else _read(connection, [_digest(key, address)])
    if not found:
        return None
    (person,) = found.values()
    forgotten = update(Person).where(Person.id == person.id, Person.forgotten_at.is_(None))
    connection.execute(forgotten.values(address=None, forgotten_at=at))
    return person.id


def take_out_addresses(connection: Connection) -> int:
    """Takes the addresses of all people out, who remain known by their numbers; returns how many there were."""
    return connection.execute(update(Person).where(Person.address.is_not(None)).values(address=None)).rowcount


def take_out_unreferenced(connection: Connection) -> int:
    """Takes the addresses of people out whom no job, now or ever, refers to; returns how many there were."""
    named = union(
        *(select(column).where(column.is_not(None)) for column in (Job.labeler_id, Job.reviewer_id)),
        *(select(column).where(column.is_not(None)) for column in (JobChange.labeler_id, JobChange.reviewer_id)),
    )
    made = select(Job.created_by).where(Job.created_by.like("person-%"))
    unreferenced = update(Person).where(
        Person.address.is_not(None), Person.id.not_in(named), ("person-" + cast(Person.id, Text)).not_in(made)
    )
    return connection.execute(unreferenced.values(address=None)).rowcount


def _make_key(connection: Connection, mode: PeopleMode) -> str:
    """The key of the digests, made if there is none; what is kept of people is noted beside it."""
    found = connection.execute(_KEY).one_or_none()
    if found is None:
        made = insert(connection.dialect.name, PeopleKey).on_conflict_do_nothing()
        connection.execute(made.values(id=1, secret=secrets.token_hex(32), mode=mode))
        # Another transaction's, if that was first.
        found = connection.execute(_KEY).one()
    if mode == "address" != found.mode:
        # Addresses are stored: who keeps none of them has to take them out again.
        note_mode(connection, mode)
    return str(found.secret)


def note_mode(connection: Connection, mode: PeopleMode) -> None:
    """Notes the mode, if there is a key of the digests."""
    connection.execute(update(PeopleKey).where(PeopleKey.mode != mode).values(mode=mode))


def _read_key(connection: Connection) -> str:
    """The key of the digests; another one where there is none, since there are no digests then."""
    return connection.execute(_KEY).scalar() or secrets.token_hex(32)


def _digest(key: str, address: str) -> str:
    text = address.strip().casefold().encode("utf-8", "surrogatepass")
    return hmac.new(bytes.fromhex(key), text, hashlib.sha256).hexdigest()


def _read(connection: Connection, digests: Iterable[str]) -> dict[str, _Known]:
    """The people of these digests who are known."""
    wanted = sorted(set(digests))
    known: dict[str, _Known] = {}
    for start in range(0, len(wanted), _CHUNK):
        rows = connection.execute(_KNOWN, {"digests": wanted[start : start + _CHUNK]})
        for digest, number, address, forgotten_at in rows:
            known[digest] = _Known(number, address is not None or forgotten_at is not None)
    return known
