"""`cost_report`: what every batch cost, by night and provider. Free of charge."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg

from flow_pipelines.reports.cost_chart import cost_chart
from flow_pipelines.reports.cost_report import cost_frame, cost_markdown
from flow_pipelines.resources import IO_MANAGER_KEY
from flow_pipelines.resources.failures import failures

if TYPE_CHECKING:
    import pandas as pd

COST_REPORT = dg.AssetKey("cost_report")


def cost_report_asset(batches: Sequence[str]) -> dg.AssetsDefinition:
    """Make the asset that sums up the ledger; its edges come from the images of `batches`."""

    @dg.asset(
        key=COST_REPORT,
        deps=[dg.AssetKey([batch, "images"]) for batch in batches],
        io_manager_key=IO_MANAGER_KEY,
        required_resource_keys={"image_store", "run_ledger"},
        group_name="cost",
        kinds={"parquet"},
        description="Cost and FloTime of all batches in the ledger, by night and provider.",
    )
    def cost_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        with failures():
            frame = cost_frame(context.resources.run_ledger.get_ledger().cost_lines())
            store = context.resources.image_store.get_store()
            key = store.key("cost_report", "cost_report.png")
            store.put(key, cost_chart(frame), media_type="image/png")
            return dg.MaterializeResult(
                value=_table(frame),
                metadata={
                    "cost_usd": float(sum(frame["cost_usd"], Decimal(0))),
                    "images": int(frame["images"].sum()),
                    "provider_runs": int(frame["runs"].sum()),
                    "flotime_ms": int(frame["flotime_ms"].sum()),
                    "runs_cost_unknown": int(frame["runs_cost_unknown"].sum()),
                    "nights": len(frame),
                    "chart": dg.MetadataValue.path(store.uri(key)),
                    "report": dg.MetadataValue.md(cost_markdown(frame)),
                },
            )

    return cost_report


def _table(frame: "pd.DataFrame") -> Any:
    import pyarrow as pa

    money = pa.decimal128(18, 6)
    types = {
        "night": pa.string(),
        "batch": pa.string(),
        "provider": pa.string(),
        "runs": pa.int64(),
        "failed": pa.int64(),
        "images": pa.int64(),
        "flotime_ms": pa.int64(),
        "cost_usd": money,
        "cost_per_image_usd": money,
        "estimated_usd": money,
        "runs_cost_unknown": pa.int64(),
    }
    schema = pa.schema([(name, types[name]) for name in frame.columns])
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
