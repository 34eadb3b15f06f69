"""What a chaotic run consists of: nights of every provider, one ledger, one stand-in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import Ports
from flow_pipelines.lifecycle import ports as lifecycle_ports
from flow_pipelines.lifecycle import submit as lifecycle_submit
from flow_pipelines.model import BatchSettings, Night
from flow_pipelines.providers import profile
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.storage import S3ImageStore
from flow_pipelines_tests.conformance.providers.account import SAMPLES
from flow_pipelines_tests.faults.chaos import tables
from flow_pipelines_tests.faults.chaos.scaled_clock import ScaledClock
from flow_pipelines_tests.faults.crash.harness import (
    PRICE,
    connect,
    sample_parameters,
    sample_workflow,
    seal,
)

SCALE = 30.0
LEASE_REAL_SECONDS = 6.0
"""Renewal waits in real seconds, whatever the clock; so leases are counted in those here."""
ROWS = 25
STRANGE_ROWS = 3
"""Of a night in the other ledger; their prompt ids, and so their submission keys, are ours."""
STRANGE = "a stranger's"
"""Begins every prompt that is not ours."""
PREFIX, STRANGE_PREFIX = "chaos", "staging"
ACCOUNTS = 2
SWITCH_SECONDS = 60.0
"""By the fast clock: how long a batch's `resource` names one account before it names the other."""
FEW_PICTURES = {"floyo": {"5::batch_size": 1}}

# A lease is renewed from a thread that waits three times as often as this, by the real clock.
lifecycle_ports.LEASE_SECONDS = lifecycle_submit.LEASE_SECONDS = LEASE_REAL_SECONDS


@dataclass(frozen=True, kw_only=True)
class ChaosState:
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
        """Return a batch as it is defined now: its account changes in the middle of nights."""
        turn = int(self.clock.monotonic() // SWITCH_SECONDS) % ACCOUNTS
        return BatchSettings(
            name=f"{provider}_posters",
            provider=provider,
            resource=resources_of(provider)[turn],
            workflow=sample_workflow(provider),
            base_dir=str(self.folder / provider),
            prompts="{partition_key}.csv",
            parameters=sample_parameters(provider, FEW_PICTURES.get(provider, {})),
            time_partitioned=True,
            price_usd_per_run=PRICE,
            allow_identical=True,
        )

    def strange_settings(self, provider: str) -> BatchSettings:
        """Return the batch of the same name that another ledger buys on the same accounts."""
        folder = self.folder / STRANGE_PREFIX / provider
        return replace(self.settings(provider), base_dir=str(folder))

    def table(self, night: Night) -> Path:
        """Return where a night's prompts are."""
        provider = next(provider for provider, one in self.nights if one == night)
        return self.folder / provider / f"{night.partition_key}.csv"

    def accounts(self, ledger: RunLedger, prefix: str = PREFIX) -> Accounts:
        """Return what one process opens accounts with."""
        return Accounts(self, ledger, prefix)


class Accounts:
    """The ports of every account, opened once in a process."""

    def __init__(self, world: ChaosState, ledger: RunLedger, prefix: str) -> None:
        self._world, self._ledger, self._prefix = world, ledger, prefix
        self._open: dict[str, Ports] = {}

    def ports(self, resource: str) -> Ports:
        """Return an account's ports by its resource key."""
        if resource not in self._open:
            self._open[resource] = self._connect(resource)
        return self._open[resource]

    def _connect(self, resource: str) -> Ports:
        world, provider = self._world, resource.rpartition("_")[0]
        key = keys_of(provider)[resources_of(provider).index(resource)]
        given = {**world.environment, profile(provider).key_variable: key}
        bucket = world.environment["FLOW_PIPELINES_BUCKET"]
        pace = self._ledger.pace
        return Ports(
            ledger=LongLeases(self._ledger),
            resource=resource,
            provider=connect(
                provider, given, world.clock, pace, lambda transport: transport, resource
            ),
            store=S3ImageStore(bucket, self._prefix, world.s3, world.clock),
            clock=world.clock,
            log=lambda _line: None,
            seal=seal(provider, given),
            others=self.ports,
        )


class LongLeases:
    """A ledger whose leases last for real seconds on a clock that runs fast."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def __repr__(self) -> str:
        return repr(self._ledger)

    def acquire_lease(self, name: str, owner: str, ttl_seconds: float) -> bool:
        return bool(self._ledger.acquire_lease(name, owner, ttl_seconds * SCALE))


def resources_of(provider: str) -> tuple[str, ...]:
    """Return the resource keys of a provider's accounts."""
    return tuple(f"{provider}_{number}" for number in range(1, ACCOUNTS + 1))


def keys_of(provider: str) -> tuple[str, ...]:
    """Return the API keys of the same accounts, in the same order."""
    return tuple(f"{provider}_chaos_key_000{number}" for number in range(1, ACCOUNTS + 1))


def account_of(resource: str) -> str:
    """Return the stand-in's name of an account."""
    provider, _, number = resource.rpartition("_")
    return f"{provider}-key-{number}"


def lay_out(
    folder: Path, providers: Sequence[str], submissions: int
) -> Sequence[tuple[str, Night]]:
    """Write every batch's files, ours and a stranger's; give our nights, `submissions` rows."""
    nights: list[tuple[str, Night]] = []
    ours: list[tuple[Path, int]] = []
    left, day = submissions, date(2026, 11, 1)
    for provider in providers:
        for where in (folder / provider, folder / STRANGE_PREFIX / provider):
            where.mkdir(parents=True)
            for file in (SAMPLES / provider).iterdir():
                (where / file.name).write_bytes(file.read_bytes())
    while left:
        for provider in providers:
            rows = min(ROWS, left)
            if rows:
                nights.append((provider, Night(f"{provider}_posters", day.isoformat())))
                name = f"{day.isoformat()}.csv"
                ours.append((folder / provider / name, rows))
                strange = [f"{STRANGE} city {row} on {day}" for row in range(STRANGE_ROWS)]
                tables.write(folder / STRANGE_PREFIX / provider / name, strange)
                left -= rows
        day += timedelta(days=1)
    tables.write_tables(ours)
    return nights
