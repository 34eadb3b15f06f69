"""A step's sign of life: it ends with the step, harms it never, and stops it when its run ended."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import dagster as dg
import pytest

from flow_pipelines.assets import heartbeat as module
from flow_pipelines.assets.heartbeat import heartbeat
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.model.errors import LedgerBusy, RunEnded
from flow_pipelines_tests.dagster.conftest import (
    CLOCK,
    ManualLedgerResource,
    Project,
    World,
    materialize,
)

WHOLE = ("harbor/prompts", "harbor/provider_runs", "harbor/images")


def run_step(
    instance: dg.DagsterInstance, work: Callable[[dg.AssetExecutionContext, RunLedger], object]
) -> dg.ExecuteInProcessResult:
    """Run a step that beats while it works."""

    @dg.asset(required_resource_keys={"run_ledger"})
    def step(context):
        with heartbeat(context) as ledger:
            work(context, ledger)

    return dg.materialize(
        [step],
        instance=instance,
        resources={"run_ledger": ManualLedgerResource()},
        raise_on_error=False,
    )


def beating() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "heartbeat"]


def is_known(ledger: RunLedger) -> bool:
    CLOCK.advance(100)
    return bool(ledger.silent_runs(None, limit=9))


def test_a_step_gives_signs_of_life_while_it_works_and_none_afterwards(
    instance: dg.DagsterInstance, ledger: RunLedger
) -> None:
    seen: list[object] = []
    assert run_step(instance, lambda *_: seen.extend([beating(), is_known(ledger)])).success
    assert seen == [["heartbeat"], True]
    assert (beating(), is_known(ledger)) == ([], False)


def test_a_step_that_fails_gives_none_afterwards(
    instance: dg.DagsterInstance, ledger: RunLedger
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("its own")

    result = run_step(instance, fail)
    assert "its own" in str(result.failure_data_for_node("step"))
    assert (beating(), is_known(ledger)) == ([], False)


def test_a_ledger_that_is_busy_does_no_harm_to_a_step(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise LedgerBusy("locked")

    monkeypatch.setattr(RunLedger, "beat", busy)
    assert run_step(instance, lambda *_: None).success


def test_a_step_whose_run_was_ended_fails_at_its_end(
    instance: dg.DagsterInstance, ledger: RunLedger
) -> None:
    def ended(context: dg.AssetExecutionContext, _ledger: RunLedger) -> None:
        context.instance.report_run_failed(context.run)

    result = run_step(instance, ended)
    assert not result.success
    assert "was ended from outside" in str(result.failure_data_for_node("step"))
    with pytest.raises(RunEnded):
        ledger.check_run(result.run_id)


@dataclass
class EndingClock:
    """Lets a person end the run from outside, once so many were bought and the step waits."""

    instance: dg.DagsterInstance
    ledger: RunLedger
    world: World
    bought: int
    done: bool = False
    noticed_at: float = 0.0

    def now(self) -> datetime:
        return CLOCK.now()

    def monotonic(self) -> float:
        return CLOCK.monotonic()

    def sleep(self, seconds: float) -> None:
        if self.done or self.world.bought() < self.bought:
            CLOCK.sleep(seconds)
            return
        self.done = True
        [run] = self.instance.get_runs()
        self.instance.report_run_failed(run)
        real = SystemClock()
        deadline = real.monotonic() + 20
        while not self._is_noticed(run.run_id):
            assert real.monotonic() < deadline
            real.sleep(0.01)
        self.noticed_at = self.monotonic()

    def _is_noticed(self, run_id: str) -> bool:
        try:
            self.ledger.check_run(run_id)
        except RunEnded:
            return True
        return False


CLOCKS: list[EndingClock] = []


class EndingLedgerResource(ManualLedgerResource):
    def _open(self, url: str) -> RunLedger:
        return open_ledger(url, CLOCKS[-1])


@pytest.mark.case(
    "somebody marked a run as failed in Dagster, and its worker went on to buy",
    "within seconds it loses its leases: nothing more is sent, and its run does not succeed",
)
@pytest.mark.parametrize("bought", [1, 3], ids=["while it buys", "while it waits for pictures"])
def test_a_run_that_somebody_ended_stops_by_itself(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    ledger: RunLedger,
    monkeypatch: pytest.MonkeyPatch,
    bought: int,
) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.05)
    world.control.add_fault("floyo", "create_run", "never_ends", count=3)
    CLOCKS[:] = [EndingClock(instance, ledger, world, bought)]
    project.add("harbor")
    with project.load(run_ledger=EndingLedgerResource()) as defs:
        result = materialize(defs, instance, *WHOLE)

    assert CLOCKS[0].done
    assert CLOCKS[0].monotonic() - CLOCKS[0].noticed_at < 60  # it would wait ten minutes
    assert world.bought() == bought
    assert not result.success
    kinds = [event.event_type for event in result.all_events]
    assert dg.DagsterEventType.RUN_SUCCESS not in kinds
    assert dg.DagsterEventType.STEP_UP_FOR_RETRY not in kinds
    [run] = instance.get_runs()
    assert run.status is dg.DagsterRunStatus.FAILURE
    assert "was ended from outside" in "".join(
        str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure
    )
