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
from flow_pipelines_tests.unit.lifecycle.conftest import Lab


def die_in_the_post(lab: Lab, *, accepted: bool) -> None:
    """Leave a submission as `kill -9` inside its POST does: an intent and no receipt."""
    submission = lab.ledger.submissions(lab.night, states={SubmissionState.PLANNED})[0]
    lease = submit_lease(lab.night)
    lab.ledger.mark_night(lab.night)
    lab.ledger.note_submitter(lab.night, None, None)
    assert lab.ledger.acquire_lease(lease, "dead", 45)
    lab.ledger.begin_submission(
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

        lab.provider.accept(submit_request(lab.ports, submission, {}))


def test_a_dead_submitters_run_is_found_and_not_bought_again(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    die_in_the_post(lab, accepted=True)
    assert recover(lab.ports).parked == 0
    lab.clock.advance(46)
    summary = recover(lab.ports)
    assert (summary.parked, summary.found, summary.waiting) == (1, 1, 0)
    lab.submit()
    assert len(lab.provider.runs) == 2
    assert lab.states() == ["submitted", "submitted"]


def test_a_run_that_cannot_be_found_waits_for_a_person(lab: Lab) -> None:
    lab.provider.capabilities = Capabilities(durable_outputs=True)
    lab.plan("a cat")
    die_in_the_post(lab, accepted=True)
    lab.clock.advance(46)
    assert recover(lab.ports).waiting == 1
    lab.submit()
    assert lab.states() == ["unresolved"]
    assert len(lab.provider.runs) == 1


def test_not_finding_it_proves_nothing(lab: Lab) -> None:
    lab.plan("a cat")
    die_in_the_post(lab, accepted=False)
    lab.clock.advance(46)
    recover(lab.ports)
    assert lab.states() == ["unresolved"]


def todo_kinds(lab: Lab) -> list[str]:
    """Ask the agenda as a sensor does."""
    return [todo.kind for todo in agenda(lab.ledger, lab.clock, batches=[lab.night.batch]).todos]


def test_a_night_that_was_only_planned_is_never_bought_unasked(lab: Lab) -> None:
    lab.plan("a cat")
    assert todo_kinds(lab) == []


def test_a_night_cut_in_half_goes_on_by_itself(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    die_in_the_post(lab, accepted=True)
    assert todo_kinds(lab) == []
    lab.clock.advance(46)
    recover(lab.ports)
    assert todo_kinds(lab) == ["submit"]
    assert todo_kinds(lab) == []
    lab.clock.advance(3600)
    assert todo_kinds(lab) == ["submit"]


def test_attempts_to_go_on_are_bounded(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    die_in_the_post(lab, accepted=True)
    asked = 0
    for _ in range(50):
        lab.clock.advance(7 * 3600)
        asked += len(todo_kinds(lab))
    assert asked == 8


def held(lab: Lab) -> list[str]:
    """Ask the agenda as a sensor does while the account is held."""
    batches = [lab.night.batch]
    found = agenda(lab.ledger, lab.clock, batches=batches, held=batches)
    return [todo.kind for todo in found.todos]


def test_while_an_account_is_held_nothing_is_asked_for_and_no_attempt_used_up(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    die_in_the_post(lab, accepted=True)
    for _ in range(30):
        lab.clock.advance(86_400)
        recover(lab.ports)
        assert held(lab) == []
    record = lab.ledger.night(lab.night)
    assert record is not None
    assert record.submit_attempts == 0
    assert todo_kinds(lab) == ["submit"]


def test_while_an_account_is_held_what_has_ended_is_tried_once(lab: Lab) -> None:
    lab.plan("a cat")
    lab.submit()
    wait_for_night(lab.ports, lab.night, owner="run-1", wait_seconds=600)
    assert held(lab) == ["collect"]
    lab.clock.advance(86_400)
    assert held(lab) == []
    assert todo_kinds(lab) == ["collect"]


def test_rows_beyond_the_limit_are_not_bought_by_the_sensor(lab: Lab) -> None:
    lab.plan("a cat", "a dog", "a bird")
    lab.submit(limit=1)
    wait_for_night(lab.ports, lab.night, owner="run-1", wait_seconds=600)
    assert todo_kinds(lab) == ["collect"]


def test_after_the_breaker_nothing_goes_on_by_itself(lab: Lab) -> None:
    def lose(request, number):
        raise SubmitOutcomeUnknown("lost", provider="floyo", operation="create_run")

    lab.provider.on_submit = lose
    lab.plan(*[f"cat {n}" for n in range(5)])
    lab.submit()
    assert "submit" not in todo_kinds(lab)


def test_a_finished_night_is_collected_once(lab: Lab) -> None:
    lab.plan("a cat")
    lab.submit(backfill_id="bf1")
    assert todo_kinds(lab) == []
    wait_for_night(lab.ports, lab.night, owner="run-1", wait_seconds=600)
    todos = agenda(lab.ledger, lab.clock, batches=[lab.night.batch]).todos
    assert [(todo.kind, todo.backfill_id) for todo in todos] == [("collect", "bf1")]
    collect_night(lab.night, lab.ports, owner="run-2")
    lab.clock.advance(86400)
    assert todo_kinds(lab) == []


def test_a_picture_that_could_not_be_stored_is_asked_for_again_within_bounds(lab: Lab) -> None:
    lab.plan("a cat")
    lab.submit()
    wait_for_night(lab.ports, lab.night, owner="run-1", wait_seconds=600)

    def cut(_output_id: str) -> bytes:
        raise TransferError("the download ended after 3 bytes")

    lab.provider.on_fetch = cut
    asked = 0
    for _ in range(20):
        lab.clock.advance(7 * 3600)
        if todo_kinds(lab) == ["collect"]:
            asked += 1
            collect_night(lab.night, lab.ports, owner="run-2")
    assert asked == MAX_COLLECTIONS
    assert len(lab.provider.runs) == 1


def test_a_collection_that_is_held_for_the_run_itself_is_not_asked_for(lab: Lab) -> None:
    lab.plan("a cat")
    lab.submit(owner="run-1", hold_for_collection=True)
    wait_for_night(lab.ports, lab.night, owner="run-1", wait_seconds=12)
    assert todo_kinds(lab) == []


def bought(lab: Lab) -> int:
    """Submit everything planned and give how many provider runs exist."""
    lab.submit(owner=f"run-{len(lab.provider.runs)}")
    wait_for_night(lab.ports, lab.night, owner="w", wait_seconds=600)
    return len(lab.provider.runs)


def test_a_regeneration_buys_its_rows_once_however_often_it_is_retried(lab: Lab) -> None:
    lab.plan("a cat", "a dog", "a bird")
    assert bought(lab) == 3
    scope = {"prompt_ids": ["p1"]}
    for _ in range(3):
        regenerate(lab.settings, lab.night, lab.ports, requested_by="root-1", scope=scope)
        bought(lab)
    assert len(lab.provider.runs) == 4
    regenerate(lab.settings, lab.night, lab.ports, requested_by="root-2", scope=scope)
    assert bought(lab) == 5
    seeds = {s.seed for s in lab.ledger.submissions(lab.night) if s.prompt_id == "p1"}
    assert len(seeds) == 3


@pytest.mark.case(
    "a re-execution that asks to regenerate other rows bought nothing and was green",
    "it buys nothing and fails with one message: start a new run",
)
@pytest.mark.parametrize("other", ["all", "failed", {"prompt_ids": ["p2", "p1"]}])
def test_a_re_execution_that_asks_for_other_rows_is_refused_free_of_charge(
    lab: Lab, other: str | dict[str, list[str]]
) -> None:
    lab.plan("a cat", "a dog", "a bird")
    scope = {"prompt_ids": ["p1"]}
    again = partial(regenerate, lab.settings, lab.night, lab.ports, requested_by="root-1")
    again(scope=scope)
    assert bought(lab) == 3
    with pytest.raises(ConfigurationError, match=r"root-1 has regenerated .*Start a new run"):
        again(scope=other)
    assert bought(lab) == 3
    assert again(scope={"prompt_ids": ["p1", "p1"]}).generation == 1


def test_rows_named_in_another_order_are_the_same_request(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    again = partial(regenerate, lab.settings, lab.night, lab.ports, requested_by="root-1")
    assert again(scope={"prompt_ids": ["p0", "p1"]}) == again(scope={"prompt_ids": ["p1", "p0"]})


def test_failed_rows_alone_are_bought_again(lab: Lab) -> None:
    from dataclasses import replace

    def fail(run):
        report = lab.provider.finished(run)
        return (
            replace(report, state=SubmissionState.FAILED, outputs=()) if run == "run_0002" else None
        )

    lab.provider.on_poll = fail
    lab.plan("a cat", "a dog", "a bird")
    bought(lab)
    regenerate(lab.settings, lab.night, lab.ports, requested_by="r", scope="failed")
    assert bought(lab) == 4
    summary = collect_night(lab.night, lab.ports, owner="c")
    assert (summary.rows, summary.failed, summary.images) == (3, 0, 3)


def test_unresolved_rows_are_never_regenerated(lab: Lab) -> None:
    def lose(request, number):
        raise SubmitOutcomeUnknown("lost", provider="floyo", operation="create_run")

    lab.provider.on_submit = lose
    lab.plan("a cat")
    lab.submit()
    regeneration = regenerate(lab.settings, lab.night, lab.ports, requested_by="r", scope="all")
    assert regeneration.rows == 0


def test_a_changed_row_keeps_its_picture_until_changed_rows_are_asked_for(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    bought(lab)
    lab.write_prompts("a cat", "a wolf", "a new one")
    planned = plan_night(lab.settings, lab.night.partition_key, lab.ports)
    assert planned.outcome.stale == 2
    assert bought(lab) == 2
    regenerate(lab.settings, lab.night, lab.ports, requested_by="r", scope="changed")
    assert bought(lab) == 4


def test_unknown_prompt_ids_are_named(lab: Lab) -> None:
    lab.plan("a cat")
    with pytest.raises(ConfigurationError, match="p77"):
        regenerate(
            lab.settings, lab.night, lab.ports, requested_by="r", scope={"prompt_ids": ["p77"]}
        )
