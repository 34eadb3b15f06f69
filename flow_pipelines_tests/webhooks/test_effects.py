"""What a genuine callback changes, whatever the state, the order and the number of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from flow_pipelines.model import IN_FLIGHT
from flow_pipelines.model.errors import LedgerBusy
from flow_pipelines_tests.conformance.ledger.ledger_driver import PROVIDER, S, key_of, new_night
from flow_pipelines_tests.webhooks.conftest import Post

CLAIM = {"provider": PROVIDER, "resource": PROVIDER}


def in_flight(post: Post, *, poll_in: float = 300) -> tuple[str, str]:
    """Submit one row, to be polled much later; give its key and its run."""
    night = new_night()
    post.ledger.plan(night)
    key = key_of(night, 0)
    post.ledger.submit(key, poll_in=poll_in)
    return key, f"run {key}"


def test_a_run_that_ended_is_asked_after_now_and_nothing_else_changes(post: Post) -> None:
    key, run = in_flight(post)
    before = post.submission(key)

    assert post.tell(key, run).status == 204

    assert post.submission(key) == replace(before, next_poll_at=post.clock.now())
    assert [one.submission_key for one in post.ledger.ledger.claim_due("p", **CLAIM)] == [key]


@pytest.mark.parametrize("state", sorted(set(S) - IN_FLIGHT - {S.UNRESOLVED, S.SUBMITTING}))
def test_what_is_not_at_the_provider_stays_as_it_is(post: Post, state: S) -> None:
    key = post.ledger.reach(state)
    before = post.ledger.everything(key)
    run = post.submission(key).provider_run_id

    answers = {post.tell(key, run).status, post.tell(key, None).status}

    assert answers == {204}
    assert post.ledger.everything(key) == before


@pytest.mark.parametrize("told", [{"run": None, "ended": False}, {"run": "own", "ended": False}])
def test_progress_lets_nothing_be_asked_after(post: Post, told: dict[str, object]) -> None:
    key, run = in_flight(post)
    before = post.ledger.everything(key)

    answer = post.tell(key, run if told["run"] else None, ended=False)

    assert answer.status == 204
    assert post.ledger.everything(key) == before


def test_a_doubled_callback_is_one(post: Post) -> None:
    key, run = in_flight(post)
    assert [post.tell(key, run).status for _ in range(2)] == [204, 204]
    assert post.is_due(key)


def test_who_repeats_a_callback_cannot_spend_the_rate_limit(post: Post) -> None:
    key, run = in_flight(post)
    marks = 0
    for _ in range(30):
        post.tell(key, run)
        marks += post.is_due(key)
        post.ledger.poll(key, S.RUNNING)  # due again in ten seconds, as far as polls go
        post.ledger.ledger.postpone_poll(key, post.clock.now() + timedelta(hours=1), "later")
        post.clock.advance(1)
    assert marks == 3


def test_an_event_is_news_once(post: Post) -> None:
    key, run = in_flight(post)
    post.tell(key, run, event="whd_1")
    post.ledger.poll(key, S.RUNNING)
    post.ledger.ledger.postpone_poll(key, post.clock.now() + timedelta(hours=1), "later")
    post.clock.advance(60)

    assert post.tell(key, run, event="whd_1").status == 204
    assert not post.is_due(key)
    assert post.tell(key, run, event="whd_2").status == 204
    assert post.is_due(key)


def test_a_late_callback_of_a_run_that_was_collected_changes_nothing(post: Post) -> None:
    key, run = in_flight(post)
    post.ledger.poll(key, S.SUCCEEDED)
    post.ledger.ledger.mark_collected(key)
    before = post.ledger.everything(key)

    assert post.tell(key, run).status == 204
    assert post.tell(key, run, ended=False).status == 204
    assert post.ledger.everything(key) == before


def test_a_callback_of_another_run_is_refused_and_told_to_people(post: Post) -> None:
    key, _ = in_flight(post)
    before = post.ledger.everything(key)

    assert post.tell(key, "run of somebody else").status == 409

    assert post.ledger.everything(key) == before
    assert "'run of somebody else'" in post.lines[0]
    [second] = post.ledger.ledger.second_runs([key])
    assert (second.provider_run_id, second.settled_why) == ("run of somebody else", None)


def test_a_callback_settles_what_is_unresolved(post: Post) -> None:
    key = post.ledger.reach(S.UNRESOLVED)

    assert post.tell(key, "run x", event="whd_1").status == 204

    found = post.submission(key)
    assert (found.state, found.provider_run_id) == (S.SUBMITTED, "run x")
    assert post.is_due(key)
    [settled] = post.ledger.ledger.settlements(key)
    assert (settled.action, settled.who) == ("attach", "callback")
    assert settled.why == "its callback, event whd_1"


def test_a_callback_that_overtakes_the_answer_to_the_post_is_the_receipt(post: Post) -> None:
    key = post.ledger.reach(S.SUBMITTING)
    reserved = post.submission(key).reserved_usd

    assert post.tell(key, "run x").status == 204

    found = post.submission(key)
    assert (found.state, found.provider_run_id) == (S.SUBMITTED, "run x")
    assert found.reserved_usd == reserved
    assert post.is_due(key)


def test_a_run_told_before_the_answer_may_be_that_of_an_intent_a_person_gave_up(
    post: Post,
) -> None:
    key = post.ledger.reach(S.UNRESOLVED)
    post.clock.advance(3600)
    post.ledger.ledger.settle_not_created(key, who="ann", why="looked")
    post.ledger.begin(key)

    assert post.tell(key, "run of the first intent").status == 503

    assert post.submission(key).state is S.SUBMITTING
    post.ledger.receive(key, "run of the second intent")
    assert post.tell(key, "run of the first intent").status == 409


@pytest.mark.parametrize("state", [S.UNRESOLVED, S.SUBMITTING])
def test_a_run_of_another_submission_is_never_attached(post: Post, state: S) -> None:
    _, taken = in_flight(post)
    key = post.ledger.reach(state)
    before = post.ledger.everything(key)

    assert post.tell(key, taken).status == 409
    assert post.ledger.everything(key) == before


@pytest.mark.parametrize("state", [S.UNRESOLVED, S.SUBMITTING])
def test_without_a_run_nothing_is_settled(post: Post, state: S) -> None:
    key = post.ledger.reach(state)
    before = post.ledger.everything(key)

    assert post.tell(key, None).status == 204
    assert post.ledger.everything(key) == before


def test_a_poll_under_way_is_waited_for_and_then_the_provider_comes_again(post: Post) -> None:
    key, run = in_flight(post, poll_in=0)
    post.ledger.ledger.claim_due("poller", **CLAIM)

    answer = post.tell(key, run, event="whd_1")

    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert post.clock.slept == [1.0, 1.0]
    post.ledger.poll(key, S.RUNNING)
    assert post.tell(key, run, event="whd_1").status == 204
    assert post.is_due(key)


def test_a_poll_that_ends_meanwhile_does_not_hide_the_news(post: Post) -> None:
    key, run = in_flight(post, poll_in=0)
    ledger = post.ledger.ledger
    ledger.claim_due("poller", **CLAIM)
    sleep = post.clock.sleep

    def poll_ends(seconds: float) -> None:
        post.ledger.poll(key, S.RUNNING)
        sleep(seconds)

    post.clock.sleep = poll_ends  # type: ignore[method-assign]  # the poller's turn
    assert post.tell(key, run).status == 204
    assert post.is_due(key)


def test_a_busy_ledger_lets_the_provider_come_again(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, run = in_flight(post)

    def busy(_key: str) -> bool:
        raise LedgerBusy("locked")

    with monkeypatch.context() as patch:
        patch.setattr(post.ledger.ledger, "mark_due", busy)
        answer = post.tell(key, run, event="whd_1")
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert post.tell(key, run, event="whd_1").status == 204
    assert post.is_due(key)
