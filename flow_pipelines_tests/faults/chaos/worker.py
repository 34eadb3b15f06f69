"""A process that does what Dagster's runs and sensors do, until everything is done or it dies."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random

from flow_pipelines.assets.journal_rounds import EVERY, SECONDS
from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import (
    Ports,
    Todo,
    agenda,
    collect_lease,
    collect_night,
    held_lease,
    open_night,
    plan_night,
    regenerate,
    serve_accounts,
    submit_night,
    wait_for_night,
)
from flow_pipelines.lifecycle.journal_scan import compare_recent
from flow_pipelines.model import ENDED, Night, NightRecord, SubmissionState
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines_tests.faults.chaos.mending import mend, needs_mending
from flow_pipelines_tests.faults.chaos.state import ChaosState, resources_of
from flow_pipelines_tests.faults.chaos.tables import prompt_ids

WAIT_SECONDS = 120.0
"""By the fast clock: how long a run waits for its night before it leaves it to the sensors."""
TICK_SECONDS = 15.0
GRACE = timedelta(minutes=15)
"""By the fast clock: how long after its intent, or a restart, an unresolved submission is still
looked for."""
_SENT = ("planned", "skipped", "canceled")
_WELL = ENDED - {SubmissionState.FAILED}
"""Runs do not fail here: what failed was refused, and is mended."""


class Worker:
    """One process's work on the world."""

    def __init__(self, world: ChaosState, note: Callable[[str], None]) -> None:
        """`note` keeps a line for the report, whatever becomes of this process."""
        self._world, self._note = world, note
        self._rng = Random(os.getpid())
        self._ledger = open_ledger(world.ledger_url, world.clock)
        self._accounts = world.accounts(self._ledger)
        self._finished: set[Night] = set()
        self._began_at = world.clock.now()
        self._compare_after = ""
        self._compared_at: datetime | None = None

    def work(self) -> None:
        """Go on until nothing is left to do."""
        providers = {provider for provider, _ in self._world.nights}
        while not self._is_done():
            self._guarded(self._compare)
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

    def _compare(self) -> None:
        """Look at recent nights as a sensor does: at first, bit by bit, and then hourly."""
        now = self._world.clock.now()
        if not self._compare_after and self._compared_at and now - self._compared_at < EVERY:
            return
        provider = self._world.nights[0][0]
        found = compare_recent(self._of(provider), self._compare_after, seconds=SECONDS)
        self._compare_after, self._compared_at = found.after, now
        for line in found.words:
            self._note(f"compared: {line}")

    def _of(self, provider: str) -> Ports:
        """Return the ports of the account that the batch names now."""
        return self._accounts.ports(self._world.settings(provider).resource)

    def _owner(self) -> str:
        return f"{os.getpid()}-{uuid.uuid4().hex[:8]}"

    def _begin_a_night(self) -> None:
        """Run a night that was not begun, as whoever asked for it does until it is."""
        waiting = [(provider, night) for provider, night in self._open() if self._is_new(night)]
        if not waiting:
            return
        provider, night = self._rng.choice(waiting)
        owner, ports = self._owner(), self._of(provider)
        plan_night(self._world.settings(provider), night.partition_key, ports)
        self._submit(provider, night, owner, asked_by=owner, hold_for_collection=True)
        with held_lease(ports, collect_lease(night), owner):
            wait_for_night(ports, night, owner=owner, wait_seconds=WAIT_SECONDS)
            collect_night(night, ports, owner=owner)

    def _submit(
        self,
        provider: str,
        night: Night,
        owner: str,
        *,
        asked_by: str | None,
        limit: int | None = None,
        hold_for_collection: bool = False,
    ) -> None:
        settings = self._world.settings(provider)
        ports = self._accounts.ports(settings.resource)
        open_night(night, ports, owner=owner)
        submit_night(
            settings,
            night,
            ports,
            owner=owner,
            asked_by=asked_by,
            limit=limit,
            hold_for_collection=hold_for_collection,
        )

    def _open(self) -> Sequence[tuple[str, Night]]:
        """Return the nights in which anything may still happen."""
        return [one for one in self._world.nights if one[1] not in self._finished]

    def _is_new(self, night: Night) -> bool:
        record = self._ledger.night(night)
        return record is None or record.marked_at is None

    def _tick(self, provider: str) -> None:
        ports, batch = self._of(provider), self._world.settings(provider).name
        ports.ledger.park_abandoned()
        waiting = [one for one in ports.ledger.outstanding() if one.provider == provider]
        done = serve_accounts(ports, waiting, owner=self._owner(), budget_seconds=60)
        for line in done.errors:
            self._note(f"tick: {line}")
        todos = agenda(ports.ledger, ports.clock, batches=[batch]).todos
        for todo in todos:
            self._guarded(lambda todo=todo: self._carry_out(provider, todo))
        for other, night in self._open():
            if other == provider and not todos:
                self._guarded(lambda night=night: self._as_a_person(provider, night))

    def _carry_out(self, provider: str, todo: Todo) -> None:
        owner = self._owner()
        if todo.kind == "submit":
            self._submit(provider, todo.night, owner, asked_by=None, limit=todo.limit)
        else:
            ports = self._of(provider)
            open_night(todo.night, ports, owner=owner)
            collect_night(todo.night, ports, owner=owner)

    def _as_a_person(self, provider: str, night: Night) -> None:
        """Ask once more for what is, by design, left to people."""
        record = self._ledger.night(night)
        if record is None or record.marked_at is None:
            return
        if self._lacks(night):
            self._complete(provider, night)
            record = self._ledger.night(night) or record
        if needs_mending(record):
            mend(self._world, self._ledger, night, self._note)
            plan_night(self._world.settings(provider), night.partition_key, self._of(provider))
            self._ask(provider, night)
            return
        planned = record.counts.get(SubmissionState.PLANNED, 0)
        sent = sum(n for state, n in record.counts.items() if state.value not in _SENT)
        if planned and record.submit_goal is not None and sent >= record.submit_goal:
            self._ask(provider, night)

    def _ask(self, provider: str, night: Night) -> None:
        owner = self._owner()
        self._note(f"person submits {night}")
        self._submit(provider, night, owner, asked_by=owner)

    def _lacks(self, night: Night) -> Sequence[str]:
        """Return the rows of a night's table of which the ledger knows nothing."""
        known = {one.prompt_id for one in self._ledger.submissions(night)}
        return [one for one in prompt_ids(self._world.table(night)) if one not in known]

    def _complete(self, provider: str, night: Night) -> None:
        """Plan what a night that came from the journal lacks."""
        settings, ports = self._world.settings(provider), self._of(provider)
        plan_night(settings, night.partition_key, ports)
        self._note(f"person plans {night}")
        lacks = self._lacks(night)
        if lacks:
            self._note(f"person regenerates {night}")
            asked = f"chaos-{'-'.join(lacks)}"
            regenerate(settings, night, ports, requested_by=asked, scope={"prompt_ids": lacks})

    def _is_done(self) -> bool:
        """Return whether nothing but unresolved submissions is left, and those were looked for."""
        waits = False
        for _, night in self._open():
            record = self._ledger.night(night)
            if record is None or _is_open(record) or self._lacks(night):
                waits = True
            elif set(record.counts) <= _WELL:
                self._finished.add(night)
        if waits:
            return False
        unresolved = [
            one
            for provider in {provider for provider, _ in self._world.nights}
            for resource in resources_of(provider)
            for one in self._ledger.unresolved(provider=provider, resource=resource, limit=1000)
        ]
        begun = [one.submitting_at for one in unresolved if one.submitting_at is not None]
        since = max([*begun, self._began_at])
        return not begun or self._world.clock.now() - since > GRACE


def _is_open(record: NightRecord) -> bool:
    settled = _WELL | {SubmissionState.UNRESOLVED}
    collected = record.revision == record.collected_revision and not record.uncollected
    return record.marked_at is None or not collected or not set(record.counts) <= settled
