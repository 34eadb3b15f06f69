"""Of the code locations that share a ledger, one works on a batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver


def test_a_batch_belongs_to_the_first_location_that_claims_it(driver: LedgerDriver) -> None:
    assert driver.ledger.claim_batch("posters", "east") == "east"
    assert driver.ledger.claim_batch("posters", "west") == "east"
    assert driver.ledger.claim_batch("posters", "east") == "east"


def test_locations_that_claim_at_once_agree_on_one(driver: LedgerDriver) -> None:
    names = [f"location {number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        owners = set(pool.map(lambda name: driver.ledger.claim_batch("posters", name), names))
    assert len(owners) == 1
    assert driver.ledger.batch_locations(["posters"]) == {"posters": owners.pop()}


def test_only_claimed_batches_have_a_location_and_each_its_own(driver: LedgerDriver) -> None:
    driver.ledger.claim_batch("posters", "east")
    driver.ledger.claim_batch("stamps", "west")
    assert driver.ledger.batch_locations(["posters", "cards"]) == {"posters": "east"}
    assert driver.ledger.batch_locations([]) == {}


def test_a_person_moves_a_batch_whoever_had_it(driver: LedgerDriver) -> None:
    driver.ledger.claim_batch("posters", "east")
    for batch in ("posters", "posters", "never_claimed"):
        driver.ledger.move_batch(batch, "west")
    assert driver.ledger.claim_batch("posters", "east") == "west"
    assert driver.ledger.claim_batch("never_claimed", "east") == "west"
