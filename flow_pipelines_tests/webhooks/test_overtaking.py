"""A callback that comes while the POST of its run is still unanswered, however that is answered."""

from __future__ import annotations

import pytest

from flow_pipelines.lifecycle.callback_effects import CallbackEffects, Effect
from flow_pipelines.model import Receipt, SubmissionState
from flow_pipelines.model.errors import ProviderError, ProviderUnavailable, SubmitOutcomeUnknown
from flow_pipelines.provider import SubmitRequest
from flow_pipelines.provider.callbacks import Callback
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness, harness

__all__ = ["harness"]


def told(harness: LifecycleHarness, request: SubmitRequest) -> Receipt:
    """Create the run and let its callback come at once."""
    receipt = harness.provider.accept(request)
    effects = CallbackEffects(harness.ledger, harness.clock, harness.lines.append)
    callback = Callback(provider_run_id=receipt.provider_run_id, ended=True)
    assert effects.take_in("floyo", request.idempotency_key, callback) is Effect.ATTACHED
    return receipt


def test_the_answer_that_follows_says_the_same(harness: LifecycleHarness) -> None:
    harness.provider.on_submit = lambda request, _: told(harness, request)
    harness.plan("a lake", "a hill")

    summary = harness.submit()

    assert (summary.submitted, summary.unresolved, summary.stopped) == (2, 0, None)
    assert harness.states() == ["submitted", "submitted"]
    assert len(harness.provider.posts) == 2


@pytest.mark.parametrize("kind", [SubmitOutcomeUnknown, ProviderUnavailable])
def test_an_answer_that_is_lost_loses_nothing(
    harness: LifecycleHarness, kind: type[ProviderError]
) -> None:
    def lost(request: SubmitRequest, _: int) -> Receipt:
        told(harness, request)
        raise kind("no answer", provider="floyo", operation="run")

    harness.provider.on_submit = lost
    harness.plan("a lake")

    harness.submit()
    harness.submit("run-2")

    assert harness.states() == ["submitted"]
    assert len(harness.provider.posts) == len(harness.provider.runs) == 1


def test_an_answer_with_another_run_is_told_to_people_and_never_overwrites(
    harness: LifecycleHarness,
) -> None:
    def other(request: SubmitRequest, _: int) -> Receipt:
        told(harness, request)
        return harness.provider.accept(request)

    harness.provider.on_submit = other
    harness.plan("a lake")

    with pytest.raises(Exception, match="may not become"):
        harness.submit()

    [row] = harness.ledger.submissions(harness.night)
    assert (row.state, row.provider_run_id) == (SubmissionState.SUBMITTED, "run_0001")
    assert any("run_0002" in line for line in harness.lines)
    [second] = harness.ledger.unsettled_second_runs()
    assert second.provider_run_id == "run_0002"
