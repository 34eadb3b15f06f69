"""A cache with a bound on its size and on the age of what it returns."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class BoundedCache(Generic[K, V]):
    """A mapping that drops its oldest entry when it is full. Safe to share between threads.

    Times are seconds on a monotonic clock, given by the caller.
    """

    def __init__(self, lasts_seconds: float, most: int) -> None:
        """Entries expire after `lasts_seconds`; at most `most` are kept."""
        self._lasts, self._most = lasts_seconds, most
        self._entries: OrderedDict[K, tuple[float, V]] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, key: K, value: V, now: float) -> None:
        """Hold a value, as new."""
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = (now, value)
            while len(self._entries) > self._most:
                self._entries.popitem(last=False)

    def get(self, key: K, now: float) -> V | None:
        """Return a value that is not too old, or None."""
        with self._lock:
            entry = self._entries.get(key)
        return entry[1] if entry is not None and now - entry[0] <= self._lasts else None

    def get_or(self, key: K, now: float, compute: Callable[[], V]) -> V:
        """Return a value that is not too old, else what `compute` returns, and hold it."""
        value = self.get(key, now)
        if value is None:
            value = compute()
            self.put(key, value, now)
        return value
