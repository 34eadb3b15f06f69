"""Requests for each finished run at every provider, fetching its picture included."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.night_account import TICK_BUDGET_SECONDS, TICK_EVERY_SECONDS
from benchmarks.virtual import Account, account
from flow_pipelines.lifecycle import (
    Ports,
    collect_night,
    plan_night,
    poll_due,
    submit_night,
    wait_for_night,
)
from flow_pipelines.lifecycle.ports import ProcessCaches
from flow_pipelines.model import UNPARTITIONED, Night
from flow_pipelines.providers import provider_names

ROWS = 60
_PICTURES = {"download_file", "download_output", "open_link", "open_output"}
"""Come from storage or a CDN, which no rate limit counts."""


def measure() -> list[Figure]:
    """Let one Dagster run do everything; then let a sensor poll, and another run collect."""
    return [
        _figure(provider, words, night)
        for words, night in (
            ("submit, wait and collect in one Dagster run", _in_one_run),
            ("the sensor polls, another run collects", _by_the_sensor),
        )
        for provider in provider_names()
    ]


def _figure(provider: str, words: str, end: Callable[[Account, Night], Ports]) -> Figure:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        account(provider, Path(name)) as here,
    ):
        settings, night = here.settings("posters", ROWS), Night("posters", UNPARTITIONED)
        plan_night(settings, UNPARTITIONED, here.ports)
        before = _requests(here)
        submit_night(settings, night, here.ports, owner="night")
        summary = collect_night(night, end(here, night), owner="night")
        counted = _requests(here) - before
    return Figure(
        part=f"{ROWS} runs at {provider}: {words}",
        name="requests per finished run",
        ours=counted.total() / summary.succeeded,
        opponent=", ".join(f"{count} {operation}" for operation, count in sorted(counted.items())),
    )


def _in_one_run(here: Account, night: Night) -> Ports:
    """Wait for all; give the ports of who waited."""
    wait_for_night(here.ports, night, owner="night", wait_seconds=3600.0)
    return here.ports


def _by_the_sensor(here: Account) -> Ports:
    """Tick until all have ended; give ports of a process that knows what the ledger tells."""
    due = {"provider": here.provider, "resource": here.provider}
    while here.ports.ledger.in_flight(**due):
        poll_due(
            _another_process(here),
            owner="tick",
            budget_seconds=TICK_BUDGET_SECONDS,
        )
        here.clock.sleep(TICK_EVERY_SECONDS)
    return _another_process(here)


def _another_process(here: Account) -> Ports:
    return replace(here.ports, caches=ProcessCaches())


def _requests(here: Account) -> Counter[str]:
    counted = Counter(here.sandbox.world.readings([here.provider])[here.provider].requests)
    return Counter({name: count for name, count in counted.items() if name not in _PICTURES})
