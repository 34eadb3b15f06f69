"""Runs the scenarios: `python -m flow_pipelines_tests.cluster [--short] [--only NAME]…`.

Exits with 1 where a promise broke, with 2 where this machine cannot have such a cluster.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

import flow_pipelines_tests.conftest  # noqa: F401 - keeps accounts and proxies of the caller away
from flow_pipelines.cli.processes import ended_by_signals
from flow_pipelines_tests.cluster.catalogue import SCENARIOS, SHORT, Scenario
from flow_pipelines_tests.cluster.hosts import HOSTS, Cluster, running_cluster
from flow_pipelines_tests.cluster.namespaces import Network, NoNamespaces, network
from flow_pipelines_tests.cluster.report import Outcome, judge, show
from flow_pipelines_tests.cluster.scenarios import CannotRun
from flow_pipelines_tests.cluster.trial import Trial, failed
from flow_pipelines_tests.scratch import memory_folder

CANNOT_RUN = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="cluster", description=__doc__)
    names = [scenario.name for scenario in SCENARIOS]
    parser.add_argument("--only", action="append", choices=names, help="one scenario; repeatable")
    parser.add_argument("--short", action="store_true", help="one night and one kill")
    wanted = parser.parse_args(arguments)
    chosen = [one for one in SCENARIOS if wanted.only is None or one.name in wanted.only]
    console = Console(width=max(Console().width, 110))
    if shutil.which("redis-server") is None:
        console.print("Not run: redis-server is not installed", highlight=False)
        return CANNOT_RUN
    try:
        with ended_by_signals(), network(HOSTS) as made:
            return _run([SHORT] if wanted.short else chosen, made, console)
    except NoNamespaces as reason:
        console.print(f"Not run: {reason}", highlight=False)
        return CANNOT_RUN
    except KeyboardInterrupt:
        console.print("Interrupted; nothing is left running.")
        return 130


def _run(chosen: Sequence[Scenario], made: Network, console: Console) -> int:
    logs = Path(tempfile.mkdtemp(prefix="flow-cluster-logs-", dir="/tmp"))
    outcomes: list[Outcome] = []
    good = False
    with tempfile.TemporaryDirectory(prefix="flow-cluster-", dir=memory_folder()) as folder:
        try:
            with running_cluster(made, Path(folder), logs) as cluster:
                for scenario in chosen:
                    console.print(f"{scenario.title} …")
                    outcomes.append(_try(scenario, cluster))
                    show(outcomes[-1:], console)
            good = not any(outcome.broken for outcome in outcomes)
        finally:
            if good:
                shutil.rmtree(logs)
            else:
                console.print(f"Logs of each process: {logs}", soft_wrap=True)
    if len(outcomes) > 1:
        show(outcomes, console)
    return 0 if good else 1


def _try(scenario: Scenario, cluster: Cluster) -> Outcome:
    trial = Trial(cluster, scenario.nights, scenario.limit_seconds)
    problems = []
    try:
        scenario.run(trial)
    except CannotRun as reason:
        return Outcome(scenario=scenario.title, not_run=str(reason))
    except Exception as error:  # noqa: BLE001 - the others are still worth trying
        problems.append(failed(error))
    outcome = judge(scenario.title, trial, problems)
    with suppress(Exception):
        cluster.control.clear_faults()
    return outcome


if __name__ == "__main__":
    sys.exit(main())
