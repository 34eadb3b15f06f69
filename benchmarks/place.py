"""A sandbox in a process of its own, and the ports with which ours work on it, by a fast clock."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.actors import START, ActorClock
from flow_pipelines.clock import Clock, SystemClock
from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import Ports
from flow_pipelines.model import BatchSettings
from flow_pipelines.provider import ApiAnswer, ApiRequest, Download, Purpose, Transport
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.conformance.providers.account import SAMPLES
from flow_pipelines_tests.faults.alphabet.memory_store import MemoryImageStore
from flow_pipelines_tests.faults.chaos.scaled_clock import ScaledClock
from flow_pipelines_tests.faults.crash.harness import connect, sample_parameters, sample_workflow

MEDIAN_SECONDS, SIGMA = 30.0, 0.6
LIMIT = 100
"""Requests a minute that Floyo allows a key."""
OURS, OPPONENT = "flo_ours_0001", "flo_opponent_0001"
REQUEST_SECONDS = 0.3
"""What a request takes on a virtual clock."""
SPAWN = multiprocessing.get_context("spawn")


LONGER = 10_000
"""Virtual time passes some hundred times faster than that of the threads that renew leases."""


class LongLeases:
    """A ledger whose leases last for real seconds on a clock that runs fast: threads renew them."""

    def __init__(self, ledger: Any, scale: float) -> None:
        self._ledger, self._scale = ledger, scale

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def acquire_lease(self, name: str, owner: str, ttl_seconds: float) -> bool:
        return bool(self._ledger.acquire_lease(name, owner, ttl_seconds * self._scale))


class SlowTransport:
    """A transport whose requests take time on a virtual clock."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport, self._clock = transport, clock

    def take_turn(self, purpose: Purpose) -> None:
        self._transport.take_turn(purpose)

    def send(self, request: ApiRequest) -> ApiAnswer:
        self._clock.sleep(REQUEST_SECONDS)
        return self._transport.send(request)

    def open(self, request: ApiRequest, *, max_bytes: int) -> AbstractContextManager[Download]:
        return self._transport.open(request, max_bytes=max_bytes)


def same(transport: Transport) -> Transport:
    """Return a transport as it is."""
    return transport


@dataclass(frozen=True, kw_only=True)
class Place:
    """What processes of a benchmark share. Holds no connection: it is handed to them."""

    folder: Path
    url: str
    environment: Mapping[str, str]
    scale: float
    start: datetime
    """When its clock began, by the stand-in's."""
    clock: Clock
    wrap: Callable[[Transport], Transport] = same

    @property
    def control(self) -> ControlClient:
        return ControlClient(self.url)

    def minutes(self, unix_seconds: float) -> float:
        """Return the minute, by the fast clock, of a time that the sandbox noted."""
        return (unix_seconds - self.start.timestamp()) * self.scale / 60

    def ports(self) -> Ports:
        clock = self.clock
        ledger = open_ledger(f"sqlite:///{self.folder / 'ledger.db'}", clock)
        return Ports(
            ledger=LongLeases(ledger, self.scale * LONGER),  # type: ignore[arg-type]
            provider=connect("floyo", self.environment, clock, ledger.pace, self.wrap),
            resource="floyo",
            store=MemoryImageStore("bench", "flow"),
            clock=clock,
            log=lambda _line: None,
        )

    def settings(self, name: str, rows: int) -> BatchSettings:
        """Write a batch of that many rows, and give its settings."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        for file in (SAMPLES / "floyo").iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        lines = ["prompt_id,prompt", *(f"p{row},{name} {row}" for row in range(rows))]
        (folder / "prompts.csv").write_text("\n".join(lines) + "\n")
        return BatchSettings(
            name=name,
            provider="floyo",
            resource="floyo",
            workflow=sample_workflow("floyo"),
            base_dir=str(folder),
            prompts="prompts.csv",
            parameters=sample_parameters("floyo", {}),
            allow_identical=True,
        )


@contextmanager
def place(folder: Path, scale: float) -> Iterator[Place]:
    """Start a sandbox whose runs and limits are `scale` times faster than life."""
    here, there = SPAWN.Pipe()
    process = SPAWN.Process(target=_serve, args=(there, scale), daemon=True)
    process.start()
    try:
        url, environment = here.recv()
        start = SystemClock().now()
        yield Place(
            folder=folder,
            url=url,
            environment=environment | {"FLOYO_API_KEY": OURS},
            scale=scale,
            start=start,
            clock=ScaledClock(start, scale),
        )
    finally:
        here.send("stop")
        process.join(15)
        if process.is_alive():
            process.terminate()


@contextmanager
def virtual_place(folder: Path) -> Iterator[Place]:
    """Start a sandbox on a clock that only passes while everybody waits."""
    clock = ActorClock()
    with Sandbox(_settings(1.0), lambda: clock.now().timestamp()) as sandbox:
        yield Place(
            folder=folder,
            url=sandbox.url,
            environment=sandbox.environment() | {"FLOYO_API_KEY": OURS},
            scale=1.0,
            start=START,
            clock=clock,
            wrap=lambda transport: SlowTransport(transport, clock),
        )


def _settings(scale: float) -> SandboxSettings:
    tuning = Tuning(
        median_seconds=MEDIAN_SECONDS,
        sigma=SIGMA,
        time_scale=scale,
        slots=10_000,
        requests_per_window=LIMIT,
        window_seconds=60.0 / scale,
        max_picture_side=16,
    )
    return SandboxSettings(
        port=0,
        bucket_port=0,
        tuning=tuning,
        keys={"floyo": (OURS, OPPONENT)},
        max_requests=200_000,
    )


def _serve(control: Connection, scale: float) -> None:
    with Sandbox(_settings(scale)) as sandbox:
        control.send((sandbox.url, sandbox.environment()))
        control.recv()
