"""Saved answers of the API, as observations of the past: which files, of which moments, and how they are applied."""

from __future__ import annotations

import hashlib
import re
import shlex
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from sqlalchemy import Engine

from rfsync import history
from rfsync.api.answers import parse
from rfsync.api.client import Response
from rfsync.errors import BadResponse, ConfigError, ErrorKind, FetchError, RfsyncError
from rfsync.ledger.store import Store
from rfsync.ledger.transaction import Transaction
from rfsync.parsing import Target
from rfsync.redaction import Secret
from rfsync.sync.observation import Observation, Written, log_rejected
from rfsync.sync.task import Result, SyncContext, SyncTask, log_outcome, result_of

#: ``20260131``, ``2026-01-31T18:00:00Z``, ``2026-01-31_18-00-00.5``, ``20260131180000``, ``2026-01-31T18``,
#: ``20260131T180000+0100``; not within other digits.
_TIME: Final = re.compile(
    r"(?<!\d)(?P<year>\d{4})(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"(?:(?:[Tt _-]?(?P<hour>\d\d)[:.h_-]?(?P<minute>\d\d)(?:[:.m_-]?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"|[Tt](?P<only_hour>\d\d))(?P<zone>[Zz]|\+\d\d:?(?:\d\d)?|-\d\d:\d\d)?)?(?!\d)"
)
#: What after a time shows that it is not all of it.
_MORE: Final = re.compile(r"\s?(?:[+-]\d|[ap]\.?m\b)", re.IGNORECASE)
#: Seconds or milliseconds since 1970, of this century.
_EPOCH: Final = re.compile(r"(?<!\d)(1\d{9})(\d{3})?(?!\d)")


@dataclass(frozen=True, slots=True)
class Saved:
    """A saved answer, and when it was given."""

    path: Path
    at: datetime
    #: Where the time is from: ``--at``, ``name`` or ``mtime``.
    source: str
    fingerprint: str


class BadAnswersError(RfsyncError):
    """Files that are no answers; nothing was written."""


def find(arguments: Sequence[Path], at: datetime | None, now: datetime) -> list[Saved]:
    """The files, and those of the folders, oldest first; the same answer of the same moment once.

    Args:
        at: the moment of the only file; None: each file's name has it, or else the time of its last change.
        now: nothing is later.

    Raises:
        ConfigError: a file can't be read, its moment can't be told or lies in the future, or two have the same.
    """
    paths = list(dict.fromkeys(path for argument in arguments for path in _files(argument)))
    if not paths:
        raise ConfigError(f"there is no file in {', '.join(map(str, arguments))}")
    if at is not None and len(paths) > 1:
        raise ConfigError(f"--at is the time of one file, and these are {len(paths)}: leave it out, or name one file")
    moments: dict[datetime, Saved] = {}
    for path in paths:
        moment, source = (at, "--at") if at is not None else _moment(path)
        if moment > now:
            raise ConfigError(f"{path} is of {moment.isoformat(sep=' ')} (by its {source}), which is yet to come")
        saved = Saved(path, moment, source, hashlib.sha256(read(path)).hexdigest())
        other = moments.setdefault(moment, saved)
        if other.fingerprint != saved.fingerprint:
            raise ConfigError(f"{other.path} and {path} are two answers of one moment, {moment.isoformat(sep=' ')}")
    return [moments[moment] for moment in sorted(moments)]


def _files(argument: Path) -> Iterator[Path]:
    if not argument.is_dir():
        yield argument
        return
    for path in sorted(argument.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            yield path


def read(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        ConfigError: it can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from error


def _moment(path: Path) -> tuple[datetime, str]:
    named = set(_named(path))
    if len(named) > 1:
        raise ConfigError(f"the name of {path} has more than one time: rename it, or import it alone with --at")
    if named:
        return named.pop(), "name"
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from error
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=changed // 1000), "mtime"


def _named(path: Path) -> Iterator[datetime]:
    """The times in a file's name, in UTC where they don't say otherwise."""
    for match in _TIME.finditer(path.name):
        if match["hour"] and _MORE.match(path.name, match.end()):
            raise ConfigError(f"the time in the name of {path} can't be told: rename it, or import it alone with --at")
        try:
            yield _read(match)
        except ValueError as error:
            raise ConfigError(f"the name of {path} has a time that is none ({match[0]}): {error}") from error
    for match in _EPOCH.finditer(path.name):
        yield datetime.fromtimestamp(int(match[1]), UTC) + timedelta(milliseconds=int(match[2] or 0))


def _read(match: re.Match[str]) -> datetime:
    zone = (match["zone"] or "Z").replace(":", "")
    ahead = timedelta()
    if zone not in "Zz":
        ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:] or 0)) * (-1 if zone[0] == "-" else 1)
    date = (int(match["year"]), int(match["month"]), int(match["day"]))
    clock = (int(match["hour"] or match["only_hour"] or 0), int(match["minute"] or 0), int(match["second"] or 0))
    microseconds = int((match["fraction"] or "")[:6].ljust(6, "0"))
    return datetime(*date, *clock, microseconds, timezone(ahead)).astimezone(UTC)


def require_answers(files: Iterable[Saved]) -> None:
    """Passes if every file is an answer that can be believed.

    Raises:
        BadAnswersError: some are not; it names them.
    """
    wrong = []
    for saved in files:
        try:
            parse(bytearray(read(saved.path)))
        except BadResponse as error:
            wrong.append(f"{saved.path}: {error}")
    if wrong:
        told = "\n  ".join(wrong[:20]) + (f"\n  and {len(wrong) - 20:,} more" if len(wrong) > 20 else "")
        raise BadAnswersError(f"nothing was imported, since not every file is an answer of the batch list:\n  {told}")


class OfflineFetcher:
    """In the place of an API that gave its answers long ago."""

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        """See ``client.Client.get``."""
        raise FetchError(ErrorKind.REQUEST, f"{'/'.join(segments)}: a saved answer can't be asked")

    def cancel(self) -> None:
        """See ``client.Client.cancel``."""


def is_known(store: Store, engine: Engine, task: SyncTask, saved: Saved) -> bool:
    """Whether the history has an observation of that moment, and it says the same.

    Raises:
        ConfigError: the file can't be read any more.
        BadResponse: it is no answer any more.
        DatabaseError: the database refused or vanished.
    """
    if not store.was_observed(task.workspace, task.project, saved.at):
        return False
    rows = history.batches(engine, Target(task.workspace, task.project), as_of=saved.at)
    state = {row.batch_id: (row.images, row.num_jobs) for row in rows}
    answer = parse(bytearray(read(saved.path)))
    doubtful = answer.rejected_ids
    listed = {batch.id: (batch.images, batch.num_jobs) for batch in answer.batches}
    return listed.keys() - doubtful == state.keys() - doubtful and all(
        said in {None, known}
        for batch_id, counts in listed.items()
        for said, known in zip(counts, state[batch_id], strict=True)
    )


def apply(context: SyncContext, task: SyncTask, saved: Saved) -> Result:
    """Applies an answer as the observation of its moment, and writes that down as a run of that moment.

    What it lacks is taken for removed: there is nobody to be asked any more. As with a poll, nothing of it is applied
    where suspiciously much is missing, until the next answer lacks the same.

    Args:
        context: its clock is not looked at.

    Raises:
        ConfigError: the file can't be read any more.
        BadResponse: it is no answer any more.
        DatabaseError: the database refused or vanished.
    """
    body = bytearray(read(saved.path))
    answer = parse(body)
    log_rejected(task, answer.rejected)
    digest = hashlib.sha256(body).hexdigest()
    response = Response(200, bytearray(), None, digest, saved.at, 0, len(body), time.monotonic_ns() // 1000)
    context = replace(context, clock=lambda: saved.at)
    run = context.store.begin_run(task.workspace, task.project, task.name, context.trigger, saved.at)
    accept = f"rfsync import {task} {shlex.quote(str(saved.path))} --allow-removals"
    observation = Observation(context, run, task, response, answer, accept=accept)

    def write(transaction: Transaction) -> Written:
        written_at = transaction.state.written_at
        if written_at is not None and written_at >= saved.at:
            return observation.supersede(transaction)
        return observation.settle(transaction)

    written = context.store.write(run, write)
    log_outcome(task, written.row)
    return result_of(task, run.id, written.row)
