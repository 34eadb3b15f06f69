"""A provider that knows submissions by their key, and a night there of which answers get lost."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from flow_pipelines.lifecycle import recover
from flow_pipelines.model import Receipt
from flow_pipelines.model.errors import ProviderUnavailable, SubmitOutcomeUnknown
from flow_pipelines.provider import Candidate, Capabilities, SubmitRequest
from flow_pipelines_tests.fake_provider import FakeProvider
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

ALIKE = {"provider": "floyo", "operation": "create"}


class KeyedProvider(FakeProvider):
    """Knows submissions by their key; its list says when a run was created, and no more."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(Capabilities(replays=True))
        self.clock = clock
        self.created: dict[str, datetime] = {}
        self.list_works = True
        self.lists = 0

    def accept(self, request: SubmitRequest) -> Receipt:
        for run_id, known in self.runs.items():
            if known.idempotency_key == request.idempotency_key:
                return Receipt(provider_run_id=run_id)
        return self.create(request)

    def create(self, request: SubmitRequest) -> Receipt:
        receipt = super().accept(request)
        self.created[receipt.provider_run_id] = self.clock.now()
        return receipt

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        return ()

    def candidates(
        self, request: SubmitRequest, since: datetime, until: datetime
    ) -> Sequence[Candidate]:
        self.lists += 1
        if not self.list_works:
            raise ProviderUnavailable("down", provider=self.name, operation="list")
        return [
            Candidate(provider_run_id=run_id, created_at=at)
            for run_id, at in self.created.items()
            if since <= at <= until
        ]


def lose_answers(harness: LifecycleHarness, *prompts: str, accepted: bool = True) -> None:
    """Buy a night of which no answer arrives."""

    def lose(request: SubmitRequest, _number: int) -> None:
        if accepted:
            harness.provider.accept(request)
        raise SubmitOutcomeUnknown("lost", **ALIKE)

    harness.provider.on_submit = lose
    harness.plan(*prompts)
    harness.submit()
    harness.provider.on_submit = lambda _request, _number: None
    assert set(harness.states()) == {"unresolved"}


def tick(harness: LifecycleHarness) -> int:
    """Let a sensor look after the night; give how many copies it sent."""
    before = len(harness.provider.posts)
    recover(harness.ports)
    return len(harness.provider.posts) - before


def copies_in(harness: LifecycleHarness, seconds: int, every: int = 30) -> list[float]:
    """Tick for a while; give the submission's age at each copy."""
    began, ages = harness.clock.now(), []
    for _ in range(seconds // every):
        harness.clock.advance(every)
        if tick(harness):
            ages.append((harness.clock.now() - began).total_seconds())
    return ages
