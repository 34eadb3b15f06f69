"""What the journal costs a night: its requests and its time, against the same night without it."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from benchmarks.virtual import Account, account
from flow_pipelines.clock import SystemClock
from flow_pipelines.lifecycle import collect_night, plan_night, submit_night, wait_for_night
from flow_pipelines.model import UNPARTITIONED, Night
from flow_pipelines.storage import S3ImageStore
from flow_pipelines_tests.buckets import BucketServer, aws_environment, running_bucket

PROVIDER = "floyo"
ROWS = 50
ROUNDS = 2
MOST_REQUESTS = 1.2
"""To the bucket, a run: one for its entry, and what a night takes once."""
MOST_SECONDS = 0.05
"""More a run, on two cores that do everything: a turn of the fastest provider takes 0.6 s."""


class WithoutJournal:
    """A store that takes entries and writes none: for this comparison only."""

    def __init__(self, store: S3ImageStore) -> None:
        self._store = store

    def put_once(self, key: str, content: bytes, *, seconds: float) -> bool:
        del key, content, seconds
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def measure() -> list[Figure]:
    """Buy and collect nights with and without it in turns."""
    requests, seconds = Counter[bool](), dict[bool, list[float]]({True: [], False: []})
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        running_bucket(Path(name) / "buckets") as server,
        aws_environment(server.endpoint_url),
        account(PROVIDER, Path(name)) as here,
    ):
        for number in range(ROUNDS):
            for journal in (True, False):
                batch = f"{'with' if journal else 'no'}_{number}"
                asked, took = _night(here, server, batch, journal=journal)
                requests[journal] += asked
                seconds[journal].append(took / ROWS)
    runs = ROUNDS * ROWS
    ours, theirs = min(seconds[True]), min(seconds[False])
    return [
        Figure(
            part=f"a night of {ROWS} runs at {PROVIDER}, to an S3 server in another process",
            name="more requests to the bucket for each run",
            ours=(requests[True] - requests[False]) / runs,
            opponent=f"without: {requests[False] / runs:.2f} in all",
            at_most=MOST_REQUESTS,
        ),
        Figure(
            part="the same",
            name="more time for each run, submitting",
            ours=ours - theirs,
            unit="s",
            opponent=f"without: {theirs:.4f} s",
            at_most=MOST_SECONDS,
        ),
    ]


def _night(here: Account, server: BucketServer, name: str, *, journal: bool) -> tuple[int, float]:
    """Buy and collect one night; return the requests to the bucket and submitting's seconds."""
    client = server.client()
    asked: list[str] = []
    client.meta.events.register("before-send.s3", lambda request, **_: asked.append(request.url))
    store: Any = S3ImageStore(server.bucket, name, client, SystemClock())
    ports = replace(here.ports, store=store if journal else WithoutJournal(store))
    settings, night = here.settings(name, ROWS), Night(name, UNPARTITIONED)
    plan_night(settings, UNPARTITIONED, ports)
    began = SystemClock().monotonic()
    summary = submit_night(settings, night, ports, owner="night")
    took = SystemClock().monotonic() - began
    wait_for_night(ports, night, owner="night", wait_seconds=3600.0)
    collect_night(night, ports, owner="night")
    if summary.submitted != ROWS:
        raise RuntimeError(f"{summary.submitted} of {ROWS} were bought: {summary.stopped}")
    return len(asked), took
