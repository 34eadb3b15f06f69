"""Tell a process on this host from one that is gone, and from a later one with its number."""

import os
import socket
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_GONE = frozenset("ZXx")
"""States of a process that has ended, and whose parent has not looked yet."""


def this_host() -> str:
    """Return the name of this host, or container."""
    return socket.gethostname()


def this_process() -> str:
    """Return the mark of this process; see `lives_here`."""
    return _mark(os.getpid()) or str(os.getpid())


def lives_here(host: str, process: str) -> bool:
    """Return whether the process with this mark is alive, and on this host.

    Where the system tells when a process began, its number alone is not enough: after a restart
    another one may have it.
    """
    pid = process.partition(" ")[0]
    if host != this_host() or not pid.isdigit():
        return False
    if process != pid:
        return _mark(int(pid)) == process
    try:
        os.kill(int(pid), 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _mark(pid: int) -> str | None:
    """Return a process's number, the start of its host and its own; None: it is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        return None
    state, started = fields[0], fields[19]
    return None if state in _GONE else f"{pid} {boot} {started}"
