"""After deaths, and what a sensor should ask for."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest

from flow_pipelines.ledger.contract import MAX_COLLECTIONS
from flow_pipelines.lifecycle import (
    agenda,
    collect_night,
    plan_night,
    recover,
    regenerate,
    submit_lease,
    wait_for_night,
)
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import ConfigurationError, SubmitOutcomeUnknown, TransferError
from flow_pipelines.provider import Capabilities
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness


def die_in_the_post(harness: LifecycleHarness, *, accepted: bool) -> None:
    """Leave a submission as `kill -9` inside its POST does: an intent and no receipt."""
    submission = harness.ledger.submissions(harness.night, states={SubmissionState.PLANNED})[0]
    lease = submit_lease(harness.night)
    harness.ledger.mark_night(harness.night)
    harness.ledger.note_submitter(harness.night, None, None)
    assert harness.ledger.acquire_lease(lease, "dead", 45)
    harness.ledger.begin_submission(
        submission.submission_key,
        lease=lease,
        owner="dead",
        resource="floyo",
        body_sha256="",
        estimate_usd=Decimal(0),
        budget_usd=None,
        daily_budget_usd=None,
    )
    if accepted:
        from flow_pipelines.lifecycle.requests import submit_request

        harness.provider.accept(submit_request(harness.ports, submission))


def test_a_dead_submitters_run_is_found_and_not_bought_again(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog")
    die_in_the_post(harness, accepted=True)
    assert recover(harness.ports).parked == 0
    harness.clock.advance(46)
    summary = recover(harness.ports)
    assert (summary.parked, summary.found, summary.waiting) == (1, 1, 0)
    harness.submit()
    assert len(harness.provider.runs) == 2
    assert harness.states() == ["submitted", "submitted"]


def test_a_run_that_cannot_be_found_waits_for_a_person(harness: LifecycleHarness) -> None:
    harness.provider.capabilities = Capabilities(durable_outputs=True)
    harness.plan("a cat")
    die_in_the_post(harness, accepted=True)
    harness.clock.advance(46)
    assert recover(harness.ports).waiting == 1
    harness.submit()
    assert harness.states() == ["unresolved"]
    assert len(harness.provider.runs) == 1


def test_not_finding_it_proves_nothing(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    die_in_the_post(harness, accepted=False)
    harness.clock.advance(46)
    recover(harness.ports)
    assert harness.states() == ["unresolved"]


def todo_kinds(harness: LifecycleHarness) -> list[str]:
    """Ask the agenda as a sensor does."""
    return [
        todo.kind
        for todo in agenda(harness.ledger, harness.clock, batches=[harness.night.batch]).todos
    ]


def test_a_night_that_was_only_planned_is_never_bought_unasked(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    assert todo_kinds(harness) == []


def test_a_night_cut_in_half_goes_on_by_itself(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog")
    die_in_the_post(harness, accepted=True)
    assert todo_kinds(harness) == []
    harness.clock.advance(46)
    recover(harness.ports)
    assert todo_kinds(harness) == ["submit"]
    assert todo_kinds(harness) == []
    harness.clock.advance(3600)
    assert todo_kinds(harness) == ["submit"]


def test_attempts_to_go_on_are_bounded(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog")
    die_in_the_post(harness, accepted=True)
    asked = 0
    for _ in range(50):
        harness.clock.advance(7 * 3600)
        asked += len(todo_kinds(harness))
    assert asked == 8


def held(harness: LifecycleHarness) -> list[str]:
    """Ask the agenda as a sensor does while the account is held."""
    batches = [harness.night.batch]
    found = agenda(harness.ledger, harness.clock, batches=batches, held=batches)
    return [todo.kind for todo in found.todos]


def test_while_an_account_is_held_nothing_is_asked_for_and_no_attempt_used_up(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog")
    die_in_the_post(harness, accepted=True)
    for _ in range(30):
        harness.clock.advance(86_400)
        recover(harness.ports)
        assert held(harness) == []
    record = harness.ledger.night(harness.night)
    assert record is not None
    assert record.submit_attempts == 0
    assert todo_kinds(harness) == ["submit"]


def test_while_an_account_is_held_what_has_ended_is_tried_once(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    harness.submit()
    wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=600)
    assert held(harness) == ["collect"]
    harness.clock.advance(86_400)
    assert held(harness) == []
    assert todo_kinds(harness) == ["collect"]


def test_rows_beyond_the_limit_are_not_bought_by_the_sensor(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog", "a bird")
    harness.submit(limit=1)
    wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=600)
    assert todo_kinds(harness) == ["collect"]


def test_after_the_breaker_nothing_goes_on_by_itself(harness: LifecycleHarness) -> None:
    def lose(request, number):
        raise SubmitOutcomeUnknown("lost", provider="floyo", operation="create_run")

    harness.provider.on_submit = lose
    harness.plan(*[f"cat {n}" for n in range(5)])
    harness.submit()
    assert "submit" not in todo_kinds(harness)


def test_a_finished_night_is_collected_once(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    harness.submit(backfill_id="bf1")
    assert todo_kinds(harness) == []
    wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=600)
    todos = agenda(harness.ledger, harness.clock, batches=[harness.night.batch]).todos
    assert [(todo.kind, todo.backfill_id) for todo in todos] == [("collect", "bf1")]
    collect_night(harness.night, harness.ports, owner="run-2")
    harness.clock.advance(86400)
    assert todo_kinds(harness) == []


def test_a_picture_that_could_not_be_stored_is_asked_for_again_within_bounds(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat")
    harness.submit()
    wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=600)

    def cut(_output_id: str) -> bytes:
        raise TransferError("the download ended after 3 bytes")

    harness.provider.on_fetch = cut
    asked = 0
    for _ in range(20):
        harness.clock.advance(7 * 3600)
        if todo_kinds(harness) == ["collect"]:
            asked += 1
            collect_night(harness.night, harness.ports, owner="run-2")
    assert asked == MAX_COLLECTIONS
    assert len(harness.provider.runs) == 1


def test_a_collection_that_is_held_for_the_run_itself_is_not_asked_for(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat")
    harness.submit(owner="run-1", hold_for_collection=True)
    wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=12)
    assert todo_kinds(harness) == []


def bought(harness: LifecycleHarness) -> int:
    """Submit everything planned and give how many provider runs exist."""
    harness.submit(owner=f"run-{len(harness.provider.runs)}")
    wait_for_night(harness.ports, harness.night, owner="w", wait_seconds=600)
    return len(harness.provider.runs)


def test_a_regeneration_buys_its_rows_once_however_often_it_is_retried(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog", "a bird")
    assert bought(harness) == 3
    scope = {"prompt_ids": ["p1"]}
    for _ in range(3):
        regenerate(
            harness.settings, harness.night, harness.ports, requested_by="root-1", scope=scope
        )
        bought(harness)
    assert len(harness.provider.runs) == 4
    regenerate(harness.settings, harness.night, harness.ports, requested_by="root-2", scope=scope)
    assert bought(harness) == 5
    seeds = {s.seed for s in harness.ledger.submissions(harness.night) if s.prompt_id == "p1"}
    assert len(seeds) == 3


@pytest.mark.case(
    "a re-execution that asks to regenerate other rows bought nothing and was green",
    "it buys nothing and fails with one message: start a new run",
)
@pytest.mark.parametrize("other", ["all", "failed", {"prompt_ids": ["p2", "p1"]}])
def test_a_re_execution_that_asks_for_other_rows_is_refused_free_of_charge(
    harness: LifecycleHarness, other: str | dict[str, list[str]]
) -> None:
    harness.plan("a cat", "a dog", "a bird")
    scope = {"prompt_ids": ["p1"]}
    again = partial(
        regenerate, harness.settings, harness.night, harness.ports, requested_by="root-1"
    )
    again(scope=scope)
    assert bought(harness) == 3
    with pytest.raises(ConfigurationError, match=r"root-1 has regenerated .*Start a new run"):
        again(scope=other)
    assert bought(harness) == 3
    assert again(scope={"prompt_ids": ["p1", "p1"]}).generation == 1


def test_rows_named_in_another_order_are_the_same_request(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog")
    again = partial(
        regenerate, harness.settings, harness.night, harness.ports, requested_by="root-1"
    )
    assert again(scope={"prompt_ids": ["p0", "p1"]}) == again(scope={"prompt_ids": ["p1", "p0"]})


def test_failed_rows_alone_are_bought_again(harness: LifecycleHarness) -> None:
    from dataclasses import replace

    def fail(run):
        report = harness.provider.finished(run)
        return (
            replace(report, state=SubmissionState.FAILED, outputs=()) if run == "run_0002" else None
        )

    harness.provider.on_poll = fail
    harness.plan("a cat", "a dog", "a bird")
    bought(harness)
    regenerate(harness.settings, harness.night, harness.ports, requested_by="r", scope="failed")
    assert bought(harness) == 4
    summary = collect_night(harness.night, harness.ports, owner="c")
    assert (summary.rows, summary.failed, summary.images) == (3, 0, 3)


def test_unresolved_rows_are_never_regenerated(harness: LifecycleHarness) -> None:
    def lose(request, number):
        raise SubmitOutcomeUnknown("lost", provider="floyo", operation="create_run")

    harness.provider.on_submit = lose
    harness.plan("a cat")
    harness.submit()
    regeneration = regenerate(
        harness.settings, harness.night, harness.ports, requested_by="r", scope="all"
    )
    assert regeneration.rows == 0


def test_a_changed_row_keeps_its_picture_until_changed_rows_are_asked_for(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog")
    bought(harness)
    harness.write_prompts("a cat", "a wolf", "a new one")
    planned = plan_night(harness.settings, harness.night.partition_key, harness.ports)
    assert planned.outcome.stale == 2
    assert bought(harness) == 2
    regenerate(harness.settings, harness.night, harness.ports, requested_by="r", scope="changed")
    assert bought(harness) == 4


def test_unknown_prompt_ids_are_named(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    with pytest.raises(ConfigurationError, match="p77"):
        regenerate(
            harness.settings,
            harness.night,
            harness.ports,
            requested_by="r",
            scope={"prompt_ids": ["p77"]},
        )
