"""What is told of one intent changes nothing of the next; a person's word waits for the first."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from flow_pipelines.ledger.contract import UNDER_WAY
from flow_pipelines.model import Receipt, Submission
from flow_pipelines.model.errors import IllegalTransition, SettledTooEarly
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    OWNER,
    PROVIDER,
    LedgerDriver,
    S,
    key_of,
    new_night,
)

Tell = Callable[[LedgerDriver, Submission], object]

TELLINGS: dict[str, Tell] = {
    "accepted": lambda driver, sent: driver.ledger.record_receipt(
        sent.submission_key, Receipt(provider_run_id="late"), driver.clock.now(), sent=sent
    ),
    "not accepted": lambda driver, sent: driver.ledger.return_to_plan(
        sent.submission_key, "429", sent=sent
    ),
    "at fault": lambda driver, sent: driver.ledger.reject_submission(
        sent.submission_key, None, "400", sent=sent
    ),
    "unknown": lambda driver, sent: driver.ledger.park_submission(
        sent.submission_key, "lost", sent=sent
    ),
}
LATE: dict[str, S] = {"planned": S.PLANNED, "failed": S.FAILED}


def begun(driver: LedgerDriver, owner: str = OWNER) -> Submission:
    night = new_night()
    driver.plan(night)
    return driver.begin(key_of(night, 0), owner=owner)


def begun_again(driver: LedgerDriver, owner: str) -> tuple[Submission, Submission]:
    """Return two intents of one row, the first of which was given up."""
    first = begun(driver)
    driver.ledger.park_submission(first.submission_key, "lost")
    driver.settle_not_created(first.submission_key)
    return first, driver.begin(first.submission_key, owner=owner)


@pytest.mark.parametrize("telling", list(TELLINGS))
def test_what_is_told_of_the_present_intent_is_taken(
    shared_driver: LedgerDriver, telling: str
) -> None:
    sent = begun(shared_driver)

    TELLINGS[telling](shared_driver, sent)

    assert shared_driver.state(sent.submission_key) is not S.SUBMITTING


@pytest.mark.parametrize("owner", [OWNER, "another run"])
@pytest.mark.parametrize("telling", list(TELLINGS))
def test_what_is_told_of_an_older_intent_changes_nothing(
    shared_driver: LedgerDriver, telling: str, owner: str
) -> None:
    first, _second = begun_again(shared_driver, owner)
    before = shared_driver.everything(first.submission_key)

    with pytest.raises(IllegalTransition):
        TELLINGS[telling](shared_driver, first)

    assert shared_driver.everything(first.submission_key) == before


@pytest.mark.parametrize("after", list(LATE))
def test_a_late_refusal_of_an_older_intent_changes_nothing(
    shared_driver: LedgerDriver, after: str
) -> None:
    first, second = begun_again(shared_driver, "another run")
    shared_driver.ledger.park_submission(second.submission_key, "lost, too")
    before = shared_driver.everything(first.submission_key)

    with pytest.raises(IllegalTransition):
        shared_driver.ledger.settle_refused(first, LATE[after], code="bad", why="HTTP 400")

    assert shared_driver.everything(first.submission_key) == before


@pytest.mark.parametrize("after", list(LATE))
def test_a_late_refusal_gives_the_reservation_back_and_is_kept(
    shared_driver: LedgerDriver, after: str
) -> None:
    reserved = shared_driver.ledger.reserved_usd(PROVIDER, shared_driver.clock.now())
    sent = begun(shared_driver)
    shared_driver.ledger.park_submission(sent.submission_key, "its process died")
    shared_driver.ledger.postpone_poll(sent.submission_key, shared_driver.clock.now(), "not found")

    settled = shared_driver.ledger.settle_refused(sent, LATE[after], code="bad", why="HTTP 400")

    assert (settled.state, settled.reserved_usd) == (LATE[after], Decimal(0))
    assert settled.next_poll_at is None
    assert shared_driver.ledger.reserved_usd(PROVIDER, shared_driver.clock.now()) == reserved
    [kept] = shared_driver.ledger.settlements(sent.submission_key)
    assert (kept.action, kept.who, kept.why) == ("settle_not_created", "flow-pipelines", "HTTP 400")


@pytest.mark.parametrize("seconds", [0.0, 60.0, UNDER_WAY.total_seconds() - 0.001])
def test_a_person_is_not_believed_while_the_post_may_be_under_way(
    shared_driver: LedgerDriver, seconds: float
) -> None:
    sent = begun(shared_driver)
    shared_driver.ledger.park_submission(sent.submission_key, "lost")
    shared_driver.clock.advance(seconds)
    before = shared_driver.everything(sent.submission_key)

    with pytest.raises(SettledTooEarly, match="may still be under way"):
        shared_driver.ledger.settle_not_created(sent.submission_key, who="ann", why="looked")

    assert shared_driver.everything(sent.submission_key) == before


def test_a_person_is_not_believed_while_the_run_that_sent_it_still_submits(
    shared_driver: LedgerDriver,
) -> None:
    sent = begun(shared_driver)
    shared_driver.ledger.park_submission(sent.submission_key, "lost")
    shared_driver.clock.advance(UNDER_WAY.total_seconds())
    lease = f"submit:{sent.night}"
    shared_driver.ledger.acquire_lease(lease, OWNER, 60)

    with pytest.raises(SettledTooEarly, match="still submitting"):
        shared_driver.ledger.settle_not_created(sent.submission_key, who="ann", why="looked")

    shared_driver.ledger.release_lease(lease, OWNER)
    shared_driver.ledger.acquire_lease(lease, "another run", 60)
    shared_driver.ledger.settle_not_created(sent.submission_key, who="ann", why="looked")
    assert shared_driver.state(sent.submission_key) is S.PLANNED


def test_a_person_is_not_believed_while_a_copy_may_be_under_way(
    shared_driver: LedgerDriver,
) -> None:
    sent = begun(shared_driver)
    shared_driver.ledger.park_submission(sent.submission_key, "lost")
    shared_driver.clock.advance(UNDER_WAY.total_seconds())
    shared_driver.ledger.acquire_lease(f"replay:{sent.submission_key}", "sensor", 180)

    with pytest.raises(SettledTooEarly, match="sent again under its key"):
        shared_driver.ledger.settle_not_created(sent.submission_key, who="ann", why="looked")

    shared_driver.clock.advance(180)
    shared_driver.ledger.settle_not_created(sent.submission_key, who="ann", why="looked")
    assert shared_driver.state(sent.submission_key) is S.PLANNED
