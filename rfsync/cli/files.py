"""Files that commands write: whole or not at all. What is no ordinary file is written to as it is."""

import errno
import os
import re
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rfsync.errors import ConfigError
from rfsync.text import shown_name

#: Name of standard output, as most tools have it.
STDOUT: Final = "-"

#: Folders with the open files of a process; on Linux with its id, elsewhere always this one's.
_OPEN_FILES: Final = re.compile(r"/dev/fd|/proc/(\d+)(?:/task/\d+)?/fd")
#: As many as Linux follows.
_MAX_LINKS: Final = 40


@contextmanager
def open_for_writing(output: str) -> Iterator[int]:
    """A file descriptor, which the caller closes.

    A file is written beside the old one and replaces it at the end, unless an exception is raised; of a link, the
    target is replaced. Anything else (a device, a pipe, an open file such as ``/dev/stdout``) is written to as it is.

    Raises:
        ConfigError: it can't be written.
    """
    temporary: Path | None = None
    try:
        path = _follow_links(Path(output))
        mode = _mode(path)
        if _is_open_file(path) or not (mode is None or stat.S_ISREG(mode)):
            yield _open_special(path)
            return
        # A name of its own: with the other one in it, it could be too long.
        descriptor, name = tempfile.mkstemp(prefix=".rfsync-", dir=path.parent)
        temporary = Path(name)
        yield descriptor
        temporary.chmod(0o666 & ~_umask() if mode is None else stat.S_IMODE(mode))
        temporary.replace(path)
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{shown_name(output)} can't be written: {reason}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def is_ordinary(output: str) -> bool:
    """Whether an output is a file, or will be one, so that its name should say what is in it."""
    if output == STDOUT:
        return False
    try:
        path = _follow_links(Path(output))
        mode = _mode(path)
    except (OSError, ValueError):
        return True  # opening it says what is wrong
    return not _is_open_file(path) and (mode is None or stat.S_ISREG(mode))


def _follow_links(path: Path) -> Path:
    """The path behind all links, except those of open files: the name behind them may be another file's by now."""
    for _ in range(_MAX_LINKS):
        path = Path(os.path.realpath(path.parent), path.name)
        if _is_open_file(path) or not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_open_file(path: Path) -> bool:
    return bool(_OPEN_FILES.fullmatch(str(path.parent)) and re.fullmatch(r"[0-9]{1,9}", path.name))


def _mode(path: Path) -> int | None:
    """The kind of a file and its permissions; None: there is none."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    return mode


def _open_special(path: Path) -> int:
    of_process = _OPEN_FILES.fullmatch(str(path.parent))
    if of_process and of_process[1] in {None, str(os.getpid())}:
        return os.dup(int(path.name))  # with its position, and appending where the shell opened it for that
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
