"""Shares of scenes' kill points, one after the other in this process: prints a report a line."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby

import flow_pipelines_tests.conftest  # noqa: F401 - keeps accounts and proxies of the caller away
from flow_pipelines_tests.faults.crash.enumeration import SCENES, Enumeration, Report, known_of
from flow_pipelines_tests.faults.crash.forking import open_harness
from flow_pipelines_tests.faults.crash.inherited import warm_up
from flow_pipelines_tests.faults.crash.shares import Share


def run_shares(shares: Sequence[Share]) -> Iterator[Report]:
    """Try the shares' kill points; each provider has a stand-in of its own."""
    scenes = {scene.name: scene for scene in SCENES}
    for provider, its_shares in groupby(shares, lambda share: share.provider):
        with open_harness(provider) as harness:
            known = known_of(harness)
            warm_up(harness)
            for share in its_shares:
                yield Enumeration(harness, scenes[share.scene], known).run(
                    every=_while_awaited(share), twice=share.twice
                )


def _while_awaited(share: Share) -> Callable[[int], bool]:
    """Pick a share's kill points; end this process when the one that started it is gone."""
    started_by = os.getppid()

    def has(index: int) -> bool:
        if os.getppid() != started_by:
            sys.exit("nobody waits for this report")
        return share.has(index)

    return has


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    for report in run_shares([Share(**one) for one in json.loads(sys.argv[1])]):
        print(json.dumps({**asdict(report), "effects": sorted(report.effects)}), flush=True)
