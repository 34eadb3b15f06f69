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
from flow_pipelines_tests.unit.lifecycle.conftest import Lab
from flow_pipelines_tests.unit.lifecycle.keyed_provider import KeyedProvider, lose_answers


def test_a_run_cannot_be_given_to_a_second_submission(lab: Lab) -> None:
    def lose_second(_request: Any, number: int) -> None:
        if number == 2:
            raise SubmitOutcomeUnknown("lost", **FACTS)

    lab.provider.on_submit = lose_second
    buy(lab, "a cat", "a dog")
    [lost] = lab.keys(SubmissionState.UNRESOLVED)
    with pytest.raises(LedgerError, match="already belongs to submission"):
        lab.ledger.attach(lost, Receipt(provider_run_id="run_0001"), who="anna", why="a guess")
    assert lab.keys(SubmissionState.UNRESOLVED) == [lost]


def test_a_callback_that_comes_after_somebody_said_not_created_changes_nothing(lab: Lab) -> None:
    def lose(_request: Any, _number: int) -> None:
        raise SubmitOutcomeUnknown("lost", **FACTS)

    lab.provider.on_submit = lose
    buy(lab, "a cat")
    [lost] = lab.keys(SubmissionState.UNRESOLVED)
    lab.clock.advance(UNDER_WAY.total_seconds())
    lab.ledger.settle_not_created(lost, who="anna", why="not in the list")
    with pytest.raises(IllegalTransition):
        lab.ledger.attach(lost, Receipt(provider_run_id="run_late"), who="webhook", why="named")
    lab.provider.on_submit = lambda _request, _number: None
    lab.submit("run-2")
    with pytest.raises(IllegalTransition):
        lab.ledger.attach(lost, Receipt(provider_run_id="run_late"), who="webhook", why="named")
    assert lab.ledger.submission(lost).provider_run_id == "run_0001"


def test_two_lost_runs_of_one_submission_are_left_to_a_person(lab: Lab) -> None:
    def accept_and_lose(request: Any, _number: int) -> None:
        lab.provider.accept(request)
        raise SubmitOutcomeUnknown("lost", **FACTS)

    lab.provider.on_submit = accept_and_lose
    buy(lab, "a cat")
    [lost] = lab.keys(SubmissionState.UNRESOLVED)
    lab.clock.advance(UNDER_WAY.total_seconds())
    lab.ledger.settle_not_created(lost, who="anna", why="a wrong guess")
    lab.submit("run-2")
    summary = recover(lab.ports)
    assert (summary.found, summary.waiting) == (0, 1)
    assert "2 provider runs bear its name" in (lab.ledger.submission(lost).reason or "")


# -- accounts and time --------------------------------------------------------------------------


def test_a_copy_is_never_sent_to_another_account_than_the_first_request(lab: Lab) -> None:
    lab.provider = KeyedProvider(lab.clock)
    lose_answers(lab, "a cat", accepted=False)
    lab.others["floyo_second"] = lab.provider
    before = len(lab.provider.posts)
    lab.clock.advance(600)
    summary = recover(lab.ports_of("floyo_second"))
    assert (len(lab.provider.posts), summary.waiting) == (before, 0)
    recover(lab.ports_of("floyo"))
    assert len(lab.provider.posts) == before + 1


@pytest.mark.parametrize("hours", [-26, -3, 3, 26])
def test_a_clock_that_jumps_buys_nothing_and_loses_nothing(lab: Lab, hours: int) -> None:
    lab.plan("a cat", "a dog", "a bird")
    lab.provider.on_submit = lambda _request, number: (
        lab.clock.advance(hours * 3600) if number == 2 else None
    )
    lab.submit()
    lab.clock.advance(abs(hours) * 3600 + 60)
    lab.submit("run-2")
    lab.clock.advance(60)
    collect(lab)
    assert len(lab.provider.posts) == 3
    assert lab.states() == ["succeeded"] * 3


def test_a_run_that_nobody_has_any_more_is_given_up_after_a_week(lab: Lab) -> None:
    def gone(_run: str) -> None:
        raise NotFound("no such run", **FACTS)

    lab.provider.on_poll = gone
    buy(lab, "a cat")
    for _ in range(6):
        lab.clock.advance(DAY)
        end_runs(lab)
    assert lab.states() == ["submitted"]
    lab.clock.advance(2 * DAY)
    end_runs(lab)
    assert lab.states() == ["failed"]
    [row] = lab.ledger.submissions(lab.night)
    assert (row.error_code, row.cost_usd) == ("never_ended", None) or row.cost_usd is not None


def test_a_lease_held_by_a_dead_process_ahead_of_time_keeps_others_from_buying(lab: Lab) -> None:
    lab.plan("a cat")
    lab.clock.advance(3 * 3600)
    lab.ledger.acquire_lease(submit_lease(lab.night), "dead", LEASE_SECONDS)
    lab.clock.advance(-3 * 3600)
    from flow_pipelines.model.errors import LeaseLost

    with pytest.raises(LeaseLost):
        lab.submit("run-2")
    assert lab.provider.posts == []
    lab.clock.advance(3 * 3600 + LEASE_SECONDS)
    assert lab.submit("run-2").submitted == 1


# -- pictures -----------------------------------------------------------------------------------


def test_an_object_in_the_way_of_one_picture_does_not_keep_the_others_out(lab: Lab) -> None:
    buy(lab, *(f"cat {number}" for number in range(12)))
    end_runs(lab)
    first, *_ = lab.ledger.submissions(lab.night)
    name = f"{first.prompt_id}.0.{first.submission_key[:8]}.0.png"
    key = lab.store.key(lab.night.batch, lab.night.partition_key, "images", name)
    lab.store.put(key, b"something else", media_type="image/png")

    summary = collect_night(lab.night, lab.ports, owner="collector")

    assert (summary.images, summary.without_image) == (11, 1)
    assert lab.store.get(key) == b"something else"
    [failure] = summary.failures
    assert "exists with another content" in failure["error_message"]
