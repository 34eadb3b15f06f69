"""Runs given to the wrong row, copies, clocks and objects in the way: nothing is bought twice."""

from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.ledger.contract import UNDER_WAY
from flow_pipelines.lifecycle import (
    collect_night,
    recover,
    submit_lease,
)
from flow_pipelines.lifecycle.submit import LEASE_SECONDS
from flow_pipelines.model import Receipt, SubmissionState
from flow_pipelines.model.errors import (
    IllegalTransition,
    LedgerError,
    NotFound,
    SubmitOutcomeUnknown,
)
from flow_pipelines_tests.faults.security.accounting import (
    DAY,
    FACTS,
    buy,
    collect,
    end_runs,
)
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness
from flow_pipelines_tests.unit.lifecycle.keyed_provider import KeyedProvider, lose_answers


def test_a_run_cannot_be_given_to_a_second_submission(harness: LifecycleHarness) -> None:
    def lose_second(_request: Any, number: int) -> None:
        if number == 2:
            raise SubmitOutcomeUnknown("lost", **FACTS)

    harness.provider.on_submit = lose_second
    buy(harness, "a cat", "a dog")
    [lost] = harness.keys(SubmissionState.UNRESOLVED)
    with pytest.raises(LedgerError, match="already belongs to submission"):
        harness.ledger.attach(lost, Receipt(provider_run_id="run_0001"), who="anna", why="a guess")
    assert harness.keys(SubmissionState.UNRESOLVED) == [lost]


def test_a_callback_that_comes_after_somebody_said_not_created_changes_nothing(
    harness: LifecycleHarness,
) -> None:
    def lose(_request: Any, _number: int) -> None:
        raise SubmitOutcomeUnknown("lost", **FACTS)

    harness.provider.on_submit = lose
    buy(harness, "a cat")
    [lost] = harness.keys(SubmissionState.UNRESOLVED)
    harness.clock.advance(UNDER_WAY.total_seconds())
    harness.ledger.settle_not_created(lost, who="anna", why="not in the list")
    with pytest.raises(IllegalTransition):
        harness.ledger.attach(lost, Receipt(provider_run_id="run_late"), who="webhook", why="named")
    harness.provider.on_submit = lambda _request, _number: None
    harness.submit("run-2")
    with pytest.raises(IllegalTransition):
        harness.ledger.attach(lost, Receipt(provider_run_id="run_late"), who="webhook", why="named")
    assert harness.ledger.submission(lost).provider_run_id == "run_0001"


def test_two_lost_runs_of_one_submission_are_left_to_a_person(harness: LifecycleHarness) -> None:
    def accept_and_lose(request: Any, _number: int) -> None:
        harness.provider.accept(request)
        raise SubmitOutcomeUnknown("lost", **FACTS)

    harness.provider.on_submit = accept_and_lose
    buy(harness, "a cat")
    [lost] = harness.keys(SubmissionState.UNRESOLVED)
    harness.clock.advance(UNDER_WAY.total_seconds())
    harness.ledger.settle_not_created(lost, who="anna", why="a wrong guess")
    harness.submit("run-2")
    summary = recover(harness.ports)
    assert (summary.found, summary.waiting) == (0, 1)
    assert "2 provider runs bear its name" in (harness.ledger.submission(lost).reason or "")


# -- accounts and time --------------------------------------------------------------------------


def test_a_copy_is_never_sent_to_another_account_than_the_first_request(
    harness: LifecycleHarness,
) -> None:
    harness.provider = KeyedProvider(harness.clock)
    lose_answers(harness, "a cat", accepted=False)
    harness.others["floyo_second"] = harness.provider
    before = len(harness.provider.posts)
    harness.clock.advance(600)
    summary = recover(harness.ports_of("floyo_second"))
    assert (len(harness.provider.posts), summary.waiting) == (before, 0)
    recover(harness.ports_of("floyo"))
    assert len(harness.provider.posts) == before + 1


@pytest.mark.parametrize("hours", [-26, -3, 3, 26])
def test_a_clock_that_jumps_buys_nothing_and_loses_nothing(
    harness: LifecycleHarness, hours: int
) -> None:
    harness.plan("a cat", "a dog", "a bird")
    harness.provider.on_submit = lambda _request, number: (
        harness.clock.advance(hours * 3600) if number == 2 else None
    )
    harness.submit()
    harness.clock.advance(abs(hours) * 3600 + 60)
    harness.submit("run-2")
    harness.clock.advance(60)
    collect(harness)
    assert len(harness.provider.posts) == 3
    assert harness.states() == ["succeeded"] * 3


def test_a_run_that_nobody_has_any_more_is_given_up_after_a_week(harness: LifecycleHarness) -> None:
    def gone(_run: str) -> None:
        raise NotFound("no such run", **FACTS)

    harness.provider.on_poll = gone
    buy(harness, "a cat")
    for _ in range(6):
        harness.clock.advance(DAY)
        end_runs(harness)
    assert harness.states() == ["submitted"]
    harness.clock.advance(2 * DAY)
    end_runs(harness)
    assert harness.states() == ["failed"]
    [row] = harness.ledger.submissions(harness.night)
    assert (row.error_code, row.cost_usd) == ("never_ended", None) or row.cost_usd is not None


def test_a_lease_held_by_a_dead_process_ahead_of_time_keeps_others_from_buying(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat")
    harness.clock.advance(3 * 3600)
    harness.ledger.acquire_lease(submit_lease(harness.night), "dead", LEASE_SECONDS)
    harness.clock.advance(-3 * 3600)
    from flow_pipelines.model.errors import LeaseLost

    with pytest.raises(LeaseLost):
        harness.submit("run-2")
    assert harness.provider.posts == []
    harness.clock.advance(3 * 3600 + LEASE_SECONDS)
    assert harness.submit("run-2").submitted == 1


# -- pictures -----------------------------------------------------------------------------------


def test_an_object_in_the_way_of_one_picture_does_not_keep_the_others_out(
    harness: LifecycleHarness,
) -> None:
    buy(harness, *(f"cat {number}" for number in range(12)))
    end_runs(harness)
    first, *_ = harness.ledger.submissions(harness.night)
    name = f"{first.prompt_id}.0.{first.submission_key[:8]}.0.png"
    key = harness.store.key(harness.night.batch, harness.night.partition_key, "images", name)
    harness.store.put(key, b"something else", media_type="image/png")

    summary = collect_night(harness.night, harness.ports, owner="collector")

    assert (summary.images, summary.without_image) == (11, 1)
    assert harness.store.get(key) == b"something else"
    [failure] = summary.failures
    assert "exists with another content" in failure["error_message"]
