"""How long runs take is measured, and what an account has before it is counted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow_pipelines.ledger.records import RunTime, Workload
from flow_pipelines.ledger.timing import KEPT
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    PROVIDER,
    LedgerDriver,
    S,
    key_of,
    new_night,
)


def _times(driver: LedgerDriver) -> list[tuple[float, float]]:
    found = driver.ledger.run_times(PROVIDER, "version-1")
    return [(one.at_least_seconds, one.at_most_seconds) for one in found]


def test_a_run_took_from_the_last_poll_at_work_to_the_one_that_found_its_end(
    driver: LedgerDriver,
) -> None:
    night = new_night()
    driver.plan(night)
    key = key_of(night, 0)
    driver.submit(key)

    driver.clock.advance(20)
    driver.poll(key, S.RUNNING)
    driver.clock.advance(15)
    driver.poll(key, S.SUCCEEDED)

    assert driver.ledger.run_times(PROVIDER, "version-1") == [
        RunTime(at_least_seconds=20, at_most_seconds=35)
    ]
    assert driver.ledger.run_times(PROVIDER, "version-2") == []


@pytest.mark.parametrize(
    ("said", "bounds"),
    [
        ({"flotime_ms": 12_000}, (12, 30)),
        ({"run_ms": 90_000}, (30, 30)),
        ({}, (0, 30)),
    ],
)
def test_what_the_provider_says_narrows_the_bounds(driver: LedgerDriver, said, bounds) -> None:
    night = new_night()
    driver.plan(night)
    driver.submit(key_of(night, 0))
    driver.clock.advance(30)

    driver.poll(key_of(night, 0), S.SUCCEEDED, **said)

    assert _times(driver) == [bounds]


@pytest.mark.parametrize(("ended_after", "bounds"), [(25, (25, 25)), (-500, (0, 30))])
def test_an_end_that_is_told_is_exact_unless_clocks_disagree(
    driver: LedgerDriver, ended_after: float, bounds: tuple[float, float]
) -> None:
    night = new_night()
    driver.plan(night)
    driver.submit(key_of(night, 0))
    ended_at = driver.clock.now() + timedelta(seconds=ended_after)
    driver.clock.advance(30)

    driver.poll(key_of(night, 0), S.SUCCEEDED, finished_at=ended_at)

    assert _times(driver) == [bounds]


def test_failed_runs_teach_nothing_about_good_ones(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)
    driver.submit(key_of(night, 0))

    driver.poll(key_of(night, 0), S.FAILED)

    assert _times(driver) == []


def test_a_workflow_keeps_a_bounded_number_of_run_times(driver: LedgerDriver) -> None:
    night, rows = new_night(), range(40)
    driver.plan(night, rows)
    for number in rows:
        driver.submit(key_of(night, number))
        driver.poll(key_of(night, number), S.SUCCEEDED)

    assert 30 <= len(_times(driver)) <= min(len(rows), KEPT)


def test_what_waits_counts_only_while_somebody_submits(driver: LedgerDriver) -> None:
    night, other = new_night(), new_night()
    driver.plan(night, range(3))
    driver.plan(other, range(5))
    assert driver.ledger.workload("floyo") == Workload(waiting=0, in_flight=0)

    driver.submit(key_of(night, 0))

    assert driver.ledger.workload("floyo") == Workload(waiting=2, in_flight=1)
    assert driver.ledger.workload("another") == Workload(waiting=0, in_flight=0)
    driver.clock.advance(61)
    assert driver.ledger.workload("floyo") == Workload(waiting=0, in_flight=1)


def test_what_is_in_flight_is_listed_and_claimed_by_nobody(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, range(3))
    for number, delay in enumerate((30, 10)):
        driver.submit(key_of(night, number), poll_in=delay)
    asked = {"provider": PROVIDER, "resource": PROVIDER}

    listed = [one.submission_key for one in driver.ledger.in_flight(**asked)]

    assert listed == [key_of(night, 1), key_of(night, 0)]
    assert len(driver.ledger.in_flight(**asked, limit=1)) == 1
    driver.clock.advance(30)
    assert len(driver.ledger.claim_due("one", **asked)) == 2


def test_a_poll_is_brought_forward_and_never_put_off(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)
    key, now = key_of(night, 0), driver.clock.now()
    driver.submit(key, poll_in=60)

    driver.ledger.mark_due(key, now + timedelta(seconds=20))
    driver.ledger.mark_due(key, now + timedelta(seconds=40))

    assert driver.ledger.submission(key).next_poll_at == now + timedelta(seconds=20)
