"""What everything cost, by night and by the time of purchase."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from flow_pipelines.model import CostBasis
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    PROVIDER,
    LedgerDriver,
    S,
    facts,
    key_of,
    new_night,
    refs,
    report,
)


def test_only_nights_that_changed_since_are_given_and_those_whole(driver: LedgerDriver) -> None:
    old, touched = new_night(), new_night()
    for night in (old, touched):
        driver.plan(night, range(2))
        for number in range(2):
            driver.submit(key_of(night, number))
            driver.poll(key_of(night, number), S.SUCCEEDED, cost="0.1", outputs=refs("a"))
    before = driver.clock.now()
    driver.clock.advance(3600)
    driver.ledger.record_stored(key_of(touched, 0), 0, facts())

    lines = driver.ledger.cost_lines(changed_since=driver.clock.now())

    assert [(line.night, line.runs, line.images) for line in lines] == [(touched, 2, 1)]
    assert lines[0].cost_usd == Decimal("0.2")
    assert lines[0].bought_at == before
    assert len(driver.ledger.cost_lines(changed_since=before)) == 2
    assert driver.ledger.cost_lines(changed_since=driver.clock.now() + timedelta(seconds=1)) == []


def test_a_night_that_was_only_planned_was_bought_at_no_time(driver: LedgerDriver) -> None:
    driver.plan(new_night())

    [line] = driver.ledger.cost_lines()

    assert (line.runs, line.cost_usd, line.bought_at) == (0, Decimal(0), None)


def test_a_cost_is_unknown_once_a_run_ended_without_one_or_may_exist(driver: LedgerDriver) -> None:
    driver.reach(S.RUNNING)
    driver.reach(S.PLANNED)
    for state in (S.SUCCEEDED, S.FAILED, S.UNRESOLVED):
        driver.reach(state)

    lines = driver.ledger.cost_lines()

    assert sum(line.runs_cost_unknown for line in lines) == 3
    assert sum(line.runs for line in lines) == 3


def test_spend_counts_what_was_sent_in_the_span_by_provider_and_batch(driver: LedgerDriver) -> None:
    start = driver.clock.now()
    posters, covers = new_night("posters"), new_night("covers")
    for night in (posters, covers):
        driver.plan(night, range(2))
    driver.submit(key_of(posters, 0))
    driver.poll(key_of(posters, 0), S.SUCCEEDED, cost="0.1")
    driver.ledger.record_poll(
        (driver.submit(key_of(covers, 0))).submission_key,
        report(f"run {key_of(covers, 0)}", S.SUCCEEDED),
        next_poll_at=None,
        cost_usd=Decimal("0.000003"),
        cost_basis=CostBasis.ESTIMATED,
    )
    driver.clock.advance(60)
    later = driver.clock.now()
    driver.submit(key_of(posters, 1))
    driver.poll(key_of(posters, 1), S.SUCCEEDED)

    first = driver.ledger.spend(start, later)
    second = driver.ledger.spend(later, later + timedelta(seconds=1))

    assert [(one.provider, one.batch, one.runs, one.cost_usd) for one in first] == [
        (PROVIDER, "covers", 1, Decimal("0.000003")),
        (PROVIDER, "posters", 1, Decimal("0.1")),
    ]
    assert [one.estimated_usd for one in first] == [Decimal("0.000003"), 0]
    assert [(one.batch, one.cost_usd, one.runs_cost_unknown) for one in second] == [
        ("posters", 0, 1)
    ]
    assert driver.ledger.spend(later + timedelta(seconds=1), later + timedelta(days=9)) == []
