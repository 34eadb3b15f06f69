"""What Dagster and we cost where nothing is bought: loading a location, a sensor's idle tick.

Seconds on a CPU throughout: a code server that waits for a busy machine does not cost more.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from benchmarks.figures import Figure
from benchmarks.location import PROVIDER, location
from flow_pipelines import sensors
from flow_pipelines.resources import default_resources

BATCHES = 50
ROUNDS = 5
A_BATCH_SECONDS = 0.020
_NOWHERE = "http://127.0.0.1:9"
_SETTINGS = {
    "FLOYO_API_KEY": "flo_nobody",
    "FLOYO_BASE_URL": _NOWHERE,
    "FLOYO_CDN_URL": _NOWHERE,
    "FLOW_PIPELINES_BUCKET": "bench",
    "AWS_ENDPOINT_URL_S3": _NOWHERE,
}


def measure() -> list[Figure]:
    """Load in fresh processes; tick in this one, as a code server does."""
    return [_loading(), *(_tick(batches) for batches in (1, BATCHES))]


def _loading() -> Figure:
    took: dict[int, list[float]] = {0: [], BATCHES: []}
    for _ in range(ROUNDS):
        for batches, seconds in took.items():
            seconds.append(_loaded(batches))
    empty, full = (statistics.median(seconds) for seconds in took.values())
    return Figure(
        part="Dagster",
        name=f"loading a location with {BATCHES} batches",
        ours=full,
        unit="s",
        opponent=f"{empty:.2f} s: an empty location; 1.25 × that + 20 ms a batch",
        at_most=round(1.25 * empty + A_BATCH_SECONDS * BATCHES, 2),
    )


def _loaded(batches: int) -> float:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.location", str(batches)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return float(told.stdout.split()[-1])


def _tick(batches: int) -> Figure:
    with _home() as instance, location(batches) as repository, _own_seconds() as own:
        whole, cursor = [], None
        for _ in range(ROUNDS + 1):  # the first creates the ledger
            began = time.process_time()
            cursor = _ticked(repository, instance, cursor)
            whole.append(time.process_time() - began)
    return Figure(
        part="Dagster",
        name=f"a sensor's tick, {batches} batches, nothing due: our own time",
        ours=1000 * statistics.median(own[1:]),
        unit="ms",
        opponent=f"{1000 * statistics.median(whole[1:]):.0f} ms with what Dagster does for it",
        at_most=50.0,
    )


def _ticked(
    repository: dg.RepositoryDefinition, instance: dg.DagsterInstance, cursor: str | None
) -> str | None:
    context = dg.build_sensor_context(
        instance=instance,
        cursor=cursor,
        repository_def=repository,
        sensor_name=f"{PROVIDER}_runs_sensor",
        resources=default_resources(),
    )
    with context:
        found = repository.get_sensor_def(f"{PROVIDER}_runs_sensor").evaluate_tick(context)
    assert found.skip_message == "nothing is waiting", found.skip_message
    return found.cursor


@contextmanager
def _own_seconds() -> Iterator[Sequence[float]]:
    """Note how long each tick was in our code."""
    took: list[float] = []
    real = sensors._Tick.evaluate  # noqa: SLF001 - all that is ours of a tick

    def result(self: Any) -> dg.SensorResult:
        began = time.process_time()
        try:
            return real(self)
        finally:
            took.append(time.process_time() - began)

    sensors._Tick.evaluate = result  # type: ignore[method-assign] # noqa: SLF001
    try:
        yield took
    finally:
        sensors._Tick.evaluate = real  # type: ignore[method-assign] # noqa: SLF001


@contextmanager
def _home() -> Iterator[dg.DagsterInstance]:
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="bench-home-") as folder:
        os.environ.update(_SETTINGS, DAGSTER_HOME=folder)
        try:
            with warnings.catch_warnings(), dg.DagsterInstance.ephemeral(tempdir=folder) as one:
                warnings.simplefilter("ignore")
                yield one
        finally:
            os.environ.clear()
            os.environ.update(before)
