"""Turns under a rate limit, shared through the database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from flow_pipelines.provider import PaceStore, TurnRequest
from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver


def _reserve(
    driver: LedgerDriver, key: str = "floyo", burst: int = 2, patience: float = 60
) -> float | None:
    store: PaceStore = driver.ledger.pace
    ask = TurnRequest(interval_seconds=2, burst=burst, patience_seconds=patience)
    return store.reserve(key, ask)


def test_after_a_rest_turns_come_in_a_burst_and_then_by_the_interval(driver: LedgerDriver) -> None:
    assert [_reserve(driver, burst=3) for _ in range(6)] == [0, 0, 0, 2, 4, 6]

    driver.clock.advance(6)
    assert _reserve(driver, burst=3) == 2
    driver.clock.advance(1000)
    assert [_reserve(driver, burst=3) for _ in range(4)] == [0, 0, 0, 2]


def test_a_burst_of_one_is_strictly_spaced(driver: LedgerDriver) -> None:
    assert [_reserve(driver, burst=1) for _ in range(3)] == [0, 2, 4]


def test_impatience_reserves_nothing(driver: LedgerDriver) -> None:
    assert [_reserve(driver, burst=1, patience=2) for _ in range(4)] == [0, 2, None, None]

    driver.clock.advance(2)
    assert _reserve(driver, burst=1, patience=2) == 2


def test_a_hold_delays_every_turn_and_is_never_shortened(driver: LedgerDriver) -> None:
    now = driver.clock.now()

    driver.ledger.pace.hold_until("floyo", now + timedelta(seconds=30))
    driver.ledger.pace.hold_until("floyo", now + timedelta(seconds=10))

    assert _reserve(driver, patience=29) is None
    assert [_reserve(driver) for _ in range(3)] == [30, 30, 32]
    driver.clock.advance(100)
    assert _reserve(driver) == 0


def test_a_hold_is_told_as_long_as_it_lasts(driver: LedgerDriver) -> None:
    until = driver.clock.now() + timedelta(days=1)
    assert driver.ledger.pace.held_until("floyo") is None

    driver.ledger.pace.hold_until("floyo", until)
    assert driver.ledger.pace.held_until("floyo") == until
    assert driver.ledger.pace.held_until("flora") is None
    driver.clock.advance(86_400)
    assert driver.ledger.pace.held_until("floyo") is None


def test_accounts_do_not_wait_for_each_other(driver: LedgerDriver) -> None:
    driver.ledger.pace.hold_until("floyo", driver.clock.now() + timedelta(seconds=30))

    assert _reserve(driver, "flora") == 0


def test_the_pace_survives_reopening(driver: LedgerDriver) -> None:
    _reserve(driver, burst=1)

    again = driver.reopened()

    assert _reserve(again, burst=1) == 2
    again.ledger.close()


def test_threads_share_one_pace(driver: LedgerDriver) -> None:
    barrier = threading.Barrier(4)

    def reserve(_: int) -> list[float | None]:
        barrier.wait(20)
        return [_reserve(driver, burst=1) for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        waits = [wait for got in pool.map(reserve, range(4)) for wait in got]

    assert sorted(wait for wait in waits if wait is not None) == [2.0 * turn for turn in range(20)]
