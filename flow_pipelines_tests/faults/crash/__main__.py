"""Prints what every death of a night leads to: `python -m flow_pipelines_tests.faults.crash`."""

from __future__ import annotations

import argparse
import sys

from flow_pipelines.clock import SystemClock
from flow_pipelines.providers import provider_names
from flow_pipelines_tests.faults.crash.enumeration import SCENES, Report
from flow_pipelines_tests.faults.crash.shares import JOBS, run


def main() -> int:
    parser = argparse.ArgumentParser(description="kill a night at each of its effects")
    parser.add_argument("--provider", action="append", choices=provider_names())
    parser.add_argument("--scene", action="append", choices=[scene.name for scene in SCENES])
    parser.add_argument("--step", type=int, default=1, help="try every n-th kill point only")
    parser.add_argument(
        "--twice", action="store_true", help="after an effect, and again before the next one"
    )
    parser.add_argument("--jobs", type=int, default=JOBS)
    wanted = parser.parse_args()
    clock, violations = SystemClock(), 0
    for provider in wanted.provider or provider_names():
        began = clock.monotonic()
        scenes = wanted.scene or [scene.name for scene in SCENES]
        for report in run(provider, scenes, step=wanted.step, twice=wanted.twice, jobs=wanted.jobs):
            _show(report, clock.monotonic() - began)
            violations += len(report.violations)
    print(f"{violations} violation(s)")
    return 1 if violations else 0


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


if __name__ == "__main__":
    sys.exit(main())
