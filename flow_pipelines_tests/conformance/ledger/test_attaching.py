"""Runs that are attached, detached, told of, and too many."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from flow_pipelines.model import CostBasis, Receipt
from flow_pipelines.model.errors import IllegalTransition, LedgerError
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    PROVIDER,
    LedgerDriver,
    S,
    facts,
    key_of,
    new_night,
    refs,
    report,
)

HAS_RUN = frozenset({S.SUBMITTED, S.QUEUED, S.RUNNING, S.SUCCEEDED, S.FAILED, S.CANCELED})
ANN = {"who": "ann", "why": "not mine"}


def stored(driver: LedgerDriver, *names: str) -> str:
    """Bring a run's outputs into the bucket; give its submission."""
    night = new_night()
    driver.plan(night)
    key = key_of(night, 0)
    driver.submit(key)
    driver.poll(key, S.SUCCEEDED, cost="0.5", outputs=refs(*names))
    for index, name in enumerate(names):
        driver.ledger.record_stored(key, index, facts(name))
    driver.ledger.mark_collected(key)
    return key


@pytest.mark.parametrize("state", sorted(HAS_RUN))
def test_a_detached_run_leaves_nothing_of_itself_behind(
    shared_driver: LedgerDriver, state: S
) -> None:
    key = shared_driver.reach(state)
    run = shared_driver.ledger.submission(key).provider_run_id

    found = shared_driver.ledger.detach(key, **ANN)

    assert (found.state, found.provider_run_id) == (S.UNRESOLVED, None)
    assert (found.cost_usd, found.cost_basis, found.run_ms) == (None, CostBasis.UNKNOWN, None)
    assert (found.finished_at, found.submitted_at, found.error_message) == (None, None, None)
    assert (found.polls, found.asked_at, found.next_poll_at) == (0, None, None)
    assert found.reserved_usd == Decimal("0.02")
    record = shared_driver.ledger.night(found.night)
    assert record is not None
    assert (record.counts, record.uncollected) == ({S.UNRESOLVED: 1}, 0)
    [kept] = shared_driver.ledger.settlements(key)
    assert (kept.action, kept.provider_run_id, kept.who) == ("detach", run, "ann")


@pytest.mark.parametrize("state", sorted(set(S) - HAS_RUN))
def test_where_there_is_no_run_nothing_is_detached(shared_driver: LedgerDriver, state: S) -> None:
    key = shared_driver.reach(state)
    before = shared_driver.everything(key)

    with pytest.raises(IllegalTransition):
        shared_driver.ledger.detach(key, **ANN)

    assert shared_driver.everything(key) == before


def test_what_a_stranger_cost_does_not_stay_reserved(shared_driver: LedgerDriver) -> None:
    now = shared_driver.clock.now()
    before = shared_driver.ledger.reserved_usd(PROVIDER, now)
    key = stored(shared_driver, "a")
    assert shared_driver.ledger.reserved_usd(PROVIDER, now) == before + Decimal("0.5")

    shared_driver.ledger.detach(key, **ANN)

    assert shared_driver.ledger.reserved_usd(PROVIDER, now) == before + Decimal("0.02")


def test_outputs_of_a_detached_run_are_nobodys_and_their_indexes_stay_taken(
    shared_driver: LedgerDriver,
) -> None:
    key = stored(shared_driver, "a", "b")
    night = shared_driver.ledger.submission(key).night

    shared_driver.ledger.detach(key, **ANN)

    assert shared_driver.ledger.outputs(night).get(key, ()) == ()
    kept = shared_driver.ledger.detached_outputs(key)
    assert [(one.output_index, one.output_id, one.s3_key, one.sha256) for one in kept] == [
        (0, "a", "images/a.png", "a"),
        (1, "b", "images/b.png", "b"),
    ]
    assert {one.provider_run_id for one in kept} == {f"run {key}"}

    for run, indexes in (("second", [2, 3]), ("third", [4, 5])):
        receipt = Receipt(provider_run_id=f"{run} {key}")
        shared_driver.ledger.attach(key, receipt, who="ann", why="this one")
        shared_driver.ledger.record_poll(
            key,
            report(receipt.provider_run_id, S.SUCCEEDED, outputs=refs("a", "b")),
            next_poll_at=None,
            cost_usd=None,
            cost_basis="unknown",
        )
        outputs = shared_driver.ledger.outputs(night)[key]
        assert [one.output_index for one in outputs] == indexes
        assert [one.stored for one in outputs] == [None, None]
        shared_driver.ledger.detach(key, **ANN)


