"""End Dagster runs of ours whose host died: they keep places in the queue, and backfills open.

A run is dead when no step of it has given a sign of life for 90 s of the ledger's time, its nights
go on without it, all that it has not finished is ours, and whoever started it does not say that it
runs. Between two steps there is no sign of life, so a run that waits there is not dead; one whose
host dies there is ended by Dagster's `max_runtime_seconds`.
"""

import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.execution.stats import StepEventStatus
from dagster._core.launcher import WorkerStatus

from flow_pipelines.assets.batch import BATCH_TAG, COST_REPORT
from flow_pipelines.assets.sensor_tick import SensorCursor
from flow_pipelines.assets.shared_definitions import COMPARISON_TAG
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.heartbeats import BEAT_SECONDS
from flow_pipelines.ledger.records import SilentRun
from flow_pipelines.lifecycle import collect_lease, submit_lease, was_taken_over
from flow_pipelines.model import UNPARTITIONED, Night
from flow_pipelines.resources.processes import lives_here
from flow_pipelines.resources.run_ledger import leaves_this_host

MOST = 20
"""Silent runs that one tick looks at."""
_LEASE_SECONDS = 60.0
_LONGEST_GAP = timedelta(seconds=60)
"""Between two looks; after a longer one the ledger, or this process, may have been away, and those
that live get two beats' time to show it."""
_TWO_BEATS = timedelta(seconds=2 * BEAT_SECONDS)
_NO_RETRY = {"dagster/max_retries": "0"}
"""Dagster's own retry would begin the night's work anew, which goes on elsewhere."""
_PARTITION = "dagster/partition"
_DONE = {StepEventStatus.SUCCESS, StepEventStatus.FAILURE, StepEventStatus.SKIPPED}
_ANSWERS_FROM_NOTES = "CeleryRunLauncher"
"""It says that a run runs once it began: a note, which nobody takes back when a host dies."""


def is_watching(cursor: SensorCursor, now: datetime) -> bool:
    """Note a look at `now`; return whether looks went on for so long that silence means something.

    A ledger that was away for minutes has heard of nobody, and every run in it lives.
    """
    if cursor.looked_at is None or now - cursor.looked_at > _LONGEST_GAP:
        cursor.looking_since = now
    cursor.looked_at = now
    return cursor.looking_since is not None and now - cursor.looking_since >= _TWO_BEATS


@dataclass(frozen=True, kw_only=True)
class DeadRuns:
    """What a sensor's tick needs to find, and end, those of its code location."""

    ledger: RunLedger
    instance: dg.DagsterInstance
    graph: BaseAssetGraph[Any]
    location: str | None
    batches: Mapping[str, dg.PartitionsDefinition[str] | None]
    """Those of the location, with their partitions."""
    own: Collection[str]
    """Those of the sensor's provider. A run is its own by the first batch that is unfinished."""

    def end(self) -> Iterator[str]:
        """Report dead runs as failed, a bounded number; yield a message for each."""
        for silent in self.ledger.silent_runs(self.location, limit=MOST):
            try:
                yield from self._look_at(silent)
            except Exception as error:  # noqa: BLE001 - Dagster's storages, of any kind
                yield f"Dagster run {silent.run_id} gives no sign of life: {error}"

    def _look_at(self, silent: SilentRun) -> Iterator[str]:
        run = self.instance.get_run_by_id(silent.run_id)
        if run is None or run.is_finished:
            self.ledger.close_run(silent.run_id)
        elif self._is_dead(run, silent):
            yield from self._end(silent)

    def _is_dead(self, run: dg.DagsterRun, silent: SilentRun) -> bool:
        if run.status is not dg.DagsterRunStatus.STARTED:
            return False
        nights = self._nights(run)
        return (
            nights is not None
            and (not nights or min(nights).batch in self.own)
            and all(
                was_taken_over(self.ledger, run.run_id, night, assets, silent.beat_at)
                for night, assets in nights.items()
            )
            and not _is_said_to_run(self.instance, run, silent)
        )

    def _nights(self, run: dg.DagsterRun) -> Mapping[Night, set[str]] | None:
        """Return the nights of what a run has not finished; None: it is not for us to end it."""
        nights: dict[Night, set[str]] = {}
        unfinished = unfinished_assets(self.instance, run)
        for key in unfinished or ():
            tags = self.graph.get(key).tags if self.graph.has(key) else {}
            batch = tags.get(BATCH_TAG, "")
            if batch in self.batches:
                partitioned = self.batches[batch] is not None
                partition = run.tags.get(_PARTITION, "") if partitioned else UNPARTITIONED
                nights.setdefault(Night(batch, partition), set()).add(key.path[-1])
            elif key != COST_REPORT and COMPARISON_TAG not in tags:
                return None
        return None if unfinished is None else nights

    def _end(self, silent: SilentRun) -> Iterator[str]:
        run_id, owner = silent.run_id, uuid.uuid4().hex
        nights = {Night(step.batch, step.partition_key) for step in silent.steps}
        leases = [lease(night) for night in nights for lease in (submit_lease, collect_lease)]
        # Another sensor's tick may have found it, too: once is enough.
        if not self.ledger.acquire_lease(f"end:{run_id}", owner, _LEASE_SECONDS):
            return
        if self.ledger.end_run(run_id, silent=leases):
            run = self.instance.get_run_by_id(run_id)
            if run is not None and not run.is_finished:
                self.instance.add_run_tags(run_id, _NO_RETRY)
                self.instance.report_run_failed(run, _in_words(silent))
                yield f"Dagster run {run_id} was reported as failed: {_in_words(silent)}"
            self.ledger.close_run(run_id)
        self.ledger.release_lease(f"end:{run_id}", owner)


def unfinished_assets(
    instance: dg.DagsterInstance, run: dg.DagsterRun
) -> Collection[dg.AssetKey] | None:
    """Return the assets whose steps a run has not finished; None: not all that it does is known."""
    if run.execution_plan_snapshot_id is None:
        return None
    plan = instance.get_execution_plan_snapshot(run.execution_plan_snapshot_id)
    done = {one.step_key for one in instance.get_run_step_stats(run.run_id) if one.status in _DONE}
    unfinished: set[dg.AssetKey] = set()
    for step in plan.steps:
        if step.key in done or step.key not in plan.step_keys_to_execute:
            continue
        entities = [output.properties for output in step.outputs]
        keys = {one.asset_key for one in entities if one and one.asset_key}
        keys |= {one.asset_check_key.asset_key for one in entities if one and one.asset_check_key}
        if not keys:
            return None
        unfinished |= keys
    return unfinished


def _is_said_to_run(instance: dg.DagsterInstance, run: dg.DagsterRun, silent: SilentRun) -> bool:
    """Return whether its launcher, or this host, where it is started, says that a run goes on."""
    if not leaves_this_host(instance) and any(
        lives_here(step.host, step.process) for step in silent.steps
    ):
        return True
    launcher = instance.run_launcher
    names = {kind.__name__ for kind in type(launcher).__mro__}
    if not launcher.supports_check_run_worker_health or _ANSWERS_FROM_NOTES in names:
        return False
    try:
        return launcher.check_run_worker_health(run).status is WorkerStatus.RUNNING
    except Exception:  # noqa: BLE001 - launchers of any kind; who is not heard has not said no
        return True


def _in_words(silent: SilentRun) -> str:
    hosts = ", ".join(sorted({step.host for step in silent.steps}))
    return (
        f"nothing was heard of it from {hosts} since {silent.beat_at:%Y-%m-%d %H:%M:%S} UTC, and "
        "its night goes on without it. Nothing is bought twice"
    )
