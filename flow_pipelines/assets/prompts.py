"""`<name>/prompts`: the rows of a partition, rendered, validated and planned. Costs nothing."""

from itertools import chain
from typing import Any

import dagster as dg

from flow_pipelines.assets.batch import (
    Batch,
    location_of,
    night_of,
    place_of,
    ports_of,
    row_count,
)
from flow_pipelines.assets.columns import PROMPTS_COLUMNS, PROMPTS_SCHEMA
from flow_pipelines.assets.versions import planned_version, planning_code
from flow_pipelines.lifecycle import PlannedNight, Ports, plan_night
from flow_pipelines.model import Night, Submission
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.resources import IO_MANAGER_KEY
from flow_pipelines.resources.failures import failures
from flow_pipelines.storage.tables import runs_table

_DESCRIPTION = """\
A row a submission: what would be sent, rendered from the prompt table and validated against the
workflow.

A row is frozen once the provider has, or may have, accepted it: if it changes later, it keeps its
picture and counts as `stale`. What was never accepted takes the table, graph and parameters of now,
and is bought when `provider_runs` is materialized next. Materializing is **free of charge** and
safe to repeat.
"""


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
        description=_DESCRIPTION,
    )
    def prompts(context: dg.AssetExecutionContext, **tables: Any) -> dg.MaterializeResult[Any]:
        with failures():
            night = night_of(batch, context)
            ports = ports_of(batch, context, key_required=batch.planning_needs_key)
            planned = plan_night(
                batch.settings,
                night.partition_key,
                ports,
                location=location_of(context.run),
                table=_table(upstream, tables),
            )
            table = _table_of(night, ports)
            first = next(ports.ledger.each_submission(night), None)
            return dg.MaterializeResult(
                value=table,
                metadata=_metadata(batch, planned, table.num_rows, first)
                | place_of(batch, ports.store),
                data_version=planned_version(ports.ledger.each_submission(night)),
            )

    return prompts


def _table(upstream: str | None, tables: dict[str, Any]) -> Any:
    if upstream is None:
        return None
    import pandas as pd

    table = tables["table"]
    if not isinstance(table, pd.DataFrame):
        raise ConfigurationError(
            f"{upstream} gave {type(table).__name__}; prompts come from a pandas DataFrame of one "
            "partition (or of an asset without partitions)"
        )
    return table


def _metadata(
    batch: Batch, planned: PlannedNight, rows: int, first: Submission | None
) -> dict[str, Any]:
    return {
        "rows": rows,
        **row_count(batch, rows),
        "planned": planned.outcome.planned,
        "stale": planned.outcome.stale,
        "workflow": batch.settings.workflow,
        "workflow_version": planned.workflow.version,
        "first_row": dg.MetadataValue.json(
            {"prompt": first.prompt, "parameters": dict(first.parameters)} if first else {}
        ),
    }


def _table_of(night: Night, ports: Ports) -> Any:
    """Return the night's rows, read in pages: what the table of runs says of their planning."""
    import pyarrow as pa

    pages = chain([[]], ports.ledger.submission_pages(night))
    return pa.concat_tables(runs_table(page, {}).select(PROMPTS_SCHEMA.names) for page in pages)
