"""Child processes that leave nothing behind, each in a process group of its own; and signals."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import FlowPipelinesError

STOP_SECONDS = 8.0
"""How long children may take to stop by themselves before they are killed."""
KILL_SECONDS = 5.0
_LOG_LINES = 15
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def ended_by_signals() -> AbstractContextManager[None]:
    """Turn every ending signal into KeyboardInterrupt, also where the shell had ignored SIGINT."""
    return _handled_by(_interrupt)


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Delay signals until the block has finished."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    try:
        with _handled_by(lambda number, _frame: arrived.append(number)):
            yield
    finally:
        if arrived:
            signal.raise_signal(arrived[0])


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _ENDING}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class ServiceFailed(FlowPipelinesError):
    """A process that was needed did not start, or ended by itself."""


@dataclass(frozen=True)
class Child:
    """A running process, everything that it starts, and where both write."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise ServiceFailed, with the end of its log, when the process has ended."""
        code = self.process.poll()
        if code is not None:
            message = f"{self.name} ended with exit code {code}. {self.log} ends with:\n"
            raise ServiceFailed(message + _tail(self.log))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to everything that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def gone(self) -> bool:
        """Return whether the process and everything that it started have ended."""
        self.process.poll()  # reaps it, or its group would seem alive
        try:
            os.killpg(self.process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return True
        return False


class Children:
    """Processes that live no longer than the `with` block around them."""

    def __init__(
        self, log_folder: Path, clock: Clock, *, stop_seconds: float = STOP_SECONDS
    ) -> None:
        self._log_folder = log_folder
        self._stop_seconds = stop_seconds
        self._clock = clock
        self._running: list[Child] = []

    def __enter__(self) -> Self:
        """Start nothing yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        self.stop_all()

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """Start a process in a session of its own; its output goes to `<name>.log`."""
        log = self._log_folder / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output, signals_deferred():
            process = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A terminal's Ctrl-C must not reach children before we have decided the order.
                start_new_session=True,
            )
            child = Child(name, process, log)
            self._running.append(child)
        return child

    def check(self) -> None:
        """Raise ServiceFailed when any process has ended by itself."""
        for child in self._running:
            child.check()

    def wait_for(self, ready: Callable[[], bool], what: str, *, seconds: float) -> None:
        """Wait until `ready`. Raises: ServiceFailed, when a process dies or time is up."""
        deadline = self._clock.monotonic() + seconds
        while not ready():
            self.check()
            if self._clock.monotonic() > deadline:
                raise ServiceFailed(
                    f"{what} was not ready after {seconds:.0f} s; see {self._log_folder}"
                )
            self._clock.sleep(0.2)

    def stop(self, *children: Child) -> None:
        """Terminate the processes, the last started first; kill those that outlive the grace."""
        for number, patience in (
            (signal.SIGTERM, self._stop_seconds),
            (signal.SIGKILL, KILL_SECONDS),
        ):
            for child in reversed(children):
                if not child.gone():
                    child.signal(number)
            self._wait(children, patience)
        self._running = [child for child in self._running if child not in children]

    def stop_all(self) -> None:
        """Stop every process that is still running; a signal does not cut this short."""
        with signals_deferred():
            self.stop(*self._running)

    def kill(self, child: Child) -> None:
        """End a process and everything that it started at once, as a power cut would."""
        child.signal(signal.SIGKILL)
        self._wait([child], KILL_SECONDS)
        self._running.remove(child)

    def _wait(self, children: Sequence[Child], patience: float) -> None:
        deadline = self._clock.monotonic() + patience
        while self._clock.monotonic() < deadline and not all(one.gone() for one in children):
            self._clock.sleep(0.05)


def free_port(preferred: int | None = None) -> int:
    """Return `preferred` if nobody on this machine listens there, otherwise any free port."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceFailed("No free port on 127.0.0.1.")


def listens(port: int) -> bool:
    """Return whether something accepts connections on this machine's `port`."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def _tail(log: Path) -> str:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"(unreadable: {error})"
    return "\n".join(text.splitlines()[-_LOG_LINES:])
