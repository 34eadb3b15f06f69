"""Requests for each finished run at every provider, fetching its picture included."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.virtual import Account, account
from flow_pipelines.lifecycle import collect_night, plan_night, submit_night, wait_for_night
from flow_pipelines.model import UNPARTITIONED, Night
from flow_pipelines.providers import provider_names

ROWS = 60
_PICTURES = {"download_file", "download_output", "open_link", "open_output"}
"""Come from storage or a CDN, which no rate limit counts."""


def measure() -> list[Figure]:
    """Let one Dagster run's work submit, wait and collect."""
    return [_figure(provider) for provider in provider_names()]


def _figure(provider: str) -> Figure:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        account(provider, Path(name)) as here,
    ):
        settings, night = here.settings("posters", ROWS), Night("posters", UNPARTITIONED)
        plan_night(settings, UNPARTITIONED, here.ports)
        before = _requests(here)
        submit_night(settings, night, here.ports, owner="night")
        wait_for_night(here.ports, night, owner="night", wait_seconds=3600.0)
        summary = collect_night(night, here.ports, owner="night")
        counted = _requests(here) - before
    return Figure(
        part=f"{ROWS} runs at {provider}: submit, wait and collect in one Dagster run",
        name="requests per finished run",
        ours=counted.total() / summary.succeeded,
        opponent=", ".join(f"{count} {operation}" for operation, count in sorted(counted.items())),
    )


def _requests(here: Account) -> Counter[str]:
    counted = Counter(here.sandbox.world.readings([here.provider])[here.provider].requests)
    return Counter({name: count for name, count in counted.items() if name not in _PICTURES})
