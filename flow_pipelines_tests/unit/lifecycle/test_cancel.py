"""Canceling a night: nothing more is sent, what can be ended is, and what is unknown is said."""

from __future__ import annotations

import pytest

from flow_pipelines.lifecycle.cancel import CancelSummary, cancel_night
from flow_pipelines.model import RunReport, SubmissionState, Workflow
from flow_pipelines.model.errors import AccountRejected, NotFound, ProviderError
from flow_pipelines.provider import Capabilities
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

S = SubmissionState


def cancel(harness: LifecycleHarness, **options: object) -> CancelSummary:
    return cancel_night(harness.night, harness.ports, why="wrong prompts", **options)


def answer_cancels(harness: LifecycleHarness, answer: RunReport | ProviderError) -> list[str]:
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

    harness.provider.cancel = respond  # type: ignore[method-assign]
    return asked


def test_rows_that_were_not_sent_are_never_sent(harness: LifecycleHarness) -> None:
    harness.plan("boats", "cranes", "fog")

    assert cancel(harness) == CancelSummary(planned=3)

    assert harness.states() == ["canceled"] * 3
    assert {one.reason for one in harness.ledger.submissions(harness.night)} == {"wrong prompts"}
    assert harness.submit().submitted == 0
    assert harness.provider.posts == []


def test_runs_at_the_provider_are_canceled_there(harness: LifecycleHarness) -> None:
    harness.plan("boats", "cranes", "fog")
    harness.submit(limit=2)

    assert cancel(harness) == CancelSummary(planned=1, canceled=2)
    assert harness.states() == ["canceled"] * 3
    assert harness.ledger.night(harness.night).counts == {S.CANCELED: 3}


def test_a_run_that_had_ended_is_recorded_with_what_it_made(harness: LifecycleHarness) -> None:
    harness.plan("boats")
    harness.submit()
    harness.provider.cancel = lambda run, _workflow: harness.provider.finished(run)  # type: ignore[method-assign]

    assert cancel(harness) == CancelSummary(ended=1)
    assert harness.states() == ["succeeded"]
    (outputs,) = harness.ledger.outputs(harness.night).values()
    assert len(outputs) == 1


def test_finished_runs_are_left_alone(harness: LifecycleHarness) -> None:
    harness.plan("boats")
    harness.submit()
    cancel(harness)
    before = harness.ledger.submissions(harness.night)
    asked = answer_cancels(harness, NotFound("gone", provider="floyo", operation="cancel_run"))

    assert cancel(harness) == CancelSummary(finished=1)
    assert asked == []
    assert harness.ledger.submissions(harness.night) == before


def test_a_provider_that_cannot_cancel_is_not_asked_to(harness: LifecycleHarness) -> None:
    harness.provider.capabilities = Capabilities()
    asked = answer_cancels(harness, NotFound("no such call", provider="floyo", operation="cancel"))
    harness.plan("boats", "cranes")
    harness.submit(limit=1)

    assert cancel(harness) == CancelSummary(planned=1, going_on=1)
    assert asked == []
    assert harness.states() == ["submitted", "canceled"]


def test_a_run_that_is_still_ending_is_polled_on(harness: LifecycleHarness) -> None:
    answer_cancels(
        harness, RunReport(provider_run_id="any", state=S.RUNNING, provider_status="processing")
    )
    harness.plan("boats")
    harness.submit()

    assert cancel(harness) == CancelSummary(ending=1)
    (one,) = harness.ledger.submissions(harness.night)
    assert one.state is S.RUNNING
    assert one.next_poll_at is not None


def test_only_the_chosen_submissions_are_canceled(harness: LifecycleHarness) -> None:
    harness.plan("boats", "cranes", "fog")
    harness.submit(limit=2)
    first, second, third = harness.ledger.submissions(harness.night)

    summary = cancel(harness, keys={second.submission_key, third.submission_key})

    assert summary == CancelSummary(planned=1, canceled=1)
    assert harness.states() == ["submitted", "canceled", "canceled"]
    assert harness.ledger.submission(first.submission_key).provider_run_id == "run_0001"


def test_what_may_have_been_bought_is_left_to_a_person(harness: LifecycleHarness) -> None:
    harness.plan("boats")
    harness.ledger.acquire_lease(f"submit:{harness.night}", "run-1", 60)
    (one,) = harness.ledger.submissions(harness.night)
    harness.ledger.begin_submission(
        one.submission_key,
        lease=f"submit:{harness.night}",
        owner="run-1",
        resource="floyo",
        body_sha256="",
        estimate_usd=harness.provider.price,
        budget_usd=None,
        daily_budget_usd=None,
    )
    assert cancel(harness) == CancelSummary(unsettled=1)
    harness.ledger.park_submission(one.submission_key, "answer lost")
    assert cancel(harness) == CancelSummary(unsettled=1)
    assert harness.states() == ["unresolved"]


def test_one_run_that_cannot_be_canceled_does_not_keep_the_others(
    harness: LifecycleHarness,
) -> None:
    asked = answer_cancels(
        harness, NotFound("no such run", provider="floyo", operation="cancel_run")
    )
    harness.plan("boats", "cranes")
    harness.submit()

    summary = cancel(harness)

    assert (summary.going_on, len(asked)) == (2, 2)
    assert summary.errors == ["floyo cancel_run: no such run"]
    assert harness.states() == ["submitted"] * 2


def test_a_refused_account_is_asked_once_and_remembered(harness: LifecycleHarness) -> None:
    refusal = AccountRejected("key revoked", provider="floyo", operation="cancel_run", status=401)
    asked = answer_cancels(harness, refusal)
    harness.plan("boats", "cranes", "fog")
    began_at = harness.clock.now()
    harness.submit()

    summary = cancel(harness)

    assert (summary.going_on, len(asked)) == (3, 1)
    stop = harness.ledger.account_stop("floyo", began_at)
    assert stop is not None
    assert stop.message == "key revoked"


@pytest.mark.parametrize("reached", [1, 2])
def test_canceling_ends_when_its_time_is_over(harness: LifecycleHarness, reached: int) -> None:
    harness.plan("boats", "cranes", "fog")
    harness.submit()
    ask = harness.provider.cancel

    def slowly(provider_run_id: str, workflow: Workflow) -> RunReport:
        harness.clock.advance(10)
        return ask(provider_run_id, workflow)

    harness.provider.cancel = slowly  # type: ignore[method-assign]

    summary = cancel(harness, budget_seconds=10.0 * reached)

    assert (summary.canceled, summary.going_on) == (reached, 3 - reached)
    assert "repeat it for the rest" in summary.errors[0]
