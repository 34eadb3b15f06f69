"""Doubles that tests share: a clock that moves only when told, or when somebody sleeps."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Time under the test's control; `sleep` advances it at once and is recorded."""

    def __init__(self, start: datetime = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)) -> None:
        self._now = start
        self._start = start
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def start_again(self) -> None:
        """Go back to where it began: for a clock that several tests use."""
        self._now = self._start
        self.slept.clear()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
        self.advance(max(seconds, 0.0))

    def advance(self, seconds: float) -> None:
        with self._lock:
            self._now += timedelta(seconds=seconds)
