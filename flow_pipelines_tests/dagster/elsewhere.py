"""Run workers of another host, as this one sees them: processes that can be killed and stopped."""

from __future__ import annotations

import os
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher

from flow_pipelines.clock import SystemClock
from flow_pipelines_tests.dagster.in_process import EndlessLauncher

_PATIENCE_SECONDS = 60.0


class WorkerLauncher(EndlessLauncher):
    """Starts runs in processes, while a host is named; else here, where they end at once.

    While it is `endless`, they do nothing and do not end; `health` is what it answers then.
    """

    host: ClassVar[str | None] = None
    workers: ClassVar[list[int]] = []
    endless: ClassVar[bool] = False
    health: ClassVar[WorkerStatus | Exception | None] = None

    @property
    def supports_check_run_worker_health(self) -> bool:
        return self.health is not None

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Say what it was told to."""
        if isinstance(self.health, WorkerStatus):
            return CheckRunHealthResult(self.health)
        raise self.health or NotImplementedError

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start a run."""
        # Dagster keeps the last job by its name: it may be another test's.
        ReconstructableJob.get_repository_definition.cache_clear()
        ReconstructableJob.get_definition.cache_clear()
        if self.endless:
            super().launch_run(context)
            return
        if self.host is None:
            SyncInMemoryRunLauncher.launch_run(self, context)
            return
        pid = os.fork()
        if pid:
            self.workers.append(pid)
            return
        try:
            _hang_up()
            host = self.host
            socket.gethostname = lambda: host  # in this process only
            SyncInMemoryRunLauncher.launch_run(self, context)
        finally:
            os._exit(0)


class CeleryRunLauncher(WorkerLauncher):
    """One of this name."""


def _hang_up() -> None:
    """Leave the connections of the process that forked to it: it alone may end them."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for entry in list(Path("/proc/self/fd").iterdir()):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(entry.name)).st_mode):
                os.dup2(nowhere, int(entry.name))


@contextmanager
def workers_on(host: str) -> Iterator[list[int]]:
    """Let runs start on a host; give their processes, of which none is left afterwards."""
    WorkerLauncher.host, WorkerLauncher.workers = host, []
    try:
        yield WorkerLauncher.workers
    finally:
        WorkerLauncher.host = None


def end(worker: int, number: int = signal.SIGKILL) -> None:
    """Send a process a signal, and see it end."""
    with suppress(ProcessLookupError, ChildProcessError):
        os.kill(worker, number)
        os.waitpid(worker, 0)


def wait_until(is_so: Callable[[], object], what: str) -> None:
    """Wait, in real time: the processes are real."""
    clock = SystemClock()
    deadline = clock.monotonic() + _PATIENCE_SECONDS
    while not is_so():
        assert clock.monotonic() < deadline, f"in vain: {what}"
        clock.sleep(0.05)
