"""One provider's stand-in, its account, and the ports with which a process works on a night."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from flow_pipelines.clock import Clock
from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import Ports
from flow_pipelines.model import BatchSettings, Night
from flow_pipelines.provider import PaceStore, Provider, Transport
from flow_pipelines.providers import profile
from flow_pipelines.redaction import Secret
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.storage import S3ImageStore
from flow_pipelines.transport import HttpTransport, LinkSeal, RetryBudget
from flow_pipelines_tests.conformance.providers.account import SAMPLES
from flow_pipelines_tests.faults.crash.effects import (
    LEDGER_WRITES,
    PACE_WRITES,
    STORE_WRITES,
    Effects,
    Watched,
    WatchedTransport,
    guard,
)
from flow_pipelines_tests.faults.crash.shared_clock import SharedClock

NIGHT = Night("posters", "2026-11-21")
PRICE = Decimal("0.01")
TEMPLATE = "template.db"
"""An empty ledger, so that not every night has to make one."""
_LEDGER = "ledger.db"
PICTURES = {"floyo": {"5::batch_size": "{pictures}"}}
"""How many pictures a row asks for, where the sample's workflow takes that as a parameter."""


@dataclass(frozen=True, kw_only=True)
class CrashHarness:
    """What a provider's nights share. Holds no connection, so that children may inherit it."""

    provider: str
    clock: SharedClock
    folder: Path
    """Empty, and this harness's own."""
    url: str
    environment: Mapping[str, str]
    bucket_folder: Path
    s3: Any

    @property
    def control(self) -> ControlClient:
        return ControlClient(self.url)

    def lay_out(self, rows: int, thing: str = "city") -> None:
        """Write the batch's files: the provider's sample workflow, and `rows` prompts."""
        for file in (SAMPLES / self.provider).iterdir():
            (self.folder / file.name).write_bytes(file.read_bytes())
        pictures = [2, *[1] * (rows - 1)]
        lines = [f"p{row},a {row}th {thing},{count}" for row, count in enumerate(pictures)]
        text = "\n".join(["prompt_id,prompt,pictures", *lines]) + "\n"
        (self.folder / "prompts.csv").write_text(text)

    def settings(self, *, budget_usd: Decimal | None = None) -> BatchSettings:
        return BatchSettings(
            name=NIGHT.batch,
            provider=self.provider,
            resource=self.provider,
            workflow=sample_workflow(self.provider),
            base_dir=str(self.folder),
            prompts="prompts.csv",
            parameters=sample_parameters(self.provider, PICTURES.get(self.provider, {})),
            time_partitioned=True,
            price_usd_per_run=PRICE,
            budget_usd=budget_usd,
            allow_identical=True,
        )

    def begin_anew(self) -> None:
        """Put an empty ledger in the place of the last night's; nobody may have that one open."""
        for left in self.folder.glob(f"{_LEDGER}-*"):
            left.unlink()
        shutil.copy(self.folder / TEMPLATE, self.folder / _LEDGER)

    def forget(self, name: str) -> None:
        """Remove a night's objects: the bucket walks over all that it has at every listing."""
        shutil.rmtree(self.bucket_folder / name, ignore_errors=True)

    def open_ports(self, name: str, effects: Effects, *, guarded: bool = True) -> Ports:
        """Open the ledger and the account as one process does; `name` is the night's own."""
        ledger = open_ledger(f"sqlite:///{self.folder / _LEDGER}", self.clock)
        store = S3ImageStore(self.environment["FLOW_PIPELINES_BUCKET"], name, self.s3, self.clock)
        if guarded:
            guard(effects, ledger, self.s3)
        return Ports(
            ledger=Watched(ledger, "ledger", LEDGER_WRITES, effects),
            provider=self._connect(Watched(ledger.pace, "pace", PACE_WRITES, effects), effects),
            resource=self.provider,
            store=Watched(store, "store", STORE_WRITES, effects),
            clock=self.clock,
            log=lambda _line: None,
            seal=seal(self.provider, self.environment),
        )

    def _connect(self, pace: Any, effects: Effects) -> Provider:
        return connect(
            self.provider,
            self.environment,
            self.clock,
            pace,
            lambda transport: WatchedTransport(transport, effects),
        )


def connect(
    provider: str,
    given: Mapping[str, str],
    clock: Clock,
    pace: PaceStore,
    wrap: Callable[[Transport], Transport],
    pace_key: str | None = None,
) -> Provider:
    """Connect an account by the variables that the stand-in gives.

    `pace_key` tells it from another account of the provider.
    """
    known = profile(provider)
    urls = {word: given[name] for word, name in known.url_variables.items()}
    transport = HttpTransport(
        provider,
        origins=list(urls.values()),
        secret=Secret(given[known.key_variable]),
        clock=clock,
        pace=pace,
        pace_key=pace_key or provider,
        rate_limit=known.rate_limit,
        sign_in=known.sign_in,
        retry=RetryBudget(attempts=3, total_seconds=60),
        jitter=lambda: 1.0,
    )
    named = known.other_variables.items()
    others = {word: given[name] for word, name in named if name in given}
    return known.connect(wrap(transport), **urls, **others)


def seal(provider: str, given: Mapping[str, str]) -> LinkSeal:
    """Return what seals an account's links, by the variables that the stand-in gives."""
    return LinkSeal(provider, Secret(given[profile(provider).key_variable]))


def sample_parameters(provider: str, more: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters of a provider's sample order, `{prompt}` where it wants a new text."""
    case = json.loads((SAMPLES / provider / "conformance.json").read_text())
    return {
        name: value.replace("{unique}", "{prompt}") if isinstance(value, str) else value
        for name, value in (case["parameters"] | more).items()
    }


def sample_workflow(provider: str) -> str:
    """Return the name of the workflow of a provider's sample order."""
    case = json.loads((SAMPLES / provider / "conformance.json").read_text())
    return str(case["workflow"])
