"""What loading a location costs each run worker and step, beside a component that does nothing.

The opponent has as many assets, checks, jobs and schedules, from YAML, too, in an environment that
has all packages of this one but ours. 200 batches; 1,000 as well with BENCH_FULL=1, which takes
some minutes. Seconds are on a CPU, of a fresh process with its imports; memory is its peak.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.load_project import command, make_environment, write_bare, write_ours

MANY = 1_000
LIMITS = {1: (1.3, 1.4), 200: (1.6, 1.5), MANY: (1.6, 1.5)}
"""Batches → at most so many times the opponent's CPU, and its memory."""
ROUNDS = {1: 7, 200: 3, MANY: 1}
INSTALLED_SECONDS = 0.1
_SAME = ("assets", "checks", "jobs", "schedules", "sensors")


@dataclass(frozen=True)
class Loaded:
    """One load of a location, or the median of several."""

    cpu_seconds: float
    peak_mb: float
    least_cpu_seconds: float = 0.0
    """Of several: a busy machine adds to a load, and never takes away."""


@dataclass(frozen=True)
class Environments:
    """The same packages, with ours and without."""

    with_us: Path
    without_us: Path


def measure() -> list[Figure]:
    """Load in turns: what disturbs one disturbs the others."""
    sizes = LIMITS if os.environ.get("BENCH_FULL") else [size for size in LIMITS if size < MANY]
    with tempfile.TemporaryDirectory(prefix="bench-load-") as name, _environments(name) as both:
        return [figure for size in sizes for figure in _figures(size, Path(name), both)]


@contextmanager
def _environments(name: str) -> Iterator[Environments]:
    folder = Path(name) / "environments"
    yield Environments(
        make_environment(folder / "with", with_us=True),
        make_environment(folder / "without", with_us=False),
    )


def _figures(size: int, folder: Path, environments: Environments) -> Iterator[Figure]:
    ours, bare = folder / f"ours{size}", folder / f"bare{size}"
    write_ours(ours, size)
    write_bare(bare, size)
    sides = {"ours": (ours, environments.with_us), "bare": (bare, environments.without_us)}
    if size == 1:
        sides["installed"] = (bare, environments.with_us)
    took = _in_turns(sides, ROUNDS[size])
    one, other = took["ours"], took["bare"]
    for what, unit, mine, theirs, limit in (
        ("CPU", "s", one.cpu_seconds, other.cpu_seconds, LIMITS[size][0]),
        ("memory", "MB", one.peak_mb, other.peak_mb, LIMITS[size][1]),
    ):
        yield Figure(
            part=f"loading a location, {size:,} batch{'es' if size > 1 else ''}",
            name=what,
            ours=mine / theirs,
            unit=f"× ({mine:.2f} {unit})",
            opponent=f"{theirs:.2f} {unit}: a bare component, without us",
            at_most=limit,
        )
    if "installed" in took:
        yield Figure(
            part="loading a project that only has us installed",
            name="CPU more than without us",
            ours=took["installed"].least_cpu_seconds - other.least_cpu_seconds,
            unit=f"s ({took['installed'].peak_mb - other.peak_mb:.1f} MB)",
            opponent=f"{other.least_cpu_seconds:.2f} s, {other.peak_mb:.0f} MB",
            at_most=INSTALLED_SECONDS,
        )


def _in_turns(sides: dict[str, tuple[Path, Path]], rounds: int) -> dict[str, Loaded]:
    found: dict[str, list[Loaded]] = {name: [] for name in sides}
    contents: dict[str, tuple[int, ...]] = {}
    for turn in range(rounds + (rounds > 1)):
        for name, (project, packages) in sides.items():
            loaded, contents[name] = _load(project, packages)
            if turn or rounds == 1:  # the first round compiles what is imported
                found[name].append(loaded)
    assert len(set(contents.values())) == 1, contents
    return {name: _median(loads) for name, loads in found.items()}


def _load(project: Path, packages: Path) -> tuple[Loaded, tuple[int, ...]]:
    told = subprocess.run(
        command(project),
        env={"PYTHONPATH": str(packages), "PATH": os.environ["PATH"], "HOME": str(project)},
        check=True,
        capture_output=True,
        text=True,
        timeout=900,
    )
    facts = json.loads(told.stdout.splitlines()[-1])
    return Loaded(facts["cpu_seconds"], facts["peak_mb"]), tuple(facts[name] for name in _SAME)


def _median(loads: Sequence[Loaded]) -> Loaded:
    return Loaded(
        statistics.median(one.cpu_seconds for one in loads),
        statistics.median(one.peak_mb for one in loads),
        min(one.cpu_seconds for one in loads),
    )
