"""What one process remembers between its calls: never the truth, and lost without harm."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from flow_pipelines.ledger.records import Workload
from flow_pipelines.lifecycle.durations import Durations
from flow_pipelines.model import OutputRef

K = TypeVar("K")
V = TypeVar("V")

LINK_SECONDS = 600.0
"""How long a link from a poll is tried before a fresh one is asked for."""
DURATIONS_SECONDS = 20.0
WORKLOAD_SECONDS = 1.5


class Recent(Generic[K, V]):
    """A bounded mapping whose values grow old. Safe to share between threads."""

    def __init__(self, lasts_seconds: float, most: int) -> None:
        """Forget what is older than `lasts_seconds`, and the oldest beyond `most`."""
        self._lasts, self._most = lasts_seconds, most
        self._kept: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: K, value: V, now: float) -> None:
        """Keep a value; `now` is on the clock that never goes back."""
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = (now, value)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)

    def get(self, key: K, now: float) -> V | None:
        """Return a value that is still good."""
        with self._lock:
            kept = self._kept.get(key)
        return kept[1] if kept is not None and now - kept[0] <= self._lasts else None

    def get_or(self, key: K, now: float, find: Callable[[], V]) -> V:
        """Return a value that is still good, else a new one."""
        found = self.get(key, now)
        if found is None:
            found = find()
            self.put(key, found, now)
        return found


class Memory:
    """Measured durations and workload, and links that a poll has just given.

    Links open pictures: they are never printed, and leave this process only sealed.
    """

    def __init__(self) -> None:
        """Remember nothing yet."""
        self.durations: Recent[str, tuple[Durations | None]] = Recent(DURATIONS_SECONDS, 200)
        self.workload: Recent[str, Workload] = Recent(WORKLOAD_SECONDS, 20)
        self.links: Recent[str, Sequence[OutputRef]] = Recent(LINK_SECONDS, 2000)
