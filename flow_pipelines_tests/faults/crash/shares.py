"""Deals a scene's kill points out to processes, and puts together what they report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from flow_pipelines_tests.faults.crash.enumeration import Report

JOBS = 2
SHARE_SECONDS = 1800
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, kw_only=True)
class Share:
    """Every `of`-th kill point of a scene, from `first` on."""

    provider: str
    scene: str
    first: int = 0
    of: int = 1
    twice: bool = False
    """Try the moment after an effect and the one before the next, not only one of them."""


def run(
    provider: str, scenes: Sequence[str], *, step: int = 1, twice: bool = False, jobs: int = JOBS
) -> Iterator[Report]:
    """Try every `step`-th kill point of each scene, `jobs` at a time; give a report a scene."""
    for scene in scenes:
        shares = [
            Share(provider=provider, scene=scene, first=job * step, of=step * jobs, twice=twice)
            for job in range(jobs)
        ]
        with ThreadPoolExecutor(jobs) as pool:
            yield _together(list(pool.map(_run_apart, shares)))


def _run_apart(share: Share) -> Report:
    """Run a share in a fresh process: one that forks must have no threads and no connections."""
    command = [sys.executable, "-m", f"{__package__}.share", json.dumps(asdict(share))]
    ended = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=SHARE_SECONDS, check=False
    )
    if ended.returncode:
        raise RuntimeError(f"{share} failed:\n{ended.stderr}")
    told = json.loads(ended.stdout)
    return Report(**{**told, "effects": set(told["effects"])})


def _together(reports: Sequence[Report]) -> Report:
    def joined(part: Callable[[Report], Sequence[str]]) -> list[str]:
        return [line for report in reports for line in part(report)]

    return Report(
        provider=reports[0].provider,
        scene=reports[0].scene,
        points=reports[0].points,
        tried=sum(report.tried for report in reports),
        violations=joined(lambda report: report.violations),
        unresolved_after=joined(lambda report: report.unresolved_after),
        unasked_after=joined(lambda report: report.unasked_after),
        effects=set().union(*(report.effects for report in reports)),
    )
