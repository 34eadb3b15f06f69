"""A clock that runs faster than life, and tells every process of this machine the same time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from flow_pipelines.clock import SystemClock

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


class ScaledClock:
    """`scale` seconds pass in each real one, from `real_start` on."""

    def __init__(self, real_start: datetime, scale: float) -> None:
        self._real_start, self._scale = real_start, scale
        self._real = SystemClock()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (self._real.now() - self._real_start).total_seconds() * self._scale

    def sleep(self, seconds: float) -> None:
        self._real.sleep(seconds / self._scale)
