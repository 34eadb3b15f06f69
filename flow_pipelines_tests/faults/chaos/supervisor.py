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
from flow_pipelines_tests.faults.chaos.verdict import Verdict, judge
from flow_pipelines_tests.faults.chaos.worker import Worker
from flow_pipelines_tests.faults.chaos.world import World
from flow_pipelines_tests.faults.crash.lane import fork

WORKERS = 2
KILL_EVERY = (2.0, 5.0)
"""Real seconds between two kills, at least and at most."""
KILLS = 50
"""After so many the workers are left alone, or a slow machine would never come to an end."""
GLANCE_SECONDS = 0.2


@dataclass
class Supervisor:
    """Two workers on one world. Opens no ledger and no connection itself."""

    world: World
    notes: Path
    rng: Random = field(default_factory=Random)
    kills: list[tuple[int, datetime]] = field(default_factory=list)

    def run(self, limit_seconds: float) -> bool:
        """Kill and restart until both workers say that all is done; False: not in time."""
        clock = SystemClock()
        deadline = clock.monotonic() + limit_seconds
        next_kill = clock.monotonic() + self._pause()
        alive, done = {self._start() for _ in range(WORKERS)}, 0
        try:
            while alive and clock.monotonic() < deadline:
                clock.sleep(GLANCE_SECONDS)
                if clock.monotonic() >= next_kill and len(self.kills) < KILLS:
                    self._kill(self.rng.choice(sorted(alive)))
                    next_kill = clock.monotonic() + self._pause()
                done += self._replace_the_dead(alive)
        finally:
            for pid in alive:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        return done == WORKERS

    def _replace_the_dead(self, alive: set[int]) -> int:
        """Start a worker for each that died; give how many ended because all was done."""
        done = 0
        for pid in sorted(alive):
            status = _exit_status(pid)
            if status is None:
                continue
            alive.remove(pid)
            if status == 0:
                done += 1
            else:
                alive.add(self._start())
        return done

    def _pause(self) -> float:
        return self.rng.uniform(*KILL_EVERY)

    def _kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.kills.append((pid, self.world.clock.now()))

    def _start(self) -> int:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                Worker(self.world, self._note).work()
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
            return asdict(judge(self.world, self.kills, submit_operations))

        ended = fork(child)
        if ended.result is None:
            raise RuntimeError(ended.problem)
        return Verdict(**ended.result)

    def told(self) -> Sequence[str]:
        """Give what the workers noted."""
        return self.notes.read_text().splitlines() if self.notes.exists() else []


def _exit_status(pid: int) -> int | None:
    """Give how a child ended; negative: by that signal; None: it has not."""
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None
