"""Runs that fit by time and workflow: told to people, and never attached."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import SubmitOutcomeUnknown
from flow_pipelines.provider import SubmitRequest
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness
from flow_pipelines_tests.unit.lifecycle.keyed_provider import (
    ALIKE,
    KeyedProvider,
    copies_in,
    lose_answers,
    tick,
)

S = SubmissionState
AFTER_THE_WINDOW = 2 * 3600


@pytest.fixture
def keyed(harness: LifecycleHarness) -> KeyedProvider:
    harness.provider = KeyedProvider(harness.clock)
    return harness.provider


def stop_replays(harness: LifecycleHarness, keyed: KeyedProvider) -> None:
    """Lose the answers of all copies, too."""

    def lose(_request: SubmitRequest, _number: int) -> None:
        raise SubmitOutcomeUnknown("lost again", **ALIKE)

    keyed.on_submit = lose


def reason(harness: LifecycleHarness) -> str:
    return harness.ledger.submissions(harness.night)[0].reason or ""


def test_two_in_doubt_are_told_apart_by_their_keys(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat", "a dog")
    copies_in(harness, 1200)
    assert harness.states() == ["submitted", "submitted"]
    for submission in harness.ledger.submissions(harness.night):
        assert submission.provider_run_id is not None
        own = keyed.runs[submission.provider_run_id]
        assert own.submission_key == submission.submission_key
    assert len(keyed.runs) == 2
    assert keyed.lists == 0


@pytest.mark.case(
    "a row whose POST was dropped was given a stranger's run, picture and cost",
    "no run is taken because it fits; its candidates are told when no copy may be sent any more",
)
def test_the_only_run_that_fits_is_told_and_not_taken(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat", accepted=False)
    keyed.create(replace(keyed.posts[0], idempotency_key="somebody else's"))
    stop_replays(harness, keyed)

    copies_in(harness, AFTER_THE_WINDOW)
    for _ in range(5):
        harness.clock.advance(6 * 3600)
        tick(harness)

    assert harness.states() == ["unresolved"]
    assert "1 provider run may be its (run_0001); a person has to choose" in reason(harness)


def test_what_a_submission_of_this_ledger_has_is_no_candidate(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    def lose_second(request: SubmitRequest, number: int) -> None:
        if number == 2 or number > 3:
            raise SubmitOutcomeUnknown("lost", **ALIKE)

    keyed.on_submit = lose_second
    harness.plan("a cat", "a dog", "a bird")
    harness.submit()
    assert harness.states() == ["submitted", "unresolved", "submitted"]
    copies_in(harness, AFTER_THE_WINDOW)
    harness.clock.advance(6 * 3600)
    tick(harness)
    lost = harness.ledger.submission(harness.keys(S.UNRESOLVED)[0])
    assert "may be its" not in (lost.reason or "")


@pytest.mark.parametrize("minutes", [-6, 96])
def test_a_run_from_another_time_is_no_candidate(
    harness: LifecycleHarness, keyed: KeyedProvider, minutes: int
) -> None:
    lose_answers(harness, "a cat", accepted=False)
    keyed.create(replace(keyed.posts[0], idempotency_key="somebody else's"))
    keyed.created["run_0001"] += timedelta(minutes=minutes)
    stop_replays(harness, keyed)
    copies_in(harness, AFTER_THE_WINDOW, every=60)
    assert harness.states() == ["unresolved"]
    assert "may be its" not in reason(harness)


def test_candidates_cost_few_requests_however_long_a_row_waits(
    harness: LifecycleHarness, keyed: KeyedProvider
) -> None:
    lose_answers(harness, "a cat")
    stop_replays(harness, keyed)
    copies_in(harness, 86400, every=300)
    assert 1 <= keyed.lists <= 10
