"""FLORA's idempotency, in each of the three ways in which FLORA itself describes it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Literal

from flow_pipelines.sandbox.wire import Answer

Account = Literal["replay_current", "replay_stored", "duplicate_409"]
"""The older pages; developer.flora.ai/platform/idempotency; the OpenAPI document and the SDK."""

_LASTS_SECONDS: dict[Account, float] = {
    "replay_current": float("inf"),
    "replay_stored": 24 * 3600.0,
    "duplicate_409": 2 * 3600.0,
}


@dataclass(frozen=True, kw_only=True)
class First:
    """What a key was first used for."""

    run_id: str
    fingerprint: str
    """Hash of technique and body."""
    answer: Answer
    at: float
    """Unix seconds."""


class KeyMemory:
    """Remembers keys per API key. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget every key."""
        with self._lock:
            self._first: dict[tuple[str, str], First] = {}

    def place(self, account: Account, *, in_body: str, in_header: str) -> str:
        """Return the key from where this account of idempotency says that it is; may be empty."""
        return in_header if account == "duplicate_409" else in_body

    def first(
        self, account: Account, owner: str, key: str, now: float, lag_seconds: float
    ) -> First | None:
        """Return the first use of a key that still, and already, counts.

        Copies are not coalesced: for `lag_seconds` after the first, one runs by itself.
        """
        with self._lock:
            found = self._first.get((owner, key))
        if found is None or not key:
            return None
        age = now - found.at
        return found if lag_seconds <= age < _LASTS_SECONDS[account] else None

    def remember(self, owner: str, key: str, first: First) -> None:
        """Note a use of a key; the latest one that ran counts from now on."""
        if key:
            with self._lock:
                self._first[owner, key] = first
