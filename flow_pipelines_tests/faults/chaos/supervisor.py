"""Starts workers, ends them without warning, starts them again, and lets the world be judged."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import open_ledger
from flow_pipelines_tests.faults.chaos import copies
from flow_pipelines_tests.faults.chaos.mending import MENDED, STOPPED, WRONG
from flow_pipelines_tests.faults.chaos.state import ChaosState
from flow_pipelines_tests.faults.chaos.stranger import Stranger
from flow_pipelines_tests.faults.chaos.verdict import Restore, Verdict, judge
from flow_pipelines_tests.faults.chaos.worker import Worker
from flow_pipelines_tests.faults.crash.forking import fork

WORKERS = 2
KILL_EVERY = (2.0, 5.0)
"""Real seconds between two kills, at least and at most."""
KILLS = 50
"""After so many the workers are left alone, or a slow machine would never come to an end."""
COPY_AT, RESTORE_AT, ROUND = 1, 4, 6
"""Of so many kills one is of all workers to copy the ledger, one to put that copy back."""
RESTORES = 4
"""After so many no copy is put back: each leaves rows unresolved where nobody can tell."""
GLANCE_SECONDS = 0.2


@dataclass
class Supervisor:
    """Two workers and a stranger on one world. Opens no ledger and no connection itself."""

    world: ChaosState
    notes: Path
    rng: Random = field(default_factory=Random)
    kills: list[tuple[int, datetime]] = field(default_factory=list)
    restores: list[Restore] = field(default_factory=list)
    _copied_at: datetime | None = None
    _alive: set[int] = field(default_factory=set)
    _strikes: int = 0
    _done: int = 0

    def run(self, limit_seconds: float) -> bool:
        """Kill and restart until both workers say that all is done; False: not in time."""
        # A copy of what is no ledger yet would come back as another ledger.
        _in_a_child(lambda: open_ledger(self.world.ledger_url, self.world.clock).close())
        clock = SystemClock()
        deadline = clock.monotonic() + limit_seconds
        next_kill = clock.monotonic() + self._pause()
        stranger = self._start(Stranger)
        self._alive = {self._start(Worker) for _ in range(WORKERS)}
        try:
            while self._alive and clock.monotonic() < deadline:
                clock.sleep(GLANCE_SECONDS)
                if clock.monotonic() >= next_kill and len(self.kills) < KILLS:
                    self._strike()
                    next_kill = clock.monotonic() + self._pause()
                self._replace_the_dead()
        finally:
            for pid in {stranger, *self._alive}:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return self._done == WORKERS

    def _strike(self) -> None:
        """Kill a worker; or all of them, and copy the ledger or put the copy back."""
        turn = self._strikes % ROUND
        self._strikes += 1
        if turn == COPY_AT and len(self.restores) < RESTORES:
            self._while_all_are_dead(self._copy)
        elif turn == RESTORE_AT and len(self.restores) < RESTORES:
            self._while_all_are_dead(self._restore)
        elif self._alive:
            self._kill(self.rng.choice(sorted(self._alive)))

    def _while_all_are_dead(self, act: Callable[[], None]) -> None:
        workers = len(self._alive)
        for pid in sorted(self._alive):
            self._kill(pid)
            if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0:
                self._done, workers = self._done + 1, workers - 1
        act()
        self._alive = {self._start(Worker) for _ in range(workers)}

    def _copy(self) -> None:
        self._copied_at = self.world.clock.now()
        _in_a_child(lambda: copies.take(self.world.ledger_url))

    def _restore(self) -> None:
        if self._copied_at is not None:
            _in_a_child(lambda: copies.put_back(self.world.ledger_url))
            self.restores.append((self._copied_at, self.world.clock.now()))

    def _replace_the_dead(self) -> None:
        """Start a worker for each that died; count those that ended because all was done."""
        for pid in sorted(self._alive):
            status = _exit_status(pid)
            if status is None:
                continue
            self._alive.remove(pid)
            if status == 0:
                self._done += 1
            else:
                self._alive.add(self._start(Worker))

    def _pause(self) -> float:
        return self.rng.uniform(*KILL_EVERY)

    def _kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.kills.append((pid, self.world.clock.now()))

    def _start(self, kind: type[Worker | Stranger]) -> int:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                kind(self.world, self._note).work()
                status = 0
            except BaseException:  # noqa: BLE001 - a worker must never go on as a supervisor
                self._note(traceback.format_exc())
            finally:
                os._exit(status)
        return pid

    def _note(self, line: str) -> None:
        with self.notes.open("a") as file:
            file.write(line.strip() + "\n")

    def verdict(self, submit_operations: dict[str, str]) -> Verdict:
        """Judge in a process of its own, which may open whatever it needs."""

        def child(_tell: Callable[[str], None]) -> Mapping[str, Any]:
            return asdict(judge(self.world, self.kills, self.restores, submit_operations))

        ended = fork(child)
        if ended.result is None:
            raise RuntimeError(ended.problem)
        verdict, told = Verdict(**ended.result), self.told()
        wrong = [line for line in told if line.startswith(WRONG)]
        verdict.not_stopped += len(wrong)
        verdict.lines += wrong
        verdict.stops = sum(line.startswith(STOPPED) for line in told)
        verdict.mended = sum(line.startswith(MENDED) for line in told)
        return verdict

    def told(self) -> Sequence[str]:
        """Return what the workers noted."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


def _in_a_child(act: Callable[[], None]) -> None:
    """Do what opens connections where no worker inherits them."""
    ended = fork(lambda _tell: act())
    if ended.status:
        raise RuntimeError(ended.problem)


def _exit_status(pid: int) -> int | None:
    """Return how a child ended; negative: by that signal; None: it has not."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None
