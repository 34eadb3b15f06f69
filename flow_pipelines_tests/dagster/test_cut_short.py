"""A real Dagster whose power goes, and a demo that is interrupted.

The nights of `test_end_to_end` may run beside these: files do, tests of one file do not.
"""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.model import SubmissionState
from flow_pipelines_tests.dagster.machine import PATIENCE_SECONDS, ROWS, running_machine
from flow_pipelines_tests.dagster.test_end_to_end import (
    DEMO,
    assert_billed_once,
    assert_whole,
    processes_of,
)

pytestmark = pytest.mark.end_to_end


def test_a_power_cut_in_the_middle_of_submitting_costs_nothing_and_loses_nothing(
    tmp_path: Path,
) -> None:
    with running_machine(tmp_path) as machine:
        control = machine.sandbox.control
        control.add_fault("floyo", "create_run", "slow_answer", seconds=1.0, count=None)
        first = machine.launch(machine.schedule(nights_ago=1))
        machine.wait_until(lambda: machine.meter().runs_billed >= ROWS // 3, "some receipts")
        machine.kill_dagster()
        control.clear_faults()
        assert machine.meter().runs_billed < ROWS
        assert machine.ledger.submissions(first, states={SubmissionState.PLANNED})

        machine.restart_dagster()
        machine.wait_until(lambda: machine.is_collected(first), f"{first}")
        assert_whole(machine, [first])
        assert_billed_once(machine, [first])

        second = machine.launch(machine.schedule())
        machine.wait_until(lambda: machine.is_collected(second), f"{second}")
        assert_whole(machine, [second])
        assert_billed_once(machine, [first, second])


def test_an_interrupted_demo_leaves_no_process(tmp_path: Path) -> None:
    clock = SystemClock()
    interrupted = subprocess.Popen(
        [*DEMO, "--home", str(tmp_path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = clock.monotonic() + PATIENCE_SECONDS
    while not (tmp_path / "logs" / "webserver.log").exists():
        assert interrupted.poll() is None
        assert clock.monotonic() < deadline
        clock.sleep(0.1)
    assert len(processes_of(tmp_path)) >= 4

    interrupted.send_signal(signal.SIGTERM)

    assert interrupted.wait(PATIENCE_SECONDS) == 130
    assert processes_of(tmp_path) == []
