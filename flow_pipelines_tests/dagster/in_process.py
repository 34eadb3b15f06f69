"""What a webserver and a daemon do, in this process: queries, and one turn of each at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
from dagster_graphql.test.utils import execute_dagster_graphql

from flow_pipelines.cli.home import Home

LOCATION = "here"
ACTIVE = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
_LOADED: list[dg.Definitions] = []

_BACKFILL = """
mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename
  ... on PythonError { message }
  ... on LaunchBackfillSuccess { backfillId } } }
"""

_AGAIN = """
mutation($params: ReexecutionParams!) {
  reexecutePartitionBackfill(reexecutionParams: $params) {
    __typename
    ... on PythonError { message }
    ... on LaunchBackfillSuccess { backfillId } } }
"""

_RUN_AGAIN = """
mutation($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
  __typename
  ... on PythonError { message }
  ... on LaunchRunSuccess { run { runId } } } }
"""

_LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } }
  ... on LaunchRunSuccess { run { runId } } } }
"""

_STATE = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  __typename
  ... on PartitionBackfill { status assetBackfillData { assetBackfillStatuses {
    ... on AssetPartitionsStatusCounts {
      assetKey { path }
      numPartitionsTargeted numPartitionsInProgress numPartitionsMaterialized numPartitionsFailed
    } } } } } }
"""


@dg.definitions
def loaded() -> dg.Definitions:
    """Return what the code location holds: the definitions of the test at hand."""
    return _LOADED[-1]


class EndlessLauncher(SyncInMemoryRunLauncher):
    """Starts runs that do not end by themselves, and do nothing."""

    def launch_run(self, context: LaunchRunContext) -> None:
        """Let the run be started, and no more."""
        self._instance.handle_new_event(_started(context.dagster_run))


def _started(run: dg.DagsterRun) -> Any:
    from dagster._core.events import DagsterEvent, DagsterEventType
    from dagster._core.events.log import EventLogEntry

    kind = DagsterEventType.RUN_START.value
    return EventLogEntry(
        error_info=None,
        level=logging.INFO,
        user_message="",
        run_id=run.run_id,
        timestamp=0.0,
        dagster_event=DagsterEvent(event_type_value=kind, job_name=run.job_name),
    )


@contextmanager
def recommended_instance(
    folder: Path, launcher: type[SyncInMemoryRunLauncher] = SyncInMemoryRunLauncher
) -> Iterator[dg.DagsterInstance]:
    """Make an instance of the `dagster.yaml` that a demo uses; only its launcher is another."""
    home = Home(folder)
    home.prepare()
    place = f"{{module: {launcher.__module__}, class: {launcher.__name__}}}"
    with (home.dagster / "dagster.yaml").open("a", encoding="utf-8") as settings:
        settings.write(f"run_launcher: {place}\n")
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        yield instance


@dataclass(frozen=True)
class InProcessDagster:
    """An instance and a code location, with whom a browser would talk to."""

    process: WorkspaceProcessContext
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    def ask(self, text: str, **variables: Any) -> Mapping[str, Any]:
        """Ask as the UI does; an error is the test's."""
        request = self.process.create_request_context()
        result = execute_dagster_graphql(request, text, variables=variables)
        assert not result.errors, result.errors
        (field,) = result.data.values()
        assert not field["__typename"].endswith(("Error", "Invalid", "Conflict")), field
        return dict(field)

    def backfill(
        self, assets: Sequence[str], partition_keys: Sequence[str], run_config: str | None = None
    ) -> str:
        """Send what the dialog "Materialize" sends for several partitions; give the id."""
        params = {
            "tags": [],
            "assetSelection": [{"path": asset.split("/")} for asset in assets],
            "partitionNames": list(partition_keys),
            "fromFailure": False,
            "runConfigData": run_config,
        }
        return str(self.ask(_BACKFILL, params=params)["backfillId"])

    def reexecute_failed(self, backfill: str) -> str:
        """Send what "Re-execute from failure" sends on a backfill's page; give the new id."""
        params = {"parentRunId": backfill, "strategy": "FROM_FAILURE"}
        return str(self.ask(_AGAIN, params=params)["backfillId"])

    def reexecute_failed_run(self, run_id: str) -> str:
        """Send what "Re-execute from failure" sends on a run's page; give the new id."""
        params = {"parentRunId": run_id, "strategy": "FROM_FAILURE"}
        return str(self.ask(_RUN_AGAIN, params=params)["run"]["runId"])

    def launch(self, request: dg.RunRequest, job: str = "__ASSET_JOB") -> str:
        """Queue the run that a schedule or sensor asks for; give its id."""
        tags = {**request.tags}
        if request.run_key:
            tags["dagster/run_key"] = request.run_key
        if request.partition_key:
            tags["dagster/partition"] = request.partition_key
        selected = request.asset_selection
        selection = [{"path": list(key.path)} for key in selected] if selected else None
        params = {
            "selector": {
                "repositoryLocationName": LOCATION,
                "repositoryName": "__repository__",
                "jobName": job,
                "assetSelection": selection,
            },
            "runConfigData": request.run_config,
            "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in tags.items()]},
        }
        return str(self.ask(_LAUNCH, params=params)["run"]["runId"])

    def queue_turn(self) -> None:
        """Start what the run queue allows; with the usual launcher, those runs end in here."""
        for error in QueuedRunCoordinatorDaemon(1).run_iteration(self.process):
            assert error is None, error

    def backfill_turn(self) -> None:
        """Let the daemon look at every backfill once."""
        for error in execute_backfill_iteration(self.process, logging.getLogger("backfills")):
            assert error is None, error

    def status(self, backfill: str) -> str:
        """Return a backfill's state."""
        return str(self.ask(_STATE, id=backfill)["status"])

    def counts(self, backfill: str) -> Mapping[str, tuple[int, int, int, int]]:
        """Return asset → partitions targeted, in progress, materialized, failed."""
        statuses = self.ask(_STATE, id=backfill)["assetBackfillData"]["assetBackfillStatuses"]
        names = ("Targeted", "InProgress", "Materialized", "Failed")
        return {
            "/".join(one["assetKey"]["path"]): tuple(one[f"numPartitions{n}"] for n in names)
            for one in statuses
        }

    def runs(
        self, backfill: str | None = None, *, statuses: Sequence[dg.DagsterRunStatus] = ()
    ) -> Sequence[dg.DagsterRun]:
        """Return runs, the oldest first."""
        tags = {"dagster/backfill": backfill} if backfill else {}
        return self.instance.get_runs(
            dg.RunsFilter(tags=tags, statuses=list(statuses)), ascending=True
        )


@contextmanager
def in_process_dagster(
    defs: dg.Definitions, instance: dg.DagsterInstance
) -> Iterator[InProcessDagster]:
    """Serve these definitions."""
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(module_name=__name__, attribute="loaded"), location_name=LOCATION
    )
    _LOADED.append(defs)
    try:
        with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as process:
            yield InProcessDagster(process, instance, defs)
    finally:
        _LOADED.pop()
