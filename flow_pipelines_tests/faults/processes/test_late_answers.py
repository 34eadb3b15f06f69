"""The answer to a POST comes when others have long gone on: no row is billed a second time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flow_pipelines.ledger.contract import UNDER_WAY
from flow_pipelines.lifecycle import recover, submit_lease, submit_night
from flow_pipelines.lifecycle.submit import MAX_INTENT_AGE, SubmitSummary
from flow_pipelines.model import Receipt
from flow_pipelines.model.errors import (
    AccountRejected,
    IllegalTransition,
    ProviderError,
    RateLimited,
    RequestRejected,
    SettledTooEarly,
)
from flow_pipelines.provider import SubmitRequest
from flow_pipelines_tests.faults.processes.meanwhile import Meanwhile, another_host
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

AFTER_THE_LEASE = 46.0
LONG_AFTER = UNDER_WAY.total_seconds() + 1
FACTS = {"provider": "floyo", "operation": "create_run"}


def park(harness: LifecycleHarness, ahead_seconds: float = AFTER_THE_LEASE) -> None:
    """Let a sensor on another host find the lease run out."""
    with another_host(harness, ahead_seconds=ahead_seconds) as ports:
        assert recover(ports).parked == 1


def give_up_and_buy(harness: LifecycleHarness, ahead_seconds: float) -> SubmitSummary:
    """Let a person say that the one row was not created, and another run buy it."""
    [row] = harness.ledger.submissions(harness.night)
    with another_host(harness, ahead_seconds=ahead_seconds) as ports:
        ports.ledger.settle_not_created(row.submission_key, who="ann", why="not in the list")
        return submit_night(harness.settings, harness.night, ports, owner="another")


def once(act: Callable[[], object]) -> Callable[[SubmitRequest, int], None]:
    """Let something happen while the first POST is under way."""

    def on_submit(_request: SubmitRequest, number: int) -> None:
        if number == 1:
            act()

    return on_submit


# -- a person's word


@pytest.mark.parametrize("seconds", [AFTER_THE_LEASE, 120.0, 600.0, UNDER_WAY.total_seconds() - 1])
def test_nothing_is_planned_again_while_its_post_may_be_under_way(
    harness: LifecycleHarness, seconds: float
) -> None:
    harness.plan("a cat")

    def meanwhile() -> None:
        park(harness, seconds)
        with pytest.raises(SettledTooEarly, match="not created after 02:15:00 UTC"):
            give_up_and_buy(harness, seconds)

    harness.provider.on_submit = once(meanwhile)
    harness.submit()

    assert harness.states() == ["submitted"]
    assert len(harness.provider.runs) == 1


def test_nothing_is_planned_again_while_the_run_that_sent_it_holds_its_lease(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat")

    def meanwhile() -> None:
        park(harness)
        harness.clock.advance(LONG_AFTER)
        harness.ledger.acquire_lease(submit_lease(harness.night), "run-1", 45.0)
        with pytest.raises(SettledTooEarly, match=r"run-1 that sent .* is still submitting"):
            give_up_and_buy(harness, 0.0)

    harness.provider.on_submit = once(meanwhile)
    harness.submit()

    assert harness.states() == ["submitted"]
    assert len(harness.provider.runs) == 1


def test_nothing_is_planned_again_while_a_copy_may_be_under_way(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    harness.provider.capabilities = replace(harness.provider.capabilities, replays=True)

    def refuse() -> None:
        park(harness)
        raise RateLimited("no", **FACTS)

    harness.provider.on_submit = once(refuse)
    harness.submit()
    [row] = harness.ledger.submissions(harness.night)
    harness.clock.advance(LONG_AFTER)
    harness.ledger.acquire_lease(f"replay:{row.submission_key}", "sensor", 180.0)

    with pytest.raises(SettledTooEarly, match="sent again under its key"):
        give_up_and_buy(harness, 0.0)
    assert harness.states() == ["unresolved"]


def test_a_process_that_stood_still_after_its_intent_sends_nothing(
    harness: LifecycleHarness,
) -> None:
    """It was suspended so long that a person, rightly, found no run and let it be bought."""
    harness.plan("a cat")

    def stand_still() -> None:
        harness.clock.advance(LONG_AFTER)
        park(harness, 0.0)
        give_up_and_buy(harness, 0.0)

    ports = replace(
        harness.ports, ledger=Meanwhile(harness.ledger, "begin_submission", stand_still)
    )
    summary = submit_night(harness.settings, harness.night, ports, owner="slow")

    assert len(harness.provider.runs) == 1
    assert [row.dagster_run_id for row in harness.ledger.submissions(harness.night)] == ["another"]
    assert "stood still for 901 s" in (summary.stopped or "")
    assert not summary.needs_person


def test_what_was_not_sent_in_time_is_planned_and_bought_by_the_next_run(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog")
    late = MAX_INTENT_AGE.total_seconds() + 1

    def stand_still() -> None:
        harness.clock.advance(late)

    ports = replace(
        harness.ports, ledger=Meanwhile(harness.ledger, "begin_submission", stand_still)
    )
    summary = submit_night(harness.settings, harness.night, ports, owner="slow")

    assert (summary.submitted, summary.left_planned) == (0, 2)
    assert harness.submit("next").submitted == 2
    assert len(harness.provider.posts) == 2


# -- an answer that belongs to an older intent


@pytest.mark.parametrize("refusal", [RateLimited, RequestRejected, AccountRejected])
def test_a_refusal_of_an_older_intent_says_nothing_about_the_next_one(
    harness: LifecycleHarness, refusal: type[ProviderError]
) -> None:
    harness.plan("a cat")

    def buy_again(_request: SubmitRequest, number: int) -> None:
        if number == 1:  # stuck within its POST for longer than any POST may be
            park(harness, LONG_AFTER)
            give_up_and_buy(harness, LONG_AFTER)
            raise refusal("no", **FACTS)

    harness.provider.on_submit = buy_again
    harness.submit()

    assert harness.states() == ["submitted"]
    assert len(harness.provider.runs) == 1


def test_an_old_answer_never_lands_on_an_intent_that_is_under_way(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat")
    sent = []

    def first(_request: SubmitRequest, number: int) -> None:
        if number == 1:
            sent.extend(harness.ledger.submissions(harness.night))
            park(harness, LONG_AFTER)
            give_up_and_buy(harness, LONG_AFTER)
            raise RateLimited("no", **FACTS)
        # The second POST is under way: what the first one's answer would write now is refused.
        [old], ledger = sent, harness.ledger
        for write in (
            lambda: ledger.return_to_plan(old.submission_key, "429", sent=old),
            lambda: ledger.reject_submission(old.submission_key, None, "400", sent=old),
            lambda: ledger.park_submission(old.submission_key, "lost", sent=old),
        ):
            with pytest.raises(IllegalTransition):
                write()

    harness.provider.on_submit = first
    harness.submit()

    assert harness.states() == ["submitted"]
    assert len(harness.provider.posts) == 2


@pytest.mark.case(
    "a row was planned again on a person's word, and then the receipt of its POST arrived",
    "the receipt proves its run: it is attached, and the row is not bought again",
)
def test_a_receipt_that_comes_after_a_persons_word_is_the_rows(harness: LifecycleHarness) -> None:
    harness.plan("a cat")

    def late(request: SubmitRequest, _number: int) -> Receipt:
        park(harness, LONG_AFTER)
        with another_host(harness, ahead_seconds=LONG_AFTER) as ports:
            key = request.submission_key
            ports.ledger.settle_not_created(key, who="ann", why="not in the list")
        return harness.provider.accept(request)

    harness.provider.on_submit = late
    harness.submit()
    harness.submit(owner="run-2")

    assert harness.states() == ["submitted"]
    assert len(harness.provider.posts) == len(harness.provider.runs) == 1


# -- a refusal that comes after others parked its submission


@pytest.mark.parametrize(
    ("refusal", "states", "billed"),
    [
        (RateLimited, ["submitted", "submitted"], 2),
        (RequestRejected, ["failed", "submitted"], 1),
        (AccountRejected, ["planned", "planned"], 0),
    ],
)
def test_a_late_refusal_settles_what_was_parked_meanwhile(
    harness: LifecycleHarness, refusal: type[ProviderError], states: list[str], billed: int
) -> None:
    harness.plan("a cat", "a dog")

    def refuse() -> None:
        park(harness)
        raise refusal("no", **FACTS)

    harness.provider.on_submit = once(refuse)
    harness.submit()

    assert harness.states() == states
    assert len(harness.provider.runs) == billed
    first = harness.ledger.submissions(harness.night)[0]
    [settled] = harness.ledger.settlements(first.submission_key)
    assert (settled.action, settled.who) == ("settle_not_created", "flow-pipelines")


def test_a_late_refusal_settles_nothing_where_a_copy_may_have_been_sent(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog")
    harness.provider.capabilities = replace(harness.provider.capabilities, replays=True)

    def refuse() -> None:
        park(harness)
        raise RequestRejected("no", **FACTS)

    harness.provider.on_submit = once(refuse)
    harness.submit()

    assert harness.states() == ["unresolved", "submitted"]


def test_an_interrupt_after_the_submission_was_parked_is_still_that_interrupt(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat")

    def interrupt() -> None:
        park(harness)
        raise KeyboardInterrupt

    harness.provider.on_submit = once(interrupt)
    with pytest.raises(KeyboardInterrupt):
        harness.submit()

    assert harness.states() == ["unresolved"]
