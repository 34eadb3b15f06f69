"""Rate limits in fixed windows of the wall clock, per provider and key."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a key stands in the present window, this request included."""

    allowed: bool
    limit: int
    remaining: int
    resets_at: float
    """Unix seconds at which the next window begins."""


class Limits:
    """Counts requests. Safe to share between threads."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}
        self._lock = threading.Lock()

    def take(self, who: tuple[str, str], now: float, *, limit: int, window: float) -> Standing:
        """Count one request of `who` (provider, key label); a refused one is not counted."""
        number = int(now // window)
        with self._lock:
            last, count = self._counts.get(who, (number, 0))
            count = count if last == number else 0
            allowed = count < limit
            count += allowed
            self._counts[who] = (number, count)
        return Standing(
            allowed=allowed,
            limit=limit,
            remaining=limit - count,
            resets_at=(number + 1) * window,
        )

    def reset(self) -> None:
        """Forget every count."""
        with self._lock:
            self._counts.clear()
