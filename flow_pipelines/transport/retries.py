"""Repeats what may be repeated, within a budget."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import ProviderUnavailable

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class RetryBudget:
    """How often, and for how long, a request that is safe to repeat is repeated."""

    attempts: int = 4
    """The first one included."""
    total_seconds: float = 60.0
    """From the first attempt on, no further one begins after this."""


class Retries:
    """Runs calls of which a second copy does no harm; anything else must not come here."""

    def __init__(self, budget: RetryBudget, clock: Clock, jitter: Callable[[], float]) -> None:
        """`jitter` gives a number from 0 up to 1, a new one each time."""
        self._budget, self._clock, self._jitter = budget, clock, jitter

    def run(self, call: Callable[[], _T], *, before_each: Callable[[], None]) -> _T:
        """Return what `call` gives, trying again while it raises ProviderUnavailable.

        `before_each` takes a turn under the rate limit; what it raises ends the matter.
        Raises: the last error, once attempts or time are used up or the provider asks for a
        longer wait than there is time.
        """
        attempt, began = 0, None
        while True:
            before_each()
            began = self._clock.monotonic() if began is None else began
            attempt += 1
            try:
                return call()
            except ProviderUnavailable as error:
                delay = self._delay_seconds(attempt, error)
                waited = self._clock.monotonic() - began
                spent = waited + delay > self._budget.total_seconds
                if attempt >= self._budget.attempts or spent:
                    raise
                _log.info("attempt %d: %s; again in %.1f s", attempt, error, delay)
            self._clock.sleep(delay)

    def _delay_seconds(self, attempt: int, error: ProviderUnavailable) -> float:
        """Double from attempt to attempt, shortened by up to half; never before Retry-After."""
        most = min(FIRST_DELAY_SECONDS * 2.0**attempt, LONGEST_DELAY_SECONDS)
        return max(most * (0.5 + 0.5 * self._jitter()), error.retry_after_seconds or 0.0)
