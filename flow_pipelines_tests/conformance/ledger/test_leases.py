"""Leases to the second, the refused accounts, and who works next."""

from __future__ import annotations

from datetime import timedelta

from flow_pipelines_tests.conformance.ledger.desk import Desk, S, key_of, new_night


def test_a_lease_is_held_until_its_last_second_and_free_from_then_on(desk: Desk) -> None:
    assert desk.ledger.acquire_lease("submit:a/b", "one", 60)

    desk.clock.advance(59.999999)
    assert not desk.ledger.acquire_lease("submit:a/b", "two", 60)
    held = desk.ledger.lease("submit:a/b")
    desk.clock.advance(0.000001)
    free = desk.ledger.lease("submit:a/b")

    assert held is not None
    assert (held.owner, held.expires_at) == ("one", desk.clock.now())
    assert free is None
    assert desk.ledger.acquire_lease("submit:a/b", "two", 60)
    assert not desk.ledger.acquire_lease("submit:a/b", "one", 60)


def test_many_leases_are_looked_at_at_once_and_only_those_in_force_are_found(desk: Desk) -> None:
    desk.ledger.acquire_lease("submit:a/b", "one", 60)
    desk.ledger.acquire_lease("collect:a/b", "two", 30)
    desk.clock.advance(30)

    found = desk.ledger.leases(["submit:a/b", "collect:a/b", "submit:a/c"])

    assert found == {"submit:a/b": desk.ledger.lease("submit:a/b")}
    assert desk.ledger.leases([]) == {}


def test_its_owner_renews_a_lease(desk: Desk) -> None:
    desk.ledger.acquire_lease("submit:a/b", "one", 60)
    desk.clock.advance(30)

    assert desk.ledger.acquire_lease("submit:a/b", "one", 60)

    desk.clock.advance(59)
    assert not desk.ledger.acquire_lease("submit:a/b", "two", 60)


def test_only_its_owner_releases_a_lease(desk: Desk) -> None:
    desk.ledger.acquire_lease("submit:a/b", "one", 60)

    desk.ledger.release_lease("submit:a/b", "two")
    assert desk.ledger.lease("submit:a/b") is not None
    desk.ledger.release_lease("submit:a/b", "one")
    assert desk.ledger.lease("submit:a/b") is None
    desk.ledger.release_lease("submit:a/b", "one")


def test_leases_of_different_names_do_not_meet(desk: Desk) -> None:
    assert desk.ledger.acquire_lease("submit:a/b", "one", 60)
    assert desk.ledger.acquire_lease("collect:a/b", "two", 60)


def test_a_submission_is_abandoned_once_the_lease_of_its_night_is_free(desk: Desk) -> None:
    night, other = new_night(), new_night("covers")
    desk.plan(night, [0, 1])
    desk.plan(other)
    desk.begin(key_of(night, 0))
    desk.clock.advance(30)
    desk.begin(key_of(other, 0))

    assert desk.ledger.park_abandoned() == []
    desk.clock.advance(30)
    parked = desk.ledger.park_abandoned()

    assert [s.submission_key for s in parked] == [key_of(night, 0)]
    assert parked[0].state is S.UNRESOLVED
    assert "before a receipt was written" in (parked[0].reason or "")
    assert desk.state(key_of(night, 1)) is S.PLANNED
    assert desk.state(key_of(other, 0)) is S.SUBMITTING


def test_another_location_and_another_night_leave_the_abandoned_alone(desk: Desk) -> None:
    night = new_night()
    desk.plan(night)
    desk.begin(key_of(night, 0))
    desk.clock.advance(3600)
    desk.ledger.claim_batch(night.batch, "here")

    assert desk.ledger.park_abandoned(location="there") == []
    assert desk.ledger.park_abandoned(night=new_night()) == []
    assert desk.state(key_of(night, 0)) is S.SUBMITTING
    assert len(desk.ledger.park_abandoned(location="here", night=night)) == 1


def test_who_has_the_lease_and_sent_nothing_parks_what_a_process_before_it_sent(desk: Desk) -> None:
    night = new_night()
    desk.plan(night)
    desk.begin(key_of(night, 0), owner="run-1")

    assert desk.ledger.park_abandoned(owner="run-2") == []
    assert len(desk.ledger.park_abandoned(owner="run-1")) == 1


def test_the_newest_refusal_of_an_account_is_kept(desk: Desk) -> None:
    start = desk.clock.now()
    desk.ledger.stop_account("floyo", "insufficient_credits", "top up")
    desk.clock.advance(10)
    desk.ledger.stop_account("floyo", "invalid_key", "flo_abcdefgh12345678 is no key")

    stop = desk.ledger.account_stop("floyo", start)

    assert stop is not None
    assert (stop.code, stop.at) == ("invalid_key", start + timedelta(seconds=10))
    assert "flo_abcdefgh12345678" not in stop.message
    assert desk.ledger.account_stop("floyo", stop.at) == stop
    assert desk.ledger.account_stop("floyo", stop.at + timedelta(microseconds=1)) is None
    assert desk.ledger.account_stop("another", start) is None


def test_a_request_for_work_is_counted_and_spaced(desk: Desk) -> None:
    night = new_night()
    desk.plan(night)
    start = desk.clock.now()

    assert desk.ledger.request_work(night, "submit", not_before=start) == 1
    assert desk.ledger.request_work(night, "submit", not_before=start) == 2
    desk.clock.advance(1)
    assert desk.ledger.request_work(night, "submit", not_before=start) == 3
    assert desk.ledger.request_work(night, "submit", not_before=start) is None
    assert desk.ledger.request_work(night, "collect", not_before=start) == 1

    record = desk.ledger.night(night)
    assert record is not None
    assert (record.submit_attempts, record.collect_attempts) == (3, 1)
    assert record.submit_requested_at == desk.clock.now()


def test_a_receipt_shows_progress_and_resets_the_submit_attempts(desk: Desk) -> None:
    night = new_night()
    desk.plan(night)
    desk.ledger.request_work(night, "submit", not_before=desk.clock.now())

    desk.begin(key_of(night, 0))
    waiting = desk.ledger.night(night)
    desk.receive(key_of(night, 0))
    received = desk.ledger.night(night)

    assert [record.submit_attempts for record in (waiting, received) if record] == [1, 0]
