"""The code location that every host loads: the sample batches, their steps sent out by Celery.

The clock of a host may be set wrong: only this location reads the variable that says so.
"""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster_celery import celery_executor

import flow_pipelines
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.resources import RunLedgerResource, default_resources
from flow_pipelines_tests.cluster.names import (
    AHEAD,
    HOST,
    NOTES,
    STEP_QUEUE,
    addresses,
    step_settings,
)


class SkewedClock(SystemClock):
    """A machine's clock that is not set right."""

    def __init__(self, ahead_seconds: float) -> None:
        self._ahead = timedelta(seconds=ahead_seconds)

    def now(self) -> datetime:
        return super().now() + self._ahead


class HostLedgerResource(RunLedgerResource):
    """The ledger as one host opens it; it notes which step works where."""

    def of_step(
        self, context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext
    ) -> RunLedger:
        note = {
            "host": os.environ.get(HOST, "control"),
            "run_id": context.run.run_id,
            "step": context.op_execution_context.op.name,
        }
        with Path(os.environ[NOTES]).open("a", encoding="utf-8") as notes:
            notes.write(json.dumps(note) + "\n")
        return super().of_step(context)

    def _open(self, url: str) -> RunLedger:
        return open_ledger(url, host=SkewedClock(float(os.environ.get(AHEAD, "0"))))


@dg.definitions
def defs() -> dg.Definitions:
    """Load the sample batches without their schedules, which would buy nights of their own."""
    samples = dg.load_from_defs_folder(path_within_project=Path(flow_pipelines.__file__).parent)
    own = dg.Definitions(
        resources={**default_resources(), "run_ledger": HostLedgerResource()},
        executor=celery_executor.configured(
            {**addresses(STEP_QUEUE), "config_source": step_settings()}, name="celery"
        ),
    )
    samples = dg.Definitions(
        assets=samples.assets,
        asset_checks=samples.asset_checks,
        jobs=samples.jobs,
        sensors=samples.sensors,
        component_tree=samples.component_tree,
        metadata=samples.metadata,
    )
    return dg.Definitions.merge(samples, own)
