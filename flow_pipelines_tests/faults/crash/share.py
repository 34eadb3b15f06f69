"""One share of a scene's kill points, in this process: prints its report as JSON."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import flow_pipelines_tests.conftest  # noqa: F401 - keeps accounts and proxies of the caller away
from flow_pipelines_tests.faults.crash.enumeration import SCENES, Enumeration, Report, known_of
from flow_pipelines_tests.faults.crash.lane import open_bench
from flow_pipelines_tests.faults.crash.shares import Share


def run_share(share: Share) -> Report:
    """Try a share's kill points at a stand-in of its own."""
    (scene,) = (one for one in SCENES if one.name == share.scene)
    with open_bench(share.provider) as bench:
        enumeration = Enumeration(bench, scene, known_of(bench))
        return enumeration.run(
            every=lambda index: index % share.of == share.first, twice=share.twice
        )


if __name__ == "__main__":
    told = asdict(run_share(Share(**json.loads(sys.argv[1]))))
    print(json.dumps({**told, "effects": sorted(told["effects"])}))
