"""Checks of every request (host, path, method, body) and security headers of every response."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from rfsync.parsing import is_loopback
from rfsync.text import printable

log = logging.getLogger("rfsync.dashboard")

#: Maximum size of a request body, in bytes; the page sends a tenth of it.
MAX_REQUEST_BYTES: Final = 65_536

_HTTP_PORT: Final = 80
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_WILDCARDS: Final = ("0.0.0.0", "::")  # noqa: S104 compared with, not listened on
_PATHS: Final = ("/_dash-layout", "/_dash-dependencies", "/_dash-update-component")
_FOLDERS: Final = ("/_dash-component-suites/", "/assets/")
_CALLBACKS: Final = "/_dash-update-component"

_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True, slots=True)
class Hosts:
    """Accepted Host headers.

    A foreign web page can make its own host name resolve to this machine (DNS rebinding) to read the dashboard with a
    visitor's browser; but its requests then carry that name in their Host header.
    """

    #: Address that the server listens on.
    host: str
    port: int
    #: Additional hosts, ``NAME`` (with any port) or ``NAME:PORT``.
    extra: tuple[str, ...] = ()

    def allow(self, header: str | None) -> bool:
        """True if a Host header is accepted."""
        name, port = _split_host(header or "")
        if not name:
            return False
        if {name, f"{name}:{port}", f"[{name}]", f"[{name}]:{port}"} & {other.lower() for other in self.extra}:
            return True
        if port != self.port:
            return False
        if self.host in _WILDCARDS:
            return name in _LOOPBACK or _is_address(name)
        return name == self.host.lower() or (is_loopback(self.host) and name in _LOOPBACK)


def _split_host(header: str) -> tuple[str, int]:
    """Name in lower case, without brackets, and port; ("", 0) if the header is malformed."""
    name, colon, port = header.lower().rpartition(":")
    if not colon or port.endswith("]"):
        name, port = header.lower(), str(_HTTP_PORT)
    if not (port.isascii() and port.isdecimal() and len(port) < 6):
        return "", 0
    bracketed = name.startswith("[") and name.endswith("]")
    return name[1:-1] if bracketed else name, int(port)


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class _Property(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    property: str
    value: Any = None


class _CallbackRequest(msgspec.Struct):
    """The body of a request for a callback."""

    output: str
    outputs: _Property | list[_Property]
    inputs: list[_Property]
    changed: list[str] = msgspec.field(name="changedPropIds")
    state: list[_Property] = []


@dataclass(frozen=True, slots=True)
class Callback:
    """The signature of a callback, as ``id.property``."""

    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    state: tuple[str, ...]


def is_callback_request(body: bytes, callbacks: Mapping[str, Callback]) -> bool:
    """True if a body requests one of the callbacks with exactly its signature, whatever the values."""
    try:
        call = msgspec.json.decode(body, type=_CallbackRequest)
    except (msgspec.DecodeError, RecursionError):
        return False
    outputs = call.outputs if isinstance(call.outputs, list) else [call.outputs]
    signature = Callback(_property_names(outputs), _property_names(call.inputs), _property_names(call.state))
    return callbacks.get(call.output) == signature and set(call.changed) <= set(signature.inputs)


def _property_names(properties: Iterable[_Property]) -> tuple[str, ...]:
    return tuple(f"{part.id}.{part.property}" for part in properties)


def content_security_policy(script_hashes: Sequence[str]) -> str:
    """A policy that allows only this origin; ``script_hashes`` are those of the page's inline scripts."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' {' '.join(script_hashes)}",
            # Dash's components and plotly.js insert styles at run time: they support no nonce, and hashes would change
            # with every version.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",  # for saving a chart as an image
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def protect(server: Flask, hosts: Hosts, callbacks: Mapping[str, Callback]) -> None:
    """Rejects invalid requests before Dash sees them, and adds all security headers except the CSP."""
    server.config["MAX_CONTENT_LENGTH"] = MAX_REQUEST_BYTES

    @server.before_request
    def check() -> Response | None:
        header = request.environ.get("HTTP_HOST")
        if not hosts.allow(header):
            shown = printable(header or "")[:100]
            log.warning("a request for the host %r was refused", shown)
            return _text(f"The host {shown!r} is not allowed: add it with --host.", 403)
        path = request.path
        if path != "/" and path not in _PATHS and not path.startswith(_FOLDERS):
            return _text("Not found.", 404)
        if request.method not in ({"POST"} if path == _CALLBACKS else {"GET", "HEAD"}):
            return _text("Method not allowed.", 405)
        if path == _CALLBACKS and not is_callback_request(request.get_data(), callbacks):
            return _text("Not a request of the dashboard's own page.", 400)
        return None

    @server.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(_HEADERS)
        if not request.path.startswith(_FOLDERS):
            response.headers["Cache-Control"] = "no-store"
        return response

    @server.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        return _text(f"{error.name}.", error.code or 500)

    @server.errorhandler(Exception)
    def crash(error: Exception) -> Response:
        if request.path.startswith(_FOLDERS):
            return _text("Not found.", 404)  # Dash raises this for a file that none of its packages has
        log.error("a request for %s failed: this is a bug", printable(request.path)[:200], exc_info=error)
        return _text("Internal error: a bug in the dashboard. See its log.", 500)


def _text(message: str, status: int) -> Response:
    return Response(f"{message}\n", status, content_type="text/plain; charset=utf-8")
