"""Takes out one guard after the other: `python -m flow_pipelines_tests.faults.mutants`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from queue import SimpleQueue

from flow_pipelines.clock import SystemClock
from flow_pipelines_tests.faults.mutants.catalogue import MUTANTS
from flow_pipelines_tests.faults.mutants.document import FILE, document
from flow_pipelines_tests.faults.mutants.mutant import Mutant
from flow_pipelines_tests.faults.mutants.trial import ENOUGH, Found, Tree, copied

JOBS = 2
ALL_SECONDS = 600
"""For all tests that are ever selected, with every guard in place."""


class Trials:
    """Trials under way, `JOBS` at a time, each on a copy that no other has."""

    def __init__(self, stack: ExitStack, jobs: int) -> None:
        self._clock = SystemClock()
        self._trees: SimpleQueue[Tree] = SimpleQueue()
        for _ in range(jobs):
            self._trees.put(stack.enter_context(copied()))

    def in_place(self, mutants: Sequence[Mutant]) -> Found:
        """Run every selected test with all guards in place."""
        tests = dict.fromkeys(test for mutant in mutants for test in mutant.tests)
        tree, began = self._trees.get(), self._clock.monotonic()
        try:
            found = tree.run(list(tests), ALL_SECONDS)
        finally:
            self._trees.put(tree)
        self._say("every guard in place", found, began)
        return found

    def without(self, mutant: Mutant) -> Found:
        tree, began = self._trees.get(), self._clock.monotonic()
        try:
            with tree.without(mutant):
                found = tree.run(mutant.tests, enough=ENOUGH)
        finally:
            self._trees.put(tree)
        self._say(mutant.removed, found, began)
        return found

    def _say(self, what: str, found: Found, began: float) -> None:
        seconds = self._clock.monotonic() - began
        ended = "" if found.whole else ", ENDED EARLY"
        print(
            f"{len(found.failed):4} failed, {found.passed:4} passed, {seconds:4.0f} s{ended}: "
            f"{what}",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description="take guards out, and see which tests fail")
    parser.add_argument("--only", help="part of what is removed; nothing is written then")
    parser.add_argument("--jobs", type=int, default=JOBS)
    wanted = parser.parse_args()
    mutants = [one for one in MUTANTS if not wanted.only or wanted.only in one.removed]
    with ExitStack() as stack, ThreadPoolExecutor(wanted.jobs) as pool:
        trials = Trials(stack, wanted.jobs)
        in_place = pool.submit(trials.in_place, mutants)
        found = dict(zip(mutants, pool.map(trials.without, mutants), strict=True))
    problems = _problems(in_place.result(), found)
    for problem in problems:
        print(problem)
    if problems:
        return 1
    if not wanted.only:
        FILE.write_text(document({one: what.failed for one, what in found.items()}))
    print(f"{len(found)} mutants, none survives")
    return 0


def _problems(in_place: Found, found: dict[Mutant, Found]) -> list[str]:
    problems = []
    if in_place.failed or not in_place.whole:
        problems.append(f"not all passes with every guard in place: {in_place.said}")
    problems += [
        f"SURVIVED: {one.removed}\n{what.said}" for one, what in found.items() if not what.failed
    ]
    return problems


if __name__ == "__main__":
    sys.exit(main())
