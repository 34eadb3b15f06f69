"""Two backfills of the same partition: what was asked for once is bought once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from flow_pipelines.lifecycle import submit_night, wait_for_night
from flow_pipelines_tests.faults.processes import jobs
from flow_pipelines_tests.faults.processes.shared_setup import (
    NIGHT,
    PROVIDER,
    ROWS,
    Host,
    SharedSetup,
)
from flow_pipelines_tests.faults.processes.verdict import assert_bought_once
from flow_pipelines_tests.faults.processes.worker_process import WorkerProcesses


@pytest.fixture
def failed(setup: SharedSetup, host: Host) -> Host:
    """Return a night that was bought, one run of which failed."""
    setup.control.add_fault(PROVIDER, "create_run", "run_fails")
    submit_night(setup.settings, NIGHT, host.ports, owner="bought")
    assert wait_for_night(host.ports, NIGHT, owner="waits", wait_seconds=600) == 0
    return host


def finish(host: Host) -> None:
    """Do what the sensor does once the backfills are over: submit what is still planned."""
    submit_night(host.setup.settings, NIGHT, host.ports, owner="sensor")


def generations(host: Host) -> Counter[int]:
    return Counter(one.generation for one in host.ledger.submissions(NIGHT))


@pytest.mark.parametrize("requesters", [1, 2])
def test_backfills_that_regenerate_at_once_buy_a_failed_row_once(
    setup: SharedSetup,
    failed: Host,
    workers: WorkerProcesses,
    names: Sequence[str],
    requesters: int,
) -> None:
    each = [[f"backfill-{n % requesters}", name] for n, name in enumerate(names)]

    outcomes = [
        worker.outcome() for worker in workers.together(jobs.regenerate_and_buy, setup, each)
    ]
    finish(failed)

    assert {outcome.error for outcome in outcomes} <= {"", "LeaseLost"}
    record = failed.ledger.night(NIGHT)
    assert record is not None
    assert record.generation == requesters
    assert generations(failed).total() == ROWS + 1
    assert_bought_once(failed, runs=ROWS + 1)


def test_a_plain_backfill_beside_one_that_regenerates_adds_nothing(
    setup: SharedSetup, failed: Host, workers: WorkerProcesses
) -> None:
    gate = workers.gate(2)
    plain = workers.start(jobs.buy, setup, gate, "plain")
    on_purpose = workers.start(jobs.regenerate_and_buy, setup, gate, "backfill-1", "on purpose")

    outcomes = [plain.outcome(), on_purpose.outcome()]
    finish(failed)

    assert {outcome.error for outcome in outcomes} <= {"", "LeaseLost"}
    assert generations(failed) == {0: ROWS, 1: 1}
    assert_bought_once(failed, runs=ROWS + 1)
