"""Turns under a provider's rate limit."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import AccountHeld, LedgerError, NoTurn
from flow_pipelines.provider import PaceStore, Purpose, RateLimit, TurnRequest
from flow_pipelines.provider.turns import TurnSheet

_log = logging.getLogger(__name__)

BURST_SHARE = 0.05
"""Part of a limit that may go out back to back after a rest."""
SPARE = 0.01
"""Part of a limit of 100 and more that is left unused: no request need be the last one allowed."""
SPREAD = 0.02
"""A window is taken to be so much longer: requests arrive a little later than they begin, some
more than others, and must not arrive in the same window as those behind them."""
MOST_KEPT = 600
"""Turns that are remembered of an account; for a larger limit, those of a part of the window."""
UNTOLD_PAUSE_SECONDS = 5.0
"""After a 429 that does not say how long, at a provider that publishes no limit."""


class Pace(NamedTuple):
    """How turns come: one every `interval_seconds`, `burst` at once after a rest."""

    interval_seconds: float
    burst: int
    most: int | None = None
    """At most so many in as many intervals, whatever the burst did."""


UNLIMITED = Pace(0.0, 1)


def pace_of(limit: RateLimit) -> Pace:
    """Return the pace that keeps every window of `limit.per_seconds`, however aligned, within it.

    At least 95 % of the limit stay usable, and a turn that was missed may be made up for.
    """
    parts = max(1, -(-limit.requests // MOST_KEPT))
    requests = max(1, limit.requests // parts)
    most = requests - int(requests * SPARE)
    window = limit.per_seconds * requests / limit.requests
    return Pace(window * (1 + SPREAD) / most, max(1, int(requests * BURST_SHARE)), most)


class Pacing:
    """One account's turns; see `provider.turns` for how its users share them."""

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
        self._pace = pace_of(limit) if limit else UNLIMITED
        self._held_until: datetime | None = None

    def take_turn(self, purpose: Purpose) -> None:
        """Wait for the next turn. Raises: NoTurn, when that would take too long."""
        wait = self._give_way() if purpose is Purpose.BACKFILL else self._reserve(purpose)
        if wait is None:
            raise self._no_turn(purpose)
        self._clock.sleep(wait)
        # A 429 came while we slept, to us or to others: a turn given before it is none any more.
        held = self._held_seconds(shared=wait > 0)
        if held > self._patience_seconds:
            raise self._no_turn(purpose)
        self._clock.sleep(held)

    def learn(self, requests: int) -> None:
        """Take what an answer says of the limit, where answers are to be believed."""
        limit = self._limit
        if limit and limit.told_by_answers and requests > 0 and requests != limit.requests:
            self._limit = replace(limit, requests=requests)
            self._pace = pace_of(self._limit)

    def _reserve(self, purpose: Purpose, patience_seconds: float | None = None) -> float | None:
        patience = self._patience_seconds if patience_seconds is None else patience_seconds
        ask = TurnRequest(**self._pace._asdict(), patience_seconds=patience, purpose=purpose)
        return self._store.reserve(self._key, ask)

    def _give_way(self) -> float | None:
        """Ask again and again instead of booking ahead: tonight's runs take what they want."""
        deadline = self._clock.monotonic() + self._patience_seconds
        step = 2 * self._pace.interval_seconds
        while (left := deadline - self._clock.monotonic()) >= step > 0:
            wait = self._reserve(Purpose.BACKFILL, step)
            if wait is not None:
                return wait
            if self._held_seconds() > left:
                return None
            self._clock.sleep(step)
        return self._reserve(Purpose.BACKFILL, max(left, 0.0))

    def _held_seconds(self, *, shared: bool = True) -> float:
        """Return how long the account is held yet, as this process knows or `shared` by all."""
        now = self._clock.now()
        holds = [self._held_until, self._store.held_until(self._key) if shared else None]
        return max([0.0, *((until - now).total_seconds() for until in holds if until)])

    def _no_turn(self, purpose: Purpose) -> NoTurn:
        held = self._held_seconds()
        if held <= self._patience_seconds:
            return NoTurn(
                f"no turn within {self._patience_seconds:g} s under the account's rate limit",
                provider=self._provider,
                operation=f"take_turn ({purpose})",
            )
        until = self._clock.now() + timedelta(seconds=held)
        return AccountHeld(
            f"the account is held until {until:%Y-%m-%d %H:%M:%S} UTC: the provider asked to wait "
            "so long (HTTP 429, or what its answers say of the rate limit)",
            provider=self._provider,
            operation=f"take_turn ({purpose})",
            retry_after_seconds=held,
        )

    def pause_seconds(self, asked_seconds: float | None) -> float:
        """Return how long to be silent after a 429: as it asks, else a quarter of the window."""
        if asked_seconds is not None:
            return asked_seconds
        return self._limit.per_seconds / 4 if self._limit else UNTOLD_PAUSE_SECONDS

    def hold(self, seconds: float, *, refused: bool = False) -> None:
        """Hold back every turn of this account for `seconds`: a window is used up.

        `refused`: a 429 said so, though the pace was kept. The pace is not what it seemed to be.
        """
        until = self._clock.now() + timedelta(seconds=seconds)
        self._held_until = max(until, self._held_until or until)
        try:
            self._store.hold_until(self._key, until)
            if refused and self._limit and not self._limit.told_by_answers:
                self._store.slow_down(self._key)
        except LedgerError as error:
            # What the answer proves about a paid request matters more than telling the others.
            _log.warning("%s: a pause was not noted: %s", self._provider, error)


class MemoryPaceStore:
    """Turns for one process: for a client used by itself, and for tests."""

    def __init__(self, clock: Clock) -> None:
        """Begin with every account rested."""
        self._clock = clock
        self._lock = threading.Lock()
        self._sheets: dict[str, TurnSheet] = {}
        self._held_until: dict[str, datetime] = {}

    def reserve(self, key: str, ask: TurnRequest) -> float | None:
        """Reserve the next turn of `key`; see `PaceStore`."""
        with self._lock:
            sheet = self._sheets.setdefault(key, TurnSheet())
            return sheet.book(ask, self._clock.now(), self._held_until.get(key))

    def hold_until(self, key: str, until: datetime) -> None:
        """Hold `key`; see `PaceStore`."""
        with self._lock:
            self._held_until[key] = max(until, self._held_until.get(key, until))

    def held_until(self, key: str) -> datetime | None:
        """Return when `key` is free; see `PaceStore`."""
        with self._lock:
            until = self._held_until.get(key)
        return until if until is not None and until > self._clock.now() else None

    def slow_down(self, key: str) -> None:
        """Slow `key` down; see `PaceStore`."""
        with self._lock:
            self._sheets.setdefault(key, TurnSheet()).cut(self._clock.now())