def test_a_detached_run_comes_back_by_a_persons_word_only(shared_driver: LedgerDriver) -> None:
    key = shared_driver.reach(S.SUBMITTED)
    receipt = Receipt(provider_run_id=f"run {key}")
    shared_driver.ledger.detach(key, **ANN)

    for attach in (shared_driver.ledger.attach, shared_driver.ledger.attach_proven):
        with pytest.raises(LedgerError, match="only a person attaches it again"):
            attach(key, receipt, who="flow-pipelines", why="its label")
    assert shared_driver.state(key) is S.UNRESOLVED

    shared_driver.ledger.attach(key, receipt, who="ann", why="mine after all", by_person=True)
    assert shared_driver.ledger.submission(key).provider_run_id == f"run {key}"
    actions = [one.action for one in shared_driver.ledger.settlements(key)]
    assert actions == ["detach", "attach"]


def test_a_detached_run_may_be_another_submissions(shared_driver: LedgerDriver) -> None:
    key, other = shared_driver.reach(S.SUBMITTED), shared_driver.reach(S.UNRESOLVED)
    receipt = Receipt(provider_run_id=f"run {key}")
    shared_driver.ledger.detach(key, **ANN)

    shared_driver.ledger.attach(other, receipt, who="ann", why="it is this one's")

    assert shared_driver.ledger.submission(other).provider_run_id == f"run {key}"


def test_a_poll_of_a_run_that_was_detached_meanwhile_is_refused(
    shared_driver: LedgerDriver,
) -> None:
    key = shared_driver.reach(S.RUNNING)
    shared_driver.ledger.detach(key, **ANN)
    before = shared_driver.everything(key)

    with pytest.raises(IllegalTransition):
        shared_driver.poll(key, S.SUCCEEDED)

    assert shared_driver.everything(key) == before


@pytest.mark.parametrize(("told", "noted"), [(None, 0), (-60, 0), (2, 2), (600, 600), (4000, 3600)])
def test_a_late_receipt_s_time_is_between_its_intent_and_now(
    shared_driver: LedgerDriver, told: int | None, noted: int
) -> None:
    key = shared_driver.reach(S.UNRESOLVED)
    sent_at = shared_driver.ledger.submission(key).submitting_at
    assert sent_at is not None
    shared_driver.clock.advance((sent_at - shared_driver.clock.now()).total_seconds() + 3600)
    created_at = None if told is None else sent_at + timedelta(seconds=told)
    receipt = Receipt(provider_run_id=f"run {key}", created_at=created_at)

    found = shared_driver.ledger.attach(key, receipt, who="ann", why="its name")

    assert found.submitted_at == sent_at + timedelta(seconds=noted)
    assert found.next_poll_at == shared_driver.clock.now()


@pytest.mark.parametrize("state", [S.SUBMITTING, S.SUBMITTED, S.RUNNING, S.SUCCEEDED, S.FAILED])
def test_what_is_being_sent_or_has_a_run_is_told_of_none(
    shared_driver: LedgerDriver, state: S
) -> None:
    key = shared_driver.reach(state)
    before = shared_driver.everything(key)

    with pytest.raises(IllegalTransition):
        shared_driver.ledger.attach_proven(
            key, Receipt(provider_run_id=f"told {key}"), who="callback", why="its token"
        )

    assert shared_driver.everything(key) == before


def test_a_run_of_another_is_told_of_in_vain(shared_driver: LedgerDriver) -> None:
    taken, key = shared_driver.reach(S.SUBMITTED), shared_driver.reach(S.PLANNED)
    before = shared_driver.everything(key)

    with pytest.raises(LedgerError, match=f"already belongs to submission {taken}"):
        shared_driver.ledger.attach_proven(
            key, Receipt(provider_run_id=f"run {taken}"), who="callback", why="its token"
        )

    assert shared_driver.everything(key) == before


def test_attaching_a_second_run_settles_it(shared_driver: LedgerDriver) -> None:
    key = shared_driver.reach(S.SUBMITTED)
    ledger = shared_driver.ledger
    assert not ledger.note_second_run(key, f"run {key}")
    assert ledger.note_second_run(key, f"two {key}")
    ledger.detach(key, **ANN)

    ledger.attach(key, Receipt(provider_run_id=f"two {key}"), who="ann", why="mine")

    [second] = ledger.second_runs([key])
    assert second.settled_why == "its own run"
    assert key not in {one.submission_key for one in ledger.unsettled_second_runs()}


def test_a_second_run_that_nobody_heard_of_is_not_settled(shared_driver: LedgerDriver) -> None:
    key = shared_driver.reach(S.SUBMITTED)

    with pytest.raises(LedgerError, match="no second run"):
        shared_driver.ledger.settle_second_run(key, "a typo", who="ann", why="refunded")
