"""What metrics are made of: ticks, daily budgets, and what was spent by account and batch."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from flow_pipelines.ledger.metering import TICKS_KEPT
from flow_pipelines.model import SubmissionState as S
from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver, key_of, new_night


def test_the_last_tick_of_each_sensor_is_kept(driver: LedgerDriver) -> None:
    driver.ledger.note_tick("floyo", "main/location")
    driver.ledger.note_tick("flora", None)
    driver.clock.advance(30)
    driver.ledger.note_tick("floyo", "main/location")
    now = driver.clock.now()

    assert driver.ledger.last_ticks() == [
        ("flora", "", now - timedelta(seconds=30)),
        ("floyo", "main/location", now),
    ]


def test_a_sensor_that_is_gone_for_long_is_forgotten(driver: LedgerDriver) -> None:
    driver.ledger.note_tick("floyo", "renamed")
    driver.clock.advance(TICKS_KEPT.total_seconds() + 1)
    driver.ledger.note_tick("floyo", "here")
    assert [tick.location for tick in driver.ledger.last_ticks()] == ["here"]


def test_a_daily_budget_is_kept_as_it_was_last_configured(driver: LedgerDriver) -> None:
    note = driver.ledger.note_daily_budget
    note("floyo", "floyo", Decimal("5.00"))
    note("studio", "floyo", Decimal("0.000001"))
    note("floyo", "floyo", Decimal("4.50"))
    assert driver.ledger.daily_budgets() == [
        ("floyo", "floyo", Decimal("4.50")),
        ("floyo", "studio", Decimal("0.000001")),
    ]
    note("floyo", "floyo", None)
    note("floyo", "floyo", None)
    assert [one.resource for one in driver.ledger.daily_budgets()] == ["studio"]


def test_what_was_spent_is_told_by_account_and_batch_exactly(driver: LedgerDriver) -> None:
    start = driver.clock.now()
    posters, covers = new_night("posters"), new_night("covers")
    driver.plan(posters, range(4))
    driver.plan(covers)
    driver.submit(key_of(posters, 0), estimate="0.1")
    driver.submit(key_of(posters, 1), estimate="0.2", resource="studio")
    driver.submit(key_of(posters, 2), estimate="0.2")
    driver.poll(key_of(posters, 2), S.SUCCEEDED, cost="0.000003")
    driver.submit(key_of(covers, 0), estimate="0.3")
    driver.clock.advance(60)
    later = driver.clock.now()
    driver.submit(key_of(posters, 3), estimate="9")

    told = sorted(driver.ledger.spent_between(start, later))

    assert told == [
        ("floyo", "floyo", "covers", Decimal("0.3")),
        ("floyo", "floyo", "posters", Decimal("0.100003")),
        ("floyo", "studio", "posters", Decimal("0.2")),
    ]
    of_account = sum(one.spent_usd for one in driver.ledger.spent_between(start, later + _SECOND))
    assert of_account - Decimal("0.2") == driver.ledger.reserved_usd("floyo", start)


_SECOND = timedelta(seconds=1)
