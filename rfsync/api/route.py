"""The way to an API: its base URL, and the proxy and the certificates that the environment names."""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import requests
import urllib3
from requests.utils import select_proxy

from rfsync.parsing import is_loopback
from rfsync.redaction import Redactor

_SOCKS: Final = ("socks4", "socks4a", "socks5", "socks5h")
_PROXY_KINDS: Final = ("http", "https", *_SOCKS)
#: Characters of a path that are shown.
_SHOWN: Final = 200


#: Where Roboflow keeps workspaces: each is at one of these, and unknown at the other.
WORLD: Final = "https://api.roboflow.com"
EU: Final = "https://api.roboflow.eu"


@dataclass(frozen=True, slots=True)
class Route:
    """The way to one API."""

    base_url: str
    #: Where ``base_url`` is set, for messages.
    setting: str
    #: Arguments of requests' ``send``: ``proxies``, ``verify`` and others.
    environment: Mapping[str, Any]
    #: The proxy's host and port, and the variable that names it; None: there is no proxy.
    proxy: str | None = None
    #: Why no request can be sent through the proxy; None: nothing is known to be wrong.
    proxy_problem: str | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port, as a URL."""
        return origin_text(self.base_url)

    @property
    def is_roboflow(self) -> bool:
        """True if it leads to one of Roboflow's own addresses."""
        return self.base_url.rstrip("/") in {WORLD, EU}

    def certificates_problem(self) -> str | None:
        """Why the certificates that the environment names can't be read; None: it names none, or they can."""
        bundle = self.environment["verify"]
        if not isinstance(bundle, str) or urlsplit(self.base_url).scheme != "https":
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            if Path(bundle).is_dir():
                context.load_verify_locations(capath=bundle)
            else:
                context.load_verify_locations(cafile=bundle)
        except ssl.SSLError:
            reason = "is not a file of certificates in PEM format"
        except OSError as error:
            reason = f"can't be read: {error.strerror}"
        else:
            return None
        return f"{bundle[:_SHOWN]!r}, which {_variable('REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE')} names, {reason}"


def make_route(base_url: str, setting: str, redactor: Redactor) -> Route:
    """Reads the environment, once: requests would look at it for each request.

    Args:
        setting: where ``base_url`` is set.
        redactor: hides the passwords of proxies from here on.
    """
    with requests.Session() as session:
        environment: Any = session.merge_environment_settings(base_url, {}, True, None, None)
    proxies = environment["proxies"]
    for proxy in proxies.values():
        # If the URL can't be parsed, the error shows all of it.
        password = proxy.rpartition("://")[2].rpartition("@")[0].partition(":")[2]
        for form in (password, unquote(password)):
            redactor.add(form)
    parts = urlsplit(base_url)
    if is_loopback(parts.hostname or ""):
        # Plain http is allowed here because the request stays on this machine: it must not go through a proxy.
        proxies.clear()
    chosen = select_proxy(base_url, proxies)
    if not chosen:
        return Route(base_url, setting, environment)
    kind = parts.scheme if parts.scheme in proxies else "all"  # as select_proxy has chosen
    variable = _variable(f"{kind}_proxy", f"{kind}_proxy".upper())
    try:
        url = urllib3.util.parse_url(chosen if "://" in chosen else f"http://{chosen}")
    except ValueError:
        url = urllib3.util.Url()
    return Route(
        base_url, setting, environment, f"the proxy {url.host}:{url.port} of {variable}", _proxy_problem(url, variable)
    )


def _proxy_problem(url: urllib3.util.Url, variable: str) -> str | None:
    if not url.host:
        return f"{variable} is not the URL of a proxy, such as http://proxy.example:8080"
    if url.scheme not in _PROXY_KINDS:
        return f"{variable} names a proxy of an unknown kind; {', '.join(_PROXY_KINDS)} are known"
    if url.scheme in _SOCKS and not _has_pysocks():
        return f"{variable} names a SOCKS proxy, which needs PySocks: pip install 'requests[socks]'"
    return None


def _has_pysocks() -> bool:
    try:
        import socks  # noqa: F401 asked for whether it is there
    except ImportError:
        return False
    return True


def _variable(*names: str) -> str:
    """The first of these variables that is set."""
    return next((f"${name}" for name in names if os.environ.get(name)), "the system's settings")


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of a URL.

    Raises:
        ValueError: the URL is invalid.
    """
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname, default if parts.port is None else parts.port


def origin_text(url: str) -> str:
    """As ``origin``, in the form of a URL."""
    scheme, host, port = origin(url)
    return f"{scheme}://{host}:{port}"
