"""Work that ends in time, whatever hangs: a socket's timeouts bound each wait, not their sum."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def within(seconds: float, action: Callable[[], T]) -> T:
    """Return `action`'s result, or raise its error, in at most `seconds` of real time.

    An action that takes longer goes on unwatched, in a thread that keeps no process alive: what
    it does late must be harmless. Raises: TimeoutError.
    """
    work = _Work(action)
    thread = threading.Thread(target=work.run, name="within a deadline", daemon=True)
    thread.start()
    thread.join(seconds)
    return work.result()


class _Work(Generic[T]):
    def __init__(self, action: Callable[[], T]) -> None:
        self._action = action
        self._results: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._results.append(self._action())
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits
            self._error = error

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        if not self._results:
            raise TimeoutError
        return self._results[0]
