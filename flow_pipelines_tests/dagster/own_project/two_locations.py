"""One Dagster with two users' code locations, one ledger and one bucket, all as processes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dagster as dg
import pandas as pd

from flow_pipelines.cli.demo_nights import open_demo_ledger
from flow_pipelines.cli.home import Home
from flow_pipelines.cli.processes import (
    Children,
    ServiceFailed,
    ended_by_signals,
    free_port,
    listens,
)
from flow_pipelines.cli.services import RunningSandbox, clean_environment, start_sandbox
from flow_pipelines.cli.webserver import Webserver
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines_tests.dagster.own_project.installed import Installed

LOCATIONS = ("gallery", "annex")
PATIENCE_SECONDS = 240.0
ENDED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)

_LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on LaunchRunSuccess { run { runId } } } }
"""


@dataclass
class TwoLocations:
    """Everything that runs, and what its people would look at."""

    home: Home
    installed: Installed
    children: Children
    sandbox: RunningSandbox
    environment: Mapping[str, str]
    webserver: Webserver
    instance: dg.DagsterInstance
    ledger: RunLedger

    def wait_until(self, true: Callable[[], object], what: str) -> None:
        clock = SystemClock()
        deadline = clock.monotonic() + PATIENCE_SECONDS
        while not true():
            self.children.check()
            if clock.monotonic() > deadline:
                raise ServiceFailed(f"{what}: not within {PATIENCE_SECONDS} s")
            clock.sleep(0.3)

    def launch(self, location: str, night: Night) -> str:
        """Start a batch's job at one location, as its schedule would; give the run's id."""
        params = {
            "selector": {
                "repositoryLocationName": location,
                "repositoryName": "__repository__",
                "jobName": f"{night.batch}_generation",
            },
            "runConfigData": "{}",
            "executionMetadata": {
                "tags": [{"key": "dagster/partition", "value": night.partition_key}]
            },
        }
        return str(self.webserver.query(_LAUNCH, params=params)["run"]["runId"])

    def ended(self, run_id: str) -> dg.DagsterRun:
        self.wait_until(lambda: self._run(run_id).status in ENDED, run_id)
        return self._run(run_id)

    def _run(self, run_id: str) -> dg.DagsterRun:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def what_failed(self, run: dg.DagsterRun) -> str:
        records = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
        events = [one.dagster_event for one in records if one.dagster_event]
        return " ".join(
            f"{event.step_failure_data.error} {event.step_failure_data.user_failure_data}"
            for event in events
        )

    def askers(self, night: Night) -> set[str]:
        """Return the locations whose sensors asked for a run of a night."""
        runs = self.instance.get_runs(
            dg.RunsFilter(
                tags={"dagster/partition": night.partition_key, "flow_pipelines/batch": night.batch}
            )
        )
        asked = [run for run in runs if "dagster/sensor_name" in run.tags]
        return {run.remote_job_origin.location_name for run in asked if run.remote_job_origin}

    def is_collected(self, night: Night) -> bool:
        record = self.ledger.night(night)
        if record is None or not record.counts.get(SubmissionState.SUCCEEDED):
            return False
        return record.uncollected == 0 and record.revision == record.collected_revision

    def folder(self, night: Night) -> Path:
        bucket = self.environment["FLOW_PIPELINES_BUCKET"]
        return self.home.bucket / bucket / "flow" / night.batch / night.partition_key

    def images(self, night: Night) -> Sequence[Path]:
        return sorted(path for path in (self.folder(night) / "images").rglob("*.png"))

    def own_table(self, name: str) -> pd.DataFrame:
        """Read what the gallery's own IO manager stored."""
        return pd.read_csv(Path(self.environment["GALLERY"]) / f"{name}.csv")

    def billed(self) -> tuple[int, int]:
        meter = self.sandbox.control.state()["floyo"]
        return meter.runs_billed, meter.duplicate_bills


@contextmanager
def running_estate(folder: Path, installed: Installed) -> Iterator[TwoLocations]:
    """Start everything in `folder` from the installed wheel, and leave no process behind."""
    clock, home = SystemClock(), Home(folder)
    home.prepare()
    # Makes Dagster's databases before the processes start: two that make them at once collide.
    dg.DagsterInstance.from_config(str(home.dagster)).dispose()
    with ended_by_signals(), Children(home.logs, clock) as children:
        ours = {"PYTHONPATH": installed.python_path(), "GALLERY": str(folder / "gallery")}
        sandbox = start_sandbox(
            home, children, clean_environment(home, ours), "--median-seconds", "0.5"
        )
        environment = clean_environment(home, {**ours, **sandbox.environment})
        start = partial(_start, children, environment)
        ports = {location: free_port() for location in LOCATIONS}
        for location, port in ports.items():
            python_path = {"PYTHONPATH": installed.python_path(location)}
            where = ("-h", "127.0.0.1", "-p", str(port), "--location-name", location)
            command = ("dagster", "api", "grpc", *where, "-m", f"{location}.definitions")
            _start(children, {**environment, **python_path}, location, *command)
        _write_workspace(home, ports)
        webserver = Webserver(f"http://127.0.0.1:{free_port()}")
        port = webserver.url.rpartition(":")[2]
        with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
            ledger = open_demo_ledger(home, clock)
            two_locations = TwoLocations(
                home, installed, children, sandbox, environment, webserver, instance, ledger
            )
            two_locations.wait_until(lambda: all(map(listens, ports.values())), "the code servers")
            start("daemon", "dagster._daemon", "run", "-w", str(home.workspace))
            where = ("-h", "127.0.0.1", "-p", port)
            start("webserver", "dagster_webserver", "-w", str(home.workspace), *where)
            two_locations.wait_until(webserver.loaded, "the webserver")
            yield two_locations


def _start(
    children: Children, environment: Mapping[str, str], name: str, module: str, *arguments: str
) -> None:
    children.start(name, [sys.executable, "-m", module, *arguments], environment)


def _write_workspace(home: Home, ports: Mapping[str, int]) -> None:
    lines = [
        f"  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: {location}}}"
        for location, port in ports.items()
    ]
    home.workspace.write_text("\n".join(["load_from:", *lines, ""]), encoding="utf-8")
