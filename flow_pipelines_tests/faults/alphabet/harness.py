"""A provider's stand-in, a ledger and a bucket, and the steps in which a night is worked on."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import (
    Ports,
    agenda,
    cancel_night,
    collect_night,
    plan_night,
    poll_due,
    recover,
    submit_lease,
    submit_night,
)
from flow_pipelines.lifecycle.ports import LEASE_SECONDS
from flow_pipelines.model import BatchSettings, Night
from flow_pipelines.provider import (
    ApiAnswer,
    ApiRequest,
    Download,
    Provider,
    Purpose,
    Transport,
)
from flow_pipelines.providers import profile
from flow_pipelines.redaction import Secret
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.meter import Reading, RequestRecord
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.wire import Dialect
from flow_pipelines.transport import HttpTransport, MemoryPaceStore, RetryBudget, Timeouts
from flow_pipelines_tests.conformance.providers.account import SAMPLES, conformance_case
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.faults.alphabet.elsewhere import Elsewhere
from flow_pipelines_tests.faults.alphabet.memory_store import MemoryImageStore
from flow_pipelines_tests.faults.alphabet.vocabulary import Call

NIGHT = Night("posters", "2026-11-21")
OWNER = "process-1"
MAX_BYTES = 2 * 1024 * 1024
"""Endless takes a while to reach at the limit that is meant for videos."""
_KEPT = {"ledger_meta", "alembic_version"}
_SLICE_SECONDS = LEASE_SECONDS / 3


class LeasedClock(ManualClock):
    """Sleeps in slices, between which leases are renewed, as a thread does in real time."""

    renew: Callable[[], object] = staticmethod(lambda: None)

    def sleep(self, seconds: float) -> None:
        while seconds > _SLICE_SECONDS:
            super().sleep(_SLICE_SECONDS)
            self.renew()
            seconds -= _SLICE_SECONDS
        super().sleep(seconds)


class ImpatientTransport:
    """A transport that waits for the answers to one operation for so long only."""

    def __init__(self, transport: Transport, operation: str, read_seconds: float) -> None:
        self._transport, self._operation, self._seconds = transport, operation, read_seconds

    def take_turn(self, purpose: Purpose) -> None:
        self._transport.take_turn(purpose)

    def send(self, request: ApiRequest) -> ApiAnswer:
        return self._transport.send(self._hurried(request))

    def open(self, request: ApiRequest, *, max_bytes: int) -> AbstractContextManager[Download]:
        return self._transport.open(self._hurried(request), max_bytes=max_bytes)

    def _hurried(self, request: ApiRequest) -> ApiRequest:
        if request.operation != self._operation:
            return request
        return replace(request, read_seconds=self._seconds)


@dataclass
class Shared:
    """What all cells of the module share."""

    sandbox: Sandbox
    clock: LeasedClock
    ledger: RunLedger
    ledger_file: Path
    prompts: Path
    """A table of one row."""
    elsewhere: Elsewhere
    """A server that is not the provider's."""

    def begin(self) -> None:
        """Forget what was; cheaper than a ledger for every cell, which would learn its SQL anew."""
        self.sandbox.reset()
        self.elsewhere.seen.clear()
        self.clock.advance(120)
        with closing(sqlite3.connect(self.ledger_file)) as connection, connection:
            names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (name,) in names.fetchall():
                if name not in _KEPT:
                    connection.execute(f'DELETE FROM "{name}"')

    def ledger_text(self) -> str:
        """Return everything that the ledger holds."""
        with closing(sqlite3.connect(self.ledger_file)) as connection:
            return "\n".join(connection.iterdump())


