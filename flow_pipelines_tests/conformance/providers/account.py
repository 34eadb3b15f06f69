"""One account of one provider at the sandbox, on a clock that tests own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import count
from pathlib import Path
from typing import Any

from flow_pipelines.model import RunReport, SubmissionState, Workflow
from flow_pipelines.model.errors import ProviderUnavailable
from flow_pipelines.provider import Provider, Purpose, SubmitRequest
from flow_pipelines.providers import profile
from flow_pipelines.redaction import Secret
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.meter import Reading, RequestRecord
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.transport import HttpTransport, MemoryPaceStore, RetryBudget
from flow_pipelines_tests.fakes import ManualClock

SAMPLES = Path(__file__).parents[2] / "samples"
"""Recorded answers by provider, each with a `conformance.json`: what its tests have to know."""
POLLS = 40
_unique = count(1)


@cache
def conformance_case(name: str) -> Mapping[str, Any]:
    """Return what tests of every provider have to know of one: what they buy, under which calls."""
    case: dict[str, Any] = json.loads((SAMPLES / name / "conformance.json").read_text())
    return case


@dataclass
class Account:
    """A provider's adapter beside the sandbox that it talks to."""

    name: str
    sandbox: Sandbox
    clock: ManualClock
    key: str | None = None
    """Instead of the one that the sandbox accepts."""
    control: ControlClient = field(init=False)
    transport: HttpTransport = field(init=False)
    provider: Provider = field(init=False)

    def __post_init__(self) -> None:
        self.control = ControlClient(self.sandbox.url)
        self.case = conformance_case(self.name)
        self.secret = self.key or self._variable(profile(self.name).key_variable)
        self.provider = self._connect()

    def _variable(self, variable: str) -> str:
        return self.sandbox.environment()[variable]

    def _connect(self) -> Provider:
        known = profile(self.name)
        urls = {word: self._variable(name) for word, name in known.url_variables.items()}
        environment = self.sandbox.environment()
        named = known.other_variables.items()
        others = {word: environment[name] for word, name in named if name in environment}
        self.transport = HttpTransport(
            self.name,
            origins=list(urls.values()),
            secret=Secret(self.secret),
            clock=self.clock,
            pace=MemoryPaceStore(self.clock),
            pace_key=self.name,
            rate_limit=known.rate_limit,
            allowed_output_hosts=known.output_hosts,
            sign_in=known.sign_in,
            retry=RetryBudget(attempts=3, total_seconds=60),
            jitter=lambda: 1.0,
        )
        return known.connect(self.transport, **urls, **others)

    def workflow(self) -> Workflow:
        folder = SAMPLES / self.name
        return self.provider.read_workflow(
            self.case["workflow"], lambda name: (folder / name).read_bytes()
        )

    @cached_property
    def kept_workflow(self) -> Workflow:
        """The workflow as a ledger keeps it: reading it may take requests of its own."""
        return self.workflow()

    def order(self, workflow: Workflow | None = None) -> SubmitRequest:
        """A submission that was never made before."""
        number = next(_unique)
        parameters = {
            name: value.replace("{unique}", str(number)) if isinstance(value, str) else value
            for name, value in self.case["parameters"].items()
        }
        key = f"{number:032x}"
        return SubmitRequest(
            submission_key=key,
            workflow=workflow or self.kept_workflow,
            parameters=parameters,
            label=f"posters/2026-11-21/row #0 · {key}",
            idempotency_key=key,
        )

    def buy(self, order: SubmitRequest | None = None) -> str:
        self.provider.take_turn(Purpose.SUBMIT)
        return self.provider.submit(order or self.order()).provider_run_id

    def buy_in_time(self) -> str:
        """Buy as a run does whose token may end: what was not accepted is bought again."""
        try:
            return self.buy()
        except ProviderUnavailable:
            return self.buy()

    def poll(self, provider_run_id: str) -> RunReport:
        return self.provider.poll(provider_run_id, self.kept_workflow)

    def wait_for(self, provider_run_id: str, *states: SubmissionState) -> RunReport:
        """Poll, letting time pass, until the run is in one of these states."""
        for _ in range(POLLS):
            report = self.poll(provider_run_id)
            if report.state in states:
                return report
            self.clock.advance(3)
        raise AssertionError(f"{provider_run_id} never was {states}; last seen {report}")

    def meter(self) -> Reading:
        return self.control.state()[self.name]

    def requests(self, expected: int) -> Sequence[RequestRecord]:
        """Return the requests that were noted; a note may come just after its answer."""
        seen: Sequence[RequestRecord] = []
        for _ in range(POLLS):
            seen = [one for one in self.control.requests() if self._is_about_runs(one)]
            if len(seen) >= expected:
                break
        return seen

    def _is_about_runs(self, record: RequestRecord) -> bool:
        return record.provider == self.name and record.operation != self.case["calls"].get("token")

    def operation(self, verb: str, *arguments: Any) -> str:
        """Return the sandbox's name of the last request that a verb sends."""
        before = len(self.requests(0))
        getattr(self.provider, verb)(*arguments)
        return self.requests(before + 1)[-1].operation

    def fault(self, operation: str, action: str, **details: Any) -> None:
        self.control.add_fault(self.name, operation, action, **details)
