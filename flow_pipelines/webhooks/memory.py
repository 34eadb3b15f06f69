"""What was heard lately: enough to see a repetition, and no more than fits."""

from __future__ import annotations

import threading
from collections import OrderedDict

from flow_pipelines.clock import Clock


class Memory:
    """Names, each with when it was heard last; the oldest goes when there are too many."""

    def __init__(self, clock: Clock, *, most: int = 10_000) -> None:
        """Remember nothing yet."""
        self._clock, self._most = clock, most
        self._heard: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def heard(self, name: str, *, within_seconds: float) -> bool:
        """Return whether `name` was heard in the last `within_seconds`."""
        with self._lock:
            at = self._heard.get(name)
        return at is not None and self._clock.monotonic() - at < within_seconds

    def hear(self, name: str) -> None:
        """Remember `name` as heard now."""
        with self._lock:
            self._heard.pop(name, None)
            self._heard[name] = self._clock.monotonic()
            if len(self._heard) > self._most:
                self._heard.popitem(last=False)
