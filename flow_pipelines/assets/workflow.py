"""`<name>/workflow`: what the provider would run now, and a version that changes with it."""

import dagster as dg

from flow_pipelines.assets.batch import Batch
from flow_pipelines.lifecycle import read_workflow
from flow_pipelines.resources.failures import failures
from flow_pipelines.resources.ports import open_ports


def workflow_asset(batch: Batch) -> dg.SourceAsset:
    """Make the observable asset of a batch's workflow; observing it costs nothing."""
    settings = batch.settings

    @dg.observable_source_asset(
        key=batch.key("workflow"),
        group_name=batch.name,
        tags=batch.tags,
        required_resource_keys=batch.resource_keys,
        description=f"The workflow {settings.workflow} at {settings.provider}.",
        metadata={"workflow": settings.workflow, "provider": settings.provider},
    )
    def workflow(context: dg.OpExecutionContext) -> dg.DataVersion:
        with failures():
            ports = open_ports(
                context.resources,
                settings.resource,
                context.log.info,
                key_required=batch.planning_needs_key,
            )
            return dg.DataVersion(read_workflow(settings, ports).version)

    return workflow


def prompt_table_spec(batch: Batch) -> dg.AssetSpec | None:
    """Give the node of a prompt table that is a file; None when an asset gives the table."""
    if batch.settings.prompts is None:
        return None
    suffix = batch.settings.prompts.rpartition(".")[2].lower()
    return dg.AssetSpec(
        key=batch.key("prompt_table"),
        group_name=batch.name,
        description="The prompts, as a person keeps them. Read whenever prompts are planned.",
        metadata={"path": dg.MetadataValue.path(batch.settings.prompts)},
        kinds={suffix} if suffix in {"csv", "jsonl", "parquet"} else set(),
        tags=batch.tags,
    )
