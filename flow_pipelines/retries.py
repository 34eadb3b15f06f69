"""How long a call may take, and how often one that is safe to repeat is repeated."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flow_pipelines.clock import Clock

_log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long one request may take; retries and polling have clocks of their own."""

    connect_seconds: float = 10.0
    """For the connection, TLS included."""
    read_seconds: float = 60.0
    """For a whole API answer; for a download, the longest silence."""


@dataclass(frozen=True, kw_only=True)
class RetryBudget:
    """How often, and for how long, a call that is safe to repeat is repeated."""

    attempts: int = 4
    """The first one included."""
    total_seconds: float = 60.0
    """No attempt begins later than this after the first."""
    first_delay_seconds: float = 1.0
    """Doubles from attempt to attempt."""
    longest_delay_seconds: float = 20.0


class Retries:
    """Runs calls of which a second copy does no harm; anything else must not come here."""

    def __init__(
        self, budget: RetryBudget, clock: Clock, jitter: Callable[[], float] | None = None
    ) -> None:
        """`jitter` returns a number from 0 up to 1; None: delays are not shortened at random."""
        self.budget, self._clock, self._jitter = budget, clock, jitter

    def run(
        self,
        call: Callable[[], T],
        *,
        wait_for: Callable[[Exception], float | None],
        before_each: Callable[[], None] = lambda: None,
    ) -> T:
        """Return what `call` returns, and repeat it while its error is transient.

        `wait_for` returns the seconds that an error asks to wait at least (0: as soon as the
        budget allows), or None: the error is permanent. `before_each` runs before each attempt,
        such as taking a turn under a rate limit; what it raises ends the matter.

        Raises: the last error, once it is permanent, attempts or time are used up, or the wait
        that it asks for is longer than the time that is left.
        """
        attempt, began = 0, None
        while True:
            before_each()
            began = self._clock.monotonic() if began is None else began
            attempt += 1
            try:
                return call()
            except Exception as error:
                least = wait_for(error)
                delay = max(self._delay_seconds(attempt), least or 0.0)
                late = self._clock.monotonic() - began + delay > self.budget.total_seconds
                if least is None or late or attempt >= self.budget.attempts:
                    raise
                _log.info("attempt %d: %s; again in %.1f s", attempt, error, delay)
            self._clock.sleep(delay)

    def _delay_seconds(self, attempt: int) -> float:
        """Double from attempt to attempt, shortened by up to half."""
        doubled = self.budget.first_delay_seconds * 2.0 ** (attempt - 1)
        jitter = 1.0 if self._jitter is None else 0.5 + 0.5 * self._jitter()
        return min(doubled, self.budget.longest_delay_seconds) * jitter
