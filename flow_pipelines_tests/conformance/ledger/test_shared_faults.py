"""A fault that all rows share stops the night, counted since somebody asked to buy it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from flow_pipelines.ledger.contract import REFUSED_ALIKE
from flow_pipelines.model import Night, Receipt
from flow_pipelines.model.errors import NightStopped
from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver, S, key_of, new_night


def asked(driver: LedgerDriver, rows: int, stop_after: int = 10) -> Night:
    night = new_night()
    driver.plan(night, range(rows))
    driver.ask(night, "ann", stop_after)
    return night


def stopped(driver: LedgerDriver, night: Night) -> str | None:
    record = driver.ledger.night(night)
    assert record is not None
    return record.stopped


def states(driver: LedgerDriver, night: Night) -> list[S]:
    return [one.state for one in driver.ledger.submissions(night)]


def refuse(driver: LedgerDriver, night: Night, *numbers: int, kind: str = "alike") -> None:
    for number in numbers:
        driver.refuse(key_of(night, number), kind)


@pytest.mark.case(
    "the provider refuses every row alike",
    "the third refusal plans the three again and stops the night, in one transaction",
    area="shared faults",
)
def test_the_third_equal_refusal_plans_all_three_again_and_stops_the_night(
    shared_driver: LedgerDriver,
) -> None:
    night = asked(shared_driver, 5)
    refuse(shared_driver, night, 0, 1)
    assert (states(shared_driver, night)[:2], stopped(shared_driver, night)) == (
        [S.FAILED] * 2,
        None,
    )

    refuse(shared_driver, night, 2)

    assert states(shared_driver, night) == [S.PLANNED] * 5
    assert "3 rows were refused alike and none was accepted: HTTP 400" in (
        stopped(shared_driver, night) or ""
    )
    found = shared_driver.ledger.submissions(night)
    assert [one.refusal for one in found] == ["alike"] * 3 + [None] * 2
    assert {one.reserved_usd for one in found} == {Decimal(0)}
    assert {one.error_message for one in found} == {None}
    with pytest.raises(NightStopped, match="refused alike"):
        shared_driver.begin(key_of(night, 3))


def test_other_refusals_between_are_not_of_the_kind_and_stay_failed(
    shared_driver: LedgerDriver,
) -> None:
    night = asked(shared_driver, 5)
    refuse(shared_driver, night, 0)
    refuse(shared_driver, night, 1, kind="other")
    refuse(shared_driver, night, 2)
    assert stopped(shared_driver, night) is None

    refuse(shared_driver, night, 3)

    assert states(shared_driver, night) == [S.PLANNED, S.FAILED, S.PLANNED, S.PLANNED, S.PLANNED]


def test_refusals_of_no_known_kind_are_each_row_s_own(shared_driver: LedgerDriver) -> None:
    night = asked(shared_driver, 4)
    for number in range(4):
        shared_driver.refuse(key_of(night, number), None)

    assert (states(shared_driver, night), stopped(shared_driver, night)) == ([S.FAILED] * 4, None)


@pytest.mark.parametrize("when", ["before", "between"])
def test_with_one_acceptance_refusals_are_the_rows_own(
    shared_driver: LedgerDriver, when: str
) -> None:
    night = asked(shared_driver, 6)
    first = [] if when == "before" else [1, 2]
    refuse(shared_driver, night, *first)
    shared_driver.submit(key_of(night, 0))

    refuse(shared_driver, night, *({1, 2, 3, 4, 5} - set(first)))

    assert states(shared_driver, night) == [S.SUBMITTED, *[S.FAILED] * 5]
    assert stopped(shared_driver, night) is None


def test_an_answer_that_was_lost_is_no_acceptance_but_a_run_that_is_found_is(
    shared_driver: LedgerDriver,
) -> None:
    nights = [asked(shared_driver, 4) for _ in range(2)]
    for night in nights:
        shared_driver.begin(key_of(night, 3))
        shared_driver.ledger.park_submission(key_of(night, 3), "lost")
    receipt = Receipt(provider_run_id=f"found in {nights[1]}")
    shared_driver.ledger.attach(key_of(nights[1], 3), receipt, who="ann", why="there")

    for night in nights:
        refuse(shared_driver, night, 0, 1, 2)

    assert [stopped(shared_driver, night) is None for night in nights] == [False, True]


def test_a_sensor_counts_on_and_whoever_asks_counts_anew(shared_driver: LedgerDriver) -> None:
    by_sensor, by_person = (asked(shared_driver, 4) for _ in range(2))
    for night in (by_sensor, by_person):
        refuse(shared_driver, night, 0, 1)
    shared_driver.ask(by_sensor, None)
    shared_driver.ask(by_person, "bob")

    for night in (by_sensor, by_person):
        refuse(shared_driver, night, 2)

    assert stopped(shared_driver, by_sensor)
    assert states(shared_driver, by_person) == [S.FAILED] * 3 + [S.PLANNED]


@pytest.mark.parametrize(("who", "lifted"), [("ann", False), (None, False), ("bob", True)])
def test_a_stop_is_lifted_by_another_ask_only(
    shared_driver: LedgerDriver, who: str | None, lifted: bool
) -> None:
    night = asked(shared_driver, 4)
    refuse(shared_driver, night, 0, 1, 2)

    shared_driver.ask(night, who)

    assert (stopped(shared_driver, night) is None) is lifted


def test_a_refusal_that_comes_late_counts_too(shared_driver: LedgerDriver) -> None:
    night = asked(shared_driver, 4)
    refuse(shared_driver, night, 0, 1)
    sent = shared_driver.begin(key_of(night, 2))
    shared_driver.ledger.park_submission(key_of(night, 2), "lost")

    shared_driver.ledger.settle_refused(sent, S.FAILED, code=None, why="HTTP 400", refusal="alike")

    assert states(shared_driver, night) == [S.PLANNED] * 4
    assert stopped(shared_driver, night)


def ended(driver: LedgerDriver, night: Night, number: int, state: S) -> None:
    driver.submit(key_of(night, number))
    driver.poll(key_of(night, number), state, error_message=f"node {number} broke")


@pytest.mark.case(
    "the first runs of a night all fail",
    "after `stop_after_failures` of them nothing more is sent until somebody asks again",
    area="shared faults",
)
def test_when_the_first_runs_all_failed_nothing_more_is_sent(shared_driver: LedgerDriver) -> None:
    night = asked(shared_driver, 4, stop_after=2)
    shared_driver.submit(key_of(night, 3))
    ended(shared_driver, night, 0, S.FAILED)
    assert stopped(shared_driver, night) is None

    ended(shared_driver, night, 1, S.FAILED)
    shared_driver.poll(key_of(night, 3), S.SUCCEEDED)

    assert stopped(shared_driver, night) == (
        "the first 2 runs that ended all failed; the last: node 1 broke"
    )
    with pytest.raises(NightStopped):
        shared_driver.begin(key_of(night, 2))
    assert states(shared_driver, night) == [S.FAILED, S.FAILED, S.PLANNED, S.SUCCEEDED]


def test_one_run_that_succeeded_first_lets_the_others_fail_alone(
    shared_driver: LedgerDriver,
) -> None:
    night = asked(shared_driver, 4, stop_after=2)
    ended(shared_driver, night, 0, S.SUCCEEDED)
    for number in (1, 2):
        ended(shared_driver, night, number, S.FAILED)

    shared_driver.begin(key_of(night, 3))

    assert stopped(shared_driver, night) is None


def test_runs_that_were_canceled_say_nothing(shared_driver: LedgerDriver) -> None:
    night = asked(shared_driver, 4, stop_after=2)
    ended(shared_driver, night, 0, S.CANCELED)
    for number in (1, 2):
        ended(shared_driver, night, number, S.FAILED)

    assert stopped(shared_driver, night)


def test_runs_that_were_sent_for_an_earlier_ask_do_not_count(shared_driver: LedgerDriver) -> None:
    night = asked(shared_driver, 3, stop_after=2)
    for number in (0, 1):
        shared_driver.submit(key_of(night, number))
    shared_driver.ask(night, "bob", 2)
    for number in (0, 1):
        shared_driver.poll(key_of(night, number), S.FAILED)

    assert stopped(shared_driver, night) is None


def test_three_are_meant() -> None:
    assert REFUSED_ALIKE == 3
