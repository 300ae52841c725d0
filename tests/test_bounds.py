"""The lower bounds of packages, as pyproject.toml has them and ``make test-oldest`` installs them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

TOP = Path(__file__).parents[1]


@pytest.fixture
def lowest() -> dict[str, Version]:
    """The constraints of ``make test-oldest``."""
    printed = subprocess.run([sys.executable, TOP / ".ci" / "lowest"], capture_output=True, text=True, check=True)
    pairs = (line.split("==") for line in printed.stdout.splitlines())
    return {name: Version(bound) for name, bound in pairs}


def test_each_package_that_a_user_gets_has_a_lower_bound(lowest: dict[str, Version]) -> None:
    needed = {requirement.name: requirement.specifier for requirement in map(Requirement, requires("rfsync") or ())}
    needed.pop("rfsync", None)  # in the extra "all", where the builder keeps it
    assert needed.keys() <= lowest.keys()
    assert len(needed) > 15
    for name, specifier in needed.items():
        assert specifier.contains(lowest[name]), name


@pytest.mark.skipif("oldest" not in Path(sys.prefix).parts, reason="only in the environment of make test-oldest")
def test_the_oldest_environment_has_the_lowest_versions(lowest: dict[str, Version]) -> None:
    assert {name: Version(version(name)) for name in lowest} == lowest
