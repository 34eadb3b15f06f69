"""The part of the ledger's contract that says who may work, and whether anybody may."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from flow_pipelines.ledger.records import AccountStop, Lease, Pause


class Permits(Protocol):
    """Leases, the stop switch and refused accounts; see `contract.RunLedger` for what holds."""

    def acquire_lease(self, name: str, owner: str, ttl_seconds: float) -> bool:
        """Take or renew a lease. False: another owner holds it."""

    def release_lease(self, name: str, owner: str) -> None:
        """Return a lease back; nothing happens when `owner` does not hold it."""

    def lease(self, name: str) -> Lease | None:
        """Return the lease if it is held and not expired."""

    def leases(self, names: Collection[str]) -> Mapping[str, Lease]:
        """Return those of these leases that are held and not expired, by name, as of one moment."""

    def pause(self, who: str, why: str) -> None:
        """Turn the stop switch on: every `begin_submission` raises Paused from now on."""

    def resume(self) -> None:
        """Turn the stop switch off."""

    def paused(self) -> Pause | None:
        """Return the stop switch, while it is on."""

    def stop_account(self, resource: str, code: str, message: str) -> None:
        """Note that the provider refused this account just now."""

    def account_stop(self, resource: str, since: datetime) -> AccountStop | None:
        """Return the newest refusal of this account at or after `since`."""
