"""Files with saved answers of the API: which there are, and when each was answered."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from rfsync.api.answers import parse
from rfsync.errors import BadResponse, ConfigError, RfsyncError

#: ``20260131``, ``2026-01-31T18:00:00Z``, ``2026-01-31_18-00-00.5``, ``20260131180000``, ``2026-01-31T18``,
#: ``20260131T180000+0100``; not within other digits.
_TIME: Final = re.compile(
    r"(?<!\d)(?P<year>\d{4})(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"(?:(?:[Tt _-]?(?P<hour>\d\d)[:.h_-]?(?P<minute>\d\d)(?:[:.m_-]?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"|[Tt](?P<only_hour>\d\d))(?P<zone>[Zz]|\+\d\d:?(?:\d\d)?|-\d\d:\d\d)?)?(?!\d)"
)
#: What follows a time that was not matched completely.
_MORE: Final = re.compile(r"\s?(?:[+-]\d|[ap]\.?m\b)", re.IGNORECASE)
#: Seconds or milliseconds since 1970, of this century.
_EPOCH: Final = re.compile(r"(?<!\d)(1\d{9})(\d{3})?(?!\d)")


class BadAnswersError(RfsyncError):
    """Some files are not valid answers; nothing was written."""


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """A file with an answer, and the time of that answer."""

    path: Path
    at: datetime
    #: Where the time is from: ``--at``, ``name`` or ``mtime``.
    source: str
    #: SHA-256 of the file, in hexadecimal.
    fingerprint: str

    def read(self) -> bytearray:
        """The answer.

        Raises:
            ConfigError: the file can't be read.
        """
        return bytearray(_read(self.path))


def find_answers(paths: Sequence[Path], at: datetime | None, now: datetime) -> list[SavedAnswer]:
    """The files, and those in the folders, oldest first; the same answer of the same time once.

    Args:
        at: the time of the only file; None: the time in each file's name, or else that of its last change.
        now: no answer may be later.

    Raises:
        ConfigError: a file can't be read, its time is ambiguous or in the future, or two have the same time.
    """
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    if not files:
        raise ConfigError(f"no files in {', '.join(map(str, paths))}")
    if at is not None and len(files) > 1:
        raise ConfigError(f"--at is the time of one file, and these are {len(files)}: leave it out, or name one file")
    found: dict[datetime, SavedAnswer] = {}
    for file in files:
        time, source = (at, "--at") if at is not None else _time(file)
        if time > now:
            raise ConfigError(f"{file} is of {time.isoformat(sep=' ')} (by its {source}), which is in the future")
        answer = SavedAnswer(file, time, source, hashlib.sha256(_read(file)).hexdigest())
        other = found.setdefault(time, answer)
        if other.fingerprint != answer.fingerprint:
            raise ConfigError(
                f"{other.path} and {file} are different answers of the same time, {time.isoformat(sep=' ')}"
            )
    return [found[time] for time in sorted(found)]


def require_valid(answers: Iterable[SavedAnswer]) -> None:
    """Checks that every file is a valid answer.

    Raises:
        BadAnswersError: some are not; it names them.
        ConfigError: a file can't be read.
    """
    wrong = []
    for answer in answers:
        try:
            parse(answer.read())
        except BadResponse as error:
            wrong.append(f"{answer.path}: {error}")
    if wrong:
        shown = "; ".join(wrong[:20]) + (f"; and {len(wrong) - 20:,} more" if len(wrong) > 20 else "")
        raise BadAnswersError(f"nothing was imported, since not every file is an answer of the batch list: {shown}")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [file for file in sorted(path.iterdir()) if file.is_file() and not file.name.startswith(".")]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from error


def _time(path: Path) -> tuple[datetime, str]:
    named = set(_times_in_name(path))
    if len(named) > 1:
        raise ConfigError(f"the name of {path} has more than one time: rename it, or import it alone with --at")
    if named:
        return named.pop(), "name"
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or error}") from error
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=changed // 1000), "mtime"


def _times_in_name(path: Path) -> Iterator[datetime]:
    """The times in a file's name; UTC unless they have an offset."""
    for match in _TIME.finditer(path.name):
        if match["hour"] and _MORE.match(path.name, match.end()):
            raise ConfigError(f"the time in the name of {path} is ambiguous: rename it, or import it alone with --at")
        try:
            yield _time_of(match)
        except ValueError as error:
            raise ConfigError(f"the name of {path} has an invalid time ({match[0]}): {error}") from error
    for match in _EPOCH.finditer(path.name):
        yield datetime.fromtimestamp(int(match[1]), UTC) + timedelta(milliseconds=int(match[2] or 0))


def _time_of(match: re.Match[str]) -> datetime:
    zone = (match["zone"] or "Z").replace(":", "")
    offset = timedelta()
    if zone not in "Zz":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:] or 0)) * (-1 if zone[0] == "-" else 1)
    date = (int(match["year"]), int(match["month"]), int(match["day"]))
    clock = (int(match["hour"] or match["only_hour"] or 0), int(match["minute"] or 0), int(match["second"] or 0))
    microseconds = int((match["fraction"] or "")[:6].ljust(6, "0"))
    return datetime(*date, *clock, microseconds, timezone(offset)).astimezone(UTC)
