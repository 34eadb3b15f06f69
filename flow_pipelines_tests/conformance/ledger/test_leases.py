"""Leases to the second, the refused accounts, and who works next."""

from __future__ import annotations

from datetime import timedelta

from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver, S, key_of, new_night


def test_a_lease_is_held_until_its_last_second_and_free_from_then_on(driver: LedgerDriver) -> None:
    assert driver.ledger.acquire_lease("submit:a/b", "one", 60)

    driver.clock.advance(59.999999)
    assert not driver.ledger.acquire_lease("submit:a/b", "two", 60)
    held = driver.ledger.lease("submit:a/b")
    driver.clock.advance(0.000001)
    free = driver.ledger.lease("submit:a/b")

    assert held is not None
    assert (held.owner, held.expires_at) == ("one", driver.clock.now())
    assert free is None
    assert driver.ledger.acquire_lease("submit:a/b", "two", 60)
    assert not driver.ledger.acquire_lease("submit:a/b", "one", 60)


def test_many_leases_are_looked_at_at_once_and_only_those_in_force_are_found(
    driver: LedgerDriver,
) -> None:
    driver.ledger.acquire_lease("submit:a/b", "one", 60)
    driver.ledger.acquire_lease("collect:a/b", "two", 30)
    driver.clock.advance(30)

    found = driver.ledger.leases(["submit:a/b", "collect:a/b", "submit:a/c"])

    assert found == {"submit:a/b": driver.ledger.lease("submit:a/b")}
    assert driver.ledger.leases([]) == {}


def test_its_owner_renews_a_lease(driver: LedgerDriver) -> None:
    driver.ledger.acquire_lease("submit:a/b", "one", 60)
    driver.clock.advance(30)

    assert driver.ledger.acquire_lease("submit:a/b", "one", 60)

    driver.clock.advance(59)
    assert not driver.ledger.acquire_lease("submit:a/b", "two", 60)


def test_only_its_owner_releases_a_lease(driver: LedgerDriver) -> None:
    driver.ledger.acquire_lease("submit:a/b", "one", 60)

    driver.ledger.release_lease("submit:a/b", "two")
    assert driver.ledger.lease("submit:a/b") is not None
    driver.ledger.release_lease("submit:a/b", "one")
    assert driver.ledger.lease("submit:a/b") is None
    driver.ledger.release_lease("submit:a/b", "one")


def test_leases_of_different_names_do_not_meet(driver: LedgerDriver) -> None:
    assert driver.ledger.acquire_lease("submit:a/b", "one", 60)
    assert driver.ledger.acquire_lease("collect:a/b", "two", 60)


def test_a_submission_is_abandoned_once_the_lease_of_its_night_is_free(
    driver: LedgerDriver,
) -> None:
    night, other = new_night(), new_night("covers")
    driver.plan(night, [0, 1])
    driver.plan(other)
    driver.begin(key_of(night, 0))
    driver.clock.advance(30)
    driver.begin(key_of(other, 0))

    assert driver.ledger.park_abandoned() == []
    driver.clock.advance(30)
    parked = driver.ledger.park_abandoned()

    assert [s.submission_key for s in parked] == [key_of(night, 0)]
    assert parked[0].state is S.UNRESOLVED
    assert "before a receipt was written" in (parked[0].reason or "")
    assert driver.state(key_of(night, 1)) is S.PLANNED
    assert driver.state(key_of(other, 0)) is S.SUBMITTING


def test_another_location_and_another_night_leave_the_abandoned_alone(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)
    driver.begin(key_of(night, 0))
    driver.clock.advance(3600)
    driver.ledger.claim_batch(night.batch, "here")

    assert driver.ledger.park_abandoned(location="there") == []
    assert driver.ledger.park_abandoned(night=new_night()) == []
    assert driver.state(key_of(night, 0)) is S.SUBMITTING
    assert len(driver.ledger.park_abandoned(location="here", night=night)) == 1


def test_who_has_the_lease_and_sent_nothing_parks_what_a_process_before_it_sent(
    driver: LedgerDriver,
) -> None:
    night = new_night()
    driver.plan(night)
    driver.begin(key_of(night, 0), owner="run-1")

    assert driver.ledger.park_abandoned(owner="run-2") == []
    assert len(driver.ledger.park_abandoned(owner="run-1")) == 1


def test_the_newest_refusal_of_an_account_is_kept(driver: LedgerDriver) -> None:
    start = driver.clock.now()
    driver.ledger.stop_account("floyo", "insufficient_credits", "top up")
    driver.clock.advance(10)
    driver.ledger.stop_account("floyo", "invalid_key", "flo_abcdefgh12345678 is no key")

    stop = driver.ledger.account_stop("floyo", start)

    assert stop is not None
    assert (stop.code, stop.at) == ("invalid_key", start + timedelta(seconds=10))
    assert "flo_abcdefgh12345678" not in stop.message
    assert driver.ledger.account_stop("floyo", stop.at) == stop
    assert driver.ledger.account_stop("floyo", stop.at + timedelta(microseconds=1)) is None
    assert driver.ledger.account_stop("another", start) is None


def test_a_request_for_work_is_counted_and_spaced(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)
    start = driver.clock.now()

    assert driver.ledger.request_work(night, "submit", not_before=start) == 1
    assert driver.ledger.request_work(night, "submit", not_before=start) == 2
    driver.clock.advance(1)
    assert driver.ledger.request_work(night, "submit", not_before=start) == 3
    assert driver.ledger.request_work(night, "submit", not_before=start) is None
    assert driver.ledger.request_work(night, "collect", not_before=start) == 1

    record = driver.ledger.night(night)
    assert record is not None
    assert (record.submit_attempts, record.collect_attempts) == (3, 1)
    assert record.submit_requested_at == driver.clock.now()


def test_a_receipt_shows_progress_and_resets_the_submit_attempts(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)
    driver.ledger.request_work(night, "submit", not_before=driver.clock.now())

    driver.begin(key_of(night, 0))
    waiting = driver.ledger.night(night)
    driver.receive(key_of(night, 0))
    received = driver.ledger.night(night)

    assert [record.submit_attempts for record in (waiting, received) if record] == [1, 0]
