"""Canceling a Dagster run cancels what its provider allows; a worker that dies cancels nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import dagster as dg
import pytest

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.model import Night
from flow_pipelines_tests.dagster.conftest import (
    CLOCK,
    NIGHT,
    ManualLedgerResource,
    Project,
    World,
    materialize,
)

HARBOR = Night("harbor", NIGHT)
WHOLE = ("harbor/prompts", "harbor/provider_runs", "harbor/images")


@dataclass
class InterruptingClock:
    """Ends the worker while it waits, as a signal does; first a person may have canceled."""

    instance: dg.DagsterInstance
    world: World
    cancel_first: bool
    done: bool = False

    def now(self):
        return CLOCK.now()

    def monotonic(self):
        return CLOCK.monotonic()

    def sleep(self, seconds: float) -> None:
        if self.done or self.world.bought() < 3:
            CLOCK.sleep(seconds)
            return
        self.done = True
        [run] = self.instance.get_runs()
        if self.cancel_first:
            self.instance.report_run_canceling(run)
        raise dg.DagsterExecutionInterruptedError


class InterruptedLedgerResource(ManualLedgerResource):
    def _open(self, url: str) -> RunLedger:
        return open_ledger(url, INTERRUPTING[0])


INTERRUPTING: list[InterruptingClock] = []


def interrupt_while_waiting(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    *,
    cancel_first: bool,
    tags: dict[str, str] | None = None,
) -> None:
    """Let a run that waits for three provider runs be interrupted."""
    world.control.add_fault("floyo", "create_run", "never_ends", count=3)
    INTERRUPTING[:] = [InterruptingClock(instance, world, cancel_first)]
    project.add("harbor")
    with project.load(run_ledger=InterruptedLedgerResource()) as defs:
        assert not materialize(defs, instance, *WHOLE, tags=tags or {}).success
    assert INTERRUPTING[0].done


def test_canceling_the_run_cancels_its_provider_runs(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    interrupt_while_waiting(project, instance, world, cancel_first=True)

    states = Counter(submission.state.value for submission in ledger.submissions(HARBOR))
    assert states == {"canceled": 3}
    assert world.control.state()["floyo"].requests["cancel_run"] == 3


@pytest.mark.parametrize(
    ("longest_seconds", "states", "canceled"),
    [("0.000001", {"submitted", "running"}, 0), ("3600", {"canceled"}, 3)],
    ids=["time is up", "time is left"],
)
def test_only_a_person_cancels_provider_runs_not_dagsters_limit_on_a_runs_time(
    project: Project,
    world: World,
    ledger: RunLedger,
    longest_seconds: str,
    states: set[str],
    canceled: int,
) -> None:
    settings = {"run_monitoring": {"enabled": True}}
    with dg.DagsterInstance.ephemeral(settings=settings) as instance:
        limit = {"dagster/max_runtime": longest_seconds}
        interrupt_while_waiting(project, instance, world, cancel_first=True, tags=limit)

    assert {submission.state.value for submission in ledger.submissions(HARBOR)} <= states
    assert world.control.state()["floyo"].requests.get("cancel_run", 0) == canceled


def test_a_worker_that_is_only_ended_leaves_its_provider_runs_alone(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    interrupt_while_waiting(project, instance, world, cancel_first=False)

    states = Counter(submission.state.value for submission in ledger.submissions(HARBOR))
    assert set(states) <= {"submitted", "running"}
    assert "cancel_run" not in world.control.state()["floyo"].requests
