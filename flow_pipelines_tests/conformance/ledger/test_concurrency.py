"""Many threads at one ledger: the work is done once, and money is never promised twice."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import sqlalchemy as sa

from flow_pipelines.ledger import open_ledger
from flow_pipelines.model import PlannedRow, Receipt
from flow_pipelines.model.errors import BudgetExceeded, FlowPipelinesError, IllegalTransition
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    OWNER,
    PROVIDER,
    LedgerDriver,
    S,
    key_of,
    new_night,
    planned_row,
)
from flow_pipelines_tests.databases import PostgresServer

THREADS = 6


def together(work: Callable[[int], object]) -> list[object]:
    """Run `work` in threads that start at the same moment; give what each gave or raised."""
    barrier = threading.Barrier(THREADS)

    def run(number: int) -> object:
        barrier.wait(20)
        try:
            return work(number)
        except FlowPipelinesError as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_concurrent_intents_never_exceed_a_budget(driver: LedgerDriver) -> None:
    nights = [new_night() for _ in range(THREADS)]
    for night in nights:
        driver.plan(night, range(5))

    def buy(number: int) -> int:
        bought = 0
        for row in range(5):
            try:
                driver.begin(key_of(nights[number], row), estimate="0.01", daily="0.13")
            except BudgetExceeded:
                continue
            bought += 1
        return bought

    assert sum(together(buy)) == 13
    assert driver.ledger.reserved_usd(PROVIDER, driver.clock.now()) == Decimal("0.13")


def test_concurrent_intents_never_exceed_the_budget_of_one_night(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, range(THREADS * 3))

    def buy(number: int) -> int:
        bought = 0
        for row in range(number * 3, number * 3 + 3):
            try:
                driver.begin(key_of(night, row), estimate="0.01", budget="0.07")
            except BudgetExceeded:
                continue
            bought += 1
        return bought

    assert sum(together(buy)) == 7


def test_one_submission_is_begun_once(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)

    begun = together(lambda _: driver.begin(key_of(night, 0)))

    assert sum(not isinstance(one, Exception) for one in begun) == 1
    assert sum(isinstance(one, IllegalTransition) for one in begun) == THREADS - 1


def test_one_lease_has_one_holder(driver: LedgerDriver) -> None:
    held = together(lambda number: driver.ledger.acquire_lease("submit:a/b", f"owner {number}", 60))

    assert held.count(True) == 1


def test_one_regeneration_is_rendered_once(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)
    rendered: list[int] = []

    def render(generation: int) -> list[PlannedRow]:
        rendered.append(generation)
        return [planned_row(night, 0, generation=generation)]

    got = together(lambda _: driver.ledger.regenerate(night, "backfill-1", "all", render))

    assert rendered == [1]
    assert len({repr(one) for one in got}) == 1


def test_claims_never_overlap_and_leave_nothing(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, range(30))
    for row in range(30):
        driver.submit(key_of(night, row))

    def claim(number: int) -> list[str]:
        keys: list[str] = []
        while True:
            got = driver.ledger.claim_due(
                f"owner {number}", provider=PROVIDER, resource=PROVIDER, limit=4
            )
            if not got:
                return keys
            for submission in got:
                keys.append(submission.submission_key)
                driver.poll(submission.submission_key, S.RUNNING)

    claimed = [key for keys in together(claim) for key in keys]

    assert sorted(claimed) == sorted(key_of(night, row) for row in range(30))


def test_a_night_planned_by_many_at_once_is_planned_once(driver: LedgerDriver) -> None:
    night = new_night()

    outcomes = together(lambda _: driver.plan(night, range(5)))

    assert not any(isinstance(outcome, Exception) for outcome in outcomes)
    record = driver.ledger.night(night)
    assert record is not None
    assert record.counts == {S.PLANNED: 5}


def test_everything_at_once_neither_deadlocks_nor_miscounts(driver: LedgerDriver) -> None:
    nights = [new_night() for _ in range(2)]
    for night in nights:
        driver.plan(night, range(7))
        driver.begin(key_of(night, 6))  # freezes the night: no plan takes a row away any more
    keys = [key_of(night, row) for night in nights for row in range(6)]

    def work(number: int) -> None:
        owner, chance = f"owner {number}", random.Random(number)
        mine = chance.sample(keys, len(keys))
        for key in mine:
            try:
                driver.begin(key, estimate="0.01", daily="9", budget="9")
                driver.ledger.record_receipt(
                    key, Receipt(provider_run_id=f"run {key}"), driver.clock.now()
                )
            except IllegalTransition:
                pass
            driver.ledger.skip(chance.sample(keys, 3), "no budget")
            for due in driver.ledger.claim_due(
                owner, provider=PROVIDER, resource=PROVIDER, limit=3
            ):
                if chance.random() < 0.5:
                    driver.poll(due.submission_key, S.SUCCEEDED, cost="0.02")
            driver.ledger.release_claims(owner)
            driver.plan(nights[number % 2], range(number, 7), content=chance.choice("ab"))
            driver.ledger.park_abandoned()

    assert [one for one in together(work) if one is not None] == []
    _assert_sums(driver, nights)


def _assert_sums(driver: LedgerDriver, nights: list) -> None:
    total = Decimal(0)
    for night in nights:
        submissions = driver.ledger.submissions(night)
        record = driver.ledger.night(night)
        assert record is not None
        states = [s.state for s in submissions]
        assert record.counts == {state: states.count(state) for state in set(states)}
        assert record.uncollected == states.count(S.SUCCEEDED)
        total += sum((s.reserved_usd for s in submissions), Decimal(0))
    assert driver.ledger.reserved_usd(PROVIDER, driver.clock.now()) == total
    assert OWNER in {s.dagster_run_id for s in driver.ledger.search()}


def test_on_postgresql_a_claim_does_not_wait_for_a_row_in_work(
    postgres_server: PostgresServer,
) -> None:
    url = postgres_server.ledger_database()
    driver, night = LedgerDriver(url), new_night()
    driver.plan(night, [0, 1])
    for row in (0, 1):
        driver.submit(key_of(night, row))
    impatient = open_ledger(url, driver.clock, busy_seconds=0.2)
    in_work = sa.text("SELECT * FROM submissions WHERE row_number = 0 FOR UPDATE")
    with driver.ledger._database.write() as connection:
        connection.execute(in_work)

        claimed = impatient.claim_due("owner", provider=PROVIDER, resource=PROVIDER)

    assert [one.submission_key for one in claimed] == [key_of(night, 1)]
    impatient.close()
    driver.ledger.close()
    postgres_server.drop(url)
