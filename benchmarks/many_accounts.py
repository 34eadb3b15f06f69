"""How promptly a sensor's tick polls: ten accounts with 30 runs in flight each, beside one.

Real threads and seconds, on a ledger in a file; each poll takes as long as a request does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.figures import Figure
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.lifecycle import Ports, plan_night, serve_accounts, submit_night
from flow_pipelines.model import (
    UNPARTITIONED,
    BatchSettings,
    Night,
    Receipt,
    RunReport,
    Workflow,
)
from flow_pipelines.provider import SubmitRequest
from flow_pipelines_tests.fake_provider import FakeProvider
from flow_pipelines_tests.faults.alphabet.memory_store import MemoryImageStore

RUNS = 30
ACCOUNTS = 10
BUDGET_SECONDS = 32.0
"""What a tick has for its polls."""
POLL_SECONDS = 0.3
AT_MOST = 1.5


class Slow(FakeProvider):
    """An account whose answers take a while."""

    def __init__(self, label: str, clock: SystemClock) -> None:
        super().__init__()
        self._label, self._clock = label, clock

    def accept(self, request: SubmitRequest) -> Receipt:
        receipt = super().accept(request)
        return Receipt(provider_run_id=f"{self._label}_{receipt.provider_run_id}")

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        self._clock.sleep(POLL_SECONDS)
        return super().poll(provider_run_id, workflow)


def measure() -> list[Figure]:
    """Poll one account, and then ten, each in one tick."""
    one, polled_of_one = _tick(1)
    many, polled = _tick(ACCOUNTS)
    return [
        Figure(
            part=f"a tick with {RUNS} due runs an account",
            name=f"until all are polled, {ACCOUNTS} accounts : 1",
            ours=many / one,
            unit=f"× ({many:.1f} s)",
            opponent=f"{one:.1f} s: one account",
            at_most=AT_MOST,
        ),
        Figure(
            part=f"a tick with {RUNS} due runs an account",
            name=f"polled, of {RUNS * ACCOUNTS} at {ACCOUNTS} accounts",
            ours=polled,
            opponent=f"{polled_of_one} of {RUNS} at one account",
            at_least=RUNS * ACCOUNTS,
        ),
    ]


def _tick(accounts: int) -> tuple[float, int]:
    """Return how many seconds a tick took, and how many runs it polled."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        ledger = open_ledger(f"sqlite:///{name}/ledger.db", clock)
        names = [f"account_{number}" for number in range(accounts)]
        providers = {resource: Slow(resource, clock) for resource in names}
        opened = {
            resource: _ports(ledger, resource, provider, clock, providers)
            for resource, provider in providers.items()
        }
        for ports in opened.values():
            _buy(ports, Path(name))
        _make_due(ledger, [_batch(resource) for resource in opened])
        began = clock.monotonic()
        serve_accounts(
            opened["account_0"],
            ledger.outstanding(),
            owner="tick",
            budget_seconds=BUDGET_SECONDS,
        )
        took = clock.monotonic() - began
        ledger.close()
    return took, sum(len(provider.polls) for provider in providers.values())


def _ports(
    ledger: RunLedger,
    resource: str,
    provider: FakeProvider,
    clock: SystemClock,
    providers: dict[str, Slow],
) -> Ports:
    return Ports(
        ledger=ledger,
        provider=provider,
        resource=resource,
        store=MemoryImageStore("bench", "flow"),
        clock=clock,
        log=lambda _line: None,
        others=lambda key: _ports(ledger, key, providers[key], clock, providers),
    )


def _batch(resource: str) -> str:
    return f"batch_of_{resource}"


def _buy(ports: Ports, folder: Path) -> None:
    rows = [f"p{row},{ports.resource} {row}" for row in range(RUNS)]
    (folder / "prompts.csv").write_text("\n".join(["prompt_id,prompt", *rows]) + "\n")
    settings = BatchSettings(
        name=_batch(ports.resource),
        provider="floyo",
        resource=ports.resource,
        workflow="graph.json",
        base_dir=str(folder),
        prompts="prompts.csv",
        parameters={"6::text": "{prompt}", "3::seed": "{seed}"},
    )
    plan_night(settings, UNPARTITIONED, ports)
    submit_night(settings, Night(settings.name, UNPARTITIONED), ports, owner="night")


def _make_due(ledger: RunLedger, batches: Iterable[str]) -> None:
    for batch in batches:
        for submission in ledger.submissions(Night(batch, UNPARTITIONED)):
            ledger.postpone_poll(submission.submission_key, ledger.clock.now(), "due")
