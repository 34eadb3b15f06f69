"""One account's part of a simulated night: Dagster runs that submit, a sensor, runs that collect.

Each is a thread on a clock that moves only while all of them wait. In life they are processes that
share nothing but the ledger: here each has ports, and what ports remember, of its own.
"""

from __future__ import annotations

import ctypes
import gc
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

from benchmarks.actors import ActorClock
from benchmarks.night_provider import PARAMETERS, Account, Bucket, NightProvider
from benchmarks.place import LongLeases
from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import (
    Ports,
    agenda,
    collect,
    collect_night,
    plan_night,
    poll_due,
    recover,
    submit_night,
)
from flow_pipelines.model import ENDED, UNPARTITIONED, BatchSettings, Night, SubmissionState
from flow_pipelines.providers import profile
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import LinkSeal
from flow_pipelines.transport.pacing import Pacing

TICK_BUDGET_SECONDS = 32.0
TICK_EVERY_SECONDS = 6.0
"""A daemon's loop of 5 s, and a second in which a tick starts."""
TICK_STARTS_SECONDS = 1.0
RUN_PATIENCE_SECONDS, TICK_PATIENCE_SECONDS = 120.0, 5.0
_LONGEST_SECONDS = 3 * 86_400.0
_PROMPT = "{name}, row {row}: a harbour town at first light, long lens, low fog, muted colours"


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of an account's night. Hours are of the virtual clock, from its beginning."""

    provider: str
    rows: int
    ended_hours: Mapping[str, float]
    """Batch → when the sensor knew that every run had ended."""
    stored_hours: Mapping[str, float]
    """Batch → when every picture was stored."""
    requests: Mapping[str, int]
    """Submits, polls, and links asked for once more to collect."""
    late_seconds: float
    """By how much the poll that was due longest was late, at most."""
    too_many: int
    stored: int
    cpu_seconds: float
    """Of this process: ours, the stand-in's, and what threads on one clock cost."""
    planning_bytes: int
    """Most memory that planning one batch took."""
    peak_bytes: int
    """Most memory of all that followed, beyond what the process had once all was planned."""


