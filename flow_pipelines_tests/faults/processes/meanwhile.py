"""Lets somebody else act at one exact moment: just after a call of a port, or just before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flow_pipelines.clock import Clock
from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import Ports
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness


class Meanwhile:
    """A port, one method of which gives somebody else a chance, once."""

    def __init__(
        self, port: Any, method: str, act: Callable[[], object], *, before: bool = False
    ) -> None:
        self._port, self._method, self._act, self._before = port, method, act, before

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return self._watched(found) if name == self._method else found

    def _watched(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self._method = ""
            if self._before:
                self._act()
            given = call(*arguments, **named)
            if not self._before:
                self._act()
            return given

        return watched


class Skewed:
    """Another host's clock: as fast as the first, and not set like it."""

    def __init__(self, clock: Clock, ahead_seconds: float) -> None:
        self._clock, self._ahead = clock, timedelta(seconds=ahead_seconds)

    def now(self) -> datetime:
        return self._clock.now() + self._ahead

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


@contextmanager
def another_host(harness: LifecycleHarness, *, ahead_seconds: float = 0.0) -> Iterator[Ports]:
    """Return the ports of a second host: the same database and provider, a clock of its own."""
    clock = Skewed(harness.clock, ahead_seconds)
    ledger = open_ledger(f"sqlite:///{harness.folder / 'ledger.db'}", clock)
    yield replace(harness.ports, ledger=ledger, clock=clock)
    ledger.close()
