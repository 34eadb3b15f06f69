"""The names that a submission bears at its provider: of new intents, and of intents of before."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import pytest

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import submit_night
from flow_pipelines.lifecycle.requests import submit_request
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import ConfigurationError, LedgerBusy, SubmitOutcomeUnknown
from flow_pipelines.provider import ApiRequest, Resend, SubmitRequest
from flow_pipelines_tests.fake_provider import FakeProvider
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness


def names(request: SubmitRequest) -> tuple[str, str, str | None]:
    return request.label, request.idempotency_key, request.callback_url


def with_addresses(harness: LifecycleHarness) -> object:
    return replace(harness.ports, callback_url=lambda key, ledger: f"https://us/{key}/{ledger}")


def lose(harness: LifecycleHarness) -> None:
    def lost(_request: SubmitRequest, _number: int) -> None:
        raise SubmitOutcomeUnknown("lost", provider="floyo", operation="create_run")

    harness.provider.on_submit = lost
    harness.plan("a cat")
    harness.submit()
    assert harness.states() == ["unresolved"]


def test_every_name_of_a_new_intent_holds_the_ledger_and_stays_the_same(
    harness: LifecycleHarness,
) -> None:
    ports = with_addresses(harness)
    harness.plan("a cat")
    [row] = harness.ledger.submissions(harness.night)
    planned = submit_request(ports, row)
    lose(harness)
    [sent] = harness.ledger.submissions(harness.night)

    assert submit_request(ports, sent) == planned
    name = f"{row.submission_key}.{harness.ledger.ledger_id}"
    assert names(planned) == (
        f"{harness.night} p0 #0.0 {name}",
        name,
        f"https://us/{row.submission_key}/{harness.ledger.ledger_id}",
    )


@pytest.mark.case(
    "an intent of the release before was written without a ledger's id",
    "its label, its key and its address are what they were, to the byte",
)
def test_names_of_an_intent_of_before_are_what_they_were(harness: LifecycleHarness) -> None:
    lose(harness)
    [sent] = harness.ledger.submissions(harness.night)
    old = replace(sent, intent_ledger_id=None)
    key = sent.submission_key

    assert names(submit_request(with_addresses(harness), old)) == (
        f"{harness.night} p0 #0.0 {key}",
        key,
        f"https://us/{key}/None",
    )


def test_the_next_intent_of_a_row_of_before_is_a_new_one(harness: LifecycleHarness) -> None:
    lose(harness)
    [sent] = harness.ledger.submissions(harness.night)
    planned = replace(sent, intent_ledger_id=None, state=SubmissionState.PLANNED)

    request = submit_request(harness.ports, planned)

    assert request.idempotency_key == f"{sent.submission_key}.{harness.ledger.ledger_id}"


class CarelessProvider(FakeProvider):
    """An adapter that forgot to say that its purchase must not be repeated."""

    def prepare(self, request: SubmitRequest) -> ApiRequest:
        return replace(super().prepare(request), resend=Resend.SAFE)


@pytest.mark.case(
    "an adapter that declares its purchase as safe to repeat would have it sent four times",
    "that is refused before the intent, and nothing is sent",
)
def test_a_purchase_that_is_declared_safe_to_repeat_is_never_sent(
    harness: LifecycleHarness,
) -> None:
    harness.provider = CarelessProvider()
    harness.plan("a cat")
    with pytest.raises(ConfigurationError, match="what is billed never is"):
        harness.submit()
    assert harness.states() == ["planned"]
    assert harness.provider.posts == []


class LedgerWithoutTime:
    """A ledger that cannot be asked for its time any more."""

    def __init__(self, ledger: RunLedger, error: BaseException) -> None:
        self._ledger, self._error = ledger, error

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    def now(self) -> datetime:
        raise self._error


@pytest.mark.case(
    "the database failed between an intent and its POST: a row that was surely not sent stayed as "
    "one that may have been",
    "it is planned again, and the run stops",
)
@pytest.mark.parametrize("error", [LedgerBusy("locked"), KeyboardInterrupt()])
def test_a_ledger_that_cannot_tell_the_time_before_a_post_leaves_the_row_planned(
    harness: LifecycleHarness, error: BaseException
) -> None:
    harness.plan("a cat")
    ledger = LedgerWithoutTime(harness.ledger, error)
    ports = replace(harness.ports, ledger=ledger)  # type: ignore[arg-type]  # stands in for it
    with suppress(KeyboardInterrupt):
        summary = submit_night(harness.settings, harness.night, ports, owner="run-1")
        assert "locked" in str(summary.stopped)
    assert harness.states() == ["planned"]
    assert harness.provider.posts == []
