"""The life of a run, the same at every provider: queued, running, ended.

Nothing happens in the background. When a run starts and ends is decided as it is accepted (and
again when a canceled run frees a place), and its state is read off the clock when somebody asks.
"""

from __future__ import annotations

import math
import secrets
import string
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from random import Random
from typing import Any

from flow_pipelines.sandbox.files import File, file_of
from flow_pipelines.sandbox.pictures import Picture
from flow_pipelines.sandbox.queues import Queue
from flow_pipelines.sandbox.settings import Tuning

_ID_LETTERS = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """Make an id: a prefix and 16 letters of either case."""
    return prefix + "".join(secrets.choice(_ID_LETTERS) for _ in range(16))


class RunState(StrEnum):
    """Where a run is; every dialect has its own words for these."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to the run any more."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


@dataclass(kw_only=True)
class Output:
    """One picture, or another file, that a run makes."""

    id: str
    file_name: str
    picture: Picture
    file: File | None = None
    """What it is in the place of a picture."""

    @property
    def media_type(self) -> str:
        """Tell what its provider says that it is."""
        return "image/png" if self.file is None else self.file.media_type


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What a fault has decided about a run before it began."""

    error_code: str | None = None
    """The run fails with this code."""
    never_ends: bool = False
    unpaid: bool = False
    """The run is taken but ends at once, without GPU time and without a bill."""


@dataclass(frozen=True, kw_only=True)
class RunOrder:
    """What a dialect asks the shared life for."""

    provider: str
    account: str
    """Label of the API key."""
    label: str
    """The caller's own name for the run; may be empty."""
    request_hash: str
    outputs: tuple[Output, ...]
    id_prefix: str = "run_"
    price_usd: Decimal = Decimal(0)
    """What the run is charged, where the provider charges money and the run succeeds."""
    caches: bool = False
    """The provider answers a request that ran before from its cache."""
    fate: Fate = field(default_factory=Fate)
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What the dialect wants to find again."""


@dataclass(kw_only=True)
class Run:
    """A run that was accepted, and billed."""

    id: str
    order: RunOrder
    accepted_at: float
    """All times are Unix seconds."""
    seconds: float
    """How long it runs, in time that is not scaled."""
    time_scale: float
    cached: bool = False
    error_code: str | None = None
    starts_at: float = math.inf
    ends_at: float = math.inf
    canceled_at: float | None = None
    outputs: tuple[Output, ...] = ()

    @property
    def takes_seconds(self) -> float:
        """How long it runs by the clock; infinite for a run that never ends."""
        return math.inf if self.order.fate.never_ends else self.seconds / self.time_scale

    def state(self, now: float) -> RunState:
        """Tell where the run is at `now`."""
        if self.canceled_at is not None and now >= self.canceled_at:
            return RunState.CANCELED
        if now < self.starts_at:
            return RunState.QUEUED
        if now < self.ends_at:
            return RunState.RUNNING
        return RunState.FAILED if self.error_code else RunState.SUCCEEDED

    def flotime_ms(self, now: float) -> int:
        """Return the GPU time used up to `now`; a cached run uses none."""
        until = min(now, self.ends_at, self.canceled_at or math.inf)
        if self.cached or until <= self.starts_at:
            return 0
        if until == self.ends_at:
            return int(self.seconds * 1000)
        return int((until - self.starts_at) * self.time_scale * 1000)

    def charged_usd(self, now: float) -> Decimal:
        """Return what was charged in money: the price of a run that succeeded, else nothing."""
        return self.order.price_usd if self.state(now) is RunState.SUCCEEDED else Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What runs used up."""

    flotime_ms: int = 0
    charged_usd: Decimal = Decimal(0)

    def plus(self, run: Run, now: float) -> Spending:
        """Add a run as it stands at `now`."""
        return Spending(
            flotime_ms=self.flotime_ms + run.flotime_ms(now),
            charged_usd=self.charged_usd + run.charged_usd(now),
        )


def extra_outputs(kinds: Sequence[str]) -> Iterator[Output]:
    """Make one file of each of these kinds."""
    for kind in kinds:
        file = file_of(kind)
        nothing = Picture(prompt=kind, seed=0)
        yield Output(id=new_id("file_"), file_name=file.name, picture=nothing, file=file)


