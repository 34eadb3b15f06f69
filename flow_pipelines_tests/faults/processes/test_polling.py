"""Sensors and waiting runs over the same night: each run is asked after by one, stored by one."""

from __future__ import annotations

from collections.abc import Sequence

from flow_pipelines.lifecycle import submit_night
from flow_pipelines_tests.faults.processes import jobs
from flow_pipelines_tests.faults.processes.shared_setup import (
    NIGHT,
    PICTURES,
    ROWS,
    Host,
    SharedSetup,
)
from flow_pipelines_tests.faults.processes.verdict import (
    assert_bought_once,
    assert_collected_once,
    assert_never_asked_too_soon,
    downloads,
)
from flow_pipelines_tests.faults.processes.worker_process import WorkerProcesses


def test_of_many_sensors_one_polls_a_run_and_one_asks_for_its_collection(
    setup: SharedSetup, host: Host, workers: WorkerProcesses, names: Sequence[str]
) -> None:
    submit_night(setup.settings, NIGHT, host.ports, owner="bought")

    sensors = workers.together(jobs.tick_and_carry_out, setup, [[name] for name in names])
    asked = [todo for sensor in sensors for todo in sensor.outcome().gave]

    assert asked == [f"collect {NIGHT}"]
    assert_never_asked_too_soon(host)
    assert set(downloads(host).values()) == {1}
    assert_bought_once(host, runs=ROWS)
    assert_collected_once(host, images=ROWS * PICTURES)


def test_sensors_leave_a_night_to_the_run_that_waits_for_it(
    setup: SharedSetup, host: Host, workers: WorkerProcesses, names: Sequence[str]
) -> None:
    run = workers.start(jobs.run_whole, setup, None, "run")
    sensors = workers.together(jobs.tick, setup, [[name] for name in names[1:]])

    images = run.outcome().gave
    asked = [todo for sensor in sensors for todo in sensor.outcome().gave]

    assert images == ROWS * PICTURES
    assert asked == []
    assert_never_asked_too_soon(host)
    assert set(downloads(host).values()) == {1}
    assert_bought_once(host, runs=ROWS)
    assert_collected_once(host, images=ROWS * PICTURES)