class AccountNight:
    """All who work with one account."""

    def __init__(self, folder: Path, url: str, provider: str, batches: int, rows: int) -> None:
        limit = profile(provider).rate_limit
        assert limit is not None
        self.folder, self.provider, self.rows, self.limit = folder, provider, rows, limit
        self.clock = ActorClock()
        self.ledger = open_ledger(url, self.clock)
        self.account = Account(provider, limit, self.clock)
        self.bucket = Bucket("bench", "flow")
        self.seal = LinkSeal(provider, Secret(f"the key of the account at {provider}"))
        self.names = [f"{provider}-{number}" for number in range(batches)]
        self.settings: dict[str, BatchSettings] = {}
        self.asked: set[str] = set()
        self.ended_at: dict[str, float] = {}
        self.stored_at: dict[str, float] = {}
        self.late_seconds = 0.0
        self.stored = 0

    def play(self) -> Played:
        """Let the night pass."""
        collect.TRANSFERS = 1  # its one thread waits in the place of the run's: all are counted
        began = time.process_time()
        planning, before = [self._plan(name) for name in self.names], _idle_bytes()
        self.clock.run(
            [
                *(partial(self._submit, name) for name in self.names),
                self._tick,
                *(partial(self._collect, name) for name in self.names),
            ]
        )
        return Played(
            provider=self.provider,
            rows=self.rows * len(self.names),
            ended_hours={name: at / 3600 for name, at in self.ended_at.items()},
            stored_hours={name: at / 3600 for name, at in self.stored_at.items()},
            requests=dict(self.account.requests),
            late_seconds=self.late_seconds,
            too_many=self.account.too_many,
            stored=self.stored,
            cpu_seconds=time.process_time() - began,
            planning_bytes=max(planning),
            peak_bytes=_memory("VmHWM") - before,
        )

    def _plan(self, name: str) -> int:
        """Do what the Dagster run does that plans a batch; give the memory that it took."""
        self.settings[name] = settings = self._settings(name)
        before = _idle_bytes()
        plan_night(settings, UNPARTITIONED, self._ports(RUN_PATIENCE_SECONDS, "poll"))
        return _memory("VmHWM") - before

    def _ports(self, patience_seconds: float, asks_for: str) -> Ports:
        pacing = Pacing(
            self.provider,
            store=self.ledger.pace,
            key=self.provider,
            limit=self.limit,
            patience_seconds=patience_seconds,
            clock=self.clock,
        )
        return Ports(
            ledger=LongLeases(self.ledger, 10_000.0),
            provider=NightProvider(self.account, pacing, asks_for),
            resource=self.provider,
            store=self.bucket,
            clock=self.clock,
            log=lambda _line: None,
            seal=self.seal,
        )

    def _submit(self, name: str) -> None:
        """Do what a batch's scheduled Dagster run does."""
        settings, ports = self.settings[name], self._ports(RUN_PATIENCE_SECONDS, "poll")
        summary = submit_night(settings, Night(name, UNPARTITIONED), ports, owner=f"run of {name}")
        assert summary.submitted == self.rows, summary

    def _tick(self) -> None:
        """Do what the sensor does, as often as a daemon lets it, until all is stored."""
        while len(self.stored_at) < len(self.names):
            began = self.clock.monotonic()
            assert began < _LONGEST_SECONDS
            ports = self._ports(TICK_PATIENCE_SECONDS, "poll")
            recover(ports)
            owner = uuid.uuid4().hex
            poll_due(ports, owner=owner, budget_seconds=TICK_BUDGET_SECONDS)
            for todo in agenda(ports.ledger, ports.clock, batches=self.names).todos:
                assert todo.kind == "collect", todo
                self.asked.add(todo.night.batch)
            self._look()
            took = self.clock.monotonic() - began
            self.clock.sleep(max(TICK_EVERY_SECONDS - took, TICK_STARTS_SECONDS))

    def _look(self) -> None:
        """Note which nights have ended, and how far polls are behind."""
        for name in self.names:
            counts = self._counts(name)
            if name not in self.ended_at and set(counts) <= ENDED and counts:
                self.ended_at[name] = self.clock.monotonic()
        due = self.ledger.next_due_at(provider=self.provider, resource=self.provider)
        if due is not None:
            late = (self.clock.now() - due).total_seconds()
            self.late_seconds = max(self.late_seconds, late)

    def _counts(self, name: str) -> Mapping[SubmissionState, int]:
        record = self.ledger.night(Night(name, UNPARTITIONED))
        return record.counts if record else {}

    def _collect(self, name: str) -> None:
        """Do what the Dagster runs do that the sensor asks for, one after the other."""
        while name not in self.stored_at:
            if name in self.asked:
                self.asked.discard(name)
                ports = self._ports(RUN_PATIENCE_SECONDS, "link")
                night, owner = Night(name, UNPARTITIONED), f"images of {name}"
                if collect_night(night, ports, owner=owner).images == self.rows:
                    self.stored_at[name] = self.clock.monotonic()
                    self.stored += self.rows
            self.clock.sleep(TICK_EVERY_SECONDS)

    def _settings(self, name: str) -> BatchSettings:
        folder = self.folder / name
        folder.mkdir()
        lines = [f'p{row},"{_PROMPT.format(name=name, row=row)}"' for row in range(self.rows)]
        (folder / "prompts.csv").write_text("\n".join(["prompt_id,prompt", *lines]) + "\n")
        return BatchSettings(
            name=name,
            provider=self.provider,
            resource=self.provider,
            workflow="sample",
            base_dir=str(folder),
            prompts="prompts.csv",
            parameters=PARAMETERS,
            price_usd_per_run=Decimal("0.01"),
        )


def _idle_bytes() -> int:
    """Free what is not in use, reset the peak, and return the bytes that remain."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(line: str) -> int:
    """Return a figure of this process in bytes, as Linux tells it."""
    found = Path("/proc/self/status").read_text().split(f"{line}:")[1].split()
    return int(found[0]) * 1024
