"""Turns under a provider's rate limit."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta
from typing import NamedTuple

from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import LedgerError, RateLimited
from flow_pipelines.provider import Lane, PaceStore, RateLimit

_log = logging.getLogger(__name__)

BURST_SHARE = 0.05
"""Part of a limit that may go out back to back after a rest."""
UNTOLD_PAUSE_SECONDS = 5.0
"""After a 429 that does not say how long, at a provider that publishes no limit."""


class Pace(NamedTuple):
    """How turns come: one every `interval_seconds`, `burst` at once after a rest."""

    interval_seconds: float
    burst: int


def pace_of(limit: RateLimit) -> Pace:
    """Give the pace that keeps every window of `limit.per_seconds`, however aligned, within it.

    A window holds at most `burst` turns and one more for every interval. At least 95 % of the
    limit stay usable; the rest is what a request delayed on its way needs, so as not to arrive
    in the same window as those behind it.
    """
    burst = max(1, int(limit.requests * BURST_SHARE))
    usable = max(limit.requests - burst, limit.requests * (1 - BURST_SHARE))
    return Pace(limit.per_seconds / usable, burst)


class Pacing:
    """One account's turns. Both lanes share one queue, so neither can starve the other."""

    def __init__(
        self,
        provider: str,
        *,
        store: PaceStore,
        key: str,
        limit: RateLimit | None,
        patience_seconds: float,
        clock: Clock,
    ) -> None:
        """`key` names the account in `store`; `patience_seconds` is the longest wait for a turn."""
        self._provider, self._store, self._key, self._clock = provider, store, key, clock
        self._limit, self._patience_seconds = limit, patience_seconds
        self._pace = pace_of(limit) if limit else Pace(0.0, 1)
        self._held_until: datetime | None = None

    def take_turn(self, lane: Lane) -> None:
        """Wait for the next turn. Raises: RateLimited, when that would take too long."""
        wait = self._store.reserve(
            self._key,
            interval_seconds=self._pace.interval_seconds,
            burst=self._pace.burst,
            patience_seconds=self._patience_seconds,
        )
        if wait is None:
            raise RateLimited(
                f"no turn within {self._patience_seconds:g} s under the account's rate limit",
                provider=self._provider,
                operation=f"take_turn ({lane})",
            )
        self._clock.sleep(wait)
        if self._held_until is not None:
            # A 429 came while we slept: a turn given before it is not a turn any more.
            self._clock.sleep((self._held_until - self._clock.now()).total_seconds())

    def pause_seconds(self, told_seconds: float | None) -> float:
        """Give how long to be silent after a 429: as told, else a quarter of the window."""
        if told_seconds is not None:
            return told_seconds
        return self._limit.per_seconds / 4 if self._limit else UNTOLD_PAUSE_SECONDS

    def hold(self, seconds: float) -> None:
        """Let nobody who uses this account begin a turn for `seconds`: a window is used up."""
        until = self._clock.now() + timedelta(seconds=seconds)
        self._held_until = max(until, self._held_until or until)
        try:
            self._store.hold_until(self._key, until)
        except LedgerError as error:
            # What the answer proves about a paid request matters more than telling the others.
            _log.warning("%s: a pause was not noted: %s", self._provider, error)


class MemoryPaceStore:
    """Turns for one process: for a client used by itself, and for tests.

    A generic cell rate algorithm: one number a key, the time at which its bucket is empty again.
    """

    def __init__(self, clock: Clock) -> None:
        """Begin with every account rested."""
        self._clock = clock
        self._lock = threading.Lock()
        self._rested_at: dict[str, datetime] = {}
        self._held_until: dict[str, datetime] = {}

    def reserve(
        self, key: str, *, interval_seconds: float, burst: int, patience_seconds: float
    ) -> float | None:
        """Reserve the next turn of `key`; see `PaceStore`."""
        interval = timedelta(seconds=interval_seconds)
        with self._lock:
            now = self._clock.now()
            earliest = max(now, self._held_until.get(key, now))
            rested_at = self._rested_at.get(key, earliest)
            turn = max(earliest, rested_at - (burst - 1) * interval)
            wait = (turn - now).total_seconds()
            if wait > patience_seconds:
                return None
            self._rested_at[key] = max(rested_at, turn) + interval
            return wait

    def hold_until(self, key: str, until: datetime) -> None:
        """Hold `key`; see `PaceStore`."""
        with self._lock:
            self._held_until[key] = max(until, self._held_until.get(key, until))
