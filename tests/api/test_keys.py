"""Where a workspace's key is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rfsync.api.keys import find_key, readable_by_others
from rfsync.config import WorkspaceConfig
from rfsync.errors import ConfigError

VARIABLE, FILE, OFFICIAL = "kEyOfTheVariable", "kEyOfTheFile", "kEyOfTheCli"
OFFICIAL_FILE = {"workspaces": {"x1": {"url": "other", "apiKey": "no"}, "x2": {"url": "acme", "apiKey": OFFICIAL}}}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """What the official command line keeps, at the place where it keeps it."""
    path = tmp_path / ".config" / "roboflow" / "config.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(OFFICIAL_FILE))
    return path


def test_the_default_variable_counts_where_nothing_is_named(env: dict[str, str]) -> None:
    found = find_key(WorkspaceConfig(id="acme"), env | {"ROBOFLOW_API_KEY": VARIABLE})
    assert found.key.reveal() == VARIABLE
    assert found.source == "$ROBOFLOW_API_KEY"


def test_the_named_variable_beats_the_named_file_which_beats_what_the_cli_keeps(
    env: dict[str, str], official: Path, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(FILE)
    workspace = WorkspaceConfig(id="acme", api_key_env="ACME", api_key_file=str(file))
    found = find_key(workspace, env | {"ACME": VARIABLE})
    assert (found.key.reveal(), found.source) == (VARIABLE, "$ACME")
    for without in ({}, {"ACME": ""}, {"ACME": " \n"}):
        found = find_key(workspace, env | without)
        assert (found.key.reveal(), found.source) == (FILE, str(file))
    for content in ("", "\n"):
        file.write_text(content)
        assert find_key(workspace, env).key.reveal() == OFFICIAL
    file.unlink()
    found = find_key(workspace, env)
    assert found.key.reveal() == OFFICIAL
    assert str(official) in found.source


@pytest.mark.parametrize(
    "workspace",
    [WorkspaceConfig(id="acme", api_key_env="ACME"), WorkspaceConfig(id="acme", api_key_file="/nonexistent/key")],
    ids=["variable", "file"],
)
def test_the_default_variable_does_not_count_where_another_place_is_named(
    env: dict[str, str], workspace: WorkspaceConfig
) -> None:
    with pytest.raises(ConfigError):
        find_key(workspace, env | {"ROBOFLOW_API_KEY": VARIABLE})


@pytest.mark.parametrize("written", ["k-1_", f"{FILE}\n", f"  {FILE}\t\r\n"])
def test_blanks_around_a_key_are_no_part_of_it(env: dict[str, str], tmp_path: Path, written: str) -> None:
    file = tmp_path / "key"
    file.write_text(written)
    for workspace in (WorkspaceConfig(id="a", api_key_file=str(file)), WorkspaceConfig(id="a", api_key_env="K")):
        assert find_key(workspace, env | {"K": written}).key.reveal() == written.strip()


@pytest.mark.parametrize("written", ['"{}"', "'{}'", ' "{}"\r\n', "\ufeff{}", '\ufeff"{}"\n', '" {} "'])
def test_quotes_and_a_byte_order_mark_around_a_key_are_no_part_of_it(
    env: dict[str, str], tmp_path: Path, written: str
) -> None:
    """As ``echo "KEY" > file`` writes them on Windows, and ``docker run --env-file`` passes them on."""
    file = tmp_path / "key"
    file.write_text(written.format(FILE), encoding="utf-8")
    for workspace in (WorkspaceConfig(id="a", api_key_file=str(file)), WorkspaceConfig(id="a", api_key_env="K")):
        assert find_key(workspace, env | {"K": written.format(FILE)}).key.reveal() == FILE


@pytest.mark.parametrize("written", ['""', "''", '" "', "\ufeff"])
def test_quotes_around_nothing_are_no_key(env: dict[str, str], official: Path, tmp_path: Path, written: str) -> None:
    file = tmp_path / "key"
    file.write_text(written, encoding="utf-8")
    workspace = WorkspaceConfig(id="acme", api_key_file=str(file), api_key_env="K")
    assert find_key(workspace, env | {"K": written}).key.reveal() == OFFICIAL


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_files_in_utf_16_are_named(env: dict[str, str], official: Path, tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "key"
    for path in (file, official):
        path.write_text(path.read_text() if path.exists() else FILE, encoding=encoding)
    with pytest.raises(ConfigError) as caught:
        find_key(WorkspaceConfig(id="acme", api_key_file=str(file)), env)
    assert str(caught.value).count("it is UTF-16: save it as UTF-8") == 2
    assert FILE not in str(caught.value)


def test_the_official_file_may_begin_with_a_byte_order_mark(env: dict[str, str], official: Path) -> None:
    official.write_text(json.dumps(OFFICIAL_FILE), encoding="utf-8-sig")
    assert find_key(WorkspaceConfig(id="acme"), env).key.reveal() == OFFICIAL


def test_a_file_may_be_named_from_the_home_folder(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text(FILE)
    assert find_key(WorkspaceConfig(id="a", api_key_file="~/key"), env).key.reveal() == FILE


def test_a_file_may_be_one_of_the_units_credentials(env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "roboflow").write_text("key-1\n")
    workspace = WorkspaceConfig(id="acme", api_key_file="$CREDENTIALS_DIRECTORY/roboflow")
    with pytest.raises(ConfigError, match="only for a unit with LoadCredential="):
        find_key(workspace, env)
    env["CREDENTIALS_DIRECTORY"] = str(tmp_path)
    found = find_key(workspace, env, Path("/nowhere"))
    assert (found.key.reveal(), found.source) == ("key-1", str(tmp_path / "roboflow"))


@pytest.mark.parametrize("key", ["two words", "tab\tbed", "line\nfeed", "ümlaut", "“quoted”", "nul\0", "a\x7fb"])
def test_what_can_not_be_a_key_is_refused_unseen(env: dict[str, str], tmp_path: Path, key: str) -> None:
    file = tmp_path / "key"
    file.write_text(key, encoding="utf-8")
    for workspace, place in (
        (WorkspaceConfig(id="a", api_key_env="K"), r"\$K"),
        (WorkspaceConfig(id="a", api_key_file=str(file)), "key"),
    ):
        with pytest.raises(ConfigError, match=place) as caught:
            find_key(workspace, env | {"K": key})
        assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(OFFICIAL_FILE, OFFICIAL, id="by-the-url"),
        pytest.param({"workspaces": {"acme": {"apiKey": OFFICIAL}}}, OFFICIAL, id="by-the-name-where-there-is-no-url"),
        pytest.param({"workspaces": {"acme": {"url": "b", "apiKey": "no"}}}, None, id="by-the-name-of-another-url"),
        pytest.param({"workspaces": {"x": {"url": "acme", "apiKey": ""}}}, None, id="empty-key"),
        pytest.param({"workspaces": {"x": {"url": "acme", "apiKey": 5}}}, None, id="number-as-key"),
        pytest.param({"workspaces": {"x": {"url": "acme"}}}, None, id="no-key"),
        pytest.param({"workspaces": {"x": "acme"}}, None, id="entry-of-another-make"),
        pytest.param({"workspaces": [{"url": "acme", "apiKey": "no"}]}, None, id="a-list"),
        pytest.param({}, None, id="no-workspaces"),
        pytest.param([], None, id="no-object"),
    ],
)
def test_what_the_official_command_line_keeps(
    env: dict[str, str], official: Path, content: object, expected: str | None
) -> None:
    official.write_text(json.dumps(content))
    workspace = WorkspaceConfig(id="acme")
    if expected is None:
        with pytest.raises(ConfigError, match="acme"):
            find_key(workspace, env)
    else:
        assert find_key(workspace, env).key.reveal() == expected


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "is not valid JSON"),
        (b"\xff", "it is not UTF-8"),
        (b"", "is not valid JSON"),
        (b"[" * 5000, "is not valid JSON"),
        (b"{}", "has none for it"),
    ],
    ids=["cut-short", "not-utf8", "empty", "endless-nesting", "without-workspaces"],
)
def test_a_broken_file_of_the_official_command_line_has_no_key(
    env: dict[str, str], official: Path, content: bytes, reason: str
) -> None:
    official.write_bytes(content)
    with pytest.raises(ConfigError, match=f"Roboflow CLI .*{reason}"):
        find_key(WorkspaceConfig(id="acme"), env)


def test_the_official_file_may_be_elsewhere(env: dict[str, str], official: Path, tmp_path: Path) -> None:
    moved = official.rename(tmp_path / "moved.json")
    for written in (f"{moved}", f" {moved}\r"):
        found = find_key(WorkspaceConfig(id="acme"), env | {"ROBOFLOW_CONFIG_DIR": written})
        assert found.key.reveal() == OFFICIAL


def test_no_key_anywhere_is_an_error_that_says_where_it_was_looked_for(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "none"
    workspace = WorkspaceConfig(id="acme", api_key_env="ACME", api_key_file=str(file))
    with pytest.raises(ConfigError) as caught:
        find_key(workspace, env)
    for part in ("'acme'", "$ACME is not set", f"'{file}' can't be read", "Roboflow CLI", "Set ACME", "api_key_file"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("named", "way_out"),
    [
        ({}, "Set ROBOFLOW_API_KEY, or name api_key_file"),
        ({"api_key_env": "ACME"}, "Set ACME, or correct api_key_env"),
        ({"api_key_file": "/no/key"}, "Write the key, and nothing else, into '/no/key', or correct api_key_file"),
        (
            {"api_key_file": "/no/key", "api_key_env": "ACME"},
            "Set ACME, or write the key, and nothing else, into '/no/key', or correct api_key_env or api_key_file",
        ),
        (
            {"api_key_file": FILE},
            "Write the key, and nothing else, into the file that api_key_file names, or correct api_key_file",
        ),
    ],
)
def test_the_way_out_is_one_that_counts_with_this_configuration(
    env: dict[str, str], named: dict[str, str], way_out: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        find_key(WorkspaceConfig(id="acme", **named), env)
    assert str(caught.value).endswith(f". {way_out} in its [[workspaces]] table")
    assert FILE not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", "~nobody-of-this-name/key", "a\0b"],
    ids=["folder", "nobody-s-home", "nul"],
)
def test_a_file_that_can_not_be_read_is_a_configuration_error(env: dict[str, str], tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="can't be read"):
        find_key(WorkspaceConfig(id="acme", api_key_file=name or str(tmp_path)), env)


def test_a_file_that_is_not_text_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        find_key(WorkspaceConfig(id="acme", api_key_file=str(file)), env)


def test_a_found_key_shows_only_where_it_was_found(env: dict[str, str]) -> None:
    found = find_key(WorkspaceConfig(id="acme"), env | {"ROBOFLOW_API_KEY": VARIABLE})
    assert VARIABLE not in f"{found} {found!r}"
    assert "$ROBOFLOW_API_KEY" in repr(found)


def test_a_key_file_that_everybody_can_read_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.touch()
    for mode, expected in ((0o600, False), (0o640, False), (0o644, True), (0o604, True)):
        file.chmod(mode)
        assert readable_by_others(file) is expected
    assert readable_by_others(tmp_path / "none") is False


def test_a_missing_file_is_told_with_the_folder_that_it_starts_from(env: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        find_key(WorkspaceConfig(id="acme", api_key_file="roboflow.key"), env, tmp_path / "elsewhere")
    path = tmp_path / "elsewhere" / "roboflow.key"
    assert f"'{path}' can't be read" in str(caught.value)
    assert f"Write the key, and nothing else, into '{path}'" in str(caught.value)
