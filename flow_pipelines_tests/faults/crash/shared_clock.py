"""A clock that processes share: it moves only when told, or when one of them sleeps."""

from __future__ import annotations

import mmap
import struct
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
_SECONDS = struct.Struct("d")


class SharedClock:
    """Time in memory that forked children have in common. One of them runs at a time."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SECONDS.size)

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        (seconds,) = _SECONDS.unpack_from(self._memory)
        return float(seconds)

    def sleep(self, seconds: float) -> None:
        self.advance(max(seconds, 0.0))

    def advance(self, seconds: float) -> None:
        _SECONDS.pack_into(self._memory, 0, self.monotonic() + seconds)
