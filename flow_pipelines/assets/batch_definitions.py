"""The assets of a batch as Dagster sees them; what a step needs is imported when one runs.

Every run worker loads every definition of its location, and runs one of them.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import dagster as dg

from flow_pipelines.asset_checks import check_specs
from flow_pipelines.assets.batch import Batch
from flow_pipelines.assets.columns import MANIFEST_COLUMNS, PROMPTS_COLUMNS, RUNS_COLUMNS
from flow_pipelines.assets.run_config import ProviderRunsConfig
from flow_pipelines.assets.versions import CODE, planning_code
from flow_pipelines.resources.io_manager import IO_MANAGER_KEY

_WORKFLOW = """\
The workflow `{workflow}`, as [{title}]({documentation}) would run it now.

Observing it costs nothing. Its data version is its content: when that changes, `prompts` of the
nights that were planned with another one are shown as out of step. What was bought stays as it is.
"""
_PROMPTS = """\
A row a submission: what would be sent, rendered from the prompt table and validated against the
workflow.

A row is frozen once the provider has, or may have, accepted it: if it changes later, it keeps its
picture and counts as `stale`. What was never accepted takes the table, graph and parameters of now,
and is bought when `provider_runs` is materialized next. Materializing is **free of charge** and
safe to repeat.
"""
_PROVIDER_RUNS = """\
A row a submission, bought at [{title}]({documentation}): the only asset that **spends money**.

Materializing again buys nothing: only rows that are still planned are submitted. To buy rows again
on purpose, set `regenerate` in the run config. Where all rows seem to share a fault, it stops
early: mend the graph or the table, then materialize `prompts` and this. While a night is being
made, observations say how far it is, at most ten a generation.
"""
_IMAGES = """\
Every image of the partition, verified and stored once, with its manifest.

Waits up to {seconds:g} s for provider runs when they are materialized in the same run; otherwise
polls what is due and stores what is there; a sensor asks again when more has ended. **Free of
charge**, and safe to repeat.
Of a night that was pruned nothing is done: its archive is reported.
"""
_CONTACT_SHEET = """\
The partition at a glance, beside its images in the bucket.

`contact_sheet.jpg` has every image small and captioned, failures marked; `gallery.html` is one file
to filter and to look through, with no network. **Free of charge**, and safe to repeat.
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
        description=_WORKFLOW.format(
            workflow=settings.workflow,
            title=batch.profile.title,
            documentation=batch.profile.documentation,
        ),
        metadata={"workflow": settings.workflow, "provider": settings.provider, **batch.links},
    )

    def workflow(context: dg.AssetExecutionContext) -> Iterator[dg.ObserveResult]:
        from flow_pipelines.assets.workflow import observe

        yield from observe(batch, context)

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


def _prompts_description(batch: Batch) -> str:
    if batch.table_faults is None:
        return _PROMPTS
    return f"""\
**Nothing can be bought as the table was when this code location started:**

```
{batch.table_faults}
```

{_PROMPTS}"""


def prompts_asset(batch: Batch) -> dg.AssetsDefinition:
    """Make the asset that plans a night."""
    upstream = batch.settings.prompts_asset
    ins = {"table": dg.AssetIn(key=dg.AssetKey(upstream.split("/")))} if upstream else {}
    deps = [batch.key("workflow")] + ([] if upstream else [batch.key("prompt_table")])

    @dg.asset(
        key=batch.key("prompts"),
        ins=ins,
        deps=deps,
        partitions_def=batch.partitions_def,
        io_manager_key=IO_MANAGER_KEY,
        required_resource_keys=batch.resource_keys,
        group_name=batch.name,
        kinds={"python", "parquet", "s3"},
        tags=batch.tags,
        owners=batch.owners,
        code_version=planning_code(batch.settings),
        metadata=PROMPTS_COLUMNS,
        description=_prompts_description(batch),
    )
    def prompts(context: dg.AssetExecutionContext, **tables: Any) -> dg.MaterializeResult[Any]:
        from flow_pipelines.assets.prompts import plan

        return plan(batch, context, tables)

    return prompts


def provider_runs_asset(batch: Batch) -> dg.AssetsDefinition:
    """Make the asset that submits a night."""

    @dg.asset(
        key=batch.key("provider_runs"),
        deps=[batch.key("prompts")],
        partitions_def=batch.partitions_def,
        io_manager_key=IO_MANAGER_KEY,
        required_resource_keys=batch.resource_keys,
        pool=batch.settings.provider,
        group_name=batch.name,
        kinds={batch.settings.provider, "parquet", "s3"},
        tags=batch.tags,
        owners=batch.owners,
        code_version=CODE,
        metadata={**RUNS_COLUMNS, **batch.links},
        description=_PROVIDER_RUNS.format(
            title=batch.profile.title, documentation=batch.profile.documentation
        ),
    )
    def provider_runs(
        context: dg.AssetExecutionContext, config: ProviderRunsConfig
    ) -> dg.MaterializeResult[Any]:
        from flow_pipelines.assets.provider_runs import buy

        return buy(batch, context, config)

    return provider_runs


def images_asset(batch: Batch) -> dg.AssetsDefinition:
    """Make the asset that collects a night.

    Its value, the manifest, is written by collecting itself; it is only ever loaded.
    """
    key = batch.key("images")

    @dg.asset(
        key=key,
        deps=[batch.key("provider_runs")],
        partitions_def=batch.partitions_def,
        check_specs=check_specs(key, batch.partitions_def),
        io_manager_key=IO_MANAGER_KEY,
        required_resource_keys=batch.resource_keys,
        group_name=batch.name,
        kinds={"image", "parquet", "s3"},
        tags=batch.tags,
        owners=batch.owners,
        code_version=CODE,
        metadata=MANIFEST_COLUMNS,
        description=_IMAGES.format(seconds=batch.settings.inline_wait_seconds),
    )
    # Dagster refuses the generic form beside checks.
    def images(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        from flow_pipelines.assets.images import collect

        return collect(batch, context)

    return images


def contact_sheet_asset(batch: Batch) -> dg.AssetsDefinition:
    """Make the asset that draws a night. It reads the ledger and the bucket, never a provider."""

    @dg.asset(
        key=batch.key("contact_sheet"),
        deps=[batch.key("images")],
        partitions_def=batch.partitions_def,
        required_resource_keys={"image_store", "run_ledger"},
        group_name=batch.name,
        kinds={"image", "s3"},
        tags=batch.tags,
        owners=batch.owners,
        code_version=CODE,
        description=_CONTACT_SHEET,
    )
    def contact_sheet(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from flow_pipelines.assets.contact_sheet import draw

        return draw(batch, context)

    return contact_sheet
