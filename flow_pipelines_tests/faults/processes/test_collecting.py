"""Several collectors at one night: every object once and whole, and tables that show all of it."""

from __future__ import annotations

from collections.abc import Sequence

from flow_pipelines.lifecycle import submit_night, wait_for_night
from flow_pipelines_tests.faults.processes import jobs
from flow_pipelines_tests.faults.processes.shared_setup import (
    NIGHT,
    PICTURES,
    ROWS,
    Host,
    SharedSetup,
)
from flow_pipelines_tests.faults.processes.verdict import assert_collected_once, downloads
from flow_pipelines_tests.faults.processes.worker_process import WorkerProcesses

IMAGES = ROWS * PICTURES


def run_the_night(setup: SharedSetup, host: Host) -> None:
    """Buy it and see every run end; nothing is stored yet."""
    submit_night(setup.settings, NIGHT, host.ports, owner="bought")
    assert wait_for_night(host.ports, NIGHT, owner="waits", wait_seconds=600) == 0


def test_collectors_that_begin_at_once_store_each_object_once(
    setup: SharedSetup, host: Host, workers: WorkerProcesses, names: Sequence[str]
) -> None:
    run_the_night(setup, host)

    collecting = workers.together(jobs.collect, setup, [[name] for name in names])
    found = [worker.outcome().gave for worker in collecting]

    assert found == [IMAGES] * len(names)
    assert set(downloads(host).values()) == {1}
    assert_collected_once(host, images=IMAGES)


def test_collectors_whose_clocks_give_them_the_same_lease_still_store_each_object_once(
    setup: SharedSetup, host: Host, workers: WorkerProcesses, names: Sequence[str]
) -> None:
    run_the_night(setup, host)

    each = [[name, number * 60.0] for number, name in enumerate(names)]
    collecting = workers.together(jobs.collect, setup, each)
    outcomes = [worker.outcome() for worker in collecting]

    assert {outcome.error for outcome in outcomes} <= {"", "LeaseLost"}
    assert IMAGES in [outcome.gave for outcome in outcomes]
    assert_collected_once(host, images=IMAGES)
