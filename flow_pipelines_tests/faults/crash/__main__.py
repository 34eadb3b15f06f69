"""Prints what every death of a night leads to: `python -m flow_pipelines_tests.faults.crash`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

from flow_pipelines.clock import SystemClock
from flow_pipelines.providers import provider_names
from flow_pipelines_tests.faults.crash.enumeration import SCENES, Report
from flow_pipelines_tests.faults.crash.shares import JOBS, Share, run

THOROUGH, ELSEWHERE = "floyo", {"refused": 16}


@dataclass
class Total:
    """A line of the table at the end."""

    points: int = 0
    tried: int = 0
    violations: int = 0
    seconds: float = 0.0

    def add(self, other: Report | Total, seconds: float) -> None:
        found = other.violations
        self.points += other.points
        self.tried += other.tried
        self.violations += found if isinstance(found, int) else len(found)
        self.seconds += seconds


def main() -> int:
    wanted = _wanted()
    providers = wanted.provider or provider_names()
    scenes = wanted.scene or [scene.name for scene in SCENES]
    shares = [
        Share(
            provider=provider,
            scene=scene,
            of=wanted.step if wanted.scene else max(wanted.step, _at_least(provider, scene)),
            twice=wanted.twice,
        )
        for provider in providers
        for scene in scenes
    ]
    clock = SystemClock()
    totals, since = {name: Total() for name in providers}, clock.monotonic()
    for report in run(shares, jobs=wanted.jobs):
        now = clock.monotonic()
        _show(report, now - since)
        totals[report.provider].add(report, now - since)
        since = now
    return 1 if _show_totals(totals).violations else 0


def _at_least(provider: str, scene: str) -> int:
    """Return the step for a scene that nobody named: what is the same everywhere is thinned out."""
    return ELSEWHERE.get(scene, 1) if provider != THOROUGH else 1


def _wanted() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="kill a night at each of its effects")
    parser.add_argument("--provider", action="append", choices=provider_names())
    parser.add_argument("--scene", action="append", choices=[scene.name for scene in SCENES])
    parser.add_argument("--step", type=int, default=1, help="try every n-th kill point only")
    parser.add_argument(
        "--twice", action="store_true", help="after an effect, and again before the next one"
    )
    parser.add_argument("--jobs", type=int, default=JOBS)
    return parser.parse_args()


def _show(report: Report, seconds: float) -> None:
    print(
        f"{report.provider:9} {report.scene:8} {report.points:4} kill points, {report.tried} tried,"
        f" {len(report.violations)} violation(s), {seconds:.0f} s",
        flush=True,
    )
    for line in report.violations:
        print(f"    VIOLATED {line}")
    if report.unresolved_after:
        print(f"    unresolved, for a person to settle: {len(report.unresolved_after)} points")
    for line in report.unresolved_after if report.scene == "night" else ():
        print(f"        {line}")
    if report.unasked_after:
        print(f"    asked for again, nothing was bought: {len(report.unasked_after)} points")


def _show_totals(totals: dict[str, Total]) -> Total:
    """Print the table; give its last line."""
    everything = Total()
    for total in totals.values():
        everything.add(total, total.seconds)
    print(f"\n{'provider':9} {'kill points':>11} {'tried':>6} {'violations':>10} {'seconds':>8}")
    for name, one in {**totals, "all": everything}.items():
        print(
            f"{name:9} {one.points:11} {one.tried:6} {one.violations:10} {one.seconds:8.0f}",
            flush=True,
        )
    return everything


if __name__ == "__main__":
    sys.exit(main())
