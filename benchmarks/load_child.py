"""Loads a project as a run worker does, in a process of its own, and tells what that took.

It imports nothing of ours: `load` runs it also where this package is not installed.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time


def main(root: str) -> None:
    sys.path.insert(0, root)
    definitions = importlib.import_module("loaded.definitions")
    repository = definitions.defs().get_repository_def()
    nodes = repository.asset_graph.asset_nodes
    found = {
        "cpu_seconds": time.process_time(),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "assets": len(nodes),
        "checks": sum(len(node.check_keys) for node in nodes),
        "jobs": len(repository.get_all_jobs()),
        "schedules": len(repository.schedule_defs),
        "sensors": len(repository.sensor_defs),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
