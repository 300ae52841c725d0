"""Paths that can't be read, or are none: one line that names the way out, and nothing of what may be a secret."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import COMMAND, LONG, Cli, Process, batch

PASSWORD = "pa55-w0rd-of-the-tests"
CONTENT = f'[database]\nurl = "postgresql://user:{PASSWORD}@host/name"\n'
#: Made by ``bad_paths``.
BAD = ("folder", "loop", "file/below", "locked/below", "x" * 300, "none/" + "x" * 5000)


@pytest.fixture
def filled(fresh: Cli) -> Cli:
    fresh.list(batch("b1", 5))
    fresh.sync()
    return fresh


@pytest.fixture(autouse=True)
def bad_paths(fresh: Cli) -> Iterator[None]:
    """Paths in the command's folder that are no files."""
    (fresh.folder / "folder").mkdir()
    (fresh.folder / "loop").symlink_to("loop")
    (fresh.folder / "file").touch()
    (fresh.folder / "locked").mkdir(mode=0o000)
    yield
    (fresh.folder / "locked").chmod(0o700)


def start(cli: Cli, *arguments: str, **env: str) -> Process:
    """Starts a command; where the mode of a folder matters, so that it applies to the superuser, too."""
    return cli.fork(*arguments, env=env, by_the_mode="locked" in " ".join([*arguments, *env.values()]))


def refusal(cli: Cli, *arguments: str, code: int = 2, **env: str) -> str:
    """Runs a command that has to fail; gives its one line of error."""
    done = cli.finish(start(cli, *arguments, **env), code)
    assert PASSWORD not in done.err
    assert len(done.err.splitlines()) == 1, done.err
    return done.err


@pytest.mark.parametrize("name", BAD)
def test_a_home_that_can_not_be_read_is_not_needed(filled: Cli, name: str) -> None:
    (filled.folder / "rfsync.toml").rename(filled.folder / "elsewhere.toml")
    home = str(filled.folder / name)
    for arguments in (
        ["status", "--database", filled.database.url],
        ["sync", "acme/widgets", "--config", "elsewhere.toml"],
    ):
        filled.finish(start(filled, *arguments, HOME=home, XDG_CONFIG_HOME=home))


@pytest.mark.parametrize("name", [*BAD, "missing"])
def test_a_configuration_that_is_no_file(fresh: Cli, name: str) -> None:
    assert "--config names" in refusal(fresh, "status", "--config", name)
    assert "$RFSYNC_CONFIG names" in refusal(fresh, "status", RFSYNC_CONFIG=name)


def test_a_configuration_in_place_of_its_path_is_not_repeated(filled: Cli) -> None:
    assert "$RFSYNC_CONFIG has a line break" in refusal(filled, "status", RFSYNC_CONFIG=CONTENT)
    url = CONTENT.split('"')[1]
    for content in (CONTENT, CONTENT.splitlines()[1], url, f"password = '{PASSWORD}'", "x" * 250 + PASSWORD):
        assert "--config names" in refusal(filled, "status", "--config", content)
        assert "TARGET" in refusal(filled, "batches", content + "/a/b")
        assert "FILE" in refusal(filled, "import", "acme/widgets", content)
        assert "can't be written" in refusal(filled, "status", "--json", "-o", f"{content}/none/x")


@pytest.mark.parametrize("name", [*BAD, "missing/below"])
def test_a_database_that_is_no_file(fresh: Cli, name: str) -> None:
    for command in (["status"], ["sync", "acme/widgets"], ["db", "upgrade"]):
        assert "database" in refusal(fresh, *command, "--database", f"sqlite:///{name}", code=3)


@pytest.mark.parametrize("name", [*BAD, CONTENT])
def test_a_key_file_that_is_none(fresh: Cli, name: str) -> None:
    env = {
        "ROBOFLOW_API_KEY": "",
        "ROBOFLOW_CONFIG_DIR": name.strip().rpartition("\n")[2],
        "HOME": str(fresh.folder / "locked"),
    }
    assert "has no API key" in refusal(fresh, "sync", "acme/widgets", **env)
    fresh.configure(workspaces=[{"api_key_file": name}])
    assert "has no API key" in refusal(fresh, "sync", "acme/widgets", HOME=env["HOME"])


@pytest.mark.parametrize("name", [*(name for name in BAD if name != "folder"), "missing", "locked"])
def test_a_file_to_import_that_is_none(fresh: Cli, name: str) -> None:
    assert "FILE" in refusal(fresh, "import", "acme/widgets", name)
    assert not fresh.database.path.exists()


@pytest.mark.parametrize("command", [["status"], ["sync", "acme/widgets"]])
def test_a_working_folder_that_is_gone(fresh: Cli, command: list[str]) -> None:
    gone = fresh.folder / "gone"
    gone.mkdir()
    script = f'cd {gone} && rmdir {gone} && exec "$@"'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *COMMAND, *command], env=fresh.env, capture_output=True, text=True, timeout=LONG,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert len(done.stderr.splitlines()) == 1
