"""600 submissions on Floyo's limit, submitted by one process and polled by a sensor's ticks."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks.demo_loop import PARALLEL, run_loops
from benchmarks.figures import Figure
from benchmarks.place import LIMIT, MEDIAN_SECONDS, SPAWN, Place, place
from flow_pipelines.lifecycle import agenda, plan_night, poll_due, recover, submit_night
from flow_pipelines.model import IN_FLIGHT, UNPARTITIONED, Night, SubmissionState

ROWS = 600
SCALE = 6.0
BATCH = "posters"
NIGHT = Night(BATCH, UNPARTITIONED)
TICK_BUDGET_SECONDS = 32.0
TICK_EVERY_SECONDS = 6.0
"""A daemon's loop of 5 s, and a second in which a tick starts."""
TICK_STARTS_SECONDS = 1.0
LONGEST_SECONDS = 3600.0
BOUND_MINUTES = 2 * ROWS / LIMIT + MEDIAN_SECONDS / 60


def measure() -> list[Figure]:
    """Run ours and the opponent at the same time, each with a key of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, place(Path(folder), SCALE) as here:
        ports = here.ports()
        settings = here.settings(BATCH, ROWS)
        plan_night(settings, UNPARTITIONED, ports)
        began = here.clock.monotonic()
        workers = [
            SPAWN.Process(target=submit, args=(here, settings)),
            SPAWN.Process(target=tick, args=(here,)),
            SPAWN.Process(target=oppose, args=(here,)),
        ]
        for worker in workers:
            worker.start()
        took = wait(here, ports, began, workers)
        (here.folder / "done").touch()
        for worker in workers:
            worker.join(60)
        return figures_of(here, took, f"time × {SCALE:g}")


def submit(here: Place, settings: Any) -> None:
    """Do what the night's Dagster run does."""
    submit_night(settings, NIGHT, here.ports(), owner="night")


def tick(here: Place) -> None:
    """Do what the sensor does, as often as a daemon lets it."""
    ports = here.ports()
    while not (here.folder / "done").exists():
        owner, began = uuid.uuid4().hex, ports.clock.monotonic()
        recover(ports)
        poll_due(ports, owner=owner, budget_seconds=TICK_BUDGET_SECONDS)
        agenda(ports.ledger, ports.clock, batches=[BATCH])
        took = ports.clock.monotonic() - began
        ports.clock.sleep(max(TICK_EVERY_SECONDS - took, TICK_STARTS_SECONDS))


def oppose(here: Place) -> None:
    """Run the demo's loops for as long as ours take at best, and note when each run was done."""
    began = here.clock.monotonic()
    ended = run_loops(here, began + BOUND_MINUTES * 60)
    took = (BOUND_MINUTES * 60, len(ended))
    (here.folder / "opponent").write_text(" ".join(map(str, took)))


def wait(here: Place, ports: Any, began: float, workers: Sequence[Any] = ()) -> float:
    """Return the minutes until every run was found ended."""
    while (now := here.clock.monotonic()) < began + LONGEST_SECONDS:
        if any(worker.exitcode for worker in workers):
            break
        record = ports.ledger.night(NIGHT)
        counts = record.counts
        left = sum(counts.get(state, 0) for state in (*IN_FLIGHT, SubmissionState.SUBMITTING))
        if counts.get(SubmissionState.SUCCEEDED, 0) == ROWS or (
            not left and not counts.get(SubmissionState.PLANNED, 0)
        ):
            return (now - began) / 60
        here.clock.sleep(2.0)
    return float("inf")


def figures_of(here: Place, minutes: float, how: str) -> list[Figure]:
    """Read the stand-in's log and the ledger."""
    log = [one for one in here.control.requests() if one.key == "floyo-key-1"]
    ports = here.ports()
    finished = ports.ledger.night(NIGHT).counts.get(SubmissionState.SUCCEEDED, 0)  # type: ignore[union-attr]
    seconds, done = (float(word) for word in (here.folder / "opponent").read_text().split())
    theirs = done / (seconds / 60)
    ours = finished / minutes
    part = f"{ROWS} runs at Floyo, {LIMIT}/min, {how}"
    polls = sum(one.operation == "retrieve_run" for one in log)
    return [
        Figure(
            part=part,
            name="requests per finished run",
            ours=len(log) / max(finished, 1),
            opponent="2: one submit, one poll",
            at_most=2.3,
        ),
        Figure(part=part, name="polls per finished run", ours=polls / max(finished, 1)),
        Figure(
            part=part,
            name="refused with 429",
            ours=sum(one.status == HTTPStatus.TOO_MANY_REQUESTS for one in log),
            at_most=0,
        ),
        Figure(
            part=part,
            name="wall time",
            ours=minutes,
            unit="min",
            opponent=f"{BOUND_MINUTES:.1f} min: 2 × {ROWS} / {LIMIT} + median",
            at_most=round(1.25 * BOUND_MINUTES, 2),
        ),
        Figure(
            part=part,
            name="finished images a minute",
            ours=ours,
            unit="/min",
            opponent=f"{theirs:.2f}/min: {PARALLEL} of Floyo's demo loops",
        ),
        Figure(part=part, name="ours ÷ demo loops", ours=ours / theirs, unit="×", at_least=6),
    ]
