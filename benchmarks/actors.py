"""A virtual clock that threads share: time passes only when every one of them waits for it.

So a figure does not depend on the machine: work takes no time but what it says it takes.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

START = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


class ActorClock:
    """Moves on to the next who wakes up, as soon as all actors sleep."""

    def __init__(self) -> None:
        self._now, self._actors, self._asleep = 0.0, 0, 0
        self._wakes: list[tuple[float, int, threading.Event]] = []
        self._numbers = count()
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return START + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        with self._lock:
            return self._now

    def sleep(self, seconds: float) -> None:
        # An event each: who sleeps on is left asleep.
        woken = threading.Event()
        with self._lock:
            wake = self._now + max(seconds, 0.0)
            heapq.heappush(self._wakes, (wake, next(self._numbers), woken))
            self._asleep += 1
            self._move_on()
        woken.wait()

    def run(self, actions: Sequence[Callable[[], None]]) -> None:
        """Run actions as actors, all at once, until each has ended; raise what one of them did."""
        self._actors = len(actions)
        failed: list[BaseException] = []
        threads = [threading.Thread(target=self._act, args=(one, failed)) for one in actions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    def _act(self, action: Callable[[], None], failed: list[BaseException]) -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - told by `run`
            failed.append(error)
        finally:
            with self._lock:
                self._actors -= 1
                self._move_on()

    def _move_on(self) -> None:
        if self._wakes and self._asleep >= self._actors:
            self._now = self._wakes[0][0]
            while self._wakes and self._wakes[0][0] <= self._now:
                heapq.heappop(self._wakes)[2].set()
                self._asleep -= 1
