"""Files are replaced whole or not at all; what is no ordinary file is written to as it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rfsync.cli.files import is_ordinary, open_for_writing
from rfsync.cli.output import open_binary_output, open_output
from rfsync.errors import ConfigError


def write(output: str, text: str = "after") -> None:
    with open_output(output) as file:
        file.write(text)


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before")
    with open_output(str(path)) as file:
        file.write("after")
        file.flush()
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_the_old_file_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before")
    with pytest.raises(TypeError), open_output(str(path)) as file:
        file.writelines(["after", None])  # type: ignore[list-item]
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_the_mode_that_any_new_file_has(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write(str(tmp_path / "out"))
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    write(str(path))
    assert path.read_text() == "after"


def test_the_target_of_a_link_is_replaced_and_keeps_its_mode(tmp_path: Path) -> None:
    target, link, to_link = tmp_path / "target", tmp_path / "link", tmp_path / "folder" / "link"
    target.write_text("before")
    target.chmod(0o600)
    link.symlink_to(target)
    to_link.parent.mkdir()
    to_link.symlink_to("../link")
    write(str(to_link))
    assert link.is_symlink()
    assert to_link.is_symlink()
    assert target.read_text() == "after"
    assert target.stat().st_mode & 0o777 == 0o600


def test_a_link_to_nothing_makes_its_target(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    write(str(link))
    assert link.is_symlink()
    assert (tmp_path / "target").read_text() == "after"


def test_links_in_a_circle_are_a_clear_error_and_stay(tmp_path: Path) -> None:
    for name, target in (("a", "b"), ("b", "a")):
        (tmp_path / name).symlink_to(target)
    with pytest.raises(ConfigError, match="can't be written: Too many levels of symbolic links"):
        write(str(tmp_path / "a"))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_symlink()) == ["a", "b"]


@pytest.mark.parametrize(
    "folder", ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd", f"/proc/{os.getppid()}/../self/fd"]
)
@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_an_open_file_is_written_to_where_it_was_opened(tmp_path: Path, folder: str, mode: str) -> None:
    path, link = tmp_path / "log", tmp_path / "link.csv"
    path.write_text("before\n")
    with path.open(mode) as file:
        if mode == "r+b":
            file.seek(3)
        link.symlink_to(f"{folder}/{file.fileno()}")
        for output in (f"{folder}/{file.fileno()}", str(link)):
            assert not is_ordinary(output)
            write(output, "one\n")
    assert path.read_text() == {"ab": "before\none\none\n", "r+b": "befone\none\n"}[mode]
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [link, path]


def test_an_open_file_that_was_deleted_is_written_to(tmp_path: Path) -> None:
    """Behind it there is a name that is no file any more."""
    path = tmp_path / "log"
    with path.open("w+b") as file:
        path.unlink()
        write(f"/proc/self/fd/{file.fileno()}")
        assert os.pread(file.fileno(), 100, 0) == b"after"
    assert list(tmp_path.iterdir()) == []


def test_an_open_file_of_another_process_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("before\n")
    with path.open("r+b") as file, subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as other:
        write(f"/proc/{other.pid}/fd/1")
        other.communicate()
    assert path.read_text() == "before\nafter"


def test_a_descriptor_that_is_not_open_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="can't be written: Bad file descriptor"):
        write("/dev/fd/9999999")


def test_a_named_pipe_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    assert not is_ordinary(str(path))
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        write(str(path))
        assert reader.read() == b"after"
    assert path.is_fifo()


def test_a_reader_that_goes_away_is_none_of_our_errors(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BrokenPipeError), open_output(str(path)) as file:
        file.writelines([os.close(reader) or "after"])


def test_a_device_is_written_to_and_not_replaced() -> None:
    write("/dev/null")
    assert Path("/dev/null").is_char_device()


def test_a_full_device_is_a_clear_error() -> None:
    with pytest.raises(ConfigError, match="/dev/full' can't be written: No space left"):
        write("/dev/full")


def test_standard_output_has_the_name_that_it_has_in_other_tools(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("-", "text, ")
    with open_binary_output("-") as file:
        file.write(b"bytes")
    assert capfd.readouterr().out == "text, bytes"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none/out", "No such file or directory"),
        ("", "Is a directory"),
        ("file/out", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("a\0b", "null"),
    ],
    ids=["no-folder", "folder", "file-as-folder", "too-long", "nul"],
)
def test_what_can_not_be_written_is_a_clear_error(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"can't be written: .*{reason}"):
        write(str(tmp_path / name))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_of_somebody_else_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be written"), open_for_writing(f"/proc/{tmp_path.name}/out"):
        pass
