"""Deals scenes' kill points out to processes, and puts together what they report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import Self

from flow_pipelines_tests.faults.crash.enumeration import Report

JOBS = 2
SECONDS = 1800
END_SECONDS = 30
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

    def has(self, index: int) -> bool:
        return index % self.of == self.first

    def dealt(self, jobs: int) -> Sequence[Share]:
        """Divide it among so many processes."""
        return [
            replace(self, first=self.first + job * self.of, of=self.of * jobs)
            for job in range(jobs)
        ]


def run(shares: Sequence[Share], *, jobs: int = JOBS) -> Iterator[Report]:
    """Try the shares' kill points in `jobs` processes; give a report for each, in their order."""
    hands = zip(*(share.dealt(jobs) for share in shares), strict=True)
    with ExitStack() as stack:
        workers = [stack.enter_context(_Worker(hand)) for hand in hands]
        for _ in shares:
            yield _together([worker.report() for worker in workers])


class _Worker:
    """Shares under way in a fresh process: one that forks has no threads and no connections."""

    def __init__(self, shares: Sequence[Share]) -> None:
        self._stack, self._reports_left = ExitStack(), len(shares)
        self._problems = TemporaryFile("w+")  # noqa: SIM115 - closed with the stack
        self._stack.callback(self._problems.close)
        command = [sys.executable, "-m", f"{__package__}.share"]
        command.append(json.dumps([asdict(share) for share in shares]))
        self._process = self._stack.enter_context(
            subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._problems, text=True
            )
        )
        self._stack.callback(self._end)
        self._timer = Timer(SECONDS, self._process.kill)
        self._timer.daemon = True
        self._timer.start()
        self._stack.callback(self._timer.cancel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        """Let it remove its files, whether it is done or not; a pipe ends what it has started."""
        if self._reports_left:
            self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def report(self) -> Report:
        """Wait for its next report. Raises: RuntimeError, when it ended without one."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(SECONDS)
            self._problems.seek(0)
            raise RuntimeError(
                f"a share ended with {self._process.returncode}:\n{self._problems.read()}"
            )
        self._reports_left -= 1
        told = json.loads(line)
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
