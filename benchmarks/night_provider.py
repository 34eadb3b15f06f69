"""The other side of a simulated night: a provider in this process, and a bucket that keeps little.

It tells of a run what the provider's own adapter would, and no more; which runs there are it need
not remember: the id of a run says when it ends.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections import Counter, deque
from datetime import UTC, datetime
from itertools import count
from typing import BinaryIO

from benchmarks.place import MEDIAN_SECONDS, REQUEST_SECONDS, SIGMA
from flow_pipelines.clock import Clock
from flow_pipelines.model import (
    OutputRef,
    Receipt,
    RunReport,
    SubmissionState,
    Workflow,
)
from flow_pipelines.model.errors import OutputRefused
from flow_pipelines.provider import Purpose, RateLimit, SubmitRequest
from flow_pipelines.providers import profile
from flow_pipelines.storage.contract import StoredObject
from flow_pipelines.transport.pacing import Pacing
from flow_pipelines_tests.fake_provider import BytesDownload, FakeProvider
from flow_pipelines_tests.faults.alphabet.memory_store import MemoryImageStore

PARAMETERS = {"6::text": "{prompt}", "3::seed": "{seed}"}
_SIGNED = 400
"""Characters of what a signed link carries besides its file."""
_TELL_THE_END = frozenset({"floimg", "flora"})
"""Their answers have the time at which a run ended; Floyo's have FloTime, Comflowy's neither."""


class Account:
    """What a provider knows of one account: its requests, and which came too soon."""

    def __init__(self, name: str, limit: RateLimit, clock: Clock) -> None:
        self.name, self.limit, self.clock = name, limit, clock
        self.requests: Counter[str] = Counter()
        self.too_many = 0
        """Requests beyond the limit in the window that ends with them, wherever that begins."""
        self.numbers = count()
        self.random = random.Random(name)
        self._latest: deque[float] = deque(maxlen=limit.requests)

    def arrive(self, operation: str) -> None:
        """Count a request that comes now, and let it take its time."""
        now = self.clock.monotonic()
        full = len(self._latest) == self.limit.requests
        self.too_many += full and now - self._latest[0] < self.limit.per_seconds
        self._latest.append(now)
        self.requests[operation] += 1
        self.clock.sleep(REQUEST_SECONDS)


class NightProvider(FakeProvider):
    """`provider.Provider` over an account, with the turns that our transport would take."""

    def __init__(self, account: Account, pacing: Pacing, asks_for: str) -> None:
        """`asks_for`: what its polls are counted as."""
        super().__init__(profile(account.name).capabilities)
        self.name = account.name
        self._account, self._pacing, self._asks_for = account, pacing, asks_for

    def take_turn(self, purpose: Purpose) -> None:
        self._pacing.take_turn(purpose)

    def submit(self, request: SubmitRequest) -> Receipt:
        del request
        self._account.arrive("submit")
        took = self._account.random.lognormvariate(math.log(MEDIAN_SECONDS), SIGMA)
        ends_at = round((self._account.clock.now().timestamp() + took) * 1000)
        number = next(self._account.numbers)
        return Receipt(provider_run_id=f"run-{number:012d}-{ends_at}-{round(took * 1000)}")

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        del workflow
        self._pacing.take_turn(Purpose.POLL)
        self._account.arrive(self._asks_for)
        _, _, ends_at, took = provider_run_id.split("-")
        ended = datetime.fromtimestamp(int(ends_at) / 1000, UTC)
        if self._account.clock.now() < ended:
            return RunReport(
                provider_run_id=provider_run_id,
                state=SubmissionState.RUNNING,
                provider_status="running",
            )
        told = self.name in _TELL_THE_END
        return RunReport(
            provider_run_id=provider_run_id,
            state=SubmissionState.SUCCEEDED,
            provider_status="done",
            finished_at=ended if told else None,
            run_ms=int(took) if told else None,
            flotime_ms=int(took) if self.capabilities.flotime else None,
            outputs=(_output(provider_run_id),),
        )

    def fetch(
        self, output: OutputRef, *, max_bytes: int
    ) -> contextlib.AbstractContextManager[BytesDownload]:
        if output.url is None and not self.capabilities.durable_outputs:
            raise OutputRefused(f"{self.name}: no link")
        return super().fetch(output, max_bytes=max_bytes)


def _output(provider_run_id: str) -> OutputRef:
    """Return a run's output, with a link of the usual length; it lives as long as the night."""
    name = f"file-{provider_run_id}"
    return OutputRef(
        output_id=name,
        media_type="image/png",
        url=f"https://files.example/{name}.png?X-Amz-Signature={'5' * _SIGNED}",
    )


class Bucket(MemoryImageStore):
    """Takes every picture and keeps none: what is measured is our memory, not the bucket's."""

    def put_new(
        self, key: str, content: BinaryIO, *, media_type: str, sha256: str, size_bytes: int
    ) -> StoredObject:
        del content
        return StoredObject(key=key, size_bytes=size_bytes, sha256=sha256, media_type=media_type)

    def put(self, key: str, content: bytes, *, media_type: str) -> StoredObject:
        kept = b"" if key.endswith(".parquet") else content
        return super().put(key, kept, media_type=media_type)

    def presigned_url(self, key: str, seconds: int) -> str:
        raise NotImplementedError
