"""Two or more sides of one question, timed in turns: what disturbs one disturbs the others."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Meter = Callable[[], float]


def medians(
    sides: Mapping[str, Callable[[], object]], rounds: int, meter: Meter = time.perf_counter
) -> dict[str, float]:
    """Return each side's median seconds; the first round only warms up."""
    took: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            began = meter()
            side()
            if turn:
                took[name].append(meter() - began)
    return {name: statistics.median(seconds) for name, seconds in took.items()}


def cpu_of(*pids: int) -> Meter:
    """Count seconds on a CPU, of this process and of others: waiting for a busy machine is none."""
    files = [Path(f"/proc/{pid}/schedstat") for pid in pids]

    def used() -> float:
        return time.process_time() + sum(int(f.read_text().split()[0]) for f in files) / 1e9

    return used
