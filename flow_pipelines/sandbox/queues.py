"""The places in which runs of one key run, and the runs that wait for them."""

from __future__ import annotations

import heapq
from typing import Protocol


class Waiting(Protocol):
    """What a queue has to know of a run, and what it decides."""

    starts_at: float
    ends_at: float
    canceled_at: float | None

    @property
    def takes_seconds(self) -> float:
        """How long it runs; infinite for a run that never ends."""


class Queue:
    """First come, first served, over a number of slots."""

    def __init__(self) -> None:
        self._free_at: list[float] = []
        self._members: list[Waiting] = []

    def enter(self, run: Waiting, now: float, slots: int) -> None:
        """Decide when `run` starts and ends."""
        if len(self._free_at) != slots:
            self.replan(now, slots)
        self._members.append(run)
        self._assign(run, now)

    def replan(self, now: float, slots: int) -> None:
        """Decide again for every run that has not started, as after a cancellation."""
        alive = [run for run in self._members if run.canceled_at is None and run.ends_at > now]
        running = [run for run in alive if run.starts_at <= now]
        busy = [run.ends_at for run in running if run.ends_at != float("inf")]
        self._free_at = sorted(busy)[-slots:] + [now] * max(slots - len(busy), 0)
        heapq.heapify(self._free_at)
        self._members = alive
        for run in alive:
            if run.starts_at > now:
                self._assign(run, now)

    def _assign(self, run: Waiting, now: float) -> None:
        run.starts_at = max(now, heapq.heappop(self._free_at))
        run.ends_at = run.starts_at + run.takes_seconds
        # A run that never ends holds no slot: it must not stop all the others as well.
        free_at = run.starts_at if run.ends_at == float("inf") else run.ends_at
        heapq.heappush(self._free_at, free_at)
        if len(self._members) > 4 * len(self._free_at) and self._members[0].ends_at <= now:
            self._members = [one for one in self._members if one.ends_at > now]
