"""The provider's network goes for longer than anybody tries, under a real Dagster, and comes back.

What an outage leaves `unresolved` is honest: those POSTs were under way when it began.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines_tests.dagster.machine import ROWS, Machine, running_machine
from flow_pipelines_tests.dagster.test_end_to_end import assert_billed_once, assert_whole
from flow_pipelines_tests.dagster.unpluggable_proxy import UnpluggableProxy

pytestmark = pytest.mark.kills

OUTAGE_SECONDS = 60.0
"""A submitting run gives up after 30 s of refused connections, a poll or download sooner."""


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, UnpluggableProxy]]:
    with ExitStack() as stack:
        cables: list[UnpluggableProxy] = []

        def rewire(sandbox):  # type: ignore[no-untyped-def]
            cables.append(stack.enter_context(UnpluggableProxy(sandbox.url)))
            return cables[0].lead_through(sandbox.environment)

        machine = stack.enter_context(running_machine(tmp_path_factory.mktemp("network"), rewire))
        yield machine, cables[0]


@pytest.fixture
def machine(wired: tuple[Machine, UnpluggableProxy]) -> Machine:
    return wired[0]


@pytest.fixture
def proxy(wired: tuple[Machine, UnpluggableProxy]) -> UnpluggableProxy:
    return wired[1]


@pytest.fixture(scope="module")
def nights() -> list[Night]:
    """The nights bought so far: each has to stay as it is."""
    return []


def sit_out(proxy: UnpluggableProxy) -> None:
    with proxy.pulled():
        SystemClock().sleep(OUTAGE_SECONDS)


def finish(machine: Machine, night: Night, nights: list[Night]) -> None:
    """See a night end whole without a person, with every earlier one as it was."""
    machine.sandbox.control.clear_faults()
    machine.wait_until(lambda: machine.is_collected(night), str(night))
    nights.append(night)
    assert_whole(machine, nights)
    assert_billed_once(machine, nights)


def test_the_network_goes_while_a_night_is_submitted(
    machine: Machine, proxy: UnpluggableProxy, nights: list[Night]
) -> None:
    control = machine.sandbox.control
    control.add_fault("floyo", "create_run", "slow_answer", seconds=1.0, count=None)
    night = machine.launch(machine.schedule(nights_ago=2))
    machine.wait_until(lambda: machine.meter().runs_billed >= 3, "some receipts")

    sit_out(proxy)

    assert machine.ledger.submissions(night, states={SubmissionState.PLANNED})
    finish(machine, night, nights)


def test_the_network_goes_while_a_night_is_collected(
    machine: Machine, proxy: UnpluggableProxy, nights: list[Night]
) -> None:
    control = machine.sandbox.control
    control.add_fault("floyo", "download_file", "slow_answer", seconds=2.0, count=None)
    night = machine.launch(machine.schedule(nights_ago=1))
    machine.wait_until(lambda: machine.images(night), "a first image")

    sit_out(proxy)

    assert len(machine.images(night)) < ROWS
    finish(machine, night, nights)


def test_the_night_after_runs(machine: Machine, nights: list[Night]) -> None:
    finish(machine, machine.launch(machine.schedule()), nights)
