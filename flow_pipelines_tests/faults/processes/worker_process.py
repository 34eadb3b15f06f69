"""A worker: a job in a process of its own, which can be watched, stopped and killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Barrier
from types import TracebackType
from typing import Any, Self

from flow_pipelines.model.errors import FlowPipelinesError

SECONDS = 60.0
"""Far more than any job takes; one that is silent for so long hangs."""

# Forked from a process that has imported everything and started nothing.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(["pytest", "flow_pipelines_tests.faults.processes.jobs"])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job: what it gave, or the error of ours that ended it."""

    gave: Any = None
    error: str = ""
    message: str = ""


class WorkerProcess:
    """One job under way."""

    def __init__(self, job: Callable[..., Any], *arguments: Any) -> None:
        self._told, tell = context.Pipe(duplex=False)
        self.process = context.Process(target=_work, args=(tell, job, arguments), daemon=True)
        self.process.start()
        tell.close()

    def outcome(self) -> Outcome:
        """Wait for its end. Raises: AssertionError, when it broke or hangs."""
        assert self._told.poll(SECONDS), "a worker hangs"
        try:
            outcome: Outcome = self._told.recv()
        except EOFError:
            raise AssertionError("a worker broke; its traceback is above") from None
        self.process.join(SECONDS)
        return outcome

    def stop(self) -> None:
        """Freeze it in the middle of whatever it does."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it without warning, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self.process.join(SECONDS)
        self._told.close()

    def _signal(self, number: signal.Signals) -> None:
        if self.process.pid is not None and self.process.is_alive():
            os.kill(self.process.pid, number)


def _work(tell: Connection, job: Callable[..., Any], arguments: Sequence[Any]) -> None:
    try:
        outcome = Outcome(gave=job(*arguments))
    except FlowPipelinesError as error:
        outcome = Outcome(error=type(error).__name__, message=str(error))
    tell.send(outcome)


class WorkerProcesses:
    """WorkerProcesses of one test; none of them outlives it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._gates: list[Barrier] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def gate(self, workers: int) -> Barrier:
        """Return a barrier for `workers` processes, this one perhaps among them."""
        gate = context.Barrier(workers)
        self._gates.append(gate)  # it has to be there when the workers look for it
        return gate

    def start(self, job: Callable[..., Any], *arguments: Any) -> WorkerProcess:
        worker = WorkerProcess(job, *arguments)
        self._stack.callback(worker.kill)
        return worker

    def together(
        self, job: Callable[..., Any], setup: Any, each: Sequence[Sequence[Any]]
    ) -> Sequence[WorkerProcess]:
        """Start a worker for each of these arguments; all begin at the same moment."""
        gate = self.gate(len(each))
        return [self.start(job, setup, gate, *arguments) for arguments in each]
