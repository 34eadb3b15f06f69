"""From finished to detected when nothing waits to be submitted, with few runs in flight."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

from benchmarks.figures import Figure
from benchmarks.virtual import Account, account
from flow_pipelines.lifecycle import plan_night, poll_due, submit_night, wait_for_night
from flow_pipelines.model import IN_FLIGHT, UNPARTITIONED, Night, RunReport, Submission

TICK_EVERY_SECONDS = 6.0
TICK_STARTS_SECONDS = 1.0
BATCHES = {8: 8, 20: 4}
"""Runs in flight → batches, one after the other; the first teaches how long runs take."""
LIMITS = {8: 10.0, 20: 20.0}


def measure() -> list[Figure]:
    """Detect with a sensor's ticks, and with a run that waits for its night."""
    ways: dict[str, Callable[[Account, Night], None]] = {"sensor": _by_ticks, "run": _by_waiting}
    figures = []
    for many, most in LIMITS.items():
        for way, detect in ways.items():
            with tempfile.TemporaryDirectory(prefix="bench-") as name, _floyo(name) as here:
                delays, requests = _delays(here, many, detect)
            figures.append(
                Figure(
                    part=f"detection by a {way}, {many} in flight, 100/min, virtual clock",
                    name="finished to detected, p95",
                    ours=quantiles(delays, n=20)[-1],
                    unit="s",
                    opponent=f"{requests:.1f} requests a run",
                    at_most=most,
                )
            )
    return figures


def _floyo(folder: str) -> AbstractContextManager[Account]:
    return account("floyo", Path(folder))


def _delays(
    here: Account, many: int, detect: Callable[[Account, Night], None]
) -> tuple[list[float], float]:
    delays: list[float] = []
    seen: dict[str, datetime] = {}
    _note_ends(here, seen)
    for number in range(BATCHES[many]):
        settings = here.settings(f"batch_{number}", many)
        night = Night(settings.name, UNPARTITIONED)
        plan_night(settings, UNPARTITIONED, here.ports)
        submit_night(settings, night, here.ports, owner="night")
        detect(here, night)
        for submission in here.ports.ledger.submissions(night):
            run_id = submission.provider_run_id or ""
            run = here.sandbox.world.life.get("floyo", "floyo-key-1", run_id)
            assert run is not None
            delays.append(seen[submission.submission_key].timestamp() - run.ends_at)
    operations = here.sandbox.world.readings(["floyo"])["floyo"].requests
    return delays, sum(operations.values()) / len(delays)


def _note_ends(here: Account, seen: dict[str, datetime]) -> None:
    """Note by the virtual clock when the ledger learns of a run's end."""
    record = here.ports.ledger.record_poll

    def noting(submission_key: str, report: RunReport, **facts: Any) -> Submission:
        after = record(submission_key, report, **facts)
        if after.state not in IN_FLIGHT:
            seen.setdefault(submission_key, here.clock.now())
        return after

    here.ports.ledger.record_poll = noting  # type: ignore[method-assign]


def _by_ticks(here: Account, night: Night) -> None:
    while _in_flight(here, night):
        began = here.clock.monotonic()
        poll_due(here.ports, owner="tick", budget_seconds=32.0)
        took = here.clock.monotonic() - began
        here.clock.sleep(max(TICK_EVERY_SECONDS - took, TICK_STARTS_SECONDS))


def _by_waiting(here: Account, night: Night) -> None:
    wait_for_night(here.ports, night, owner="night", wait_seconds=3600.0)


def _in_flight(here: Account, night: Night) -> int:
    record = here.ports.ledger.night(night)
    return sum(record.counts.get(state, 0) for state in IN_FLIGHT) if record else 0
