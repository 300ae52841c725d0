"""Proxies and certificates of companies: they work, or one line says what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from proxies import Mode, proxy

from rfsync.simulator import Simulator
from tests.e2e.conftest import Cli, batch, tls

#: A host that is only known to the proxy.
API = "api.example.invalid"
PASSWORD = "pr0xy%2Fw0rd"


@pytest.fixture
def behind(fresh: Cli, authority: trustme.CA, trusting: dict[str, str]) -> Iterator[Simulator]:
    """A simulator with TLS, which only a proxy can reach by its name."""
    fresh.env |= trusting
    with Simulator(fresh.world, tls=tls(authority.issue_cert(API))) as secure:
        fresh.configure(api={"base_url": f"https://{API}:{secure.port}", "attempts": 3})
        fresh.list(batch("b1", 1))
        yield secure


def failure(cli: Cli) -> tuple[str, int, str]:
    """Error kind, attempts and error of a sync, which logs one line and no password."""
    done = cli.run("sync", "acme/widgets", "--json", code=1)
    assert len(done.warnings.splitlines()) == 1
    assert [form for form in (PASSWORD, "pr0xy/w0rd", "w0rd") if form in done.out + done.err] == []
    project = done.projects["widgets"]
    return project["error_kind"], project["attempts"], project["error"]


@pytest.mark.parametrize("kind", ["http", "socks5h"])
def test_a_proxy_leads_to_the_api(fresh: Cli, behind: Simulator, kind: str) -> None:
    with proxy(behind.port) as between:
        fresh.env["ALL_PROXY"] = f"{kind}://me:{PASSWORD}@127.0.0.1:{between.server_address[1]}"
        fresh.run("sync", "acme/widgets")
        assert [target for target, _ in between.wanted] == [f"{API}:{behind.port}"]
        assert all(credentials for _, credentials in between.wanted)
    assert [request.path for request in behind.requests] == ["/acme/widgets/batches", "/acme/widgets/jobs"]
    fresh.balance()


@pytest.mark.parametrize(
    ("kind", "mode", "error_kind", "attempts", "said"),
    [
        ("http", "refuse", "network", 1, "the proxy 127.0.0.1:{port} of $ALL_PROXY: Tunnel connection failed: 407"),
        ("http", "stall", "timeout", 3, "deadline_seconds"),
        ("socks5h", "refuse", "network", 3, "not allowed by ruleset"),
        ("socks5h", "stall", "timeout", 3, "deadline_seconds"),
    ],
)
def test_a_proxy_that_does_not_lead_there(
    fresh: Cli, behind: Simulator, kind: str, mode: Mode, error_kind: str, attempts: int, said: str
) -> None:
    deadline = 0.5 if mode == "stall" else 30.0
    fresh.configure(api={"base_url": f"https://{API}:{behind.port}", "attempts": 3, "deadline_seconds": deadline})
    with proxy(behind.port, mode) as between:
        port = between.server_address[1]
        fresh.env["ALL_PROXY"] = f"{kind}://me:{PASSWORD}@127.0.0.1:{port}"
        found = failure(fresh)
    assert found[:2] == (error_kind, attempts)
    assert said.format(port=port) in found[2]
    assert behind.requests == []


@pytest.mark.parametrize(
    ("url", "attempts", "said"),
    [
        pytest.param("http://me:{}@127.0.0.1:1", 3, "through the proxy 127.0.0.1:1 of $https_proxy", id="nobody"),
        pytest.param("socks5h://me:{}@127.0.0.1:1", 3, "through the proxy 127.0.0.1:1 of", id="nobody-with-socks"),
        pytest.param("http://me:{}@127.0.0.1:99999", 1, "$https_proxy is not the URL of a proxy", id="no-port"),
        pytest.param("http://me:{}@[::1", 1, "$https_proxy is not the URL of a proxy", id="no-host"),
        pytest.param("http://me:{}@", 1, "$https_proxy is not the URL of a proxy", id="nothing-behind-it"),
        pytest.param("ftp://me:{}@127.0.0.1:1", 1, "$https_proxy names a proxy of an unknown kind", id="ftp"),
        pytest.param("socks6://me:{}@127.0.0.1:1", 1, "$https_proxy names a proxy of an unknown kind", id="socks6"),
    ],
)
def test_a_proxy_that_is_none_is_told_at_once_without_its_password(
    fresh: Cli, behind: Simulator, url: str, attempts: int, said: str
) -> None:
    fresh.env["https_proxy"] = url.format(PASSWORD)
    found = failure(fresh)
    assert found[:2] == ("network", attempts)
    assert said in found[2]


@pytest.mark.new_python
def test_without_pysocks_a_socks_proxy_is_told_with_what_to_install(fresh: Cli, behind: Simulator) -> None:
    missing = fresh.folder / "missing"
    missing.mkdir()
    (missing / "socks.py").write_text("raise ImportError")
    fresh.env |= {"PYTHONPATH": str(missing), "ALL_PROXY": f"socks5://me:{PASSWORD}@127.0.0.1:1"}
    kind, attempts, error = failure(fresh)
    assert (kind, attempts) == ("network", 1)
    assert error == "$ALL_PROXY names a SOCKS proxy, which needs PySocks: pip install 'requests[socks]'"
    fresh.configure(api={"base_url": f"https://{API}:{behind.port}"}, workspaces=[{"projects": ["widgets"]}])
    assert error in fresh.run("check", code=1).out


BUNDLES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "bundle.pem", "can't be read: No such file or directory"),
    "no-certificates": (lambda folder: _written(folder, "no certificates"), "is not a file of certificates"),
    "empty": (lambda folder: _written(folder, ""), "is not a file of certificates"),
    "a-name-too-long": (lambda _: Path("x" * 5000), "can't be read: File name too long"),
}


def _written(folder: Path, text: str) -> Path:
    path = folder / "bundle.pem"
    path.write_text(text)
    return path


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("name", BUNDLES)
def test_certificates_that_can_not_be_read_are_told_at_once(
    fresh: Cli, behind: Simulator, tmp_path: Path, variable: str, name: str
) -> None:
    make, said = BUNDLES[name]
    del fresh.env["REQUESTS_CA_BUNDLE"]
    fresh.env |= {variable: str(make(tmp_path)), "NO_PROXY": "*"}
    fresh.configure(api={"base_url": behind.url, "attempts": 3})
    kind, attempts, error = failure(fresh)
    assert (kind, attempts) == ("network", 1)
    assert said in error
    assert f"${variable}" in error
    assert len(error) < 400


def test_an_authority_that_nobody_knows_is_told_with_how_to_name_it(
    fresh: Cli, behind: Simulator, trusting: dict[str, Any]
) -> None:
    del fresh.env["REQUESTS_CA_BUNDLE"]
    with proxy(behind.port) as between:
        fresh.env["HTTPS_PROXY"] = f"http://127.0.0.1:{between.server_address[1]}"
        kind, _, error = failure(fresh)
        assert (kind, "$REQUESTS_CA_BUNDLE" in error) == ("network", True)
        fresh.configure(api={"base_url": f"https://{API}:{behind.port}"}, workspaces=[{"projects": ["widgets"]}])
        (check,) = [one for one in fresh.run("check", "--json", code=1).json["checks"] if not one["ok"]]
        assert "$REQUESTS_CA_BUNDLE" in check["remedy"]
        fresh.env |= trusting
        assert fresh.run("sync").code == 0
