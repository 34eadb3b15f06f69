"""`<name>/workflow`: what the provider would run now, and a version that changes with it."""

import warnings
from collections.abc import Iterator

import dagster as dg

from flow_pipelines.assets.batch import Batch
from flow_pipelines.lifecycle import read_workflow
from flow_pipelines.resources.failures import failures
from flow_pipelines.resources.ports import open_ports, step_ledger
from flow_pipelines.storage.receipts import refuse_other_ledger

_DESCRIPTION = """\
The workflow `{workflow}`, as [{title}]({documentation}) would run it now.

Observing it costs nothing. Its data version is its content: when that changes, `prompts` of the
nights that were planned with another one are shown as out of step. What was bought stays as it is.
"""


def workflow_asset(batch: Batch) -> dg.AssetsDefinition:
    """Make the observable asset of a batch's workflow; observing it costs nothing."""
    settings = batch.settings
    spec = dg.AssetSpec(
        key=batch.key("workflow"),
        group_name=batch.name,
        tags=batch.tags,
        owners=batch.owners,
        kinds={
            settings.provider,
            *({"json"} if batch.profile.capabilities.workflow_is_file else ()),
        },
        description=_DESCRIPTION.format(
            workflow=settings.workflow,
            title=batch.profile.title,
            documentation=batch.profile.documentation,
        ),
        metadata={"workflow": settings.workflow, "provider": settings.provider, **batch.links},
    )

    def workflow(context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
        with failures():
            step_ledger(context)
            ports = open_ports(
                context.resources,
                settings.resource,
                context.log.info,
                key_required=batch.planning_needs_key,
            )
            refuse_other_ledger(ports.store, batch.name, ports.ledger.ledger_id)
            current = read_workflow(settings, ports)
        yield dg.ObserveResult(
            asset_key=spec.key,
            data_version=dg.DataVersion(current.version),
            metadata={"workflow_version": current.version, "parameters": len(current.parameters)},
        )

    with warnings.catch_warnings():
        # The form for one asset takes no owners. This release is pinned exactly.
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        made: dg.AssetsDefinition = dg.multi_observable_source_asset(
            specs=[spec],
            name=f"{batch.name}__workflow",
            required_resource_keys=batch.resource_keys,
        )(workflow)
    return made


def prompt_table_spec(batch: Batch) -> dg.AssetSpec | None:
    """Return the node of a prompt table that is a file; None when an asset gives the table."""
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
        owners=batch.owners,
    )
