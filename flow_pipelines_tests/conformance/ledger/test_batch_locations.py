"""Of the code locations that share a ledger, one works on a batch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from flow_pipelines_tests.conformance.ledger.desk import Desk


def test_a_batch_belongs_to_the_first_location_that_claims_it(desk: Desk) -> None:
    assert desk.ledger.claim_batch("posters", "east") == "east"
    assert desk.ledger.claim_batch("posters", "west") == "east"
    assert desk.ledger.claim_batch("posters", "east") == "east"


def test_locations_that_claim_at_once_agree_on_one(desk: Desk) -> None:
    names = [f"location {number}" for number in range(8)]
    with ThreadPoolExecutor(len(names)) as pool:
        owners = set(pool.map(lambda name: desk.ledger.claim_batch("posters", name), names))
    assert len(owners) == 1
    assert desk.ledger.batch_locations(["posters"]) == {"posters": owners.pop()}


def test_only_claimed_batches_have_a_location_and_each_its_own(desk: Desk) -> None:
    desk.ledger.claim_batch("posters", "east")
    desk.ledger.claim_batch("stamps", "west")
    assert desk.ledger.batch_locations(["posters", "cards"]) == {"posters": "east"}
    assert desk.ledger.batch_locations([]) == {}


def test_a_person_moves_a_batch_whoever_had_it(desk: Desk) -> None:
    desk.ledger.claim_batch("posters", "east")
    for batch in ("posters", "posters", "never_claimed"):
        desk.ledger.move_batch(batch, "west")
    assert desk.ledger.claim_batch("posters", "east") == "west"
    assert desk.ledger.claim_batch("never_claimed", "east") == "west"
