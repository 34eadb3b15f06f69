"""Polling: claims, due times, and what reports change."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from flow_pipelines.model import IN_FLIGHT, CostBasis
from flow_pipelines.model.errors import LedgerError, SubmissionNotFound
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    PROVIDER,
    LedgerDriver,
    S,
    key_of,
    new_night,
    refs,
    report,
)


def _sent(driver: LedgerDriver, *delays: float, batch: str = "posters") -> list[str]:
    """Submit one row for each delay, due that many seconds from now."""
    night = new_night(batch)
    driver.plan(night, range(len(delays)))
    keys = [key_of(night, number) for number in range(len(delays))]
    for key, delay in zip(keys, delays, strict=True):
        driver.submit(key, poll_in=delay)
    return keys


def _claim(driver: LedgerDriver, owner: str = "poller", **how) -> list[str]:
    how = {"provider": PROVIDER, "resource": PROVIDER, **how}
    return [s.submission_key for s in driver.ledger.claim_due(owner, **how)]


def test_what_is_due_is_claimed_the_longest_due_first(driver: LedgerDriver) -> None:
    late, later, not_yet = _sent(driver, 20, 10, 31)
    driver.clock.advance(30)

    assert _claim(driver, limit=1) == [later]
    assert _claim(driver, "another") == [late]
    driver.clock.advance(1)
    assert _claim(driver, "another", limit=1) == [late]
    assert _claim(driver, "third") == [not_yet]


def test_a_claim_hides_from_others_until_it_expires(driver: LedgerDriver) -> None:
    (key,) = _sent(driver, 0)

    assert _claim(driver, "one", ttl_seconds=60) == [key]
    assert _claim(driver, "one", ttl_seconds=60) == [key]
    driver.clock.advance(59)
    assert _claim(driver, "two") == []
    driver.clock.advance(1)
    assert _claim(driver, "two") == [key]
    assert _claim(driver, "one") == []


def test_claims_are_given_back_by_their_owner_alone(driver: LedgerDriver) -> None:
    first, second = _sent(driver, 0, 1)
    driver.clock.advance(1)
    _claim(driver, "one", limit=1)
    _claim(driver, "two")

    driver.ledger.release_claims("one")

    assert _claim(driver, "three") == [first]
    driver.ledger.release_claims("two")
    assert _claim(driver, "three") == [first, second]


@pytest.mark.parametrize("said", [S.RUNNING, None])
def test_a_poll_ends_the_claim(driver: LedgerDriver, said: S | None) -> None:
    (key,) = _sent(driver, 0)
    _claim(driver, "one")

    driver.poll(key, said)
    driver.clock.advance(10)

    assert _claim(driver, "two") == [key]


def test_only_the_asked_account_location_and_night_are_claimed(driver: LedgerDriver) -> None:
    (poster,) = _sent(driver, 0)
    (cover,) = _sent(driver, 0, batch="covers")
    night = driver.ledger.submission(poster).night
    driver.ledger.claim_batch("posters", "here")

    assert _claim(driver, resource="floyo_second") == []
    assert _claim(driver, provider="flora") == []
    assert _claim(driver, location="there") == [cover]
    driver.ledger.release_claims("poller")
    assert _claim(driver, night=new_night()) == []
    assert _claim(driver, night=night) == [poster]


def test_the_next_due_time_is_that_of_what_is_in_flight(driver: LedgerDriver) -> None:
    start = driver.clock.now()
    first, second = _sent(driver, 5, 9)
    night = driver.ledger.submission(first).night
    asked = {"provider": PROVIDER, "resource": PROVIDER}

    assert driver.ledger.next_due_at(**asked) == start + timedelta(seconds=5)
    driver.poll(first, S.SUCCEEDED)
    assert driver.ledger.next_due_at(**asked, night=night) == start + timedelta(seconds=9)
    driver.poll(second, S.CANCELED)
    assert driver.ledger.next_due_at(**asked) is None


def test_a_failed_poll_is_asked_again_later_and_counts_for_nothing(driver: LedgerDriver) -> None:
    (key,) = _sent(driver, 0)
    _claim(driver, "one")
    before = driver.ledger.night(driver.ledger.submission(key).night)
    later = driver.clock.now() + timedelta(seconds=30)

    driver.ledger.postpone_poll(key, later, "HTTP 502")

    submission = driver.ledger.submission(key)
    assert (submission.next_poll_at, submission.polls) == (later, 0)
    assert submission.reason == "HTTP 502"
    assert driver.ledger.night(submission.night) == before
    assert _claim(driver, "two") == []
    driver.clock.advance(30)
    assert _claim(driver, "two") == [key]


def test_the_search_for_an_unresolved_run_is_postponed_and_never_polled(
    driver: LedgerDriver,
) -> None:
    key = driver.reach(S.UNRESOLVED)
    later = driver.clock.now() + timedelta(seconds=30)

    driver.ledger.postpone_poll(key, later, "none found")
    driver.clock.advance(60)

    assert driver.ledger.submission(key).next_poll_at == later
    assert _claim(driver) == []
    assert driver.ledger.next_due_at(provider=PROVIDER, resource=PROVIDER) is None
    driver.settle_not_created(key)
    assert driver.ledger.submission(key).next_poll_at is None


@pytest.mark.parametrize("state", [S.PLANNED, S.SUBMITTING, S.SUCCEEDED])
def test_there_is_nothing_to_postpone_where_nothing_is_asked(
    driver: LedgerDriver, state: S
) -> None:
    key = driver.reach(state)
    before = driver.everything(key)

    driver.ledger.postpone_poll(key, driver.clock.now(), "HTTP 502")

    assert driver.everything(key) == before


def test_what_is_said_to_have_ended_is_due_at_once_and_otherwise_as_it_was(
    driver: LedgerDriver,
) -> None:
    (key,) = _sent(driver, 300)
    before = driver.ledger.submission(key)
    night = driver.ledger.night(before.night)

    for _ in range(2):
        assert driver.ledger.mark_due(key)

    assert driver.ledger.submission(key) == replace(before, next_poll_at=driver.clock.now())
    assert driver.ledger.night(before.night) == night
    assert _claim(driver) == [key]


def test_what_is_due_already_stays_due_since_when_it_was(driver: LedgerDriver) -> None:
    late, later = _sent(driver, 10, 20)
    driver.clock.advance(30)

    assert driver.ledger.mark_due(later)

    assert _claim(driver) == [late, later]


def test_news_of_a_run_that_is_being_asked_after_are_to_be_told_again(driver: LedgerDriver) -> None:
    (key,) = _sent(driver, 0)
    _claim(driver, "one", ttl_seconds=60)

    assert not driver.ledger.mark_due(key)
    assert _claim(driver, "two") == []
    driver.poll(key, S.RUNNING)
    assert driver.ledger.mark_due(key)
    assert _claim(driver, "two", ttl_seconds=60) == [key]
    driver.clock.advance(60)  # its poller died
    assert driver.ledger.mark_due(key)
    assert _claim(driver, "three") == [key]


@pytest.mark.parametrize("state", sorted(set(S) - IN_FLIGHT))
def test_only_what_is_in_flight_can_be_due(driver: LedgerDriver, state: S) -> None:
    key = driver.reach(state)
    before = driver.everything(key)

    assert driver.ledger.mark_due(key)

    assert driver.everything(key) == before


def test_nobody_is_due_who_does_not_exist(driver: LedgerDriver) -> None:
    with pytest.raises(SubmissionNotFound):
        driver.ledger.mark_due("nobody")


def test_a_poll_that_says_nothing_new_moves_no_revision(driver: LedgerDriver) -> None:
    key = driver.reach(S.RUNNING)
    night = driver.ledger.submission(key).night
    before = driver.ledger.night(night)

    polled = driver.poll(key, S.QUEUED)

    assert (polled.state, polled.polls, polled.provider_status) == (S.RUNNING, 2, "QUEUED")
    assert driver.ledger.night(night) == before


def test_a_run_in_flight_is_never_left_without_a_next_poll(driver: LedgerDriver) -> None:
    key = driver.reach(S.SUBMITTED)
    before = driver.everything(key)

    with pytest.raises(LedgerError, match="when to poll next"):
        driver.ledger.record_poll(
            key, report(f"run {key}", S.RUNNING), next_poll_at=None, cost_usd=None,
            cost_basis=CostBasis.UNKNOWN,
        )  # fmt: skip

    assert driver.everything(key) == before


def test_the_end_of_a_run_is_written_with_time_cost_and_outputs(driver: LedgerDriver) -> None:
    (key,) = _sent(driver, 0)
    driver.clock.advance(90)
    said = {
        "started_at": driver.clock.now() - timedelta(seconds=60),
        "finished_at": driver.clock.now() - timedelta(seconds=7),
        "run_ms": 53_000,
        "flotime_ms": 48_123,
    }

    ended = driver.poll(key, S.SUCCEEDED, cost="0.0481", outputs=refs("b", "a", "b"), **said)

    assert (ended.state, ended.next_poll_at, ended.polls) == (S.SUCCEEDED, None, 1)
    assert (ended.finished_at, ended.run_ms) == (said["finished_at"], 53_000)
    assert (ended.flotime_ms, str(ended.cost_usd)) == (48_123, "0.048100")
    assert (ended.cost_basis, ended.reserved_usd) == (CostBasis.CHARGED, ended.cost_usd)
    outputs = driver.ledger.outputs(ended.night)[key]
    assert [(o.output_index, o.output_id, o.file_name) for o in outputs] == [
        (0, "b", "b.png"),
        (1, "a", "a.png"),
    ]


def test_a_run_without_times_is_measured_by_us(driver: LedgerDriver) -> None:
    (key,) = _sent(driver, 0)
    driver.clock.advance(12.345678)

    ended = driver.poll(key, S.FAILED, error_code="oom", error_message="out of memory")

    assert (ended.finished_at, ended.run_ms) == (driver.clock.now(), 12_345)
    assert (ended.error_code, ended.error_message) == ("oom", "out of memory")


def test_an_output_keeps_its_index_in_whatever_order_it_is_seen_again(driver: LedgerDriver) -> None:
    (key,) = _sent(driver, 0)
    driver.poll(key, S.SUCCEEDED, outputs=refs("b", "a"))

    driver.poll(key, S.SUCCEEDED, outputs=refs("c", "a", "a", "d", "b"))
    driver.poll(key, S.SUCCEEDED, outputs=refs("d"))

    outputs = driver.ledger.outputs(driver.ledger.submission(key).night)[key]
    assert [o.output_id for o in outputs] == ["b", "a", "c", "d"]
    assert [o.output_index for o in outputs] == [0, 1, 2, 3]


def test_a_later_report_without_a_charge_about_an_ended_run_adds_outputs_and_nothing_else(
    driver: LedgerDriver,
) -> None:
    (key,) = _sent(driver, 0)
    first = driver.poll(key, S.FAILED, cost="0.01", outputs=refs("a"))
    driver.clock.advance(100)

    again = driver.poll(key, S.SUCCEEDED, outputs=refs("b"), run_ms=1, error_message="other")

    assert again == first
    assert len(driver.ledger.outputs(first.night)[key]) == 2


def test_words_of_a_provider_are_kept_short_and_without_secrets(driver: LedgerDriver) -> None:
    (key,) = _sent(driver, 0)
    words = "nul \x00 Bearer abc.def-ghi " + "x" * 9000

    ended = driver.poll(key, S.FAILED, error_message=words)

    assert ended.error_message is not None
    assert len(ended.error_message) == 4000
    assert ended.error_message.startswith("nul \ufffd Bearer *** x")


@pytest.mark.case(
    "ten rows were to be sent, three of them were canceled at the provider: three more were bought",
    "a canceled run leaves no room below the limit that somebody asked for",
)
def test_a_run_that_is_canceled_makes_no_room_for_another(shared_driver: LedgerDriver) -> None:
    night = new_night()
    shared_driver.plan(night, [0, 1, 2])
    shared_driver.ledger.note_submitter(night, None, 2)
    for number in (0, 1):
        shared_driver.submit(key_of(night, number))

    shared_driver.poll(key_of(night, 0), S.CANCELED)

    record = shared_driver.ledger.night(night)
    assert record is not None
    assert (record.submit_goal, record.sent) == (1, 1)
