"""Runs the benchmarks and prints their table: `python -m benchmarks [part …]`."""

from __future__ import annotations

import importlib
import sys

from benchmarks.figures import Figure, show
from flow_pipelines.clock import SystemClock

PARTS = (
    "floyo_batch",
    "floyo_batch_virtual",
    "four_processes",
    "detection",
    "many_accounts",
    "requests_a_run",
    "journal",
    "transfers",
    "ledger_scale",
    "planning",
    "load",
    "dagster_overhead",
    "simulated_night",
)


def main(wanted: list[str]) -> int:
    unknown = [part for part in wanted if part not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    clock, figures = SystemClock(), list[Figure]()
    for part in wanted or PARTS:
        began = clock.monotonic()
        figures += importlib.import_module(f"benchmarks.{part}").measure()
        print(f"{part}: {clock.monotonic() - began:.0f} s", flush=True)
    return 0 if show(figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
