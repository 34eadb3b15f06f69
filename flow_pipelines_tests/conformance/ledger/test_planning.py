"""Planning: freezing a night, comparing it with its table, regenerating it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from flow_pipelines.model import PlannedRow, Workflow
from flow_pipelines.model.errors import LedgerError, SubmissionNotFound
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    key_of,
    new_night,
    night_plan,
    planned_row,
    prompt_row,
)


def _render(night, *numbers: int, content: str = "first") -> Callable[[int], Sequence[PlannedRow]]:
    return lambda generation: [
        planned_row(night, number, generation=generation, content=content) for number in numbers
    ]


def _frozen(driver: LedgerDriver, *numbers: int):
    """Plan a night and send its first row."""
    night = new_night()
    driver.plan(night, numbers)
    driver.begin(key_of(night, numbers[0]))
    return night


def _sent(driver: LedgerDriver, *numbers: int):
    """Plan a night and have all of it accepted."""
    night = new_night()
    driver.plan(night, numbers)
    for number in numbers:
        driver.submit(key_of(night, number))
    return night


def test_a_planned_row_is_read_back_exactly(shared_driver: LedgerDriver) -> None:
    night = new_night()
    shared_driver.plan(night, [3])
    wrote = planned_row(night, 3)

    read = shared_driver.ledger.submission(key_of(night, 3))

    assert (read.state, read.stale, read.planned_at) == (
        S.PLANNED,
        False,
        shared_driver.clock.now(),
    )
    assert read.seed == wrote.seed == 2**64 - 4
    assert dict(read.parameters) == dict(wrote.parameters)
    assert list(read.parameters) == list(wrote.parameters)
    assert (read.content_hash, read.request_hash) == (wrote.content_hash, wrote.request_hash)
    assert (read.workflow, read.workflow_version) == ("graph.json", "version-1")
    assert shared_driver.ledger.prompt_rows(night) == [prompt_row(3)]


def test_text_that_a_database_refuses_is_kept_readable(shared_driver: LedgerDriver) -> None:
    night = new_night()
    row = planned_row(night, 0)
    object.__setattr__(row, "prompt", "nul \x00, half a pair \ud83d, end")

    shared_driver.ledger.plan(night_plan(night), [], [row])

    assert (
        shared_driver.ledger.submission(key_of(night, 0)).prompt == "nul \ufffd, half a pair ?, end"
    )


def test_planning_again_replaces_what_was_never_sent(shared_driver: LedgerDriver) -> None:
    night = new_night()
    shared_driver.plan(night, [0, 1])
    shared_driver.ledger.skip([key_of(night, 0)], "budget")

    outcome = shared_driver.plan(night, [1, 2], content="second", workflow_version="version-2")

    assert (outcome.planned, outcome.stale) == (2, 0)
    submissions = shared_driver.ledger.submissions(night)
    assert [s.prompt_id for s in submissions] == ["p1", "p2"]
    assert {s.workflow_version for s in submissions} == {"version-2"}
    record = shared_driver.ledger.night(night)
    assert record is not None
    assert (record.workflow_version, record.counts) == ("version-2", {S.PLANNED: 2})


@pytest.mark.parametrize("afterwards", ["submitting", "unresolved", "submitted"])
def test_what_was_or_may_have_been_accepted_is_frozen(
    shared_driver: LedgerDriver, afterwards: str
) -> None:
    night = _frozen(shared_driver, 0)
    key = key_of(night, 0)
    if afterwards == "unresolved":
        shared_driver.ledger.park_submission(key, "lost")
    elif afterwards == "submitted":
        shared_driver.receive(key)

    outcome = shared_driver.plan(night, [0, 2], content="second", workflow_version="version-2")

    assert outcome.planned == 0
    submissions = shared_driver.ledger.submissions(night)
    assert [s.prompt_id for s in submissions] == ["p0"]
    assert {s.content_hash for s in submissions} == {"first-0"}
    assert {s.workflow_version for s in submissions} == {"version-1"}


def test_rows_that_changed_went_or_came_are_stale_and_the_rest_is_not(
    shared_driver: LedgerDriver,
) -> None:
    night = _sent(shared_driver, 0, 1, 2)

    outcome = shared_driver.ledger.plan(
        night_plan(night), [prompt_row(0), prompt_row(1, "second"), prompt_row(7)], []
    )

    stale = {s.prompt_id: s.stale for s in shared_driver.ledger.submissions(night)}
    assert stale == {"p0": False, "p1": True, "p2": True}
    assert (outcome.planned, outcome.stale) == (0, 3)
    record = shared_driver.ledger.night(night)
    assert record is not None
    assert record.stale == 3


def test_a_row_that_came_back_is_not_stale_any_more(shared_driver: LedgerDriver) -> None:
    night = _sent(shared_driver, 0, 1)
    shared_driver.plan(night, [0], content="second")

    outcome = shared_driver.plan(night, [0, 1])

    assert outcome.stale == 0
    assert not any(s.stale for s in shared_driver.ledger.submissions(night))


def test_comparing_moves_the_revision_only_when_a_submission_changed(
    shared_driver: LedgerDriver,
) -> None:
    night = _frozen(shared_driver, 0)
    before = shared_driver.ledger.night(night)

    shared_driver.plan(night, [0])
    same = shared_driver.ledger.night(night)
    shared_driver.plan(night, [0], content="second")
    moved = shared_driver.ledger.night(night)

    assert before is not None
    assert same is not None
    assert moved is not None
    assert (same.revision, moved.revision) == (before.revision, before.revision + 1)


def test_the_table_is_remembered_in_its_order_also_when_the_night_is_frozen(
    shared_driver: LedgerDriver,
) -> None:
    night = _sent(shared_driver, 0)
    rows = [prompt_row(5), prompt_row(0, "second"), prompt_row(2)]

    shared_driver.ledger.plan(night_plan(night), rows, [])

    read = shared_driver.ledger.prompt_rows(night)
    assert read == rows
    assert [list(row.values) for row in read] == [list(row.values) for row in rows]


def test_a_regeneration_is_bought_once_for_whoever_asked(shared_driver: LedgerDriver) -> None:
    night = _frozen(shared_driver, 0, 1)
    asked: list[int] = []

    def render(generation: int) -> Sequence[PlannedRow]:
        asked.append(generation)
        return _render(night, 0, 1)(generation)

    first = shared_driver.ledger.regenerate(night, "backfill-1", "all", render)
    shared_driver.clock.advance(60)
    again = shared_driver.ledger.regenerate(night, "backfill-1", "failed", render)
    other = shared_driver.ledger.regenerate(night, "backfill-2", "all", render)

    assert asked == [1, 2]
    assert again == first
    assert (first.generation, first.rows, first.scope) == (1, 2, "all")
    assert other.generation == 2
    record = shared_driver.ledger.night(night)
    assert record is not None
    assert record.generation == 2
    assert len(shared_driver.ledger.submissions(night)) == 6


def test_a_regeneration_whose_rendering_fails_leaves_no_trace(shared_driver: LedgerDriver) -> None:
    night = _frozen(shared_driver, 0)
    before = shared_driver.everything(key_of(night, 0))

    def fail(generation: int) -> Sequence[PlannedRow]:
        raise RuntimeError(f"no generation {generation}")

    with pytest.raises(RuntimeError, match="no generation 1"):
        shared_driver.ledger.regenerate(night, "backfill-1", "all", fail)

    assert shared_driver.everything(key_of(night, 0)) == before
    retried = shared_driver.ledger.regenerate(night, "backfill-1", "all", _render(night, 0))
    assert (retried.generation, retried.rows) == (1, 1)


def test_a_regeneration_with_nothing_to_buy_is_remembered_too(shared_driver: LedgerDriver) -> None:
    night = _frozen(shared_driver, 0)

    first = shared_driver.ledger.regenerate(night, "backfill-1", "failed", _render(night))
    again = shared_driver.ledger.regenerate(night, "backfill-1", "failed", _render(night, 0))

    assert again == first
    assert first.rows == 0


def test_a_regeneration_is_bought_with_the_plan_of_today(shared_driver: LedgerDriver) -> None:
    night = _frozen(shared_driver, 0)
    shared_driver.plan(
        night, [0], content="second", workflow_version="version-2", resource="floyo_b"
    )

    shared_driver.ledger.regenerate(
        night, "backfill-1", "changed", _render(night, 0, content="second")
    )

    old, new = shared_driver.ledger.submissions(night)
    assert (old.workflow_version, old.resource, old.stale) == ("version-1", "floyo", True)
    assert (new.workflow_version, new.resource, new.stale) == ("version-2", "floyo_b", False)


def test_a_regeneration_may_name_the_workflow_it_was_rendered_for(
    shared_driver: LedgerDriver,
) -> None:
    night = _frozen(shared_driver, 0)

    shared_driver.ledger.regenerate(
        night, "run-1", "all", _render(night, 0), workflow_version="version-3"
    )

    record = shared_driver.ledger.night(night)
    assert record is not None
    assert record.workflow_version == "version-3"
    assert shared_driver.ledger.submission(key_of(night, 0, generation=1)).workflow_version == (
        "version-3"
    )


def test_a_stale_row_bought_again_is_settled_for_its_night(shared_driver: LedgerDriver) -> None:
    night = _sent(shared_driver, 0, 1)
    shared_driver.plan(night, [0, 1, 2], content="second")
    counts = [shared_driver.ledger.night(night)]

    shared_driver.ledger.regenerate(
        night, "run-1", "changed", _render(night, 0, 2, content="second")
    )

    counts.append(shared_driver.ledger.night(night))
    assert [record.stale for record in counts if record] == [3, 1]
    assert shared_driver.ledger.submission(key_of(night, 0)).stale


def test_a_regeneration_survives_planning_again(shared_driver: LedgerDriver) -> None:
    night = new_night()
    shared_driver.plan(night, [0])
    shared_driver.ledger.regenerate(night, "run-1", "all", _render(night, 0))

    shared_driver.plan(night, [0, 1])

    kept = [(s.prompt_id, s.generation) for s in shared_driver.ledger.submissions(night)]
    assert kept == [("p0", 0), ("p0", 1), ("p1", 0)]


def test_rows_of_a_wrong_generation_are_refused(shared_driver: LedgerDriver) -> None:
    night = _frozen(shared_driver, 0)
    before = shared_driver.everything(key_of(night, 0))

    with pytest.raises(LedgerError, match="generation"):
        shared_driver.ledger.plan(night_plan(night), [], [planned_row(night, 1, generation=1)])
    with pytest.raises(LedgerError, match="generation"):
        shared_driver.ledger.regenerate(
            night, "run-1", "all", lambda generation: [planned_row(night, 1, generation=7)]
        )

    assert shared_driver.everything(key_of(night, 0)) == before


def test_a_night_that_was_never_planned_cannot_be_regenerated(shared_driver: LedgerDriver) -> None:
    night = new_night()

    with pytest.raises(LedgerError, match="never planned"):
        shared_driver.ledger.regenerate(night, "run-1", "all", _render(night, 0))

    assert shared_driver.ledger.night(night) is None


def test_a_workflow_is_kept_once_and_read_back(shared_driver: LedgerDriver) -> None:
    workflow = Workflow(reference="graph.json", version="abc", body={"6": {"seed": 2**64 - 1}})

    shared_driver.ledger.save_workflow(workflow)
    shared_driver.ledger.save_workflow(workflow)

    assert shared_driver.ledger.workflow("abc") == workflow
    with pytest.raises(LedgerError, match="never kept"):
        shared_driver.ledger.workflow("another")


def test_an_unknown_key_is_said_to_be_unknown(shared_driver: LedgerDriver) -> None:
    with pytest.raises(SubmissionNotFound):
        shared_driver.ledger.submission("nobody")
    with pytest.raises(SubmissionNotFound):
        shared_driver.ledger.park_submission("nobody", "lost")
    with pytest.raises(SubmissionNotFound):
        shared_driver.ledger.postpone_poll("nobody", shared_driver.clock.now(), "later")


@pytest.mark.exhaustive
def test_ten_thousand_rows_are_planned_in_one_go(shared_driver: LedgerDriver) -> None:
    night = new_night()

    outcome = shared_driver.plan(night, range(10_000))

    assert outcome.planned == 10_000
    record = shared_driver.ledger.night(night)
    assert record is not None
    assert record.counts == {S.PLANNED: 10_000}
    keys = [key_of(night, number) for number in range(10_000)]
    assert shared_driver.ledger.cancel_planned(keys, "not tonight") == 10_000
