"""Network namespaces on one machine: a control host with a bridge, and a cable to each worker."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flow_pipelines.cli.processes import signals_deferred

CONTROL = "10.99.0.1"
"""The control host's address; it is seen in this run's namespaces only."""
_CLONE_NEWNET = 0x40000000
_LIMIT_SECONDS = 20.0


class NoNamespaces(Exception):
    """This machine cannot have the network, for a reason in words."""


def _ip(*arguments: str) -> str:
    try:
        ended = subprocess.run(
            ["ip", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=_LIMIT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoNamespaces(f"`ip {' '.join(arguments)}`: {error}") from error
    if ended.returncode:
        raise NoNamespaces(f"`ip {' '.join(arguments)}`: {ended.stderr.strip()}")
    return ended.stdout


@dataclass(frozen=True)
class Network:
    """The namespaces of one run; this process is in that of the control host."""

    control: str
    hosts: dict[str, str]
    """The namespace of each host."""

    def command(self, host: str, command: Sequence[str]) -> list[str]:
        """Return what runs a command on a host."""
        return ["ip", "netns", "exec", self.hosts[host], *command]

    def processes(self, host: str) -> list[int]:
        return [int(pid) for pid in _ip("netns", "pids", self.hosts[host]).split()]

    def cut(self, host: str) -> None:
        """Pull the host's cable at the bridge: neither side is told by anybody."""
        _ip("-n", self.control, "link", "set", "dev", host, "down")

    def mend(self, host: str) -> None:
        _ip("-n", self.control, "link", "set", "dev", host, "up")


@contextmanager
def network(hosts: Sequence[str]) -> Iterator[Network]:
    """Make the namespaces, move this process to the control host's, and remove them at the end.

    Call it before any thread is started. Raises: NoNamespaces.
    """
    if os.geteuid() != 0:
        raise NoNamespaces("network namespaces need root")
    if shutil.which("ip") is None:
        raise NoNamespaces("the command `ip` is missing (Debian: iproute2)")
    run = f"flow{os.getpid()}"
    made = Network(f"{run}-control", {host: f"{run}-{host}" for host in hosts})
    with Path("/proc/self/ns/net").open("rb") as home:
        try:
            with signals_deferred():
                _lay_cables(made)
            _enter(Path("/run/netns") / made.control)
            yield made
        finally:
            with signals_deferred():
                _enter(Path(home.name), home.fileno())
                for name in (*made.hosts.values(), made.control):
                    with contextlib.suppress(NoNamespaces):
                        _ip("netns", "delete", name)


def _lay_cables(made: Network) -> None:
    control = made.control
    _ip("netns", "add", control)
    _ip("-n", control, "link", "set", "lo", "up")
    _ip("-n", control, "link", "add", "name", "bridge", "type", "bridge")
    _ip("-n", control, "address", "add", f"{CONTROL}/24", "dev", "bridge")
    _ip("-n", control, "link", "set", "bridge", "up")
    for number, (host, name) in enumerate(made.hosts.items(), 11):
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")
        ends = ("type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("-n", control, "link", "add", "name", host, *ends)
        _ip("-n", control, "link", "set", "dev", host, "master", "bridge", "up")
        _ip("-n", name, "address", "add", f"10.99.0.{number}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")


def _enter(namespace: Path, descriptor: int | None = None) -> None:
    """Move this thread, and what it starts from now on, into a namespace."""
    opened = os.open(namespace, os.O_RDONLY) if descriptor is None else descriptor
    try:
        if ctypes.CDLL(None, use_errno=True).setns(opened, _CLONE_NEWNET):
            raise NoNamespaces(f"{namespace}: {os.strerror(ctypes.get_errno())}")
    finally:
        if descriptor is None:
            os.close(opened)
