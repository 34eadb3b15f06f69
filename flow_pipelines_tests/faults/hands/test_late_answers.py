"""The answer to a POST comes when others have long gone on: no row is billed a second time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flow_pipelines.ledger.contract import UNDER_WAY
from flow_pipelines.lifecycle import recover, submit_lease, submit_night
from flow_pipelines.lifecycle.submit import SENT_WITHIN, SubmitSummary
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
from flow_pipelines_tests.faults.hands.meanwhile import Meanwhile, another_host
from flow_pipelines_tests.unit.lifecycle.conftest import Lab

AFTER_THE_LEASE = 46.0
LONG_AFTER = UNDER_WAY.total_seconds() + 1
FACTS = {"provider": "floyo", "operation": "create_run"}


def park(lab: Lab, ahead_seconds: float = AFTER_THE_LEASE) -> None:
    """Let a sensor on another host find the lease run out."""
    with another_host(lab, ahead_seconds=ahead_seconds) as ports:
        assert recover(ports).parked == 1


def give_up_and_buy(lab: Lab, ahead_seconds: float) -> SubmitSummary:
    """Let a person say that the one row was not created, and another run buy it."""
    [row] = lab.ledger.submissions(lab.night)
    with another_host(lab, ahead_seconds=ahead_seconds) as ports:
        ports.ledger.settle_not_created(row.submission_key, who="ann", why="not in the list")
        return submit_night(lab.settings, lab.night, ports, owner="another")


def once(act: Callable[[], object]) -> Callable[[SubmitRequest, int], None]:
    """Let something happen while the first POST is under way."""

    def on_submit(_request: SubmitRequest, number: int) -> None:
        if number == 1:
            act()

    return on_submit


# -- a person's word


@pytest.mark.parametrize("seconds", [AFTER_THE_LEASE, 120.0, 600.0, UNDER_WAY.total_seconds() - 1])
def test_nothing_is_planned_again_while_its_post_may_be_under_way(lab: Lab, seconds: float) -> None:
    lab.plan("a cat")

    def meanwhile() -> None:
        park(lab, seconds)
        with pytest.raises(SettledTooEarly, match="not created after 02:15:00 UTC"):
            give_up_and_buy(lab, seconds)

    lab.provider.on_submit = once(meanwhile)
    lab.submit()

    assert lab.states() == ["submitted"]
    assert len(lab.provider.runs) == 1


def test_nothing_is_planned_again_while_the_run_that_sent_it_holds_its_lease(lab: Lab) -> None:
    lab.plan("a cat")

    def meanwhile() -> None:
        park(lab)
        lab.clock.advance(LONG_AFTER)
        lab.ledger.acquire_lease(submit_lease(lab.night), "run-1", 45.0)
        with pytest.raises(SettledTooEarly, match=r"run-1 that sent .* is still submitting"):
            give_up_and_buy(lab, 0.0)

    lab.provider.on_submit = once(meanwhile)
    lab.submit()

    assert lab.states() == ["submitted"]
    assert len(lab.provider.runs) == 1


def test_nothing_is_planned_again_while_a_copy_may_be_under_way(lab: Lab) -> None:
    lab.plan("a cat")
    lab.provider.capabilities = replace(lab.provider.capabilities, replays=True)

    def refuse() -> None:
        park(lab)
        raise RateLimited("no", **FACTS)

    lab.provider.on_submit = once(refuse)
    lab.submit()
    [row] = lab.ledger.submissions(lab.night)
    lab.clock.advance(LONG_AFTER)
    lab.ledger.acquire_lease(f"replay:{row.submission_key}", "sensor", 180.0)

    with pytest.raises(SettledTooEarly, match="sent again under its key"):
        give_up_and_buy(lab, 0.0)
    assert lab.states() == ["unresolved"]


def test_a_process_that_stood_still_after_its_intent_sends_nothing(lab: Lab) -> None:
    """It was suspended so long that a person, rightly, found no run and let it be bought."""
    lab.plan("a cat")

    def stand_still() -> None:
        lab.clock.advance(LONG_AFTER)
        park(lab, 0.0)
        give_up_and_buy(lab, 0.0)

    ports = replace(lab.ports, ledger=Meanwhile(lab.ledger, "begin_submission", stand_still))
    summary = submit_night(lab.settings, lab.night, ports, owner="slow")

    assert len(lab.provider.runs) == 1
    assert [row.dagster_run_id for row in lab.ledger.submissions(lab.night)] == ["another"]
    assert "stood still for 901 s" in (summary.stopped or "")
    assert not summary.needs_person


def test_what_was_not_sent_in_time_is_planned_and_bought_by_the_next_run(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    late = SENT_WITHIN.total_seconds() + 1

    def stand_still() -> None:
        lab.clock.advance(late)

    ports = replace(lab.ports, ledger=Meanwhile(lab.ledger, "begin_submission", stand_still))
    summary = submit_night(lab.settings, lab.night, ports, owner="slow")

    assert (summary.submitted, summary.left_planned) == (0, 2)
    assert lab.submit("next").submitted == 2
    assert len(lab.provider.posts) == 2


# -- an answer that belongs to an older intent


@pytest.mark.parametrize("refusal", [RateLimited, RequestRejected, AccountRejected])
def test_a_refusal_of_an_older_intent_says_nothing_about_the_next_one(
    lab: Lab, refusal: type[ProviderError]
) -> None:
    lab.plan("a cat")

    def buy_again(_request: SubmitRequest, number: int) -> None:
        if number == 1:  # stuck within its POST for longer than any POST may be
            park(lab, LONG_AFTER)
            give_up_and_buy(lab, LONG_AFTER)
            raise refusal("no", **FACTS)

    lab.provider.on_submit = buy_again
    lab.submit()

    assert lab.states() == ["submitted"]
    assert len(lab.provider.runs) == 1


def test_an_old_answer_never_lands_on_an_intent_that_is_under_way(lab: Lab) -> None:
    lab.plan("a cat")
    sent = []

    def first(_request: SubmitRequest, number: int) -> None:
        if number == 1:
            sent.extend(lab.ledger.submissions(lab.night))
            park(lab, LONG_AFTER)
            give_up_and_buy(lab, LONG_AFTER)
            raise RateLimited("no", **FACTS)
        # The second POST is under way: what the first one's answer would write now is refused.
        [old], ledger = sent, lab.ledger
        for write in (
            lambda: ledger.return_to_plan(old.submission_key, "429", sent=old),
            lambda: ledger.reject_submission(old.submission_key, None, "400", sent=old),
            lambda: ledger.park_submission(old.submission_key, "lost", sent=old),
        ):
            with pytest.raises(IllegalTransition):
                write()

    lab.provider.on_submit = first
    lab.submit()

    assert lab.states() == ["submitted"]
    assert len(lab.provider.posts) == 2


@pytest.mark.case(
    "a row was planned again on a person's word, and then the receipt of its POST arrived",
    "the receipt proves its run: it is attached, and the row is not bought again",
)
def test_a_receipt_that_comes_after_a_persons_word_is_the_rows(lab: Lab) -> None:
    lab.plan("a cat")

    def late(request: SubmitRequest, _number: int) -> Receipt:
        park(lab, LONG_AFTER)
        with another_host(lab, ahead_seconds=LONG_AFTER) as ports:
            key = request.submission_key
            ports.ledger.settle_not_created(key, who="ann", why="not in the list")
        return lab.provider.accept(request)

    lab.provider.on_submit = late
    lab.submit()
    lab.submit(owner="run-2")

    assert lab.states() == ["submitted"]
    assert len(lab.provider.posts) == len(lab.provider.runs) == 1


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
    lab: Lab, refusal: type[ProviderError], states: list[str], billed: int
) -> None:
    lab.plan("a cat", "a dog")

    def refuse() -> None:
        park(lab)
        raise refusal("no", **FACTS)

    lab.provider.on_submit = once(refuse)
    lab.submit()

    assert lab.states() == states
    assert len(lab.provider.runs) == billed
    first = lab.ledger.submissions(lab.night)[0]
    [settled] = lab.ledger.settlements(first.submission_key)
    assert (settled.action, settled.who) == ("settle_not_created", "flow-pipelines")


def test_a_late_refusal_settles_nothing_where_a_copy_may_have_been_sent(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    lab.provider.capabilities = replace(lab.provider.capabilities, replays=True)

    def refuse() -> None:
        park(lab)
        raise RequestRejected("no", **FACTS)

    lab.provider.on_submit = once(refuse)
    lab.submit()

    assert lab.states() == ["unresolved", "submitted"]


def test_an_interrupt_after_the_submission_was_parked_is_still_that_interrupt(lab: Lab) -> None:
    lab.plan("a cat")

    def interrupt() -> None:
        park(lab)
        raise KeyboardInterrupt

    lab.provider.on_submit = once(interrupt)
    with pytest.raises(KeyboardInterrupt):
        lab.submit()

    assert lab.states() == ["unresolved"]
