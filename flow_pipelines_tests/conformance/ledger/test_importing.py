"""What another copy of the ledger sent is taken in as it was, once, whatever this copy says."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from flow_pipelines.model import (
    Decision,
    JournalEntry,
    Receipt,
    Regeneration,
    Submission,
    Workflow,
)
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    OWNER,
    LedgerDriver,
    S,
    entry_of,
    facts,
    key_of,
    new_night,
    refs,
)


def planned(driver: LedgerDriver, rows: int = 1) -> Submission:
    night = new_night()
    driver.plan(night, range(rows))
    return driver.ledger.submission(key_of(night, 0))


def sent_since(row: Submission, **changes: object) -> JournalEntry:
    at = row.planned_at + timedelta(days=2)
    return entry_of(
        row,
        **{
            "submitting_at": at,
            "prompt": "as it was sent",
            "parameters": {"a": 2**64 - 1},
            "resource": "second_account",
            "dagster_run_id": "run-of-then",
            "intent_ledger_id": "ledger-of-then",
            "body_sha256": "0" * 64,
            **changes,
        },
    )


def test_a_row_takes_everything_from_the_entry(shared_driver: LedgerDriver) -> None:
    row = planned(shared_driver)
    entry = sent_since(row)
    assert shared_driver.ledger.import_intents(row.night, [entry], []) == [row.submission_key]
    now = shared_driver.ledger.submission(row.submission_key)
    wanted = replace(entry.sent, state=S.UNRESOLVED, reason=now.reason, stale=now.stale)
    assert replace(now, estimate_usd=None) == wanted
    day = shared_driver.ledger.reserved_usd(
        entry.sent.resource, entry.sent.submitting_at or row.planned_at
    )
    assert day == Decimal("0.25")
    record = shared_driver.ledger.night(row.night)
    assert record is not None
    assert (record.marked_at, record.submit_goal) == (shared_driver.clock.now(), 1)
    assert record.counts == {S.UNRESOLVED: 1}
    shared_driver.clock.advance(7 * 86400)  # the next test's days are its own


def test_an_intent_that_the_ledger_knows_changes_nothing(shared_driver: LedgerDriver) -> None:
    row = planned(shared_driver)
    shared_driver.begin(row.submission_key)
    before = shared_driver.ledger.submission(row.submission_key)
    for number in (0, 1):
        entry = sent_since(row, intents=number)
        assert list(shared_driver.ledger.import_intents(row.night, [entry], [])) == []
    assert shared_driver.ledger.submission(row.submission_key) == before


@pytest.mark.parametrize(
    "state",
    [S.PLANNED, S.SKIPPED, S.SUBMITTING, S.UNRESOLVED, S.SUBMITTED, S.SUCCEEDED, S.FAILED],
)
def test_a_row_in_any_state_becomes_unresolved_without_its_run(
    shared_driver: LedgerDriver, state: S
) -> None:
    row = planned(shared_driver)
    key = row.submission_key
    bring_to(shared_driver, key, state)
    entry = sent_since(row, intents=2)
    assert shared_driver.ledger.import_intents(row.night, [entry], []) == [key]
    now = shared_driver.ledger.submission(key)
    assert (now.state, now.provider_run_id, now.intents) == (S.UNRESOLVED, None, 2)
    record = shared_driver.ledger.night(row.night)
    assert record is not None
    assert (record.counts, record.uncollected) == ({S.UNRESOLVED: 1}, 0)


@pytest.mark.case(
    "an imported intent counts for the request that another one of its row was sent for",
    "it counts for none: requests were counted by the ledger that sent it",
)
def test_an_imported_intent_counts_for_no_request_of_this_ledger(
    shared_driver: LedgerDriver,
) -> None:
    night = new_night()
    shared_driver.plan(night, range(3))
    shared_driver.ledger.note_ask(night, "somebody", 1)
    key = key_of(night, 0)
    shared_driver.refuse(key, "alike")
    row = shared_driver.ledger.submission(key)
    shared_driver.ledger.import_intents(night, [sent_since(row, intents=2)], [])
    assert shared_driver.ledger.submission(key).refusal is None
    shared_driver.ledger.attach(key, Receipt(provider_run_id=f"run {key}"), who="a", why="b")
    shared_driver.poll(key, S.FAILED)
    record = shared_driver.ledger.night(night)
    assert record is not None
    assert record.stopped is None


def bring_to(driver: LedgerDriver, key: str, state: S) -> None:
    if state is S.SKIPPED:
        driver.ledger.skip([key], "budget")
    if state in (S.PLANNED, S.SKIPPED):
        return
    driver.begin(key)
    if state is S.UNRESOLVED:
        driver.ledger.park_submission(key, "lost")
    if state in (S.SUBMITTED, S.SUCCEEDED, S.FAILED):
        driver.receive(key)
    if state in (S.SUCCEEDED, S.FAILED):
        driver.poll(key, state, outputs=refs("a") if state is S.SUCCEEDED else ())


def test_outputs_of_the_run_of_before_belong_to_none(shared_driver: LedgerDriver) -> None:
    row = planned(shared_driver)
    key = row.submission_key
    bring_to(shared_driver, key, S.SUCCEEDED)
    shared_driver.ledger.record_stored(key, 0, facts())
    run = shared_driver.ledger.submission(key).provider_run_id
    shared_driver.ledger.import_intents(row.night, [sent_since(row, intents=2)], [])
    (detached,) = shared_driver.ledger.detached_outputs(key)
    assert (detached.provider_run_id, detached.s3_key) == (run, facts().s3_key)
    assert shared_driver.ledger.outputs_of([key]) == {}


def test_a_night_that_was_never_planned_here_is_made(shared_driver: LedgerDriver) -> None:
    row = replace(planned(shared_driver), night=new_night())
    key = key_of(row.night, 0)
    workflow = Workflow(reference="graph.json", version=f"of {row.night}", body={})
    entry = sent_since(replace(row, submission_key=key, workflow_version=workflow.version))
    shared_driver.ledger.import_intents(row.night, [entry], [workflow])
    assert shared_driver.ledger.submission(key).state is S.UNRESOLVED
    assert shared_driver.ledger.workflow(workflow.version) == workflow
    assert shared_driver.plan(row.night, range(3)).planned == 2
    states = [one.state for one in shared_driver.ledger.submissions(row.night)]
    assert states == [S.UNRESOLVED, S.PLANNED, S.PLANNED]
    assert shared_driver.plan(row.night, range(5)).planned == 4  # nothing was sent from here yet


def test_what_is_planned_in_a_night_that_was_taken_in_waits_to_be_asked_for(
    shared_driver: LedgerDriver,
) -> None:
    row = planned(shared_driver, rows=3)
    shared_driver.ledger.import_intents(row.night, [sent_since(row)], [])
    assert shared_driver.plan(row.night, range(5)).planned == 2
    states = [one.state for one in shared_driver.ledger.submissions(row.night)]
    assert states == [S.UNRESOLVED, *[S.PLANNED] * 4]
    record = shared_driver.ledger.night(row.night)
    assert record is not None
    assert (record.held, record.submit_goal) == (2, 1)


def test_a_regeneration_comes_with_its_rows(shared_driver: LedgerDriver) -> None:
    row = planned(shared_driver)
    again = Regeneration(
        night=row.night,
        generation=4,
        requested_by="run-4",
        scope='"all"',
        created_at=shared_driver.clock.now(),
        rows=2,
    )
    lost = replace(row, submission_key=key_of(row.night, 0, generation=4), generation=4)
    entry = sent_since(lost, regeneration=again)
    for _ in range(2):
        shared_driver.ledger.import_intents(row.night, [entry], [])
    assert list(shared_driver.ledger.regenerations(row.night)) == [again]
    following = shared_driver.ledger.regenerate(row.night, "run-5", "all", lambda _: [])
    assert following.generation == 5


def test_decisions_of_before_come_with_the_row_once(shared_driver: LedgerDriver) -> None:
    row = planned(shared_driver)
    decided = Decision("settle_not_created", "ann", "looked", shared_driver.clock.now())
    for number in (2, 3):
        entry = replace(sent_since(row, intents=number), decisions=(decided,))
        shared_driver.ledger.import_intents(row.night, [entry], [])
    (known,) = shared_driver.ledger.settlements(row.submission_key)
    assert (known.who, known.why, known.at) == decided[1:]


def test_of_two_who_take_in_the_same_one_does(driver: LedgerDriver) -> None:
    row = planned(driver)
    entry = sent_since(row)

    def take() -> list[str]:
        return list(driver.ledger.import_intents(row.night, [entry], []))

    with ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(take) for _ in range(2)]
    assert sorted(len(one.result()) for one in taken) == [0, 1]
    assert driver.ledger.intents(row.night) == {row.submission_key: 1}


def test_an_answer_to_an_intent_of_before_changes_nothing_of_the_imported_one(
    shared_driver: LedgerDriver,
) -> None:
    row = planned(shared_driver)
    sent = shared_driver.begin(row.submission_key, owner=OWNER)
    shared_driver.ledger.import_intents(row.night, [sent_since(row, intents=2)], [])
    from flow_pipelines.model.errors import IllegalTransition

    with pytest.raises(IllegalTransition):
        shared_driver.ledger.return_to_plan(row.submission_key, "429", sent=sent)


def test_places_are_known_in_their_order_and_complete_once_said(
    shared_driver: LedgerDriver,
) -> None:
    night = planned(shared_driver).night
    assert not shared_driver.ledger.note_place(night, "s3://b/flow")
    shared_driver.clock.advance(1)
    assert not shared_driver.ledger.note_place(night, "s3://a/flow")
    shared_driver.ledger.journaled(night, "s3://b/flow")
    assert shared_driver.ledger.note_place(night, "s3://b/flow")
    assert not shared_driver.ledger.note_place(night, "s3://a/flow")
    assert list(shared_driver.ledger.places(night.batch)) == ["s3://b/flow", "s3://a/flow"]
    assert night.partition_key in shared_driver.ledger.partition_times(night.batch)
