"""A callback that comes while the POST of its run is still unanswered, however that is answered."""

from __future__ import annotations

import pytest

from flow_pipelines.lifecycle.callback_effects import CallbackEffects, Effect
from flow_pipelines.model import Receipt, SubmissionState
from flow_pipelines.model.errors import ProviderError, ProviderUnavailable, SubmitOutcomeUnknown
from flow_pipelines.provider import Callback, SubmitRequest
from flow_pipelines_tests.unit.lifecycle.conftest import Lab, lab

__all__ = ["lab"]


def told(lab: Lab, request: SubmitRequest) -> Receipt:
    """Create the run and let its callback come at once."""
    receipt = lab.provider.accept(request)
    effects = CallbackEffects(lab.ledger, lab.clock, lab.lines.append)
    callback = Callback(provider_run_id=receipt.provider_run_id, ended=True)
    assert effects.take_in("floyo", request.idempotency_key, callback) is Effect.ATTACHED
    return receipt


def test_the_answer_that_follows_says_the_same(lab: Lab) -> None:
    lab.provider.on_submit = lambda request, _: told(lab, request)
    lab.plan("a lake", "a hill")

    summary = lab.submit()

    assert (summary.submitted, summary.unresolved, summary.stopped) == (2, 0, None)
    assert lab.states() == ["submitted", "submitted"]
    assert len(lab.provider.posts) == 2


@pytest.mark.parametrize("kind", [SubmitOutcomeUnknown, ProviderUnavailable])
def test_an_answer_that_is_lost_loses_nothing(lab: Lab, kind: type[ProviderError]) -> None:
    def lost(request: SubmitRequest, _: int) -> Receipt:
        told(lab, request)
        raise kind("no answer", provider="floyo", operation="run")

    lab.provider.on_submit = lost
    lab.plan("a lake")

    lab.submit()
    lab.submit("run-2")

    assert lab.states() == ["submitted"]
    assert len(lab.provider.posts) == len(lab.provider.runs) == 1


def test_an_answer_with_another_run_is_told_to_people_and_never_overwrites(lab: Lab) -> None:
    def other(request: SubmitRequest, _: int) -> Receipt:
        told(lab, request)
        return lab.provider.accept(request)

    lab.provider.on_submit = other
    lab.plan("a lake")

    with pytest.raises(Exception, match="may not become"):
        lab.submit()

    [row] = lab.ledger.submissions(lab.night)
    assert (row.state, row.provider_run_id) == (SubmissionState.SUBMITTED, "run_0001")
    assert any("run_0002" in line for line in lab.lines)
    [second] = lab.ledger.unsettled_second_runs()
    assert second.provider_run_id == "run_0002"
