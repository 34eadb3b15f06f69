"""Canceling a night: nothing more is sent, what can be ended is, and what is unknown is said."""

from __future__ import annotations

import pytest

from flow_pipelines.lifecycle.cancel import CancelSummary, cancel_night
from flow_pipelines.model import RunReport, SubmissionState, Workflow
from flow_pipelines.model.errors import AccountRejected, NotFound, ProviderError
from flow_pipelines.provider import Capabilities
from flow_pipelines_tests.unit.lifecycle.conftest import Lab

S = SubmissionState


def cancel(lab: Lab, **options: object) -> CancelSummary:
    return cancel_night(lab.night, lab.ports, why="wrong prompts", **options)


def answer_cancels(lab: Lab, answer: RunReport | ProviderError) -> list[str]:
    """Make the provider answer every cancel so; give what it is asked to cancel."""
    asked: list[str] = []

    def respond(provider_run_id: str, workflow: Workflow) -> RunReport:
        asked.append(provider_run_id)
        if isinstance(answer, ProviderError):
            raise answer
        return RunReport(
            provider_run_id=provider_run_id,
            state=answer.state,
            provider_status=answer.provider_status,
        )

    lab.provider.cancel = respond  # type: ignore[method-assign]
    return asked


def test_rows_that_were_not_sent_are_never_sent(lab: Lab) -> None:
    lab.plan("boats", "cranes", "fog")

    assert cancel(lab) == CancelSummary(planned=3)

    assert lab.states() == ["canceled"] * 3
    assert {one.reason for one in lab.ledger.submissions(lab.night)} == {"wrong prompts"}
    assert lab.submit().submitted == 0
    assert lab.provider.posts == []


def test_runs_at_the_provider_are_canceled_there(lab: Lab) -> None:
    lab.plan("boats", "cranes", "fog")
    lab.submit(limit=2)

    assert cancel(lab) == CancelSummary(planned=1, canceled=2)
    assert lab.states() == ["canceled"] * 3
    assert lab.ledger.night(lab.night).counts == {S.CANCELED: 3}


def test_a_run_that_had_ended_is_recorded_with_what_it_made(lab: Lab) -> None:
    lab.plan("boats")
    lab.submit()
    lab.provider.cancel = lambda run, _workflow: lab.provider.finished(run)  # type: ignore[method-assign]

    assert cancel(lab) == CancelSummary(ended=1)
    assert lab.states() == ["succeeded"]
    (outputs,) = lab.ledger.outputs(lab.night).values()
    assert len(outputs) == 1


def test_finished_runs_are_left_alone(lab: Lab) -> None:
    lab.plan("boats")
    lab.submit()
    cancel(lab)
    before = lab.ledger.submissions(lab.night)
    asked = answer_cancels(lab, NotFound("gone", provider="floyo", operation="cancel_run"))

    assert cancel(lab) == CancelSummary(finished=1)
    assert asked == []
    assert lab.ledger.submissions(lab.night) == before


def test_a_provider_that_cannot_cancel_is_not_asked_to(lab: Lab) -> None:
    lab.provider.capabilities = Capabilities()
    asked = answer_cancels(lab, NotFound("no such call", provider="floyo", operation="cancel"))
    lab.plan("boats", "cranes")
    lab.submit(limit=1)

    assert cancel(lab) == CancelSummary(planned=1, going_on=1)
    assert asked == []
    assert lab.states() == ["submitted", "canceled"]


def test_a_run_that_is_still_ending_is_polled_on(lab: Lab) -> None:
    answer_cancels(
        lab, RunReport(provider_run_id="any", state=S.RUNNING, provider_status="processing")
    )
    lab.plan("boats")
    lab.submit()

    assert cancel(lab) == CancelSummary(ending=1)
    (one,) = lab.ledger.submissions(lab.night)
    assert one.state is S.RUNNING
    assert one.next_poll_at is not None


def test_only_the_chosen_submissions_are_canceled(lab: Lab) -> None:
    lab.plan("boats", "cranes", "fog")
    lab.submit(limit=2)
    first, second, third = lab.ledger.submissions(lab.night)

    summary = cancel(lab, keys={second.submission_key, third.submission_key})

    assert summary == CancelSummary(planned=1, canceled=1)
    assert lab.states() == ["submitted", "canceled", "canceled"]
    assert lab.ledger.submission(first.submission_key).provider_run_id == "run_0001"


def test_what_may_have_been_bought_is_left_to_a_person(lab: Lab) -> None:
    lab.plan("boats")
    lab.ledger.acquire_lease(f"submit:{lab.night}", "run-1", 60)
    (one,) = lab.ledger.submissions(lab.night)
    lab.ledger.begin_submission(
        one.submission_key,
        lease=f"submit:{lab.night}",
        owner="run-1",
        resource="floyo",
        body_sha256="",
        estimate_usd=lab.provider.price,
        budget_usd=None,
        daily_budget_usd=None,
    )
    assert cancel(lab) == CancelSummary(unsettled=1)
    lab.ledger.park_submission(one.submission_key, "answer lost")
    assert cancel(lab) == CancelSummary(unsettled=1)
    assert lab.states() == ["unresolved"]


def test_one_run_that_cannot_be_canceled_does_not_keep_the_others(lab: Lab) -> None:
    asked = answer_cancels(lab, NotFound("no such run", provider="floyo", operation="cancel_run"))
    lab.plan("boats", "cranes")
    lab.submit()

    summary = cancel(lab)

    assert (summary.going_on, len(asked)) == (2, 2)
    assert summary.errors == ["floyo cancel_run: no such run"]
    assert lab.states() == ["submitted"] * 2


def test_a_refused_account_is_asked_once_and_remembered(lab: Lab) -> None:
    refusal = AccountRejected("key revoked", provider="floyo", operation="cancel_run", status=401)
    asked = answer_cancels(lab, refusal)
    lab.plan("boats", "cranes", "fog")
    began_at = lab.clock.now()
    lab.submit()

    summary = cancel(lab)

    assert (summary.going_on, len(asked)) == (3, 1)
    stop = lab.ledger.account_stop("floyo", began_at)
    assert stop is not None
    assert stop.message == "key revoked"


@pytest.mark.parametrize("reached", [1, 2])
def test_canceling_ends_when_its_time_is_over(lab: Lab, reached: int) -> None:
    lab.plan("boats", "cranes", "fog")
    lab.submit()
    ask = lab.provider.cancel

    def slowly(provider_run_id: str, workflow: Workflow) -> RunReport:
        lab.clock.advance(10)
        return ask(provider_run_id, workflow)

    lab.provider.cancel = slowly  # type: ignore[method-assign]

    summary = cancel(lab, budget_seconds=10.0 * reached)

    assert (summary.canceled, summary.going_on) == (reached, 3 - reached)
    assert "repeat it for the rest" in summary.errors[0]
