"""`<name>/prompts`: the rows of a partition, rendered, validated and planned. Costs nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from itertools import chain, islice
from typing import Any

import dagster as dg

from flow_pipelines.assets.asked_again import failures_before_buying
from flow_pipelines.assets.batch import (
    Batch,
    closed_metadata,
    location_of,
    night_of,
    place_of,
    ports_of,
    row_count,
)
from flow_pipelines.assets.columns import OF_PLANNING
from flow_pipelines.assets.heartbeat import heartbeat
from flow_pipelines.assets.versions import planned_version
from flow_pipelines.batches.first_requests import FIRST, SentInput, first_inputs
from flow_pipelines.lifecycle import PlannedNight, Ports, plan_night
from flow_pipelines.lifecycle.archive import ArchivedNight
from flow_pipelines.lifecycle.closed_nights import closed_night
from flow_pipelines.model import Submission
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.storage.tables import runs_table

_FIRST_REQUESTS = dg.TableSchema(
    [
        dg.TableColumn(field.name, "int" if field.name == "copy" else "string")
        for field in fields(SentInput)
    ]
)


def plan(
    batch: Batch, context: dg.AssetExecutionContext, tables: dict[str, Any]
) -> dg.MaterializeResult[Any]:
    """Read, render and validate the rows of a night, and plan them."""
    upstream = batch.settings.prompts_asset
    with (
        failures_before_buying(context, batch),
        heartbeat(context, night := night_of(batch, context)),
    ):
        ports = ports_of(batch, context, key_required=batch.planning_needs_key)
        closed = closed_night(night, ports)
        if closed is not None:
            return _closed(batch, closed, ports)
        planned = plan_night(
            batch.settings,
            night.partition_key,
            ports,
            location=location_of(context.run),
            table=_table(upstream, tables),
        )
        table = _table_of(ports.ledger.submission_pages(night))
        first = list(islice(ports.ledger.each_submission(night), FIRST))
        return dg.MaterializeResult(
            value=table,
            metadata=_metadata(batch, planned, table.num_rows, first)
            | place_of(batch, ports.store),
            data_version=planned_version(ports.ledger.each_submission(night)),
        )


def _closed(batch: Batch, closed: ArchivedNight, ports: Ports) -> dg.MaterializeResult[Any]:
    """Report a pruned night as it was planned: nothing is planned again."""
    table = _table_of([closed.submissions()])
    return dg.MaterializeResult(
        value=table,
        metadata={
            "rows": table.num_rows,
            "planned": 0,
            **row_count(batch, table.num_rows),
            **place_of(batch, ports.store),
            **closed_metadata(closed),
        },
        data_version=planned_version(closed.submissions()),
    )


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
    batch: Batch, planned: PlannedNight, rows: int, first: Sequence[Submission]
) -> dict[str, Any]:
    return {
        "rows": rows,
        **row_count(batch, rows),
        "planned": planned.outcome.planned,
        "stale": planned.outcome.stale,
        "workflow": batch.settings.workflow,
        "workflow_version": planned.workflow.version,
        "first_row": dg.MetadataValue.json(
            {"prompt": first[0].prompt, "parameters": dict(first[0].parameters)} if first else {}
        ),
        "first_requests": dg.MetadataValue.table(
            [dg.TableRecord(asdict(sent)) for sent in first_inputs(planned.workflow, first)],
            _FIRST_REQUESTS,
        ),
    }


def _table_of(pages: Iterable[Sequence[Submission]]) -> Any:
    """Return a night's rows, read in pages: what the table of runs says of their planning."""
    import pyarrow as pa

    tables = (runs_table(page, {}) for page in chain([[]], pages))
    return pa.concat_tables(table.select(OF_PLANNING) for table in tables)