class Life:
    """All runs of all providers. Safe to share between threads."""

    def __init__(
        self, now: Callable[[], float], bill: Callable[[Run], None], max_runs: int
    ) -> None:
        self.tuning = Tuning()
        self._now = now
        self._bill = bill
        self._max_runs = max_runs
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Forget every run."""
        with self._lock:
            self._runs: OrderedDict[str, Run] = OrderedDict()
            self._queues: dict[tuple[str, str], Queue] = {}
            self._latest: dict[tuple[str, str, str], Run] = {}
            self._copies: dict[tuple[str, str, str], int] = {}
            self._outputs: dict[str, Run] = {}
            self._spent: dict[str, Spending] = {}

    def create(self, order: RunOrder) -> Run:
        """Accept a run and bill it, once, at once."""
        with self._lock:
            now = self._now()
            identity = (order.provider, order.account, order.request_hash)
            run = self._conceive(order, identity, now)
            self._runs[run.id] = run
            self._latest[identity] = run
            self._outputs.update((output.id, run) for output in run.outputs)
            queue = self._queues.setdefault((order.provider, order.account), Queue())
            queue.enter(run, now, self.tuning.slots)
            self._forget_oldest(now)
            if not order.fate.unpaid:
                self._bill(run)
            return run

    def _conceive(self, order: RunOrder, identity: tuple[str, str, str], now: float) -> Run:
        copy = self._copies[identity] = self._copies.get(identity, 0) + 1
        rng = Random(f"{self.tuning.seed}|{'|'.join(identity)}|{copy}")
        seconds = rng.lognormvariate(math.log(self.tuning.median_seconds), self.tuning.sigma)
        cached = order.caches and self._ran_before(identity, now)
        fails = not cached and rng.random() < self.tuning.failure_rate
        gives_outputs = not cached or self.tuning.cached_outputs == "same"
        return Run(
            id=new_id(order.id_prefix),
            order=order,
            accepted_at=now,
            seconds=0.0 if cached or order.fate.unpaid else seconds,
            time_scale=self.tuning.time_scale,
            cached=cached,
            error_code=order.fate.error_code or ("out_of_memory" if fails else None),
            outputs=order.outputs if gives_outputs else (),
        )

    def _ran_before(self, identity: tuple[str, str, str], now: float) -> bool:
        earlier = self._latest.get(identity)
        if earlier is None or earlier.error_code or earlier.order.fate.never_ends:
            return False
        return earlier.state(now) is not RunState.CANCELED

    def _forget_oldest(self, now: float) -> None:
        while len(self._runs) > self._max_runs:
            _, run = self._runs.popitem(last=False)
            provider = run.order.provider
            # One that has not ended yet is counted as it will be, for nobody looks again.
            end = run.ends_at if math.isfinite(run.ends_at) else now
            self._spent[provider] = self._spent.get(provider, Spending()).plus(run, end)
            for output in run.outputs:
                self._outputs.pop(output.id, None)
            identity = (provider, run.order.account, run.order.request_hash)
            if self._latest.get(identity) is run:
                del self._latest[identity]
                del self._copies[identity]

    def get(self, provider: str, account: str, run_id: str) -> Run | None:
        """Return a run, or None: there is none, or it is another account's."""
        with self._lock:
            run = self._runs.get(run_id)
        if run is None or (run.order.provider, run.order.account) != (provider, account):
            return None
        return run

    def cancel(self, run: Run) -> bool:
        """Cancel a run; False: it had ended before. Runs behind it in the queue move up."""
        with self._lock:
            now = self._now()
            if run.state(now).ended:
                return False
            run.canceled_at = now
            queue = self._queues[run.order.provider, run.order.account]
            queue.replan(now, self.tuning.slots)
            return True

    def runs(self, provider: str | None = None, account: str | None = None) -> list[Run]:
        """Return the remembered runs, newest first."""
        with self._lock:
            newest = list(reversed(self._runs.values()))
        return [
            run
            for run in newest
            if provider in (None, run.order.provider) and account in (None, run.order.account)
        ]

    def output(self, provider: str, output_id: str) -> tuple[Run, Output] | None:
        """Return an output of a run that succeeded, with the run."""
        with self._lock:
            run = self._outputs.get(output_id)
        if run is None or run.order.provider != provider:
            return None
        if run.state(self._now()) is not RunState.SUCCEEDED:
            return None
        return run, next(output for output in run.outputs if output.id == output_id)

    def spending(self, provider: str) -> Spending:
        """Add up all runs of `provider` so far, forgotten ones included."""
        now = self._now()
        total = self._spent.get(provider, Spending())
        for run in self.runs(provider):
            total = total.plus(run, now)
        return total
