"""Files with saved answers of the API: which there are, of which kind, and when each was answered."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from rfsync.api.answers import parse
from rfsync.api.list_kind import list_kind
from rfsync.errors import BadResponse, ConfigError, RfsyncError
from rfsync.records import Kind
from rfsync.text import is_utf16, shown_name

#: ``20260131``, ``2026-01-31T18:00:00Z``, ``2026-01-31_18-00-00.5``, ``20260131180000``, ``2026-01-31T18``,
#: ``20260131T180000+0100``. Possessive (``?+``): what follows a date is its time, or the date is none.
_TIME: Final = re.compile(
    r"(?<![^\W_])(?P<year>\d{4})(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"(?:(?:[Tt _-]?(?P<hour>\d\d)[:.h_-]?(?P<minute>\d\d)"
    r"(?:[:.m_-]?(?P<second>\d\d)(?:s(?![^\W_])|[.,](?P<fraction>\d{1,9}))?)?"
    r"|[Tt](?P<only_hour>\d\d))(?P<zone>[Zz]|\+\d\d:?(?:\d\d)?|-\d\d:\d\d)?)?+"
)
#: What follows a time, or a date alone, that was not matched completely.
_MORE_OF_TIME: Final = re.compile(r"\s?(?:[+-]\d|[ap]\.?m\b)", re.IGNORECASE)
#: Also an hour alone (2026-01-31-18, 2026-01-31 6h30), which could as well be a number: neither is guessed.
_MORE_OF_DATE: Final = re.compile(
    r"[\sT_-]?\d{1,2}\s?[ap]\.?m\b|[\s_.-](?:[01]\d|2[0-3]|\d{1,2}h(?:\d\d)?)(?![^\W_])", re.IGNORECASE
)
#: The time of day may stand before the date: 18-30-00_2026-01-31.
_TIME_BEFORE_DATE: Final = re.compile(
    r"(?<![^\W_])(?:[01]?\d|2[0-3])[:.h_-]?[0-5]\d(?:[:.m_-]?[0-5]\ds?)?(?:\s?[ap]\.?m)?[\sT_-]+$", re.IGNORECASE
)
#: Seconds or milliseconds since 1970, of this century.
_EPOCH: Final = re.compile(r"(?<![^\W_])(1\d{9})(\d{3})?(?![^\W_])")
#: Files that a message names.
_MAX_LINES: Final = 20


class BadAnswersError(RfsyncError):
    """Some files are not valid answers; nothing was written."""


@dataclass(frozen=True, slots=True)
class SavedAnswer:
    """A file with an answer, and the time of that answer."""

    path: Path
    at: datetime
    #: Where the time is from: ``--at``, ``name`` or ``mtime``.
    source: str
    kind: Kind
    #: SHA-256 of the file, in hexadecimal.
    fingerprint: str

    def read(self) -> bytearray:
        """The answer.

        Raises:
            ConfigError: the file can't be read.
        """
        return bytearray(_read(self.path))


@dataclass(frozen=True, slots=True)
class Moment:
    """The answers of one time, which are one observation."""

    at: datetime
    #: One or both, batches first.
    answers: Mapping[Kind, SavedAnswer]


def find_answers(paths: Sequence[Path], at: datetime | None, now: datetime, *, by_mtime: bool = False) -> list[Moment]:
    """The answers in files, and in those of folders, oldest first; the same answer of the same time once.

    Every file is read and checked.

    Args:
        at: the time of the only file, or of a batch list and a job list; None: the time in each file's name.
        now: no answer may be later.
        by_mtime: where there is none in the name, take the time of the file's last change.

    Raises:
        ConfigError: a file can't be read; its time is missing, ambiguous or in the future, or two of one kind have the
            same time.
        BadAnswersError: some files are no valid answers; it names them.
    """
    files = list(dict.fromkeys(file for path in paths for file in _files(path)))
    if not files:
        raise ConfigError(f"no files in {', '.join(map(str, paths))}")
    if at is not None and len(files) > len(Kind):
        raise ConfigError(
            f"--at is the time of one file, or of a batch list and a job list, and these are {len(files)} files: leave "
            "it out, or name one file"
        )
    times = {file: (at, "--at") if at is not None else _time(file, by_mtime=by_mtime) for file in files}
    if timeless := [file for file, found in times.items() if found is None]:
        raise ConfigError(
            "nothing was imported, since there is no time in the name of these files (a date begins with its year): "
            "put it there, such as 2026-01-31T18:00:00Z.json, or add --at TIME (of one file) or --mtime (the time of "
            "each one's last change)",
            details=first_lines([str(file) for file in timeless]),
        )
    return _by_moment(_read_all({file: found for file, found in times.items() if found is not None}, now))


def _read_all(times: Mapping[Path, tuple[datetime, str]], now: datetime) -> list[SavedAnswer]:
    for file, (time, source) in times.items():
        if time > now:
            raise ConfigError(
                f"{file} is of {time.isoformat(sep=' ')} (by its {source}), which is in the future: a time without an "
                "offset is UTC; rename it, such as 2026-01-31T18:00:00+0100.json, or import it alone with --at"
            )
    answers: list[SavedAnswer] = []
    invalid: list[str] = []
    for file, (time, source) in times.items():
        body = _read(file)
        try:
            kind = _valid_kind(body)
        except BadResponse as error:
            invalid.append(f"{file}: {error}")
        else:
            answers.append(SavedAnswer(file, time, source, kind, hashlib.sha256(body).hexdigest()))
    if invalid:
        raise BadAnswersError(
            "nothing was imported, since not every file is a batch list or a job list of the API",
            details=first_lines(invalid),
        )
    return answers


def _valid_kind(body: bytes) -> Kind:
    if is_utf16(body):
        raise BadResponse("it is UTF-16: save it as UTF-8")
    kind = list_kind(body)
    parse(body, kind)
    return kind


def _by_moment(answers: Iterable[SavedAnswer]) -> list[Moment]:
    found: dict[datetime, dict[Kind, SavedAnswer]] = {}
    for answer in answers:
        other = found.setdefault(answer.at, {}).setdefault(answer.kind, answer)
        if other.fingerprint != answer.fingerprint:
            raise ConfigError(
                f"{other.path} and {answer.path} are different {answer.kind.one} lists of the same time, "
                f"{answer.at.isoformat(sep=' ')} (by {answer.source})"
            )
    return [Moment(at, {kind: found[at][kind] for kind in Kind if kind in found[at]}) for at in sorted(found)]


def first_lines(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = [f"… and {len(lines) - _MAX_LINES:,} more"] if len(lines) > _MAX_LINES else []
    return [*lines[:_MAX_LINES], *more]


def _files(path: Path) -> list[Path]:
    try:
        if not path.is_dir():
            path.stat()
            return [path]
        return [file for file in sorted(path.iterdir()) if not file.name.startswith(".") and file.is_file()]
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"FILE {shown_name(str(path))} can't be read: {getattr(error, 'strerror', None) or error}")


def _time(path: Path, *, by_mtime: bool) -> tuple[datetime, str] | None:
    """The time of an answer, and where it is from; None: it is not known."""
    if named := _time_in_name(path):
        return named, "name"
    if not by_mtime:
        return None
    try:
        changed = timedelta(microseconds=path.stat().st_mtime_ns // 1000)
        return datetime(1970, 1, 1, tzinfo=UTC) + changed, "mtime"
    except (OSError, OverflowError) as error:  # OverflowError: beyond the year 9999
        raise _unreadable(path, error) from error


def _time_in_name(path: Path) -> datetime | None:
    """The time in a file's name; None: there is none.

    Raises:
        ConfigError: there is more than one, or an ambiguous or impossible one.
    """
    named = set(_times(path))
    if len(named) > 1:
        raise ConfigError(f"the name of {path} has more than one time: rename it, or import it alone with --at")
    return named.pop() if named else None


def _times(path: Path) -> Iterator[datetime]:
    """The times in a file's name, which stand between separators; UTC unless they have an offset."""
    for match in _TIME.finditer(path.name):
        more = _MORE_OF_TIME if match["hour"] else _MORE_OF_DATE
        is_after_time = match["hour"] is None and _TIME_BEFORE_DATE.search(path.name[: match.start()])
        if is_after_time or more.match(path.name, match.end()):
            raise ConfigError(f"the time in the name of {path} is ambiguous: rename it, or import it alone with --at")
        if path.name[match.end() :][:1].isalnum():
            continue  # part of a word, such as a checksum
        try:
            yield _time_of(match)
        except ValueError as error:
            if match["dash"]:  # other digits may be a number
                raise ConfigError(
                    f"the name of {path} has an invalid time ({match[0]}: {error}): rename it, such as "
                    "2026-01-31T18:00:00Z.json, or import it alone with --at"
                ) from error
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
