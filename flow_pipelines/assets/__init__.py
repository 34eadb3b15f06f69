"""The assets of a prompt batch: their definitions, and a file for what each of them does."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from flow_pipelines.assets.batch import RUN_TAGS, Batch
from flow_pipelines.assets.batch_definitions import (
    contact_sheet_asset,
    images_asset,
    prompt_table_spec,
    prompts_asset,
    provider_runs_asset,
    workflow_asset,
)
from flow_pipelines.assets.last_night import last_night_check
from flow_pipelines.assets.shared_definitions import cost_report_asset, provider_runs_sensor

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )


def batch_assets(
    batch: Batch,
) -> Sequence[dg.AssetsDefinition | dg.SourceAsset | dg.AssetSpec]:
    """Make every asset of a batch, in the order of its life."""
    table = prompt_table_spec(batch)
    return [
        workflow_asset(batch),
        *([table] if table else []),
        prompts_asset(batch),
        provider_runs_asset(batch),
        images_asset(batch),
        contact_sheet_asset(batch),
    ]


def batch_checks(batch: Batch) -> Sequence[dg.AssetChecksDefinition]:
    """Make the checks that judge without a materialization; those of `images` come with it."""
    check = last_night_check(batch)
    return [check] if check else []


def generation_job(batch: Batch) -> "UnresolvedAssetJobDefinition":
    """Make `<name>_generation`: look at the workflow, plan, buy. Images come later, by sensor."""
    keys = [batch.key(name) for name in ("workflow", "prompts", "provider_runs")]
    return dg.define_asset_job(
        f"{batch.name}_generation",
        selection=dg.AssetSelection.assets(*keys),
        tags={**batch.tags, **RUN_TAGS},
        description=f"Plans a partition of {batch.name} and submits what is planned.",
    )


__all__ = [
    "Batch",
    "batch_assets",
    "batch_checks",
    "cost_report_asset",
    "generation_job",
    "provider_runs_sensor",
]
