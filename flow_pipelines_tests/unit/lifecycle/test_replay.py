"""Copies of paid requests: which are sent, when, and what their answers prove."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest

from flow_pipelines.lifecycle.replay import CLAIM_SECONDS
from flow_pipelines.model import Receipt, SubmissionState
from flow_pipelines.model.errors import (
    AccountRejected,
    KeyAlreadyKnown,
    NotFound,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
    UnexpectedAnswer,
)
from flow_pipelines.provider import SubmitRequest
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness
from flow_pipelines_tests.unit.lifecycle.keyed_provider import (
    ALIKE,
    KeyedProvider,
    copies_in,
    lose_answers,
    tick,
)

S = SubmissionState


@pytest.fixture
def keyed(harness: LifecycleHarness) -> KeyedProvider:
    harness.provider = KeyedProvider(harness.clock)
    return harness.provider


def test_a_lost_answer_is_learned_from_a_copy(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat")
    assert len(copies_in(harness, 600)) == 1
    assert keyed.lists == 0
    assert harness.states() == ["submitted"]
    assert len(keyed.runs) == 1
    assert keyed.posts[0] == keyed.posts[1]
    settled = harness.ledger.settlements(keyed.posts[0].submission_key)
    assert [(one.action, one.why) for one in settled] == [("attach", "known by its key")]


def test_what_never_arrived_is_bought_by_its_copy_once(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat", accepted=False)
    assert len(copies_in(harness, 7200)) == 1
    assert harness.states() == ["submitted"]
    assert len(keyed.runs) == 1


def test_copies_keep_to_their_window_and_grow_rarer(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat", accepted=False)

    def lose(_request: SubmitRequest, _number: int) -> None:
        raise SubmitOutcomeUnknown("lost again", **ALIKE)

    keyed.on_submit = lose
    ages = copies_in(harness, 3 * 3600)
    assert 3 <= len(ages) <= 8
    assert min(ages) >= 120
    assert max(ages) <= 90 * 60
    gaps = [after - before for before, after in pairwise(ages)]
    assert gaps == sorted(gaps)
    assert min(gaps) >= CLAIM_SECONDS
    assert harness.states() == ["unresolved"]
    (submission,) = harness.ledger.submissions(harness.night)
    assert submission.reason is not None
    assert submission.reason.count("sent again") == 1
    assert submission.reserved_usd > 0


@pytest.mark.parametrize(
    "error",
    [
        ProviderUnavailable,
        RateLimited,
        AccountRejected,
        RequestRejected,
        NotFound,
        SubmitOutcomeUnknown,
        UnexpectedAnswer,
    ],
)
def test_any_other_answer_to_a_copy_proves_nothing_of_the_first(
    harness: LifecycleHarness, keyed: KeyedProvider, error: type[ProviderError]
) -> None:
    lose_answers(harness, "a cat")

    def refuse(_request: SubmitRequest, number: int) -> None:
        if number == 2:
            raise error("no", **ALIKE)

    keyed.on_submit = refuse
    assert len(copies_in(harness, 240)) == 1
    assert harness.states() == ["unresolved"]
    copies_in(harness, 1800)
    assert harness.states() == ["submitted"]
    assert len(keyed.runs) == 1


@pytest.mark.case(
    "a key that FLORA refused as known was given the run that fitted by time",
    "the row stays unresolved, no copy is sent any more, and its candidates are told",
)
def test_a_known_key_leaves_candidates_for_a_person(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat")

    def known(_request: SubmitRequest, _number: int) -> None:
        raise KeyAlreadyKnown("used before", **ALIKE)

    keyed.on_submit = known
    assert len(copies_in(harness, 7200)) == 1
    assert harness.states() == ["unresolved"]
    [row] = harness.ledger.submissions(harness.night)
    assert "1 provider run may be its (run_0001); a person has to choose" in (row.reason or "")
    assert [one.action for one in harness.ledger.settlements(row.submission_key)] == ["key_known"]


def test_nothing_is_sent_again_while_somebody_paused(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat", accepted=False)
    harness.ledger.pause("ann", "prices")
    assert copies_in(harness, 1200) == []
    harness.ledger.resume()
    assert len(copies_in(harness, 2400)) == 1


def test_nothing_is_sent_again_where_a_copy_would_buy_again(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    keyed.capabilities = replace(keyed.capabilities, replays=False)
    lose_answers(harness, "a cat", accepted=False)
    assert copies_in(harness, 7200, every=60) == []
    assert harness.states() == ["unresolved"]


def test_what_a_person_settled_before_is_never_sent_again(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat")
    (key,) = harness.keys(S.UNRESOLVED)
    harness.clock.advance(3600)
    harness.ledger.settle_not_created(key, who="ann", why="not in the list")

    def lose(_request: SubmitRequest, _number: int) -> None:
        raise SubmitOutcomeUnknown("lost again", **ALIKE)

    keyed.on_submit = lose
    harness.submit(owner="run-2")
    assert copies_in(harness, 7200, every=60) == []


def test_of_many_that_look_after_a_night_at_once_one_sends_a_copy(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat")
    harness.clock.advance(180)
    inner: list[int] = []

    def look_too(_request: SubmitRequest, number: int) -> None:
        if number == 2:
            inner.append(tick(harness))
            harness.clock.advance(CLAIM_SECONDS - 1)
            inner.append(tick(harness))

    keyed.on_submit = look_too
    assert tick(harness) == 1
    assert inner == [0, 0]
    assert harness.states() == ["submitted"]


def test_a_copy_on_its_way_elsewhere_keeps_others_from_sending_one(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat")
    (key,) = harness.keys(S.UNRESOLVED)
    harness.clock.advance(180)
    harness.ledger.acquire_lease(f"replay:{key}", "another sensor", 100)
    assert copies_in(harness, 90) == []
    assert len(copies_in(harness, 60)) == 1


def test_somebody_who_waited_for_a_turn_meanwhile_sends_nothing(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat")
    harness.clock.advance(180)
    waited: list[int] = []

    def overtake() -> None:
        if not waited:
            waited.append(0)
            waited[0] = tick(harness)
            harness.clock.advance(CLAIM_SECONDS + 1)

    keyed.before_turn = overtake
    tick(harness)
    assert waited == [1]
    assert len(keyed.posts) == 2
    assert len(keyed.runs) == 1


def test_a_copy_is_put_off_before_it_is_sent(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat")
    harness.clock.advance(180)

    def die(_request: SubmitRequest, _number: int) -> None:
        raise KeyboardInterrupt

    keyed.on_submit = die
    with pytest.raises(KeyboardInterrupt):
        tick(harness)
    (submission,) = harness.ledger.submissions(harness.night)
    assert submission.next_poll_at is not None
    assert submission.next_poll_at >= harness.clock.now() + timedelta(seconds=CLAIM_SECONDS)
    keyed.on_submit = lambda _request, _number: None
    assert copies_in(harness, int(CLAIM_SECONDS) - 30) == []


@pytest.mark.parametrize("list_works", [True, False])
def test_a_key_that_is_known_at_the_first_try_waits_for_a_person(
    harness: LifecycleHarness, keyed: KeyedProvider, list_works: bool
) -> None:
    keyed.list_works = list_works

    def known(request: SubmitRequest, _number: int) -> None:
        keyed.accept(request)
        raise KeyAlreadyKnown("used before", **ALIKE)

    keyed.on_submit = known
    harness.plan("a cat")
    harness.submit()
    assert harness.states() == ["unresolved"]
    [row] = harness.ledger.submissions(harness.night)
    assert ("(run_0001)" in (row.reason or "")) is list_works
    assert copies_in(harness, 7200, every=60) == [], "how old the key is nobody knows"


def test_an_answer_that_comes_after_its_copys_changes_nothing(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    def sleep_through(request: SubmitRequest, number: int) -> Receipt | None:
        if number > 1:
            return None
        receipt = keyed.accept(request)
        harness.clock.advance(200)  # as long as a machine that was suspended in its request
        harness.ledger.park_submission(request.submission_key, "abandoned")
        assert tick(harness) == 1
        return receipt

    keyed.on_submit = sleep_through
    harness.plan("a cat")
    assert harness.submit().submitted == 1
    assert harness.states() == ["submitted"]
    assert len(keyed.runs) == 1


@pytest.mark.case(
    "a copy would be sent that is not the first request to the byte, so a second purchase",
    "the hash kept with the intent is compared first; the row waits for a person",
)
def test_a_copy_that_would_not_be_the_same_to_the_byte_is_not_sent(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    keyed.list_works = False
    lose_answers(harness, "a cat")
    with harness.ledger._database.write() as connection:
        connection.exec_driver_sql("UPDATE submissions SET body_sha256 = 'of another body'")
    assert copies_in(harness, 7200) == []
    (submission,) = harness.ledger.submissions(harness.night)
    assert submission.state is S.UNRESOLVED
    assert "would not be the same" in str(submission.reason)
