"""The assets and sensors that span batches as Dagster sees them; see `batch_definitions`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from flow_pipelines.assets.batch import COST_REPORT, PROVIDER_TAG, RUN_TAGS, Batch
from flow_pipelines.assets.columns import COMPARISON_COLUMNS, COST_COLUMNS
from flow_pipelines.assets.run_config import CostReportConfig
from flow_pipelines.resources.io_manager import IO_MANAGER_KEY

COMPARISON_TAG = "flow_pipelines/comparison"
SENSOR = "comparisons_sensor"
_INTERVAL_SECONDS = 30
MINIMUM_INTERVAL_SECONDS = 5
"""As often as a daemon looks: what has ended is to be found within seconds."""


def provider_runs_sensor(provider: str, resource_keys: frozenset[str]) -> dg.SensorDefinition:
    """Make `<provider>_runs_sensor`, on by default, over every batch of that provider.

    `resource_keys` are the accounts that its batches use.
    """
    target = dg.AssetSelection.tag(PROVIDER_TAG, provider) | dg.AssetSelection.assets(COST_REPORT)

    @dg.sensor(
        name=f"{provider}_runs_sensor",
        target=target,
        minimum_interval_seconds=MINIMUM_INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        required_resource_keys={*resource_keys, "image_store", "run_ledger"},
        description=(
            f"Polls every provider run at {provider} of this code location and asks for Dagster "
            "runs: to store what ended, to go on with a night that was cut short, to bring the "
            "cost report up to date."
        ),
    )
    def runs_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        from flow_pipelines.sensors import evaluate

        return evaluate(context, provider)

    return runs_sensor


def cost_report_asset(batches: Sequence[str]) -> dg.AssetsDefinition:
    """Make the asset that sums up the ledger; its edges come from the images of `batches`."""

    @dg.asset(
        key=COST_REPORT,
        deps=[dg.AssetKey([batch, "images"]) for batch in batches],
        io_manager_key=IO_MANAGER_KEY,
        required_resource_keys={"image_store", "run_ledger"},
        group_name="cost",
        kinds={"parquet", "s3"},
        metadata=COST_COLUMNS,
        description=(
            "What all batches in the ledger cost, by night, batch and provider, and in this UTC "
            "month. Money counts in the month in which it was sent out for. Free of charge."
        ),
    )
    def cost_report(
        context: dg.AssetExecutionContext, config: CostReportConfig
    ) -> dg.MaterializeResult[Any]:
        from flow_pipelines.assets.cost_report import report

        return report(context, config)

    return cost_report


@dataclass(frozen=True, kw_only=True)
class ComparedBatch:
    """A side of a comparison, as Dagster's objects share it."""

    label: str
    batch: Batch

    @property
    def note(self) -> str:
        """Return what it runs."""
        settings = self.batch.settings
        where = "" if self.label == settings.provider else f"{settings.provider} · "
        return where + settings.workflow


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison, as Dagster's objects share it."""

    name: str
    sides: Sequence[ComparedBatch]
    partitions_def: dg.PartitionsDefinition[str] | None = None
    owners: Sequence[str] = ()

    @property
    def key(self) -> dg.AssetKey:
        """Return the key of its asset."""
        return dg.AssetKey([self.name, "comparison"])


def when_collected() -> dg.AutomationCondition[Any]:
    """Ask for a partition once every side's images are there, and again when they change.

    Nights from before are asked for, too, where they have none yet. What failed, or was canceled,
    is not asked for again until a side changes.
    """
    condition = dg.AutomationCondition
    ready = ~condition.any_deps_missing() & ~condition.any_deps_in_progress()
    trigger = (condition.missing() & ready).newly_true() | condition.any_deps_updated()
    # Dagster's own `since_last_handled` would forget what was ready before its first look.
    wanted = trigger.since(condition.newly_requested() | condition.newly_updated())
    return (wanted & ready & ~condition.in_progress()).with_label("every side is collected")


def comparisons_sensor(comparisons: Sequence[str]) -> dg.AutomationConditionSensorDefinition:
    """Make the one sensor that asks for the comparisons of a location; on by default."""
    return dg.AutomationConditionSensorDefinition(
        SENSOR,
        target=dg.AssetSelection.assets(
            *(dg.AssetKey([name, "comparison"]) for name in comparisons)
        ),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=_INTERVAL_SECONDS,
        run_tags=RUN_TAGS,
        description="Asks for a comparison once the images of all its sides are collected.",
    )


def comparison_asset(comparison: Comparison) -> dg.AssetsDefinition:
    """Make the asset that lays the sides beside each other.

    It reads the ledger and the bucket, never a provider, and shows what there is.
    """

    @dg.asset(
        key=comparison.key,
        deps=[side.batch.key("images") for side in comparison.sides],
        partitions_def=comparison.partitions_def,
        automation_condition=when_collected(),
        io_manager_key=IO_MANAGER_KEY,
        required_resource_keys={"image_store", "run_ledger"},
        group_name=comparison.name,
        owners=comparison.owners,
        metadata=COMPARISON_COLUMNS,
        kinds={"html", "parquet"},
        tags={COMPARISON_TAG: comparison.name},
        description=(
            "A row a prompt, a column a side: pictures, costs and durations beside each other, as "
            "a page and as a table. Free of charge."
        ),
    )
    def compare(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from flow_pipelines.assets.comparison import compare

        return compare(comparison, context)

    return compare
