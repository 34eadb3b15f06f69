"""What a chaotic run consists of: nights of every provider, one ledger, one stand-in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from flow_pipelines.ledger import SqlRunLedger
from flow_pipelines.lifecycle import Ports
from flow_pipelines.lifecycle import ports as lifecycle_ports
from flow_pipelines.lifecycle import submit as lifecycle_submit
from flow_pipelines.model import BatchSettings, Night
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.storage import S3ImageStore
from flow_pipelines_tests.conformance.providers.account import SAMPLES
from flow_pipelines_tests.faults.chaos.scaled_clock import ScaledClock
from flow_pipelines_tests.faults.crash.bench import (
    PRICE,
    connect,
    sample_parameters,
    sample_workflow,
)

SCALE = 30.0
LEASE_REAL_SECONDS = 6.0
"""Renewal waits in real seconds, whatever the clock; so leases are counted in those here."""
ROWS = 25
PREFIX = "chaos"
FEW_PICTURES = {"floyo": {"5::batch_size": 1}}

# A lease is renewed from a thread that waits three times as often as this, by the real clock.
lifecycle_ports.LEASE_SECONDS = lifecycle_submit.LEASE_SECONDS = LEASE_REAL_SECONDS


@dataclass(frozen=True, kw_only=True)
class World:
    """Everything that workers share. Holds no connection, so that they may inherit it."""

    ledger_url: str
    folder: Path
    clock: ScaledClock
    url: str
    environment: Mapping[str, str]
    bucket_folder: Path
    s3: Any
    nights: Sequence[tuple[str, Night]]
    """Each with its provider."""

    @property
    def control(self) -> ControlClient:
        return ControlClient(self.url)

    def settings(self, provider: str) -> BatchSettings:
        return BatchSettings(
            name=f"{provider}_posters",
            provider=provider,
            resource=provider,
            workflow=sample_workflow(provider),
            base_dir=str(self.folder / provider),
            prompts="{partition_key}.csv",
            parameters=sample_parameters(provider, FEW_PICTURES.get(provider, {})),
            time_partitioned=True,
            price_usd_per_run=PRICE,
            allow_identical=True,
        )

    def open_ports(self, provider: str, ledger: SqlRunLedger) -> Ports:
        bucket = self.environment["FLOW_PIPELINES_BUCKET"]
        return Ports(
            ledger=LongLeases(ledger),
            resource=provider,
            provider=connect(
                provider, self.environment, self.clock, ledger.pace, lambda transport: transport
            ),
            store=S3ImageStore(bucket, PREFIX, self.s3, self.clock),
            clock=self.clock,
            log=lambda _line: None,
        )


class LongLeases:
    """A ledger whose leases last for real seconds on a clock that runs fast."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def acquire_lease(self, name: str, owner: str, ttl_seconds: float) -> bool:
        return bool(self._ledger.acquire_lease(name, owner, ttl_seconds * SCALE))


def lay_out(
    folder: Path, providers: Sequence[str], submissions: int
) -> Sequence[tuple[str, Night]]:
    """Write every batch's files; give the nights, `submissions` rows in all."""
    nights: list[tuple[str, Night]] = []
    left, day = submissions, date(2026, 11, 1)
    for provider in providers:
        (folder / provider).mkdir()
        for file in (SAMPLES / provider).iterdir():
            (folder / provider / file.name).write_bytes(file.read_bytes())
    while left:
        for provider in providers:
            rows = min(ROWS, left)
            if rows:
                nights.append((provider, Night(f"{provider}_posters", day.isoformat())))
                _write_prompts(folder / provider / f"{day.isoformat()}.csv", day, rows)
                left -= rows
        day += timedelta(days=1)
    return nights


def _write_prompts(path: Path, day: date, rows: int) -> None:
    lines = [f"p{number},city {number} on {day.isoformat()}" for number in range(rows)]
    path.write_text("\n".join(["prompt_id,prompt", *lines]) + "\n")
