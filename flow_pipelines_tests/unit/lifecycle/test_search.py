"""Runs told by exclusion: which is a submission's own, and which may be somebody else's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from flow_pipelines.lifecycle import recover
from flow_pipelines.model import Receipt, SubmissionState
from flow_pipelines.model.errors import SubmitOutcomeUnknown
from flow_pipelines.provider import SubmitRequest
from flow_pipelines_tests.unit.lifecycle.conftest import Lab
from flow_pipelines_tests.unit.lifecycle.keyed_provider import (
    ALIKE,
    KeyedProvider,
    copies_in,
    lose_answers,
    tick,
)

S = SubmissionState


@pytest.fixture
def keyed(lab: Lab) -> KeyedProvider:
    lab.provider = KeyedProvider(lab.clock)
    return lab.provider


def test_two_in_doubt_are_not_told_apart_by_the_list_but_by_their_keys(
    lab: Lab, keyed: KeyedProvider
) -> None:
    lose_answers(lab, "a cat", "a dog")
    assert tick(lab) == 0
    assert lab.states() == ["unresolved", "unresolved"]
    copies_in(lab, 1200)
    assert lab.states() == ["submitted", "submitted"]
    for submission in lab.ledger.submissions(lab.night):
        assert submission.provider_run_id is not None
        own = keyed.runs[submission.provider_run_id]
        assert own.submission_key == submission.submission_key
    assert len(keyed.runs) == 2


def test_one_run_for_two_in_doubt_is_given_to_neither(lab: Lab, keyed: KeyedProvider) -> None:
    keyed.capabilities = replace(keyed.capabilities, replays=False)
    lose_answers(lab, "a cat", "a dog", accepted=False)
    keyed.create(keyed.posts[1])
    copies_in(lab, 1200, every=60)
    assert lab.states() == ["unresolved", "unresolved"]


def test_a_run_that_another_submission_has_is_left_out(lab: Lab, keyed: KeyedProvider) -> None:
    def lose_second(request: SubmitRequest, number: int) -> None:
        if number == 2:
            keyed.accept(request)
            raise SubmitOutcomeUnknown("lost", **ALIKE)

    keyed.on_submit = lose_second
    lab.plan("a cat", "a dog", "a bird")
    lab.submit()
    assert lab.states() == ["submitted", "unresolved", "submitted"]
    assert tick(lab) == 0
    assert [s.provider_run_id for s in lab.ledger.submissions(lab.night)] == [
        "run_0001",
        "run_0002",
        "run_0003",
    ]


@pytest.mark.parametrize("minutes", [-6, 96])
def test_a_run_from_another_time_is_not_taken_for_a_lost_one(
    lab: Lab, keyed: KeyedProvider, minutes: int
) -> None:
    keyed.capabilities = replace(keyed.capabilities, replays=minutes > 0)
    lose_answers(lab, "a cat", accepted=False)
    keyed.create(replace(keyed.posts[0], submission_key="somebody's own"))
    keyed.created["run_0001"] += timedelta(minutes=minutes)
    lab.clock.advance(97 * 60)
    assert tick(lab) == 0
    assert lab.states() == ["unresolved"]


def test_a_run_being_submitted_now_is_not_taken_for_a_lost_one(
    lab: Lab, keyed: KeyedProvider
) -> None:
    lose_answers(lab, "a cat", accepted=False)
    lab.night = lab.night._replace(partition_key="2026-11-22")
    lab.plan("a wolf")
    seen: list[SubmissionState] = []

    def look(request: SubmitRequest, number: int) -> Receipt | None:
        if number != 2:
            return None
        receipt = keyed.accept(request)
        recover(lab.ports)
        lost = lab.ledger.search(partition_key="2026-11-21")
        seen.extend(one.state for one in lost)
        return receipt

    keyed.on_submit = look
    lab.submit(owner="run-2")
    assert seen == [S.UNRESOLVED]
    assert lab.states() == ["submitted"]
