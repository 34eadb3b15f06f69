"""Do again what a database that went away has cut off, within one budget for all who wait."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import LedgerAway

Call = ParamSpec("Call")
Result = TypeVar("Result")
Ledger = TypeVar("Ledger", bound=type)

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 2.0


class Patience:
    """Waits for a database that went away, `seconds` an outage; then each call tries only once.

    A sensor's tick calls the ledger many times: had each a budget of its own, the tick would be
    ended in the middle. Safe to share between threads.
    """

    def __init__(self, clock: Clock, seconds: float) -> None:
        """Wait by `clock`."""
        self._clock, self._seconds = clock, seconds
        self._failed_at = self._until = float("-inf")

    def repeat(self, act: Callable[[], Result]) -> Result:
        """Return what `act` returns, done again while it raises LedgerAway: it changed nothing.

        At once the first time: often only a pooled connection was stale.
        """
        until, pause = None, 0.0
        while True:
            try:
                return act()
            except LedgerAway:
                now = self._clock.monotonic()
                until = self._deadline(now) if until is None else until
                self._failed_at = now
                if now >= until:
                    raise
            self._clock.sleep(min(pause, until - now))
            pause = min(2 * pause or _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)

    def _deadline(self, now: float) -> float:
        """Return until when an outage is waited for that was met now, perhaps not for the first
        time."""
        if now - self._failed_at > self._seconds:
            self._until = now + self._seconds
        return self._until


def repeats(ledger: Ledger) -> Ledger:
    """Let each public method of a class be done again, whole, when its database went away.

    Each is one transaction, and LedgerAway says that nothing of it was or will be committed. Not
    its iterators, which have given part of what they read.
    """
    for name, method in inspect.getmembers(ledger, inspect.isfunction):
        if not name.startswith("_") and not inspect.isgeneratorfunction(method):
            setattr(ledger, name, repeated(method))
    return ledger


def repeated(method: Callable[Call, Result]) -> Callable[Call, Result]:
    """Let one method be done again, whole; see `repeats`."""

    @functools.wraps(method)
    def again(*arguments: Call.args, **named: Call.kwargs) -> Result:
        ledger: Any = arguments[0]
        patience: Patience = ledger._database.patience  # noqa: SLF001 - of the class it decorates
        return patience.repeat(lambda: method(*arguments, **named))

    return again
