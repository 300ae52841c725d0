"""What is in deploy/ fits the command, the repository and itself, as far as that shows without systemd and docker."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click import Option
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rfsync import config
from rfsync.cli import cli

TOP = Path(__file__).parents[2]
DEPLOY = TOP / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return loaded


def values(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def assert_understood(words: list[str]) -> None:
    """The words after ``rfsync`` are a command, its subcommand and options that it has."""
    command: Any = cli
    while words and not words[0].startswith("-"):
        command = command.get_command(None, words.pop(0)) if hasattr(command, "get_command") else None
        assert command is not None
    known = {name for parameter in command.params if isinstance(parameter, Option) for name in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing: it comes with systemd")
def test_systemd_understands_every_line_of_the_units(tmp_path: Path) -> None:
    for unit in (DEPLOY / "systemd").iterdir():
        # It looks whether the program is there.
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/rfsync/bin/rfsync", sys.executable))
    units = [tmp_path / "rfsync.service", tmp_path / "rfsync-sync.timer"]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    # What else is installed on this machine may have faults of its own.
    assert [line for line in done.stderr.splitlines() if "rfsync" in line or str(tmp_path) in line] == []
    if done.stderr == "":
        assert done.returncode == 0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_units_command_is_one_that_rfsync_has(unit: Path) -> None:
    (line,) = values(unit, "ExecStart")
    program, *words = shlex.split(line)
    assert program == "/opt/rfsync/bin/rfsync"
    assert_understood(words)


def test_all_units_are_shut_in_alike() -> None:
    bodies = [unit.read_text().partition("# The name, so")[2].partition("[Install]")[0].strip() for unit in UNITS]
    assert len(bodies) == 3
    assert set(bodies) == {bodies[0]} != {""}
    for line in (
        "DynamicUser=yes",
        "User=rfsync",
        "StateDirectory=rfsync",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
    ):
        assert line in bodies[0].splitlines()


def test_the_key_is_where_the_unit_puts_it_and_the_database_where_it_may_write() -> None:
    loaded = config.load(DEPLOY / "rfsync.toml", {})
    assert loaded.workspaces[0].api_key_file == "$CREDENTIALS_DIRECTORY/roboflow"
    assert values(DEPLOY / "systemd" / "rfsync.service", "LoadCredential") == ["roboflow:/etc/rfsync/roboflow.key"]
    assert loaded.database.url == "sqlite:////var/lib/rfsync/rfsync.db"


def test_a_second_key_only_has_to_be_uncommented(tmp_path: Path) -> None:
    changed = tmp_path / "rfsync.toml"
    changed.write_text(re.sub(r"^#(?=\S)", "", (DEPLOY / "rfsync.toml").read_text(), flags=re.MULTILINE))
    second = config.load(changed, {}).workspaces[1]
    assert (second.id, second.api_key_file) == ("other", "$CREDENTIALS_DIRECTORY/other")
    for unit in UNITS:
        assert "\n#LoadCredential=other:/etc/rfsync/other.key\n" in unit.read_text()


def test_the_lines_of_cron_have_a_time_a_user_and_a_command_that_rfsync_has() -> None:
    text = (DEPLOY / "cron" / "rfsync").read_text()
    assert text.endswith("\n")  # cron ignores a last line without an end
    mail, *lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert mail == "MAILTO=root"
    for line, minute in zip(lines, ["*/5", "17"], strict=True):
        *when, user, command = line.split(None, 6)
        assert (when, user) == ([minute, "*", "*", "*", "*"], "rfsync")
        assert "%" not in command  # which cron takes for the end of the line
        words = shlex.split(command.partition(" >/dev/null")[0])
        assert words[0] == "/opt/rfsync/bin/rfsync"
        assert_understood(words[1:])


def test_all_that_the_image_copies_is_there_and_not_left_out() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    lines = re.findall(r"^COPY (?!--from)(.*)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    sources = [source for line in lines for source in line.split()[:-1]]
    assert len(sources) > 4
    for source in sources:
        assert (TOP / source).exists(), source
        assert f"!{source}" in ignored, source


def test_the_image_runs_the_daemon_as_nobody_in_particular_and_without_a_shell() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    entry, command = (
        yaml.safe_load(re.findall(rf"^{word} (\[.*\])$", text, re.MULTILINE)[0]) for word in ("ENTRYPOINT", "CMD")
    )
    assert entry == ["rfsync"]
    assert_understood(command)
    last = text.rpartition("\nFROM ")[2]
    # A number: Kubernetes can't tell whether a name is root's.
    assert "\nUSER 10001\n" in last
    assert "\nVOLUME /var/lib/rfsync\n" in last
    check = yaml.safe_load(re.findall(r"CMD (\[\"python.*\])$", text, re.MULTILINE)[0])
    compile(check[2], "HEALTHCHECK", "exec")
    assert "/readyz" in check[2]


def test_what_is_built_on_is_pinned() -> None:
    images = re.findall(r"^FROM (\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    images += [service["image"] for service in compose()["services"].values() if service["image"] != "rfsync"]
    assert len(images) > 4
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


@pytest.mark.parametrize("name", ["requirements.txt", "build-requirements.txt"])
def test_all_that_the_image_installs_is_locked_with_hashes_and_fits_what_rfsync_needs(name: str) -> None:
    text = (DEPLOY / name).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    locked = {}
    for line in lines:
        requirement, *hashes = line.split(" --hash=")
        assert hashes, line
        parsed = Requirement(requirement.strip())
        (pin,) = parsed.specifier
        assert pin.operator == "==", line
        locked[canonicalize_name(parsed.name)] = pin.version
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    needed = [*project["project"]["dependencies"], *extras["postgres"], *extras["worker"]]
    if name != "requirements.txt":
        needed = project["build-system"]["requires"]
    for requirement in map(Requirement, needed):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement


def test_all_that_compose_mounts_is_there_and_every_secret_is_a_file_that_git_ignores() -> None:
    content = compose()
    for name, service in content["services"].items():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in content["volumes"] or (DEPLOY / source).exists(), f"{name}: {source}"
        assert {*service.get("secrets", [])} <= {*content["secrets"]}, name
        for key, value in service.get("environment", {}).items():
            assert not re.search("pass|key|token", key, re.IGNORECASE) or value.startswith("/run/secrets/"), (
                f"{name}: {key}"
            )
    assert all(one["file"].startswith("./secrets/") for one in content["secrets"].values())
    assert "secrets/" in (DEPLOY / ".gitignore").read_text().splitlines()


def test_compose_brings_the_schema_up_to_date_before_the_daemon_starts() -> None:
    services = compose()["services"]
    assert services["upgrade"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert services["roles"]["depends_on"] == {"upgrade": {"condition": "service_completed_successfully"}}
    assert services["daemon"]["depends_on"] == {"roles": {"condition": "service_completed_successfully"}}
    # Only the upgrade is made by the owner of the tables.
    assert services["upgrade"]["environment"]["RFSYNC_DATABASE_URL"] == "postgresql://rfsync@db/rfsync"
    files = [part.removeprefix("--file=/roles/") for part in services["roles"]["command"] if part.startswith("--file=")]
    assert files == ["writer.sql", "reader.sql", "passwords.sql"]
    assert [name for name in files if not (DEPLOY / "postgres" / name).is_file()] == []
    assert_understood([*services["upgrade"]["command"]])
    assert services["worker"]["depends_on"] == services["daemon"]["depends_on"]
    assert_understood([*services["worker"]["command"]])
    for name, service in services.items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), name


def has_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="docker compose is missing")
def test_docker_accepts_the_compose_file() -> None:
    done = subprocess.run(
        ["docker", "compose", "-f", DEPLOY / "compose.yaml", "--profile", "*", "config", "--quiet"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done


def test_the_containers_configuration_listens_where_prometheus_and_the_health_check_look() -> None:
    loaded = config.load(DEPLOY / "rfsync.container.toml", {})
    assert loaded.daemon.listen == "0.0.0.0:9108"
    assert loaded.workspaces[0].api_key_file == "/run/secrets/roboflow"
    assert loaded.database.url == "postgresql://rfsync_writer@db/rfsync"
    targets = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"][0]
    assert (targets["job_name"], targets["static_configs"]) == ("rfsync", [{"targets": ["daemon:9108"]}])
    assert "127.0.0.1:9108/readyz" in (DEPLOY / "Dockerfile").read_text()


def test_grafanas_datasource_reads_as_the_role_that_the_file_makes() -> None:
    sources = yaml.safe_load((DEPLOY / "grafana" / "datasources.yaml").read_text())["datasources"]
    assert sources[0]["user"] == "rfsync_reader"
    assert sources[0]["secureJsonData"]["password"] == "$__file{/run/secrets/reader_password}"
    assert "CREATE ROLE rfsync_reader" in (DEPLOY / "postgres" / "reader.sql").read_text()


def test_every_command_of_the_page_is_one_that_rfsync_has() -> None:
    text = (TOP / "docs" / "operations.md").read_text()
    lines = re.findall(r"^rfsync (.*)$", "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)), re.MULTILINE)
    lines += re.findall(r"`rfsync ([^`]*)`", text)
    assert len(lines) > 5
    for line in lines:
        words = shlex.split(line.partition("#")[0].partition(" >")[0])
        # Neither targets and files nor addresses.
        assert_understood([word for word in words if not {"/", "@"} & {*word} or word.startswith("-")])
