"""`<name>/workflow`: what the provider would run now, and a version that changes with it."""

from collections.abc import Iterator

import dagster as dg

from flow_pipelines.assets.batch import Batch
from flow_pipelines.assets.heartbeat import heartbeat
from flow_pipelines.lifecycle import read_workflow
from flow_pipelines.resources.failures import failures
from flow_pipelines.resources.ports import open_ports
from flow_pipelines.storage.receipts import refuse_other_ledger


def observe(batch: Batch, context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
    """Read the workflow as it would run now, and version it by its content."""
    settings = batch.settings
    with failures(), heartbeat(context):
        ports = open_ports(
            context.resources,
            settings.resource,
            context.log.info,
            key_required=batch.planning_needs_key,
        )
        refuse_other_ledger(ports.store, batch.name, ports.ledger.ledger_id)
        current = read_workflow(settings, ports)
    yield dg.ObserveResult(
        asset_key=batch.key("workflow"),
        data_version=dg.DataVersion(current.version),
        metadata={"workflow_version": current.version, "parameters": len(current.parameters)},
    )
