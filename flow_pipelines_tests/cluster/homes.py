"""What each host has a copy of: Dagster's home, and the environment of its processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import yaml

from flow_pipelines.cli.home import Home
from flow_pipelines.cli.services import clean_environment
from flow_pipelines_tests.cluster.names import RUN_QUEUE, addresses
from flow_pipelines_tests.cluster.namespaces import CONTROL

_REPOSITORY = Path(__file__).resolve().parents[2]


def home_of(folder: Path, host: str) -> Home:
    return Home(folder / "homes" / host)


def write_home(home: Home, storage: str, redis: str) -> None:
    """Write the recommended `dagster.yaml` for several hosts; let Dagster make its tables."""
    home.prepare()
    file = home.dagster / "dagster.yaml"
    for_many = {
        "storage": {"postgres": {"postgres_url": storage}},
        "run_launcher": {
            "module": "dagster_celery.launcher",
            "class": "CeleryRunLauncher",
            "config": addresses(RUN_QUEUE, redis),
        },
        # What steps print is in their worker's log.
        "compute_logs": {
            "module": "dagster._core.storage.noop_compute_log_manager",
            "class": "NoOpComputeLogManager",
        },
    }
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **for_many}))
    with dg.DagsterInstance.from_config(str(home.dagster)):
        """Opened once, alone."""


def environment_of(home: Home, found: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that finds what `found` leads to, and nothing else."""
    here = f"{CONTROL},127.0.0.1,localhost"
    own = {"PYTHONPATH": str(_REPOSITORY), "NO_PROXY": here, "no_proxy": here}
    return clean_environment(home, {**found, **own})
