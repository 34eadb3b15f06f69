"""Somebody else on the same accounts: a second ledger with our batches' names, and bare runs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import open_night, plan_night, serve_accounts, submit_night
from flow_pipelines.model import Night, Workflow
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines.provider import Purpose, SubmitRequest
from flow_pipelines_tests.faults.chaos.state import STRANGE, STRANGE_PREFIX, ChaosState

PAUSE_SECONDS = 20.0
BARE_RUNS = 150
"""Of one stranger, at most: bought while our nights go on."""


def strange_url(folder: Path) -> str:
    """Return the address of the stranger's ledger."""
    return f"sqlite:///{folder / STRANGE_PREFIX / 'ledger.db'}"


class Stranger:
    """Buys for itself, amid the same faults, until it is ended."""

    def __init__(self, world: ChaosState, note: Callable[[str], None]) -> None:
        self._world, self._note = world, note
        self._rng = Random(0)
        self._ledger = open_ledger(strange_url(world.folder), world.clock)
        self._accounts = world.accounts(self._ledger, STRANGE_PREFIX)
        self._nights = list(world.nights)
        self._workflows: dict[str, Workflow] = {}
        self._rng.shuffle(self._nights)

    def work(self) -> None:
        """Buy a night of the same name, and a run or two without any ledger, in turn."""
        bought = 0
        while True:
            if self._nights:
                provider, night = self._nights.pop()
                self._guarded(lambda p=provider, n=night: self._buy_a_night(p, n))
            if bought < BARE_RUNS:
                bought += 1
                self._guarded(self._buy_by_hand)
            self._guarded(self._look_after)
            self._world.clock.sleep(PAUSE_SECONDS)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except FlowPipelinesError as error:
            self._note(f"stranger: {type(error).__name__}: {error}")

    def _buy_a_night(self, provider: str, night: Night) -> None:
        settings = self._world.strange_settings(provider)
        ports, owner = self._accounts.ports(settings.resource), uuid.uuid4().hex
        planned = plan_night(settings, night.partition_key, ports)
        self._workflows[provider] = planned.workflow
        open_night(night, ports, owner=owner)
        submit_night(settings, night, ports, owner=owner)

    def _buy_by_hand(self) -> None:
        """Run the same workflow on the same account, under a name of one's own."""
        if not self._workflows:
            return
        provider = self._rng.choice(sorted(self._workflows))
        settings, name = self._world.strange_settings(provider), uuid.uuid4().hex
        account = self._accounts.ports(settings.resource).provider
        account.take_turn(Purpose.SUBMIT)
        account.submit(
            SubmitRequest(
                submission_key=name,
                workflow=self._workflows[provider],
                parameters=_filled(settings.parameters, f"{STRANGE} own picture {name}"),
                label=f"a picture of my own {name}",
                idempotency_key=name,
            )
        )

    def _look_after(self) -> None:
        settings = self._world.strange_settings(self._world.nights[0][0])
        ports = self._accounts.ports(settings.resource)
        self._ledger.park_abandoned()
        waiting = self._ledger.outstanding()
        serve_accounts(ports, waiting, owner=uuid.uuid4().hex, budget_seconds=30)


def _filled(parameters: Any, prompt: str) -> dict[str, Any]:
    return {
        name: value.replace("{prompt}", prompt) if isinstance(value, str) else value
        for name, value in parameters.items()
    }
