"""What ``rfsync check`` suggests where Roboflow itself refuses a workspace, which may be at its other host."""

from __future__ import annotations

import pytest

from rfsync.api.client import Response
from rfsync.config import ApiConfig, Config, WorkspaceConfig
from rfsync.errors import ErrorKind, FetchError
from rfsync.redaction import Secret
from rfsync.sync.check import diagnose
from rfsync.sync.remedies import remedy

WORLD = "https://api.roboflow.com"
EU = "https://api.roboflow.eu"


class Refusing:
    """Refuses each request, and notes what was asked."""

    def __init__(self, status: int, kind: ErrorKind) -> None:
        self.error = FetchError(kind, f"HTTP {status}", http_status=status, attempts=1)
        self.asked: list[tuple[str, ...]] = []

    def get(self, *segments: str, key: Secret, etag: str | None = None, attempts: int | None = None) -> Response:
        self.asked.append(segments)
        raise self.error

    def cancel(self) -> None:
        """Never called."""


def remedies(api: str, own: str | None, status: int, kind: ErrorKind, projects: tuple[str, ...]) -> list[str]:
    workspace = WorkspaceConfig(id="acme", projects=projects, base_url=own)
    config, fetcher = Config(api=ApiConfig(base_url=api), workspaces=(workspace,)), Refusing(status, kind)
    checks = diagnose(config, None, fetcher, str, lambda: "fine", "sqlite", {"ROBOFLOW_API_KEY": "a-key"})
    found = [check.remedy or "" for check in checks if not check.ok]
    assert len(found) == 1
    # A project that is not there is looked for in the list of its workspace, at the same host.
    is_named_and_missing = status == 404 and projects != ("*",)
    assert fetcher.asked[1:] == [("acme",)] * is_named_and_missing
    return found


@pytest.mark.parametrize("projects", [("*",), ("widgets",)])
@pytest.mark.parametrize(("status", "kind"), [(401, ErrorKind.AUTH), (403, ErrorKind.AUTH), (404, ErrorKind.NOT_FOUND)])
@pytest.mark.parametrize(
    ("api", "own", "other"),
    [
        pytest.param(WORLD, None, EU, id="the-default"),
        pytest.param("https://API.roboflow.com:443/", None, EU, id="in-other-words"),
        pytest.param(EU, None, WORLD, id="eu"),
        pytest.param(WORLD, EU, WORLD, id="its-own-is-eu"),
        pytest.param(EU, WORLD, EU, id="its-own-is-the-world"),
        pytest.param("https://gateway.example", None, None, id="another-host"),
        pytest.param(WORLD, "https://gateway.example", None, id="its-own-is-another-host"),
        pytest.param("https://api.roboflow.com.evil.example", None, None, id="a-host-that-begins-alike"),
    ],
)
def test_where_a_host_of_roboflow_refuses_a_workspace_the_other_is_named_and_not_asked(
    api: str, own: str | None, other: str | None, status: int, kind: ErrorKind, projects: tuple[str, ...]
) -> None:
    (found,) = remedies(api, own, status, kind, projects)
    named = [host for host in (WORLD, EU) if f'set base_url = "{host}" in its [[workspaces]] table' in found]
    assert named == ([other] if other else [])


@pytest.mark.parametrize(("status", "kind"), [(402, ErrorKind.AUTH), (423, ErrorKind.REQUEST), (500, ErrorKind.SERVER)])
def test_another_status_does_not_speak_of_the_other_host(status: int, kind: ErrorKind) -> None:
    (found,) = remedies(WORLD, None, status, kind, ("*",))
    assert "base_url" not in found


def test_a_workspace_that_was_listed_is_not_sought_elsewhere() -> None:
    error = FetchError(ErrorKind.AUTH, "HTTP 403", http_status=403)
    assert EU not in remedy(error, WORLD, "[api] base_url", known=True)


@pytest.mark.parametrize("kind", [*ErrorKind])
def test_each_kind_has_a_remedy_in_one_line_that_names_the_setting_in_question(kind: ErrorKind) -> None:
    text = remedy(FetchError(kind, "no"), "https://gateway.example", "base_url in its table", known=False)
    assert text.isprintable()
    assert "{" not in text
    named = kind in {ErrorKind.NETWORK, ErrorKind.BAD_RESPONSE, ErrorKind.REQUEST}
    assert ("base_url in its table" in text) is named
