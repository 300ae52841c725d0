"""The command, the stand-in and the databases of the end-to-end tests."""

from __future__ import annotations

from tests.e2e.conftest import cli, fresh, make_cli, simulator, world

__all__ = ["cli", "fresh", "make_cli", "simulator", "world"]
