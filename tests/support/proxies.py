"""A proxy as companies have them, for CONNECT and for SOCKS5 with host names."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

HOST = "127.0.0.1"
Mode = Literal["tunnel", "refuse", "stall"]


class Proxy(socketserver.ThreadingTCPServer):
    """Leads all connections to one port of this machine, wherever they want to go.

    Args:
        mode: "refuse" answers 407, or that the rules don't allow it; "stall" never answers.
    """

    daemon_threads = True

    def __init__(self, port: int, mode: Mode) -> None:
        super().__init__((HOST, 0), _Handler)
        self.port = port
        self.mode = mode
        self.stopping = threading.Event()
        #: Where connections wanted to go, as host and port, and with which name and password.
        self.wanted: list[tuple[str, str]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may go away at any time."""


class _Handler(socketserver.StreamRequestHandler):
    server: Proxy

    def handle(self) -> None:
        first = self.rfile.peek(1)[:1]  # type: ignore[attr-defined]
        if self.server.mode == "stall":
            self.server.stopping.wait()
        elif first == b"\x05":
            self._socks()
        else:
            self._connect()

    def _socks(self) -> None:
        _, count = self.rfile.read(2)
        methods, credentials = self.rfile.read(count), ""
        if 2 in methods:
            self.wfile.write(b"\x05\x02")
            self.rfile.read(1)
            credentials = ":".join(self.rfile.read(self.rfile.read(1)[0]).decode() for _ in range(2))
            self.wfile.write(b"\x01\x00")
        else:
            self.wfile.write(b"\x05\x00")
        self.rfile.read(4)  # to connect to a host by its name
        host = self.rfile.read(self.rfile.read(1)[0]).decode()
        port = int.from_bytes(self.rfile.read(2))
        self.server.wanted.append((f"{host}:{port}", credentials))
        refused = self.server.mode == "refuse"
        self.wfile.write(b"\x05" + (b"\x02" if refused else b"\x00") + b"\x00\x01" + bytes(6))
        if not refused:
            self._tunnel()

    def _connect(self) -> None:
        target = self.rfile.readline().split()[1].decode()
        headers = dict(line.decode().rstrip().split(": ", 1) for line in iter(self.rfile.readline, b"\r\n"))
        self.server.wanted.append((target, headers.get("Proxy-Authorization", "")))
        if self.server.mode == "refuse":
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        else:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self._tunnel()

    def _tunnel(self) -> None:
        with socket.create_connection((HOST, self.server.port)) as there:
            back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
            back.start()
            _pump(self.connection, there)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy(port: int, mode: Mode = "tunnel") -> Iterator[Proxy]:
    """A running proxy that leads to ``port``."""
    with Proxy(port, mode) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.stopping.set()
        server.shutdown()
        thread.join()
