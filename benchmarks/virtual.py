"""One account of any provider on a virtual clock: time passes only where somebody waits.

The stand-in tells its time by the same clock, and every request takes a while on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.place import MEDIAN_SECONDS, SIGMA, LongLeases, SlowTransport
from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import Ports
from flow_pipelines.model import BatchSettings
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.conformance.providers.account import SAMPLES
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.faults.alphabet.memory_store import MemoryImageStore
from flow_pipelines_tests.faults.crash.harness import (
    connect,
    sample_parameters,
    sample_workflow,
    seal,
)


@dataclass(frozen=True, kw_only=True)
class Account:
    """Everything that a process has to work with."""

    provider: str
    clock: ManualClock
    sandbox: Sandbox
    ports: Ports
    folder: Path

    def settings(self, name: str, rows: int) -> BatchSettings:
        """Write a batch of that many rows, and give its settings."""
        folder = self.folder / name
        folder.mkdir()
        for file in (SAMPLES / self.provider).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        lines = ["prompt_id,prompt", *(f"p{row},{name} {row}" for row in range(rows))]
        (folder / "prompts.csv").write_text("\n".join(lines) + "\n")
        return BatchSettings(
            name=name,
            provider=self.provider,
            resource=self.provider,
            workflow=sample_workflow(self.provider),
            base_dir=str(folder),
            prompts="prompts.csv",
            parameters=sample_parameters(self.provider, {}),
            allow_identical=True,
        )


@contextmanager
def account(provider: str, folder: Path) -> Iterator[Account]:
    """Open a provider's stand-in and its account, with an empty ledger."""
    clock = ManualClock()
    tuning = Tuning(median_seconds=MEDIAN_SECONDS, sigma=SIGMA, slots=10_000, max_picture_side=16)
    settings = SandboxSettings(port=0, bucket_port=0, tuning=tuning)
    with Sandbox(settings, lambda: clock.now().timestamp()) as sandbox:
        ledger = open_ledger(f"sqlite:///{folder / 'ledger.db'}", clock)
        ports = Ports(
            ledger=LongLeases(ledger, 1000.0),  # type: ignore[arg-type]
            resource=provider,
            provider=connect(
                provider,
                sandbox.environment(),
                clock,
                ledger.pace,
                lambda transport: SlowTransport(transport, clock),
            ),
            store=MemoryImageStore("bench", "flow"),
            clock=clock,
            log=lambda _line: None,
            seal=seal(provider, sandbox.environment()),
        )
        yield Account(provider=provider, clock=clock, sandbox=sandbox, ports=ports, folder=folder)
