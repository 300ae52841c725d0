"""A real PgBouncer that hands out connections by the transaction, in front of the tests' PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy import make_url

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
_CONFIG = """[databases]
* = host={host} port={port} user={user} pool_size={size}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 100
"""


@contextlib.contextmanager
def pooler(url: str, *, connections: int) -> Iterator[str]:
    """The URL of a database through a pooler.

    Args:
        url: of the database itself, on a server with a socket in a folder.
        connections: that the pooler has to the server, fewer than it has clients.
    """
    assert PGBOUNCER is not None
    direct = make_url(url)
    host = str(direct.query["host"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="rfsync-pooler-"))
    config = folder / "pgbouncer.ini"
    server = direct.query.get("port") or direct.port or 5432
    config.write_text(_CONFIG.format(host=host, port=server, user=direct.username, size=connections, listen=port))
    command = [PGBOUNCER, str(config)]
    if os.geteuid() == 0:
        # It refuses to run as root; the server's own user can reach the server's socket.
        user = Path(host).owner()
        shutil.chown(folder, user)
        command += ["-u", user]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    through = f"postgresql://{direct.username}@127.0.0.1:{port}/{direct.database}"
    try:
        _await(through, process)
        yield through
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()
        shutil.rmtree(folder)


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url, prepare_threshold=None):
            return
    raise RuntimeError(f"PgBouncer ended with {process.returncode}")
