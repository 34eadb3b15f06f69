"""Real kills, one after the other, in one real Dagster: every night ends whole and billed once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_pipelines.model import Night, SubmissionState
from flow_pipelines_tests.dagster.machine import ROWS, Machine, running_machine
from flow_pipelines_tests.dagster.test_end_to_end import assert_billed_once, assert_whole

pytestmark = pytest.mark.kills


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with running_machine(tmp_path_factory.mktemp("kills")) as machine:
        yield machine


@pytest.fixture(scope="module")
def nights() -> list[Night]:
    """The nights bought so far: each has to stay as it is."""
    return []


def run_workers(machine: Machine) -> list[int]:
    """Return the processes that the code server started for runs."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _parent(entry) == machine.code_server.process.pid:
            command = (entry / "cmdline").read_bytes()
            if b"spawn_main" in command and b"resource_tracker" not in command:
                found.append(int(entry.name))
    return found


def _parent(entry: Path) -> int:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def kill_run_workers(machine: Machine) -> None:
    machine.wait_until(lambda: run_workers(machine), "a run worker")
    for pid in run_workers(machine):
        os.kill(pid, signal.SIGKILL)


def finish(machine: Machine, night: Night, nights: list[Night]) -> None:
    """See a night end whole, with every earlier one as it was."""
    machine.sandbox.control.clear_faults()
    machine.wait_until(lambda: machine.is_collected(night), str(night))
    nights.append(night)
    assert_whole(machine, nights)
    assert_billed_once(machine, nights)


def test_the_run_worker_dies_while_it_submits(machine: Machine, nights: list[Night]) -> None:
    control = machine.sandbox.control
    control.add_fault("floyo", "create_run", "slow_answer", seconds=1.0, count=None)
    night = machine.launch(machine.schedule(nights_ago=4))
    machine.wait_until(lambda: machine.meter().runs_billed >= 3, "some receipts")

    kill_run_workers(machine)

    assert machine.ledger.submissions(night, states={SubmissionState.PLANNED})
    finish(machine, night, nights)


def test_the_run_worker_dies_while_it_collects(machine: Machine, nights: list[Night]) -> None:
    control = machine.sandbox.control
    control.add_fault("floyo", "download_file", "slow_answer", seconds=2.0, count=None)
    night = machine.launch(machine.schedule(nights_ago=3))
    machine.wait_until(lambda: machine.images(night), "a first image")

    kill_run_workers(machine)

    assert len(machine.images(night)) < ROWS
    finish(machine, night, nights)


def test_the_code_server_dies_in_a_sensor_tick(machine: Machine, nights: list[Night]) -> None:
    control = machine.sandbox.control
    night = machine.launch(machine.schedule(nights_ago=2))
    machine.wait_until(lambda: machine.ledger.night(night), "the night")
    control.add_fault("floyo", "retrieve_run", "slow_answer", seconds=2.0, count=None)
    asked = machine.meter().requests.get("retrieve_run", 0)
    machine.wait_until(
        lambda: machine.meter().requests.get("retrieve_run", 0) > asked, "a tick's poll"
    )

    machine.children.kill(machine.code_server)
    machine.code_server = machine.services.start_code_server()

    finish(machine, night, nights)


def test_the_daemon_dies_while_a_night_is_at_the_provider(
    machine: Machine, nights: list[Night]
) -> None:
    night = machine.launch(machine.schedule(nights_ago=1))
    machine.wait_until(lambda: machine.ledger.night(night), "the night")

    machine.children.kill(machine.daemon)
    machine.daemon = machine.services.start_daemon()

    finish(machine, night, nights)


def test_the_night_after_runs(machine: Machine, nights: list[Night]) -> None:
    finish(machine, machine.launch(machine.schedule()), nights)
