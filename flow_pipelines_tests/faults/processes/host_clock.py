"""The clock of one host among several: faster than life, and perhaps not set right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flow_pipelines.clock import SystemClock

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
SCALE = 10.0
"""Seconds that pass on it in a real one."""


class HostClock:
    """`SCALE` seconds pass in each real one; its wall clock is `ahead_seconds` off."""

    def __init__(self, began_at: datetime, ahead_seconds: float = 0.0) -> None:
        """`began_at` is the real time at which every host's story begins."""
        self._began_at, self._ahead = began_at, timedelta(seconds=ahead_seconds)
        self._real = SystemClock()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic()) + self._ahead

    def monotonic(self) -> float:
        return (self._real.now() - self._began_at).total_seconds() * SCALE

    def sleep(self, seconds: float) -> None:
        self._real.sleep(seconds / SCALE)
