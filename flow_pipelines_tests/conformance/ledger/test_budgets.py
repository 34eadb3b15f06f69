"""Money: reservations, budgets, and what an intent needs besides them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import text

from flow_pipelines.ledger.migrations.versions.v0009_account_days import reserved_by_day
from flow_pipelines.model import CostBasis
from flow_pipelines.model.errors import BudgetExceeded, LeaseLost, LedgerError, Paused
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    OWNER,
    PROVIDER,
    LedgerDriver,
    S,
    key_of,
    new_night,
)

DAY_SECONDS = 24 * 3600


def _keys(driver: LedgerDriver, count: int) -> list[str]:
    night = new_night()
    driver.plan(night, range(count))
    return [key_of(night, number) for number in range(count)]


def _reserved(driver: LedgerDriver) -> Decimal:
    return driver.ledger.reserved_usd(PROVIDER, driver.clock.now())


def test_a_budget_is_spent_to_the_last_micro_dollar_and_not_beyond(driver: LedgerDriver) -> None:
    first, second, third = _keys(driver, 3)

    driver.begin(first, estimate="0.333333", budget="1")
    driver.begin(second, estimate="0.666667", budget="1")
    with pytest.raises(BudgetExceeded) as refused:
        driver.begin(third, estimate="0.000001", budget="1")

    assert refused.value.scope == "partition"
    assert driver.state(third) is S.PLANNED
    assert _reserved(driver) == Decimal(1)


def test_the_daily_budget_spans_batches_and_ends_at_midnight_utc(driver: LedgerDriver) -> None:
    posters, covers = new_night("posters"), new_night("covers")
    for night in (posters, covers):
        driver.plan(night, [0, 1])

    driver.begin(key_of(posters, 0), estimate="0.6", daily="1")
    with pytest.raises(BudgetExceeded) as refused:
        driver.begin(key_of(covers, 0), estimate="0.5", daily="1")
    driver.begin(key_of(covers, 0), estimate="0.4", daily="1")
    yesterday = driver.clock.now()
    driver.clock.advance(DAY_SECONDS)
    driver.begin(key_of(covers, 1), estimate="1", daily="1")

    assert refused.value.scope == "day"
    assert driver.ledger.reserved_usd(PROVIDER, yesterday) == 1
    assert _reserved(driver) == 1


@pytest.mark.case(
    "two accounts of one provider shared one daily budget",
    "the daily budget is the account's, by its resource key, as its field says",
)
def test_another_account_of_the_same_provider_has_a_day_of_its_own(driver: LedgerDriver) -> None:
    first, second, third = _keys(driver, 3)

    driver.begin(first, estimate="1", daily="1")
    driver.begin(second, estimate="1", daily="1", resource="floyo_eu")
    with pytest.raises(BudgetExceeded):
        driver.begin(third, estimate="1", daily="1", resource="floyo_eu")

    for account in ("floyo", "floyo_eu"):
        assert driver.ledger.reserved_usd(account, driver.clock.now()) == 1


def test_what_two_providers_spend_by_one_account_shares_its_day(driver: LedgerDriver) -> None:
    night, other = new_night(), new_night()
    driver.plan(night)
    driver.plan(other, provider="flora")

    driver.begin(key_of(night, 0), estimate="1", daily="1")
    with pytest.raises(BudgetExceeded):
        driver.begin(key_of(other, 0), estimate="1", daily="1")


def test_the_days_that_an_upgrade_sums_up_are_the_days_of_the_ledger(
    shared_driver: LedgerDriver,
) -> None:
    driver = shared_driver
    for account in ("floyo", "floyo_eu"):
        for key in _keys(driver, 2):
            driver.begin(key, estimate="0.3", resource=account)
            driver.clock.advance(DAY_SECONDS - 0.000001)
    with driver.ledger._database.read() as connection:
        kept = connection.execute(text("SELECT * FROM budget_days WHERE reserved_usd <> 0"))
        summed = connection.execute(text(reserved_by_day(connection.dialect.name)))
        assert {tuple(row) for row in kept} == {tuple(row) for row in summed}


@pytest.mark.parametrize(("estimate", "price"), [("0", Decimal(0)), ("0.3", Decimal("0.3"))])
def test_the_price_of_an_intent_stays_whatever_becomes_of_its_reservation(
    driver: LedgerDriver, estimate: str, price: Decimal
) -> None:
    (key,) = _keys(driver, 1)
    driver.submit(key, estimate=estimate)
    assert driver.ledger.submission(key).estimate_usd == price
    assert driver.poll(key, S.SUCCEEDED, cost="0.02").estimate_usd == price


def test_a_price_that_nobody_knows_is_not_0_and_reserves_nothing(driver: LedgerDriver) -> None:
    (key,) = _keys(driver, 1)
    sent = driver.begin(key, estimate=None)
    assert (sent.estimate_usd, sent.reserved_usd, _reserved(driver)) == (None, 0, 0)


@pytest.mark.case(
    "a charge that a later answer told was forgotten: the estimate stayed",
    "it takes the estimate's place; the night's sum and its daily budget follow",
)
def test_a_charge_told_of_a_run_that_ended_before_takes_the_place_of_its_cost(
    driver: LedgerDriver,
) -> None:
    (key,) = _keys(driver, 1)
    driver.submit(key, estimate="0.02")
    intent_day = driver.clock.now()
    ended = driver.poll(key, S.SUCCEEDED)
    driver.clock.advance(DAY_SECONDS)
    before = driver.ledger.night(ended.night)

    told = driver.poll(key, S.SUCCEEDED, cost="0.0425")
    again = driver.poll(key, S.SUCCEEDED, cost="0.0425")
    silent = driver.poll(key, S.SUCCEEDED)

    after = driver.ledger.night(ended.night)
    assert before is not None
    assert after is not None
    assert (told.cost_usd, told.cost_basis) == (Decimal("0.0425"), CostBasis.CHARGED)
    assert told == again == silent
    assert (after.revision, driver.ledger.reserved_usd(PROVIDER, intent_day)) == (
        before.revision + 1,
        Decimal("0.0425"),
    )
    (line,) = (one for one in driver.ledger.cost_lines() if one.night == told.night)
    assert (line.cost_usd, line.estimated_usd) == (Decimal("0.0425"), 0)


def test_every_generation_counts_against_the_budget_of_its_night(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)
    driver.begin(key_of(night, 0), estimate="0.6", budget="1")
    driver.receive(key_of(night, 0))
    from flow_pipelines_tests.conformance.ledger.ledger_driver import planned_row

    driver.ledger.regenerate(
        night, "run-1", "all", lambda generation: [planned_row(night, 0, generation=generation)]
    )

    with pytest.raises(BudgetExceeded):
        driver.begin(key_of(night, 0, generation=1), estimate="0.5", budget="1")


def test_what_was_proven_not_bought_is_given_back(driver: LedgerDriver) -> None:
    returned, rejected, settled, parked = _keys(driver, 4)
    for key in (returned, rejected, settled, parked):
        driver.begin(key, estimate="0.25")

    driver.ledger.return_to_plan(returned, "429")
    driver.ledger.reject_submission(rejected, "bad", "no such node")
    driver.ledger.park_submission(settled, "lost")
    driver.settle_not_created(settled)
    driver.ledger.park_submission(parked, "lost")

    assert _reserved(driver) == Decimal("0.25")
    for key in (returned, rejected, settled):
        assert driver.ledger.submission(key).reserved_usd == 0
    assert driver.ledger.submission(parked).reserved_usd == Decimal("0.25")


def test_the_cost_replaces_the_estimate_on_the_day_of_the_intent(driver: LedgerDriver) -> None:
    cheap, dear, unknown = _keys(driver, 3)
    for key in (cheap, dear, unknown):
        driver.submit(key, estimate="0.02")
    intent_day = driver.clock.now()
    driver.clock.advance(DAY_SECONDS)

    driver.poll(cheap, S.SUCCEEDED, cost="0.000001")
    driver.poll(dear, S.FAILED, cost="0.5")
    driver.poll(unknown, S.SUCCEEDED)

    assert driver.ledger.reserved_usd(PROVIDER, intent_day) == Decimal("0.520001")
    assert _reserved(driver) == 0
    assert driver.ledger.submission(unknown).reserved_usd == Decimal("0.02")


def test_a_row_sent_again_on_another_day_is_reserved_on_that_day(driver: LedgerDriver) -> None:
    (key,) = _keys(driver, 1)
    driver.begin(key, estimate="0.3")
    first_day = driver.clock.now()
    driver.ledger.return_to_plan(key, "503")
    driver.clock.advance(DAY_SECONDS)

    driver.begin(key, estimate="0.4")

    assert driver.ledger.reserved_usd(PROVIDER, first_day) == 0
    assert _reserved(driver) == Decimal("0.4")


def test_the_day_is_that_of_utc_whatever_zone_is_asked_in(driver: LedgerDriver) -> None:
    from datetime import timedelta, timezone

    (key,) = _keys(driver, 1)
    driver.begin(key, estimate="0.3")
    tokyo = driver.clock.now().astimezone(timezone(timedelta(hours=23)))

    assert tokyo.date() != driver.clock.now().date()
    assert driver.ledger.reserved_usd(PROVIDER, tokyo) == Decimal("0.3")


def test_an_estimate_below_zero_reserves_nothing_and_is_refused(driver: LedgerDriver) -> None:
    (key,) = _keys(driver, 1)

    for estimate in ("-0.01", "NaN"):
        with pytest.raises(LedgerError):
            driver.begin(key, estimate=estimate, budget="1")

    assert driver.state(key) is S.PLANNED


def test_nobody_buys_without_the_lease(driver: LedgerDriver) -> None:
    (key,) = _keys(driver, 1)
    lease = f"submit:{key.split('#')[0]}"
    assert driver.ledger.acquire_lease(lease, "another run", 60)

    with pytest.raises(LeaseLost, match="another run"):
        driver.begin(key)

    assert driver.state(key) is S.PLANNED
    assert _reserved(driver) == 0


def test_a_holder_that_slept_past_its_lease_cannot_buy(driver: LedgerDriver) -> None:
    (key,) = _keys(driver, 1)
    lease = f"submit:{key.split('#')[0]}"
    driver.ledger.acquire_lease(lease, OWNER, 60)

    def begin() -> None:
        driver.ledger.begin_submission(
            key, lease=lease, owner=OWNER, resource="floyo", body_sha256="",
            estimate_usd=Decimal(0), budget_usd=None, daily_budget_usd=None,
        )  # fmt: skip

    driver.clock.advance(60)
    with pytest.raises(LeaseLost, match="nobody"):
        begin()
    driver.clock.advance(-1)
    begin()

    assert driver.state(key) is S.SUBMITTING


def test_the_stop_switch_stops_every_intent_until_it_is_off(driver: LedgerDriver) -> None:
    (key,) = _keys(driver, 1)
    driver.ledger.pause("ann", "bills look wrong")

    with pytest.raises(Paused, match=r"ann.*bills look wrong"):
        driver.begin(key)
    pause = driver.ledger.paused()
    driver.ledger.resume()
    driver.begin(key)

    assert pause is not None
    assert (pause.who, pause.why, pause.at) == ("ann", "bills look wrong", driver.clock.now())
    assert driver.ledger.paused() is None
    assert driver.state(key) is S.SUBMITTING


def test_an_intent_remembers_who_and_when(driver: LedgerDriver) -> None:
    (key,) = _keys(driver, 1)

    submission = driver.begin(key, estimate="0.0200004")

    assert submission.dagster_run_id == OWNER
    assert submission.submitting_at == driver.clock.now()
    assert submission.reserved_usd == Decimal("0.02")


def test_cost_lines_sum_a_night_exactly(driver: LedgerDriver) -> None:
    good, unpriced, failed, waiting = _keys(driver, 4)
    night = driver.ledger.submission(good).night
    for key in (good, unpriced, failed):
        driver.submit(key)
    from flow_pipelines_tests.conformance.ledger.ledger_driver import facts, refs

    driver.poll(good, S.SUCCEEDED, cost="0.1", flotime_ms=1500, outputs=refs("a", "b"))
    driver.poll(unpriced, S.SUCCEEDED, flotime_ms=500)
    driver.poll(failed, S.FAILED, cost="0.2")
    driver.ledger.record_stored(good, 0, facts())

    (line,) = driver.ledger.cost_lines()

    assert (line.night, line.provider) == (night, PROVIDER)
    assert (line.runs, line.failed, line.images) == (3, 1, 1)
    assert (line.flotime_ms, line.runs_cost_unknown) == (2000, 1)
    assert (line.cost_usd, line.estimated_usd) == (Decimal("0.3"), 0)
    assert driver.ledger.cost_lines(["another batch"]) == []
    assert driver.ledger.cost_lines(since=driver.clock.now()) == [line]
    driver.clock.advance(1)
    assert driver.ledger.cost_lines(since=driver.clock.now()) == []
    assert driver.state(waiting) is S.PLANNED
