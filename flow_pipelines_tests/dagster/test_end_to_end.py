"""Nights in a real Dagster: daemon, webserver, run workers, and a sandbox with a meter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from flow_pipelines.model import Night, SubmissionState
from flow_pipelines_tests.dagster.machine import BATCH, ROWS, Machine, running_machine

pytestmark = pytest.mark.end_to_end

EVERYTHING = [(BATCH, name) for name in ("prompts", "provider_runs", "images", "contact_sheet")]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with running_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


def assert_whole(machine: Machine, nights: Sequence[Night]) -> None:
    """Every image of these nights is in the bucket and in the tables."""
    for night in nights:
        assert len(machine.images(night)) == ROWS
        assert machine.manifest_rows(night) == ROWS


def assert_billed_once(machine: Machine, runs: int) -> None:
    """The provider's meter agrees with the ledger, and nobody asked too fast."""
    meter = machine.meter()
    assert meter.runs_billed == runs
    assert meter.duplicate_bills == 0
    assert meter.rate_limited == 0
    assert meter.flotime_ms == machine.flotime_ms()


def test_a_night_and_then_a_backfill_are_bought_once_and_stored_whole(machine: Machine) -> None:
    schedule = machine.schedule()
    night, run_id = machine.launch(schedule)
    machine.wait_until(lambda: machine.is_collected(night), f"{night}")
    assert_whole(machine, [night])
    assert_billed_once(machine, ROWS)
    assert run_id in {run.run_id for run in machine.webserver.runs(statuses=["SUCCESS"])}

    earlier = [
        request.partition_key or ""
        for nights_ago in (3, 2, 1)
        for request in machine.webserver.evaluate(machine.schedule(nights_ago=nights_ago))
    ]
    backfill = machine.webserver.backfill(EVERYTHING, earlier)
    machine.wait_until(
        lambda: machine.webserver.backfill_status(backfill).startswith("COMPLETED"), backfill
    )

    assert machine.webserver.backfill_status(backfill) == "COMPLETED_SUCCESS"
    nights = [Night(BATCH, key) for key in earlier]
    assert_whole(machine, nights)
    assert_billed_once(machine, 4 * ROWS)
    assert all((machine.folder(one) / "contact_sheet.jpg").exists() for one in nights)
    assert machine.webserver.runs(statuses=["FAILURE"]) == []


def test_a_power_cut_in_the_middle_of_submitting_costs_nothing_and_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_machine(tmp_path_factory.mktemp("machine")) as machine:
        control = machine.sandbox.control
        control.add_fault("floyo", "create_run", "slow_answer", seconds=1.0, count=None)
        first, _ = machine.launch(machine.schedule(nights_ago=1))
        machine.wait_until(lambda: machine.meter().runs_billed >= ROWS // 3, "some receipts")
        machine.kill_dagster()
        control.clear_faults()
        bought_before = machine.meter().runs_billed
        counts = machine.ledger.submissions(first, states={SubmissionState.PLANNED})
        assert bought_before < ROWS
        assert counts

        machine.restart_dagster()
        machine.wait_until(lambda: machine.is_collected(first), f"{first}")
        assert_whole(machine, [first])
        assert_billed_once(machine, ROWS)

        second, _ = machine.launch(machine.schedule())
        machine.wait_until(lambda: machine.is_collected(second), f"{second}")
        assert_whole(machine, [second])
        assert_billed_once(machine, 2 * ROWS)
