"""Polling: claims, due times, and what reports change."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from flow_pipelines.model import IN_FLIGHT, CostBasis
from flow_pipelines.model.errors import LedgerError, SubmissionNotFound
from flow_pipelines_tests.conformance.ledger.desk import (
    PROVIDER,
    Desk,
    S,
    key_of,
    new_night,
    refs,
    report,
)


def _sent(desk: Desk, *delays: float, batch: str = "posters") -> list[str]:
    """Submit one row for each delay, due that many seconds from now."""
    night = new_night(batch)
    desk.plan(night, range(len(delays)))
    keys = [key_of(night, number) for number in range(len(delays))]
    for key, delay in zip(keys, delays, strict=True):
        desk.submit(key, poll_in=delay)
    return keys


def _claim(desk: Desk, owner: str = "poller", **how) -> list[str]:
    how = {"provider": PROVIDER, "resource": PROVIDER, **how}
    return [s.submission_key for s in desk.ledger.claim_due(owner, **how)]


def test_what_is_due_is_claimed_the_longest_due_first(desk: Desk) -> None:
    late, later, not_yet = _sent(desk, 20, 10, 31)
    desk.clock.advance(30)

    assert _claim(desk, limit=1) == [later]
    assert _claim(desk, "another") == [late]
    desk.clock.advance(1)
    assert _claim(desk, "another", limit=1) == [late]
    assert _claim(desk, "third") == [not_yet]


def test_a_claim_hides_from_others_until_it_expires(desk: Desk) -> None:
    (key,) = _sent(desk, 0)

    assert _claim(desk, "one", ttl_seconds=60) == [key]
    assert _claim(desk, "one", ttl_seconds=60) == [key]
    desk.clock.advance(59)
    assert _claim(desk, "two") == []
    desk.clock.advance(1)
    assert _claim(desk, "two") == [key]
    assert _claim(desk, "one") == []


def test_claims_are_given_back_by_their_owner_alone(desk: Desk) -> None:
    first, second = _sent(desk, 0, 1)
    desk.clock.advance(1)
    _claim(desk, "one", limit=1)
    _claim(desk, "two")

    desk.ledger.release_claims("one")

    assert _claim(desk, "three") == [first]
    desk.ledger.release_claims("two")
    assert _claim(desk, "three") == [first, second]


@pytest.mark.parametrize("said", [S.RUNNING, None])
def test_a_poll_ends_the_claim(desk: Desk, said: S | None) -> None:
    (key,) = _sent(desk, 0)
    _claim(desk, "one")

    desk.poll(key, said)
    desk.clock.advance(10)

    assert _claim(desk, "two") == [key]


def test_only_the_asked_account_location_and_night_are_claimed(desk: Desk) -> None:
    (poster,) = _sent(desk, 0)
    (cover,) = _sent(desk, 0, batch="covers")
    night = desk.ledger.submission(poster).night
    desk.ledger.claim_batch("posters", "here")

    assert _claim(desk, resource="floyo_second") == []
    assert _claim(desk, provider="flora") == []
    assert _claim(desk, location="there") == [cover]
    desk.ledger.release_claims("poller")
    assert _claim(desk, night=new_night()) == []
    assert _claim(desk, night=night) == [poster]


def test_the_next_due_time_is_that_of_what_is_in_flight(desk: Desk) -> None:
    start = desk.clock.now()
    first, second = _sent(desk, 5, 9)
    night = desk.ledger.submission(first).night
    asked = {"provider": PROVIDER, "resource": PROVIDER}

    assert desk.ledger.next_due_at(**asked) == start + timedelta(seconds=5)
    desk.poll(first, S.SUCCEEDED)
    assert desk.ledger.next_due_at(**asked, night=night) == start + timedelta(seconds=9)
    desk.poll(second, S.CANCELED)
    assert desk.ledger.next_due_at(**asked) is None


def test_a_failed_poll_is_asked_again_later_and_counts_for_nothing(desk: Desk) -> None:
    (key,) = _sent(desk, 0)
    _claim(desk, "one")
    before = desk.ledger.night(desk.ledger.submission(key).night)
    later = desk.clock.now() + timedelta(seconds=30)

    desk.ledger.postpone_poll(key, later, "HTTP 502")

    submission = desk.ledger.submission(key)
    assert (submission.next_poll_at, submission.polls) == (later, 0)
    assert submission.reason == "HTTP 502"
    assert desk.ledger.night(submission.night) == before
    assert _claim(desk, "two") == []
    desk.clock.advance(30)
    assert _claim(desk, "two") == [key]


def test_the_search_for_an_unresolved_run_is_postponed_and_never_polled(desk: Desk) -> None:
    key = desk.reach(S.UNRESOLVED)
    later = desk.clock.now() + timedelta(seconds=30)

    desk.ledger.postpone_poll(key, later, "none found")
    desk.clock.advance(60)

    assert desk.ledger.submission(key).next_poll_at == later
    assert _claim(desk) == []
    assert desk.ledger.next_due_at(provider=PROVIDER, resource=PROVIDER) is None
    desk.settle_not_created(key)
    assert desk.ledger.submission(key).next_poll_at is None


@pytest.mark.parametrize("state", [S.PLANNED, S.SUBMITTING, S.SUCCEEDED])
def test_there_is_nothing_to_postpone_where_nothing_is_asked(desk: Desk, state: S) -> None:
    key = desk.reach(state)
    before = desk.everything(key)

    desk.ledger.postpone_poll(key, desk.clock.now(), "HTTP 502")

    assert desk.everything(key) == before


def test_what_is_said_to_have_ended_is_due_at_once_and_otherwise_as_it_was(desk: Desk) -> None:
    (key,) = _sent(desk, 300)
    before = desk.ledger.submission(key)
    night = desk.ledger.night(before.night)

    for _ in range(2):
        assert desk.ledger.mark_due(key)

    assert desk.ledger.submission(key) == replace(before, next_poll_at=desk.clock.now())
    assert desk.ledger.night(before.night) == night
    assert _claim(desk) == [key]


def test_what_is_due_already_stays_due_since_when_it_was(desk: Desk) -> None:
    late, later = _sent(desk, 10, 20)
    desk.clock.advance(30)

    assert desk.ledger.mark_due(later)

    assert _claim(desk) == [late, later]


def test_news_of_a_run_that_is_being_asked_after_are_to_be_told_again(desk: Desk) -> None:
    (key,) = _sent(desk, 0)
    _claim(desk, "one", ttl_seconds=60)

    assert not desk.ledger.mark_due(key)
    assert _claim(desk, "two") == []
    desk.poll(key, S.RUNNING)
    assert desk.ledger.mark_due(key)
    assert _claim(desk, "two", ttl_seconds=60) == [key]
    desk.clock.advance(60)  # its poller died
    assert desk.ledger.mark_due(key)
    assert _claim(desk, "three") == [key]


@pytest.mark.parametrize("state", sorted(set(S) - IN_FLIGHT))
def test_only_what_is_in_flight_can_be_due(desk: Desk, state: S) -> None:
    key = desk.reach(state)
    before = desk.everything(key)

    assert desk.ledger.mark_due(key)

    assert desk.everything(key) == before


def test_nobody_is_due_who_does_not_exist(desk: Desk) -> None:
    with pytest.raises(SubmissionNotFound):
        desk.ledger.mark_due("nobody")


def test_a_poll_that_says_nothing_new_moves_no_revision(desk: Desk) -> None:
    key = desk.reach(S.RUNNING)
    night = desk.ledger.submission(key).night
    before = desk.ledger.night(night)

    polled = desk.poll(key, S.QUEUED)

    assert (polled.state, polled.polls, polled.provider_status) == (S.RUNNING, 2, "QUEUED")
    assert desk.ledger.night(night) == before


def test_a_run_in_flight_is_never_left_without_a_next_poll(desk: Desk) -> None:
    key = desk.reach(S.SUBMITTED)
    before = desk.everything(key)

    with pytest.raises(LedgerError, match="when to poll next"):
        desk.ledger.record_poll(
            key, report(f"run {key}", S.RUNNING), next_poll_at=None, cost_usd=None,
            cost_basis=CostBasis.UNKNOWN,
        )  # fmt: skip

    assert desk.everything(key) == before


def test_the_end_of_a_run_is_written_with_time_cost_and_outputs(desk: Desk) -> None:
    (key,) = _sent(desk, 0)
    desk.clock.advance(90)
    said = {
        "started_at": desk.clock.now() - timedelta(seconds=60),
        "finished_at": desk.clock.now() - timedelta(seconds=7),
        "run_ms": 53_000,
        "flotime_ms": 48_123,
    }

    ended = desk.poll(key, S.SUCCEEDED, cost="0.0481", outputs=refs("b", "a", "b"), **said)

    assert (ended.state, ended.next_poll_at, ended.polls) == (S.SUCCEEDED, None, 1)
    assert (ended.finished_at, ended.run_ms) == (said["finished_at"], 53_000)
    assert (ended.flotime_ms, str(ended.cost_usd)) == (48_123, "0.048100")
    assert (ended.cost_basis, ended.reserved_usd) == (CostBasis.CHARGED, ended.cost_usd)
    outputs = desk.ledger.outputs(ended.night)[key]
    assert [(o.output_index, o.output_id, o.file_name) for o in outputs] == [
        (0, "b", "b.png"),
        (1, "a", "a.png"),
    ]


def test_a_run_without_times_is_measured_by_us(desk: Desk) -> None:
    (key,) = _sent(desk, 0)
    desk.clock.advance(12.345678)

    ended = desk.poll(key, S.FAILED, error_code="oom", error_message="out of memory")

    assert (ended.finished_at, ended.run_ms) == (desk.clock.now(), 12_345)
    assert (ended.error_code, ended.error_message) == ("oom", "out of memory")


def test_an_output_keeps_its_index_in_whatever_order_it_is_seen_again(desk: Desk) -> None:
    (key,) = _sent(desk, 0)
    desk.poll(key, S.SUCCEEDED, outputs=refs("b", "a"))

    desk.poll(key, S.SUCCEEDED, outputs=refs("c", "a", "a", "d", "b"))
    desk.poll(key, S.SUCCEEDED, outputs=refs("d"))

    outputs = desk.ledger.outputs(desk.ledger.submission(key).night)[key]
    assert [o.output_id for o in outputs] == ["b", "a", "c", "d"]
    assert [o.output_index for o in outputs] == [0, 1, 2, 3]


def test_a_later_report_without_a_charge_about_an_ended_run_adds_outputs_and_nothing_else(
    desk: Desk,
) -> None:
    (key,) = _sent(desk, 0)
    first = desk.poll(key, S.FAILED, cost="0.01", outputs=refs("a"))
    desk.clock.advance(100)

    again = desk.poll(key, S.SUCCEEDED, outputs=refs("b"), run_ms=1, error_message="other")

    assert again == first
    assert len(desk.ledger.outputs(first.night)[key]) == 2


def test_words_of_a_provider_are_kept_short_and_without_secrets(desk: Desk) -> None:
    (key,) = _sent(desk, 0)
    words = "nul \x00 Bearer abc.def-ghi " + "x" * 9000

    ended = desk.poll(key, S.FAILED, error_message=words)

    assert ended.error_message is not None
    assert len(ended.error_message) == 4000
    assert ended.error_message.startswith("nul \ufffd Bearer *** x")
