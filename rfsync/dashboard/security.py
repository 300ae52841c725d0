"""What stands between the network and the page: whom a request may be meant for, what it may hold, what it is told."""

from __future__ import annotations

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

#: Of a request's body; what the page sends is a tenth of it.
MOST_BYTES: Final = 65_536

_HTTP: Final = 80
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
    """What a request's Host header may say.

    A page elsewhere can have its own name point to this machine (DNS rebinding) and would then read all that is shown
    here; but its name is what its requests say they are meant for.
    """

    #: Where it is listened.
    host: str
    port: int
    #: Further ones, ``NAME`` (with any port) or ``NAME:PORT``.
    named: tuple[str, ...] = ()

    def allow(self, header: str | None) -> bool:
        """Whether a Host header is one of ours."""
        name, port = _parted(header or "")
        if not name:
            return False
        for other in self.named:
            if other.lower() in {name, f"{name}:{port}", f"[{name}]", f"[{name}]:{port}"}:
                return True
        if port != self.port:
            return False
        if self.host in _WILDCARDS:
            return name in _LOOPBACK or _is_address(name)
        return name == self.host.lower() or (is_loopback(self.host) and name in _LOOPBACK)


def _parted(header: str) -> tuple[str, int]:
    """Name in lower case, without brackets, and port; "": there is none."""
    name, colon, port = header.lower().rpartition(":")
    if not colon or port.endswith("]"):
        name, port = header.lower(), str(_HTTP)
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


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    property: str
    value: Any = None


class _Call(msgspec.Struct):
    """What the page sends to have something computed."""

    output: str
    outputs: _Part | list[_Part]
    inputs: list[_Part]
    changed: list[str] = msgspec.field(name="changedPropIds")
    state: list[_Part] = []


@dataclass(frozen=True, slots=True)
class Callback:
    """What a callback takes and gives, as ``id.property``."""

    outputs: tuple[str, ...]
    inputs: tuple[str, ...]
    state: tuple[str, ...]


def is_call(body: bytes, callbacks: Mapping[str, Callback]) -> bool:
    """Whether a request's body asks for one of the callbacks, in all but the values."""
    try:
        call = msgspec.json.decode(body, type=_Call)
    except (msgspec.DecodeError, RecursionError):
        return False
    known = callbacks.get(call.output)
    outputs = call.outputs if isinstance(call.outputs, list) else [call.outputs]
    return (
        known is not None
        and _names(outputs) == known.outputs
        and _names(call.inputs) == known.inputs
        and _names(call.state) == known.state
        and set(call.changed) <= set(known.inputs)
    )


def _names(parts: Iterable[_Part]) -> tuple[str, ...]:
    return tuple(f"{part.id}.{part.property}" for part in parts)


def content_security_policy(script_hashes: Sequence[str]) -> str:
    """Nothing but what comes from here; ``script_hashes`` are those of the scripts in the page itself."""
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' {' '.join(script_hashes)}",
            # Dash's components and plotly.js put their styles into the page as they are loaded: there is no nonce that
            # they would take, and no list of hashes that would outlive their next version.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",  # a chart saved as a picture
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def guard(server: Flask, hosts: Hosts, callbacks: Mapping[str, Callback]) -> None:
    """Checks each request before anything else sees it, and gives each answer its headers but for the policy."""
    server.config["MAX_CONTENT_LENGTH"] = MOST_BYTES

    @server.before_request
    def check() -> Response | None:
        header = request.environ.get("HTTP_HOST")
        if not hosts.allow(header):
            shown = printable(header or "")[:100]
            log.warning("a request for the host %r was refused", shown)
            return _text(f"This dashboard does not answer to the name {shown!r}: name it with --host.", 403)
        path = request.path
        if path != "/" and path not in _PATHS and not path.startswith(_FOLDERS):
            return _text("There is nothing here.", 404)
        if request.method not in ({"POST"} if path == _CALLBACKS else {"GET", "HEAD"}):
            return _text("That can't be done here.", 405)
        if path == _CALLBACKS and not is_call(request.get_data(), callbacks):
            return _text("This is no request of the dashboard's own page.", 400)
        return None

    @server.after_request
    def finish(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers[name] = value
        if not request.path.startswith(_FOLDERS):
            response.headers["Cache-Control"] = "no-store"
        return response

    @server.errorhandler(HTTPException)
    def refuse(error: HTTPException) -> Response:
        return _text(f"{error.name}.", error.code or 500)

    @server.errorhandler(Exception)
    def crash(error: Exception) -> Response:
        if request.path.startswith(_FOLDERS):
            return _text("There is nothing here.", 404)  # Dash's word for a file that no package of its has
        log.error("a request for %s failed: this is a bug", printable(request.path)[:200], exc_info=error)
        return _text("This is a bug in the dashboard; its log says more.", 500)


def _text(message: str, status: int) -> Response:
    return Response(f"{message}\n", status, content_type="text/plain; charset=utf-8")
