"""What was never accepted follows its table; what a night was not asked to buy waits."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from flow_pipelines.model import Night, PlannedRow, Receipt
from flow_pipelines.model.errors import IllegalTransition, WaitsForAsk
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    key_of,
    new_night,
    night_plan,
    planned_row,
    prompt_row,
)


def half_sent(driver: LedgerDriver, *numbers: int) -> Night:
    """Plan a night, ask for it, and have its first row accepted."""
    night = new_night()
    driver.plan(night, numbers)
    driver.ask(night)
    driver.submit(key_of(night, numbers[0]))
    return night


def content(driver: LedgerDriver, night: Night) -> dict[str, tuple[str, S]]:
    return {
        one.prompt_id: (one.content_hash.split("-")[0], one.state)
        for one in driver.ledger.submissions(night)
    }


def held(driver: LedgerDriver, night: Night) -> int:
    record = driver.ledger.night(night)
    assert record is not None
    return record.held


@pytest.mark.case(
    "the table changes while a night is half sent",
    "rows that were not sent are bought with the new text, what was sent keeps its own",
    area="shared faults",
)
def test_planned_rows_take_the_mended_table_and_graph(shared_driver: LedgerDriver) -> None:
    night = half_sent(shared_driver, 0, 1)

    outcome = shared_driver.plan(
        night, [0, 1, 2], content="second", workflow_version="version-2", resource="floyo_b"
    )

    assert content(shared_driver, night) == {
        "p0": ("first", S.SUBMITTED),
        "p1": ("second", S.PLANNED),
        "p2": ("second", S.PLANNED),
    }
    assert (outcome.planned, outcome.stale) == (2, 1)
    first, *others = shared_driver.ledger.submissions(night)
    assert (first.workflow_version, first.resource) == ("version-1", "floyo")
    assert {(s.workflow_version, s.resource) for s in others} == {("version-2", "floyo_b")}
    record = shared_driver.ledger.night(night)
    assert record is not None
    assert record.workflow_version == "version-2"


@pytest.mark.case(
    "an estimate told the rule of what follows the table by itself, and left out rows regenerated",
    "it asks the ledger, which plans and takes it back",
)
@pytest.mark.parametrize("numbers", [[0], [0, 1, 2, 3]])
@pytest.mark.parametrize("text", ["first", "second"])
@pytest.mark.parametrize("sent", [False, True])
def test_what_would_be_sent_is_counted_by_the_rule_of_planning_and_nothing_changes(
    shared_driver: LedgerDriver, numbers: Sequence[int], text: str, *, sent: bool
) -> None:
    driver, ledger = shared_driver, shared_driver.ledger
    night = half_sent(driver, 0, 1, 2) if sent else new_night()
    driver.plan(night, [0, 1, 2])
    if sent:
        driver.refuse(key_of(night, 2), None)
    ledger.regenerate(night, "run", "all", lambda n: [planned_row(night, 1, generation=n)])
    before = (ledger.night(night), ledger.submissions(night), ledger.prompt_rows(night))

    def render(generation: int) -> list[PlannedRow]:
        return [
            planned_row(night, number, generation=generation, content=text) for number in numbers
        ]

    plan = night_plan(night)
    counted = ledger.count_to_send(plan, render(0), render)

    assert (ledger.night(night), ledger.submissions(night), ledger.prompt_rows(night)) == before
    ledger.plan(plan, [prompt_row(number, text) for number in numbers], render(0), render)
    assert len(ledger.submissions(night, states={S.PLANNED})) == counted


def test_what_would_be_sent_of_a_night_that_is_not_there_makes_none(
    shared_driver: LedgerDriver,
) -> None:
    night = new_night()
    rows = [planned_row(night, number) for number in range(3)]
    assert shared_driver.ledger.count_to_send(night_plan(night), rows, lambda _: []) == 3
    assert shared_driver.ledger.night(night) is None


def test_a_row_that_left_before_anything_was_accepted_is_canceled_and_not_stale(
    shared_driver: LedgerDriver,
) -> None:
    night = half_sent(shared_driver, 0, 1, 2)
    shared_driver.refuse(key_of(night, 2), None)

    outcome = shared_driver.plan(night, [0])

    gone = [shared_driver.ledger.submission(key_of(night, number)) for number in (1, 2)]
    assert {one.state for one in gone} == {S.CANCELED}
    assert all("left the prompt table" in (one.reason or "") for one in gone)
    assert not any(one.stale or one.error_message for one in gone)
    assert (outcome.planned, outcome.stale) == (0, 0)


@pytest.mark.parametrize("after", [S.SKIPPED, S.CANCELED])
def test_what_was_skipped_or_canceled_stays(shared_driver: LedgerDriver, after: S) -> None:
    night = half_sent(shared_driver, 0, 1, 2)
    drop = shared_driver.ledger.skip if after is S.SKIPPED else shared_driver.ledger.cancel_planned
    drop([key_of(night, 1)], "enough")

    shared_driver.plan(night, [0, 1, 2], content="second")

    kept = shared_driver.ledger.submission(key_of(night, 1))
    assert (kept.state, kept.content_hash, kept.reason) == (after, "first-1", "enough")


@pytest.mark.case(
    "a row that was refused is mended in the table",
    "it is planned again once its request differs from the refused one, else it stays failed",
    area="shared faults",
)
def test_a_refused_row_is_planned_again_only_when_its_request_differs(
    shared_driver: LedgerDriver,
) -> None:
    night = half_sent(shared_driver, 0, 1)
    key = key_of(night, 1)
    shared_driver.refuse(key)

    shared_driver.plan(night, [0, 1])
    same = shared_driver.ledger.submission(key)
    outcome = shared_driver.plan(night, [0, 1], content="second")
    mended = shared_driver.ledger.submission(key)

    assert (same.state, same.error_message) == (S.FAILED, "HTTP 400")
    assert (mended.state, mended.content_hash, mended.intents) == (S.PLANNED, "second-1", 1)
    assert (mended.error_code, mended.error_message) == (None, None)
    assert mended.reserved_usd == Decimal(0)
    assert outcome.planned == 1


def test_a_refused_row_whose_request_is_the_same_shows_the_table_and_is_not_stale(
    shared_driver: LedgerDriver,
) -> None:
    night = half_sent(shared_driver, 0, 1)
    shared_driver.refuse(key_of(night, 1))
    row = planned_row(night, 1, content="second")
    object.__setattr__(row, "request_hash", planned_row(night, 1).request_hash)

    outcome = shared_driver.ledger.plan(
        night_plan(night), [prompt_row(0), prompt_row(1, "second")], [planned_row(night, 0), row]
    )

    kept = shared_driver.ledger.submission(key_of(night, 1))
    assert (kept.state, kept.content_hash) == (S.FAILED, "second-1")
    assert (outcome.planned, outcome.stale) == (0, 0)


def test_a_run_that_failed_stays_failed(shared_driver: LedgerDriver) -> None:
    night = half_sent(shared_driver, 0, 1)
    shared_driver.poll(key_of(night, 0), S.FAILED)

    shared_driver.plan(night, [0, 1], content="second")

    assert content(shared_driver, night)["p0"] == ("first", S.FAILED)


def test_a_refused_row_that_was_bought_in_a_newer_generation_stays(
    shared_driver: LedgerDriver,
) -> None:
    night = half_sent(shared_driver, 0, 1)
    shared_driver.refuse(key_of(night, 1))
    render = [planned_row(night, 1, generation=1)]
    shared_driver.ledger.regenerate(night, "run-1", "failed", lambda _: render)
    shared_driver.submit(key_of(night, 1, generation=1))

    outcome = shared_driver.plan(night, [0, 1], content="second")

    assert shared_driver.state(key_of(night, 1)) is S.FAILED
    assert outcome.planned == 0


def test_a_row_of_a_newer_generation_is_mended_in_that_generation(
    shared_driver: LedgerDriver,
) -> None:
    night = half_sent(shared_driver, 0)
    shared_driver.ledger.regenerate(
        night, "run-1", "all", lambda new: [planned_row(night, 0, generation=new)]
    )
    asked: list[int] = []

    def render(generation: int) -> Sequence[PlannedRow]:
        asked.append(generation)
        return [planned_row(night, 0, generation=generation, content="second")]

    rows = [planned_row(night, 0, content="second")]
    shared_driver.ledger.plan(night_plan(night), [prompt_row(0, "second")], rows, render)

    assert asked == [1]
    old, new = shared_driver.ledger.submissions(night)
    assert (old.content_hash, new.content_hash) == ("first-0", "second-0")
    assert new.request_hash == "request-0-1-second"


def test_in_a_night_that_was_sent_whole_a_new_row_is_stale_and_not_planned(
    shared_driver: LedgerDriver,
) -> None:
    night = half_sent(shared_driver, 0)

    outcome = shared_driver.plan(night, [0, 1])

    assert (outcome.planned, outcome.stale) == (0, 1)
    assert len(shared_driver.ledger.submissions(night)) == 1


@pytest.mark.case(
    "`prompts` of a night that a sensor goes on with is materialized",
    "what it planned anew waits until somebody materializes `provider_runs`",
    area="shared faults",
)
def test_what_is_planned_after_an_ask_waits_for_the_next(shared_driver: LedgerDriver) -> None:
    night = half_sent(shared_driver, 0, 1, 2)
    rows = [planned_row(night, 0), planned_row(night, 1, content="second"), planned_row(night, 2)]
    table = [prompt_row(0), prompt_row(1, "second"), prompt_row(2)]

    shared_driver.ledger.plan(night_plan(night), table, rows)

    assert held(shared_driver, night) == 1
    with pytest.raises(WaitsForAsk):
        shared_driver.begin(key_of(night, 1))
    shared_driver.begin(key_of(night, 2))
    shared_driver.ask(night, None)
    assert held(shared_driver, night) == 1
    shared_driver.ask(night, "ann")
    assert held(shared_driver, night) == 0
    shared_driver.begin(key_of(night, 1))


def test_planning_the_same_again_holds_nothing_back_and_moves_no_revision(
    shared_driver: LedgerDriver,
) -> None:
    night = half_sent(shared_driver, 0, 1)
    before = shared_driver.ledger.night(night)

    shared_driver.plan(night, [0, 1])

    assert shared_driver.ledger.night(night) == before
    shared_driver.begin(key_of(night, 1))


def test_rows_that_wait_are_counted_while_they_are_planned_only(
    shared_driver: LedgerDriver,
) -> None:
    night = half_sent(shared_driver, 0, 1, 2)
    shared_driver.plan(night, [0, 1, 2, 3], content="second")
    assert held(shared_driver, night) == 3

    shared_driver.ledger.cancel_planned([key_of(night, 3)], "no")
    shared_driver.plan(night, [0, 1], content="second")

    assert held(shared_driver, night) == 1


@pytest.mark.parametrize("numbers", [[0, 1, 2], [0, 2]])
def test_a_refused_row_that_is_mended_or_gone_makes_no_room_below_a_limit(
    shared_driver: LedgerDriver, numbers: list[int]
) -> None:
    night = half_sent(shared_driver, 0, 1, 2)
    shared_driver.refuse(key_of(night, 1))
    shared_driver.ledger.note_submitter(night, None, 2)

    shared_driver.ledger.plan(
        night_plan(night),
        [prompt_row(number) for number in numbers],
        [planned_row(night, n, content="second" if n == 1 else "first") for n in numbers],
    )

    record = shared_driver.ledger.night(night)
    assert record is not None
    assert record.submit_goal == 1


def test_a_row_that_was_mended_while_its_request_was_prepared_is_not_sent(
    shared_driver: LedgerDriver,
) -> None:
    night = new_night()
    shared_driver.plan(night, [0])
    read = shared_driver.ledger.submission(key_of(night, 0))
    shared_driver.plan(night, [0], content="second")
    before = shared_driver.everything(key_of(night, 0))
    shared_driver.ledger.acquire_lease(f"submit:{night}", "ann", 60)

    with pytest.raises(IllegalTransition):
        shared_driver.ledger.begin_submission(
            key_of(night, 0),
            lease=f"submit:{night}",
            owner="ann",
            resource="floyo",
            body_sha256="",
            estimate_usd=Decimal(0),
            budget_usd=None,
            daily_budget_usd=None,
            planned=read,
        )

    assert shared_driver.everything(key_of(night, 0)) == before


@pytest.mark.parametrize("state", list(S))
def test_only_what_is_planned_follows_the_table_of_a_night_that_has_sent_something(
    shared_driver: LedgerDriver, state: S
) -> None:
    night = new_night()
    shared_driver.plan(night, [0, 1])
    shared_driver.submit(key_of(night, 1))
    shared_driver.reach(state, night)
    shared_driver.plan(night, [0, 1], content="second")

    found = shared_driver.ledger.submission(key_of(night, 0))
    assert found.state is state
    assert found.content_hash == ("second-0" if state is S.PLANNED else "first-0")


@pytest.mark.case(
    "a row that a person called not created was mended, and its first run's answer came after all",
    "the row keeps what it was sent with: the run that turns up is its own",
    area="shared faults",
)
def test_what_only_a_person_says_was_not_created_keeps_what_it_was_sent_with(
    shared_driver: LedgerDriver,
) -> None:
    night = half_sent(shared_driver, 0, 1, 2)
    key = key_of(night, 1)
    shared_driver.begin(key)
    shared_driver.ledger.park_submission(key, "lost")
    shared_driver.settle_not_created(key)

    shared_driver.plan(night, [0, 1, 2], content="second", resource="floyo_b")

    assert content(shared_driver, night)["p1"] == ("first", S.PLANNED)
    assert content(shared_driver, night)["p2"] == ("second", S.PLANNED)
    late = Receipt(provider_run_id=f"late {key}")
    row = shared_driver.ledger.attach_proven(key, late, who="callback", why="its token")
    assert (row.resource, row.content_hash.split("-")[0]) == ("floyo", "first")


@pytest.mark.case(
    "a row that a person called not created stayed planned, and was bought, after it had left the "
    "table; and beside it no new row was planned",
    "it is canceled like any other, and new rows are planned",
    area="shared faults",
)
def test_what_a_person_called_not_created_leaves_with_its_row_and_stops_no_new_one(
    shared_driver: LedgerDriver,
) -> None:
    night = half_sent(shared_driver, 0, 1)
    key = key_of(night, 1)
    shared_driver.begin(key)
    shared_driver.ledger.park_submission(key, "lost")
    shared_driver.settle_not_created(key)

    shared_driver.plan(night, [0, 1, 3], content="second")
    assert content(shared_driver, night)["p1"] == ("first", S.PLANNED)
    assert content(shared_driver, night)["p3"] == ("second", S.PLANNED)

    shared_driver.plan(night, [0, 3], content="second")
    assert content(shared_driver, night)["p1"][1] is S.CANCELED
