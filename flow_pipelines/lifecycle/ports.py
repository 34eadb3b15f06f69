"""Dataclasses of dependencies (ledger, provider, bucket, clock), and leases held by a thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from flow_pipelines.bounded_cache import BoundedCache
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.records import Workload
from flow_pipelines.lifecycle.durations import Durations
from flow_pipelines.model import MAX_OUTPUT_BYTES, Night, OutputRef, Workflow
from flow_pipelines.model.errors import AccountMissing, ConfigurationError, LeaseLost
from flow_pipelines.provider import Provider, Seal
from flow_pipelines.storage.contract import ImageStore

LEASE_SECONDS = 45.0
"""How long after its process died a night is free again; renewed three times as often."""


def refuse_uri(uri: str) -> bytes:
    """Refuse to read a URI where nothing was configured that could."""
    message = f"{uri}: no access is configured to read it"
    raise ConfigurationError(message)


def no_callback(_submission_key: str, _ledger_id: str | None) -> str | None:
    """Return no address: the provider is polled."""
    return None


LINK_SECONDS = 600.0
"""How long a link from a poll is used before a fresh one is requested."""
DURATIONS_SECONDS = 20.0
WORKFLOW_SECONDS = 600.0
WORKLOAD_SECONDS = 1.5


class ProcessCaches:
    """What the ledger said a moment ago, and links from recent polls.

    Links open pictures: they are never printed, and leave this process only sealed.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.durations: BoundedCache[str, tuple[Durations | None]] = BoundedCache(
            DURATIONS_SECONDS, 200
        )
        self.workload: BoundedCache[str, Workload] = BoundedCache(WORKLOAD_SECONDS, 20)
        self.workflows: BoundedCache[str, Workflow] = BoundedCache(WORKFLOW_SECONDS, 50)
        self.run_timeouts: BoundedCache[Night, float] = BoundedCache(DURATIONS_SECONDS, 200)
        self.links: BoundedCache[str, Sequence[OutputRef]] = BoundedCache(LINK_SECONDS, 2000)


class LedgerAndStore(Protocol):
    """What comparing ledger and bucket needs: no account, no provider."""

    @property
    def ledger(self) -> RunLedger:
        """Return the ledger that all accounts share."""

    @property
    def store(self) -> ImageStore:
        """Return the bucket."""

    @property
    def clock(self) -> Clock:
        """Return the clock that ledger and bucket go by."""

    @property
    def log(self) -> Callable[[str], None]:
        """Return what takes one line a time for people; never a secret."""


class Workplace(LedgerAndStore, Protocol):
    """What work on a whole night needs, whatever accounts it was bought with."""

    def for_account(self, resource: str, provider: str) -> Ports:
        """Return the ports of the account that a submission was sent with.

        Raises: AccountMissing, where none has that key, or where it is another provider's now;
        ConfigurationError, for one that cannot be opened.
        """


def never_held() -> datetime | None:
    """Return no time: nobody asked for silence."""
    return None


def no_account(resource: str) -> Ports:
    """Raise AccountMissing: no other account was configured."""
    raise AccountMissing(f"no account is configured under the resource key {resource!r}")


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a batch is read from, before anything is planned."""

    provider: Provider
    """Reads the workflow."""
    read_uri: Callable[[str], bytes] = refuse_uri
    """Reads an `s3://` prompt table or workflow, which the batch's author names."""
    read_input: Callable[[str], bytes] = refuse_uri
    """Reads a picture at a URI that a row names, from places that are listed only."""


@dataclass(frozen=True, kw_only=True)
class Ports(Sources):
    """One account of one provider, with the ledger, the bucket and the clock it works with."""

    ledger: RunLedger
    resource: str
    """The account: its resource key."""
    store: ImageStore
    clock: Clock
    log: Callable[[str], None]
    """Gets one line a time for people; never a secret."""
    callback_url: Callable[[str, str | None], str | None] = no_callback
    """(submission key, ledger id of the intent or None for old intents) → callback URL, or None
    without callbacks. Always the same for the same arguments."""
    held_until: Callable[[], datetime | None] = never_held
    """Tells until when the account is held, as a 429 asked; None: it is not."""
    max_output_bytes: int = MAX_OUTPUT_BYTES
    """A larger output is told once, and left at the provider."""
    seal: Seal | None = None
    """Lets links that expire be kept in the ledger; None: each is asked for again to collect."""
    caches: ProcessCaches = field(default_factory=ProcessCaches, repr=False, compare=False)
    """What this process measured or was told a moment ago."""
    others: Callable[[str], Ports] = field(default=no_account, repr=False, compare=False)
    """Resource key → another account's ports, opened once; raises ConfigurationError."""

    def workflow(self, version: str) -> Workflow:
        """Return a kept workflow; a version never changes. Raises: LedgerError."""
        now = self.clock.monotonic()
        return self.caches.workflows.get_or(version, now, lambda: self.ledger.workflow(version))

    def for_account(self, resource: str, provider: str) -> Ports:
        """Return the ports of the account that a submission was sent with; see `Workplace`."""
        ports = self if resource == self.resource else self.others(resource)
        if ports.provider.name != provider:
            raise AccountMissing(
                f"the resource {resource!r} is {ports.provider.name}'s here, not {provider}'s"
            )
        return ports


def submit_lease(night: Night) -> str:
    """Return the name of the lease that allows buying for a night."""
    return f"submit:{night}"


def collect_lease(night: Night) -> str:
    """Return the name of the lease that allows storing a night's outputs and tables."""
    return f"collect:{night}"


@contextlib.contextmanager
def held_lease(
    ports: LedgerAndStore, name: str, owner: str, *, wait_seconds: float = 0.0
) -> Iterator[None]:
    """Hold a lease, renewing it from a thread, until the block ends.

    Waits up to `wait_seconds` for another holder. Raises: LeaseLost, when it stays taken.
    """
    deadline = ports.clock.monotonic() + wait_seconds
    while not ports.ledger.acquire_lease(name, owner, LEASE_SECONDS):
        if ports.clock.monotonic() >= deadline:
            holder = ports.ledger.lease(name)
            who = holder.owner if holder else "somebody else"
            message = f"{name} is held by {who}; that run does this work, nothing was done here"
            raise LeaseLost(message)
        ports.clock.sleep(2.0)
    ended = threading.Event()
    renewal = threading.Thread(
        target=_renew, args=(ports, name, owner, ended), name=f"renew {name}", daemon=True
    )
    renewal.start()
    try:
        yield
    finally:
        ended.set()
        renewal.join()
        ports.ledger.release_lease(name, owner)


def _renew(ports: LedgerAndStore, name: str, owner: str, ended: threading.Event) -> None:
    while not ended.wait(LEASE_SECONDS / 3):
        try:
            ports.ledger.acquire_lease(name, owner, LEASE_SECONDS)
        except Exception as error:  # noqa: BLE001 - the next renewal may succeed; the lease decides
            ports.log(f"{name} could not be renewed: {error}")
