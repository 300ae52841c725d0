"""What the unit tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def _nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nobody") / "home"


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, _nowhere: Path) -> None:
    """As for all tests, but with a home that isn't there: to make one for each of them takes longer than they do."""
    for name in list(os.environ):
        if name.startswith(("RFSYNC_", "ROBOFLOW_", "XDG_")) or name in {"NO_COLOR", "FORCE_COLOR", "API_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(_nowhere))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(_nowhere / ".config"))
