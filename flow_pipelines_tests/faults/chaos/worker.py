"""A process that does what Dagster's runs and sensors do, until everything is done or it dies."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from datetime import timedelta
from random import Random

from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import (
    Ports,
    Todo,
    agenda,
    collect_lease,
    collect_night,
    held_lease,
    plan_night,
    poll_due,
    recover,
    submit_night,
    wait_for_night,
)
from flow_pipelines.model import ENDED, Night, NightRecord, SubmissionState
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines_tests.faults.chaos.world import World

WAIT_SECONDS = 120.0
"""By the fast clock: how long a run waits for its night before it leaves it to the sensors."""
TICK_SECONDS = 15.0
GRACE = timedelta(minutes=15)
"""By the fast clock: how long after its intent an unresolved submission is still looked for."""
_SENT = ("planned", "skipped", "canceled")


class Worker:
    """One process's work on the world."""

    def __init__(self, world: World, note: Callable[[str], None]) -> None:
        """`note` keeps a line for the report, whatever becomes of this process."""
        self._world, self._note = world, note
        self._rng = Random(os.getpid())
        self._ports: dict[str, Ports] = {}
        self._ledger = open_ledger(world.ledger_url, world.clock)
        self._finished: set[Night] = set()

    def work(self) -> None:
        """Go on until nothing is left to do."""
        providers = {provider for provider, _ in self._world.nights}
        while not self._is_done():
            self._guarded(self._begin_a_night)
            for provider in providers:
                self._guarded(lambda provider=provider: self._tick(provider))
            self._world.clock.sleep(TICK_SECONDS)

    def _guarded(self, action: Callable[[], None]) -> None:
        """Fail as a Dagster run or tick does: alone, and with its reason told."""
        try:
            action()
        except FlowPipelinesError as error:
            self._note(f"failed {type(error).__name__}: {error}")

    def _of(self, provider: str) -> Ports:
        if provider not in self._ports:
            self._ports[provider] = self._world.open_ports(provider, self._ledger)
        return self._ports[provider]

    def _owner(self) -> str:
        return f"{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def _begin_a_night(self) -> None:
        """Run a night that was not begun, as whoever asked for it does until it is."""
        waiting = [(provider, night) for provider, night in self._open() if self._is_new(night)]
        if not waiting:
            return
        provider, night = self._rng.choice(waiting)
        ports, owner, settings = self._of(provider), self._owner(), self._world.settings(provider)
        plan_night(settings, night.partition_key, ports)
        submit_night(settings, night, ports, owner=owner, hold_for_collection=True)
        with held_lease(ports, collect_lease(night), owner):
            wait_for_night(ports, night, owner=owner, wait_seconds=WAIT_SECONDS)
            collect_night(night, ports, owner=owner)

    def _open(self) -> Sequence[tuple[str, Night]]:
        """Give the nights in which anything may still happen."""
        return [one for one in self._world.nights if one[1] not in self._finished]

    def _is_new(self, night: Night) -> bool:
        record = self._ledger.night(night)
        return record is None or record.marked_at is None

    def _tick(self, provider: str) -> None:
        ports, settings = self._of(provider), self._world.settings(provider)
        recover(ports)
        poll_due(ports, owner=self._owner(), budget_seconds=60)
        todos = agenda(ports.ledger, ports.clock, batches=[settings.name]).todos
        for todo in todos:
            self._guarded(lambda todo=todo: self._carry_out(provider, todo))
        for other, night in self._open():
            if other == provider and not todos:
                self._guarded(lambda night=night: self._as_a_person(provider, night))

    def _carry_out(self, provider: str, todo: Todo) -> None:
        ports = self._of(provider)
        if todo.kind == "submit":
            settings = self._world.settings(provider)
            submit_night(settings, todo.night, ports, owner=self._owner(), limit=todo.limit)
        else:
            collect_night(todo.night, ports, owner=self._owner())

    def _as_a_person(self, provider: str, night: Night) -> None:
        """Ask once more for what is, by design, left to people."""
        ports, record = self._of(provider), self._ledger.night(night)
        if record is None or record.marked_at is None:
            return
        planned = record.counts.get(SubmissionState.PLANNED, 0)
        sent = sum(n for state, n in record.counts.items() if state.value not in _SENT)
        if planned and record.submit_goal is not None and sent >= record.submit_goal:
            self._note(f"person submits {night}")
            settings = self._world.settings(provider)
            submit_night(settings, night, ports, owner=self._owner())

    def _is_done(self) -> bool:
        """Tell whether nothing but unresolved submissions is left, and those were looked for."""
        waits = False
        for _, night in self._open():
            record = self._ledger.night(night)
            if record is None or _is_open(record):
                waits = True
            elif set(record.counts) <= ENDED:
                self._finished.add(night)
        if waits:
            return False
        unresolved = self._ledger.unresolved({night.batch for _, night in self._world.nights}, 1000)
        begun = [one.submitting_at for one in unresolved if one.submitting_at is not None]
        return not begun or self._world.clock.now() - max(begun) > GRACE


def _is_open(record: NightRecord) -> bool:
    settled = ENDED | {SubmissionState.UNRESOLVED}
    collected = record.revision == record.collected_revision and not record.uncollected
    return record.marked_at is None or not collected or not set(record.counts) <= settled
