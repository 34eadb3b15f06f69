"""Signs of life of Dagster runs: who gives none, and that an ended run gets no lease any more."""

from __future__ import annotations

import pytest

from flow_pipelines.model import Night
from flow_pipelines.model.errors import LeaseLost, RunEnded
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    heartbeat,
    key_of,
    new_night,
)

NIGHT = Night("posters", "2026-11-21")
LEASES = ["submit:posters/2026-11-21", "collect:posters/2026-11-21"]


def silent(driver: LedgerDriver, location: str = "here") -> list[str]:
    return [run.run_id for run in driver.ledger.silent_runs(location, limit=10)]


def test_a_run_is_silent_once_its_newest_sign_of_life_is_90_seconds_old(
    driver: LedgerDriver,
) -> None:
    first, second = heartbeat("run", "first", night=NIGHT), heartbeat("run", "second", night=NIGHT)
    driver.ledger.beat(first)
    driver.clock.advance(60)
    driver.ledger.beat(second)
    newest = driver.clock.now()

    driver.clock.advance(89.999999)
    assert silent(driver) == []
    driver.clock.advance(0.000001)

    [run] = driver.ledger.silent_runs("here", limit=10)
    assert (run.run_id, run.beat_at, run.steps) == ("run", newest, (first, second))
    assert silent(driver, "elsewhere") == []


def test_a_step_that_beats_or_has_ended_is_not_silent(driver: LedgerDriver) -> None:
    driver.ledger.beat(heartbeat("beats"))
    driver.ledger.beat(heartbeat("ended"))
    driver.clock.advance(80)
    driver.ledger.beat(heartbeat("beats"))
    driver.ledger.end_heartbeat(heartbeat("ended"))
    driver.clock.advance(80)

    assert silent(driver) == []


def test_the_longest_silent_come_first_and_no_more_than_are_wanted(driver: LedgerDriver) -> None:
    for name in ("a", "b", "c"):
        driver.ledger.beat(heartbeat(name))
        driver.clock.advance(1)
    driver.clock.advance(90)

    assert [run.run_id for run in driver.ledger.silent_runs("here", limit=2)] == ["a", "b"]


def test_a_run_that_gave_a_sign_of_life_since_it_was_found_is_not_ended(
    driver: LedgerDriver,
) -> None:
    driver.ledger.beat(heartbeat("run"))
    driver.clock.advance(90)
    assert silent(driver) == ["run"]
    driver.ledger.beat(heartbeat("run"))

    assert not driver.ledger.end_run("run", silent=LEASES)

    driver.ledger.check_run("run")
    assert not driver.ledger.end_run("unheard of", silent=LEASES)


def test_a_silent_run_that_holds_a_lease_of_its_night_is_not_ended(driver: LedgerDriver) -> None:
    driver.ledger.beat(heartbeat("run", night=NIGHT))
    driver.clock.advance(90)
    driver.ledger.acquire_lease(LEASES[1], "run", 45)

    assert not driver.ledger.end_run("run", silent=LEASES)

    driver.clock.advance(45)
    assert driver.ledger.end_run("run", silent=LEASES)


@pytest.mark.case(
    "a worker that was suspended wakes up after its run was reported as failed, and renews its "
    "lease, which is free again",
    "a run that was found dead gets no lease any more, and buys nothing",
)
def test_an_ended_run_gets_no_lease_and_buys_nothing(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night, range(1))
    run = heartbeat("run", night=night)
    driver.ledger.beat(run)
    driver.clock.advance(90)
    assert driver.ledger.end_run("run", silent=[f"submit:{night}"])

    assert not driver.ledger.acquire_lease(f"submit:{night}", "run", 45)

    assert driver.ledger.acquire_lease(f"submit:{night}", "another", 45)
    driver.ledger.release_lease(f"submit:{night}", "another")
    with pytest.raises(LeaseLost):
        driver.ledger.begin_submission(
            key_of(night, 0),
            lease=f"submit:{night}",
            owner="run",
            resource="floyo",
            body_sha256="",
            estimate_usd=None,
            budget_usd=None,
            daily_budget_usd=None,
        )
    with pytest.raises(RunEnded):
        driver.ledger.check_run("run")
    with pytest.raises(RunEnded):
        driver.ledger.beat(run)
    with pytest.raises(RunEnded):
        driver.ledger.beat(heartbeat("run", "a later step", night=night))


def test_an_ended_run_is_found_until_it_is_closed_and_stays_ended(driver: LedgerDriver) -> None:
    driver.ledger.beat(heartbeat("run"))
    driver.clock.advance(90)
    assert driver.ledger.end_run("run", silent=[])
    assert silent(driver) == ["run"]  # whoever ended it may have died before Dagster knew
    assert driver.ledger.end_run("run", silent=[])

    driver.ledger.close_run("run")
    driver.ledger.end_heartbeat(heartbeat("run"))

    assert silent(driver) == []
    assert not driver.ledger.acquire_lease("submit:a/b", "run", 45)


def test_what_is_left_of_ended_runs_is_forgotten_after_a_month(driver: LedgerDriver) -> None:
    driver.ledger.beat(heartbeat("run"))
    driver.ledger.close_run("run")
    driver.clock.advance(30 * 86_400)
    driver.ledger.end_heartbeat(heartbeat("another"))
    assert not driver.ledger.acquire_lease("submit:a/b", "run", 45)

    driver.clock.advance(1)
    driver.ledger.end_heartbeat(heartbeat("another"))

    assert driver.ledger.acquire_lease("submit:a/b", "run", 45)
