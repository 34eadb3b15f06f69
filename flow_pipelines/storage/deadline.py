"""Work that ends in time, whatever hangs: a socket's timeouts bound each wait, not their sum."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, action: Callable[[], T]) -> T:
    """Return `action`'s result, or raise its error, in at most `seconds` of real time.

    An action that takes longer goes on unwatched, in a thread that keeps no process alive: what
    it does late must be harmless. Raises: TimeoutError.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(action())
        except BaseException as error:  # noqa: BLE001 - raised by whoever waits
            outcome.set_exception(error)

    # No pool: the end of a process waits for the threads of every pool.
    threading.Thread(target=run, name="within a deadline", daemon=True).start()
    return outcome.result(seconds)
