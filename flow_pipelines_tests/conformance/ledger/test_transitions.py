"""Every event in every state: what is allowed happens, what is not changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flow_pipelines.model import IN_FLIGHT, Receipt, SubmissionState
from flow_pipelines.model.errors import IllegalTransition, LedgerError
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    key_of,
    new_night,
    report,
)

ENDED_AT_PROVIDER = frozenset({S.SUCCEEDED, S.FAILED, S.CANCELED})
Event = Callable[[LedgerDriver, str], object]


def _polled(state: SubmissionState | None) -> Event:
    return lambda driver, key: driver.poll(key, state)


def _attach(driver: LedgerDriver, key: str) -> object:
    receipt = Receipt(provider_run_id=f"found {key}")
    return driver.ledger.attach(key, receipt, who="ann", why="it is there")


def _tell(driver: LedgerDriver, key: str) -> object:
    receipt = Receipt(provider_run_id=f"told {key}")
    return driver.ledger.attach_proven(key, receipt, who="callback", why="its token")


def _refuse_late(driver: LedgerDriver, key: str, after: SubmissionState) -> object:
    sent = driver.ledger.submission(key)
    return driver.ledger.settle_refused(sent, after, code="bad", why="HTTP 400")


_STAY = {state: state for state in ENDED_AT_PROVIDER}
EVENTS: dict[str, tuple[Event, dict[SubmissionState, SubmissionState]]] = {
    "intent": (lambda driver, key: driver.begin(key), {S.PLANNED: S.SUBMITTING}),
    "receipt": (lambda driver, key: driver.receive(key), {S.SUBMITTING: S.SUBMITTED}),
    "proven not accepted": (
        lambda driver, key: driver.ledger.return_to_plan(key, "429"),
        {S.SUBMITTING: S.PLANNED},
    ),
    "row at fault": (
        lambda driver, key: driver.ledger.reject_submission(key, "bad", "no such node"),
        {S.SUBMITTING: S.FAILED},
    ),
    "outcome unknown": (
        lambda driver, key: driver.ledger.park_submission(key, "answer lost"),
        {S.SUBMITTING: S.UNRESOLVED},
    ),
    "refused late": (
        lambda driver, key: _refuse_late(driver, key, S.PLANNED),
        {S.UNRESOLVED: S.PLANNED},
    ),
    "at fault, late": (
        lambda driver, key: _refuse_late(driver, key, S.FAILED),
        {S.UNRESOLVED: S.FAILED},
    ),
    "attached": (_attach, {S.UNRESOLVED: S.SUBMITTED}),
    "told of by a callback": (
        _tell,
        dict.fromkeys((S.PLANNED, S.SKIPPED, S.UNRESOLVED), S.SUBMITTED),
    ),
    "detached": (
        lambda driver, key: driver.ledger.detach(key, who="ann", why="not its own"),
        dict.fromkeys(IN_FLIGHT | ENDED_AT_PROVIDER, S.UNRESOLVED),
    ),
    "not created": (
        lambda driver, key: driver.settle_not_created(key),
        {S.UNRESOLVED: S.PLANNED},
    ),
    "polled: queued": (
        _polled(S.QUEUED),
        {S.SUBMITTED: S.QUEUED, S.QUEUED: S.QUEUED, S.RUNNING: S.RUNNING, **_STAY},
    ),
    "polled: running": (
        _polled(S.RUNNING),
        {**dict.fromkeys(IN_FLIGHT, S.RUNNING), **_STAY},
    ),
    "polled: submitted": (_polled(S.SUBMITTED), {**{state: state for state in IN_FLIGHT}, **_STAY}),
    "polled: unknown": (_polled(None), {**{state: state for state in IN_FLIGHT}, **_STAY}),
    "polled: succeeded": (
        _polled(S.SUCCEEDED),
        {**dict.fromkeys(IN_FLIGHT, S.SUCCEEDED), **_STAY},
    ),
    "polled: failed": (_polled(S.FAILED), {**dict.fromkeys(IN_FLIGHT, S.FAILED), **_STAY}),
    "polled: canceled": (_polled(S.CANCELED), {**dict.fromkeys(IN_FLIGHT, S.CANCELED), **_STAY}),
    "polled: planned": (_polled(S.PLANNED), _STAY),
}


ALLOWED = [
    pytest.param(event, state, after, id=f"{event} when {state}")
    for event, (_, allowed) in EVENTS.items()
    for state, after in sorted(allowed.items())
]


@pytest.mark.parametrize(("event", "state", "after"), ALLOWED)
def test_an_allowed_event_moves_a_submission_as_designed(
    shared_driver: LedgerDriver, event: str, state: SubmissionState, after: SubmissionState
) -> None:
    key = shared_driver.reach(state)

    EVENTS[event][0](shared_driver, key)

    assert shared_driver.state(key) is after


@pytest.mark.parametrize("state", list(SubmissionState))
def test_every_other_event_is_refused_and_changes_nothing(
    shared_driver: LedgerDriver, state: SubmissionState
) -> None:
    key = shared_driver.reach(state)
    before = shared_driver.everything(key)

    for event, (happen, allowed) in EVENTS.items():
        if state not in allowed:
            with pytest.raises(IllegalTransition):
                happen(shared_driver, key)
            assert shared_driver.everything(key) == before, event


@pytest.mark.parametrize("state", list(SubmissionState))
@pytest.mark.parametrize("after", [S.SKIPPED, S.CANCELED])
def test_only_planned_rows_are_skipped_or_canceled_before_sending(
    shared_driver: LedgerDriver, state: SubmissionState, after: SubmissionState
) -> None:
    key = shared_driver.reach(state)
    before = shared_driver.everything(key)
    ledger = shared_driver.ledger
    drop = ledger.skip if after is S.SKIPPED else ledger.cancel_planned

    dropped = drop([key, "nobody knows this key"], "no budget")

    if state is S.PLANNED:
        assert (dropped, shared_driver.state(key)) == (1, after)
        assert ledger.submission(key).reason == "no budget"
    else:
        assert dropped == 0
        assert shared_driver.everything(key) == before


@pytest.mark.parametrize("state", [state for state in SubmissionState if state is not S.SUCCEEDED])
def test_what_did_not_succeed_cannot_be_collected(
    shared_driver: LedgerDriver, state: SubmissionState
) -> None:
    key = shared_driver.reach(state)

    with pytest.raises(LedgerError, match="not succeeded"):
        shared_driver.ledger.mark_collected(key)


@pytest.mark.parametrize("state", list(SubmissionState))
def test_counts_of_a_night_follow_its_submissions(
    shared_driver: LedgerDriver, state: SubmissionState
) -> None:
    key = shared_driver.reach(state)

    record = shared_driver.ledger.night(shared_driver.ledger.submission(key).night)

    assert record is not None
    assert record.counts == {state: 1}
    assert record.uncollected == (1 if state is S.SUCCEEDED else 0)


def test_a_row_that_was_refused_has_no_run_to_report_about(shared_driver: LedgerDriver) -> None:
    key = shared_driver.reach(S.SUBMITTING)
    shared_driver.ledger.reject_submission(key, "bad", "no such node")

    with pytest.raises(IllegalTransition):
        shared_driver.poll(key, S.SUCCEEDED)


def test_a_report_about_another_run_is_refused(shared_driver: LedgerDriver) -> None:
    key = shared_driver.reach(S.SUBMITTED)
    before = shared_driver.everything(key)

    with pytest.raises(LedgerError, match="somebody else's run"):
        shared_driver.ledger.record_poll(
            key,
            report("somebody else's run", S.SUCCEEDED),
            next_poll_at=None,
            cost_usd=None,
            cost_basis="unknown",
        )
    assert shared_driver.everything(key) == before


def test_one_provider_run_never_belongs_to_two_submissions(shared_driver: LedgerDriver) -> None:
    first, second, parked = (
        shared_driver.reach(state) for state in (S.SUBMITTED, S.SUBMITTING, S.UNRESOLVED)
    )
    taken = Receipt(provider_run_id=f"run {first}")

    with pytest.raises(LedgerError, match=f"already belongs to submission {first}"):
        shared_driver.ledger.attach(parked, taken, who="ann", why="guess")
    with pytest.raises(LedgerError, match="already belongs"):
        shared_driver.ledger.record_receipt(second, taken, shared_driver.clock.now())

    assert shared_driver.state(parked) is S.UNRESOLVED
    assert shared_driver.ledger.settlements(parked) == []


def test_what_a_person_decided_is_kept_with_name_reason_and_time(
    shared_driver: LedgerDriver,
) -> None:
    found, absent = shared_driver.reach(S.UNRESOLVED), shared_driver.reach(S.UNRESOLVED)

    _attach(shared_driver, found)
    at = shared_driver.clock.now()
    shared_driver.settle_not_created(absent, "bob", "the list is empty")

    (attach,) = shared_driver.ledger.settlements(found)
    (settle,) = shared_driver.ledger.settlements(absent)
    now = shared_driver.clock.now()
    assert (attach.action, attach.who, attach.why, attach.at) == (
        "attach", "ann", "it is there", at,
    )  # fmt: skip
    assert (settle.action, settle.who, settle.why, settle.at) == (
        "settle_not_created", "bob", "the list is empty", now,
    )  # fmt: skip


def test_an_attached_run_is_due_at_once(shared_driver: LedgerDriver) -> None:
    key = shared_driver.reach(S.UNRESOLVED)

    attached = _attach(shared_driver, key)

    assert attached.next_poll_at == shared_driver.clock.now()
    assert attached.provider_run_id == f"found {key}"


def test_one_row_copy_and_generation_is_never_planned_under_two_keys(
    shared_driver: LedgerDriver,
) -> None:
    night = new_night()
    shared_driver.plan(night)
    twin = key_of(night, 0)

    with pytest.raises(LedgerError):
        shared_driver.plan(night, [0, 0])

    assert shared_driver.state(twin) is S.PLANNED
