"""A real pgbouncer in transaction mode, before the server of `databases`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from flow_pipelines.cli.processes import free_port
from flow_pipelines.clock import SystemClock

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="pgbouncer is not here (.ci/run installs it)"
)
_START_SECONDS = 20.0

# Nothing is reset between two clients of a server connection: that is the default of this mode.
_SETTINGS = """\
[databases]
* = host={folder} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
server_reset_query =
default_pool_size = {connections}
max_client_conn = 60
server_login_retry = 0.2
"""


@contextmanager
def pgbouncer(server_url: str, *, connections: int = 1) -> Iterator[Callable[[str], str]]:
    """Start one before a server; return what turns a database's URL into the one through it.

    `connections` server connections are shared by all clients of one database.
    """
    server = make_url(server_url)
    folder, port = str(server.query["host"]), free_port(16432)
    with tempfile.TemporaryDirectory(prefix="flow-pgbouncer-") as own:
        file = Path(own) / "pgbouncer.ini"
        file.write_text(
            _SETTINGS.format(
                folder=folder, user=server.username, port=port, connections=connections
            )
        )
        Path(own).chmod(0o755)
        # It does not run as root; the server's own account may reach the server's socket.
        owner = Path(folder).stat().st_uid if os.geteuid() == 0 else None
        assert PROGRAM is not None
        child = subprocess.Popen([PROGRAM, "-q", str(file)], user=owner, stderr=subprocess.DEVNULL)

        def through(url: str) -> str:
            pooled = make_url(url).set(host="127.0.0.1", port=port, query={})
            return pooled.render_as_string(hide_password=False)

        try:
            _wait_for(through(server_url), child)
            yield through
        finally:
            child.kill()
            child.wait()


def _wait_for(url: str, child: subprocess.Popen[bytes]) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            assert child.poll() is None, "pgbouncer did not start"
            assert clock.monotonic() < deadline, "pgbouncer did not answer"
            clock.sleep(0.1)
        else:
            return