@dataclass
class AlphabetHarness:
    """One provider, one night of one row."""

    name: str
    shared: Shared
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        shared = self.shared
        self.clock, self.sandbox = shared.clock, shared.sandbox
        self.control = ControlClient(self.sandbox.url)
        self.environment = self.sandbox.environment()
        self.key = self.environment[profile(self.name).key_variable]
        self.ledger = shared.ledger
        self.clock.renew = self._renew
        self.store = MemoryImageStore("a-bucket", "flow")
        self.case = conformance_case(self.name)
        self.began_at = self.clock.now()
        self.pace = MemoryPaceStore(self.clock)
        self.connect()

    def _renew(self) -> None:
        lease = self.ledger.lease(submit_lease(NIGHT))
        if lease is not None:
            self.ledger.acquire_lease(lease.name, lease.owner, LEASE_SECONDS)

    def connect(self, *, impatient: Call | None = None, read_seconds: float = 30.0) -> None:
        """Begin anew as another process does: with no token, and no connection.

        `impatient` is a call that is answered within `read_seconds` or not at all, tried once;
        others get the time that a busy machine takes.
        """
        known, given = profile(self.name), self.environment
        urls = {word: given[name] for word, name in known.url_variables.items()}
        transport = HttpTransport(
            self.name,
            origins=list(urls.values()),
            secret=Secret(self.key),
            clock=self.clock,
            pace=self.pace,
            pace_key=self.name,
            rate_limit=known.rate_limit,
            sign_in=known.sign_in,
            retry=RetryBudget(attempts=1 if impatient else 2, total_seconds=60),
            # The transport signs in by itself: the token's request passes no wrapper.
            timeouts=Timeouts(
                connect_seconds=5.0,
                read_seconds=read_seconds if impatient in {None, Call.TOKEN} else 30.0,
            ),
            allowed_output_hosts=known.output_hosts,
            jitter=lambda: 1.0,
        )
        operation = self.operation(impatient) if impatient else ""
        self.provider: Provider = known.connect(
            ImpatientTransport(transport, operation, read_seconds), **urls
        )

    @property
    def ports(self) -> Ports:
        return Ports(
            ledger=self.ledger,
            provider=self.provider,
            resource=self.name,
            store=self.store,
            clock=self.clock,
            log=self.lines.append,
            max_output_bytes=MAX_BYTES,
        )

    @property
    def settings(self) -> BatchSettings:
        parameters = {
            name: value.replace("{unique}", "{prompt}") if isinstance(value, str) else value
            for name, value in self.case["parameters"].items()
        }
        return BatchSettings(
            name=NIGHT.batch,
            provider=self.name,
            resource=self.name,
            workflow=self.case["workflow"],
            base_dir=str(SAMPLES / self.name),
            prompts=str(self.shared.prompts),
            parameters=parameters,
            price_usd_per_run=Decimal("0.01"),
            allow_identical=True,
        )

    # ---- what can be seen -------------------------------------------------------------------

    def reading(self) -> Reading:
        """Read the stand-in's meter."""
        return self.control.state()[self.name]

    def operation(self, call: Call) -> str:
        """Return the stand-in's name of a call."""
        name: str = self.case["calls"][call.name.lower()]
        return name

    def requests_under_faults(self) -> Sequence[RequestRecord]:
        """Return the requests that a fault has hit."""
        return [one for one in self.sandbox.world.meter.requests() if one.fault]

    def secrets(self) -> Sequence[str]:
        """Return the key, and every token that was ever given for it."""
        dialect = self._dialect()
        desk = getattr(dialect, "_tokens", None)
        return [self.key, *(desk._given if desk else ())]

    def link_root(self) -> str:
        """Return what every link to an output has in it."""
        return f"{self._dialect().roots[1]}/"

    def _dialect(self) -> Dialect:
        return next(one for one in self.sandbox._dialects if one.name == self.name)

    # ---- the steps ------------------------------------------------------------------------

    def plan(self) -> None:
        plan_night(self.settings, NIGHT.partition_key, self.ports)

    def submit(self, limit: int | None = None) -> None:
        done = submit_night(self.settings, NIGHT, self.ports, owner=OWNER, limit=limit)
        self.lines.append(str(done))

    def poll(self) -> None:
        done = poll_due(self.ports, owner=OWNER, budget_seconds=20)
        self.lines += done.errors

    def collect(self) -> None:
        done = collect_night(NIGHT, self.ports, owner=OWNER)
        self.lines.append(str(done))

    def cancel(self) -> None:
        done = cancel_night(NIGHT, self.ports, why="not wanted any more")
        self.lines.append(str(done))

    def tick(self) -> None:
        """Do what a sensor's tick does, and the runs that it asks for."""
        recover(self.ports)
        self.poll()
        batches = [NIGHT.batch]
        held = batches if self.pace.held_until(self.name) else ()
        found = agenda(self.ledger, self.clock, batches=batches, held=held)
        for todo in found.todos:
            if todo.kind == "submit":
                self.submit(todo.limit)
            else:
                self.collect()
