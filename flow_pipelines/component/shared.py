"""The components' common base and fields, and the definitions that span batches."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import ConfigDict, Field, PrivateAttr

from flow_pipelines.component.fields import (
    Amount,
    EmptyCells,
    Partitions,
    RawParameters,
    RawTable,
)
from flow_pipelines.component.location import Location, Purchase, location_of

if TYPE_CHECKING:
    from flow_pipelines.assets import Batch


class WorkflowFields(dg.Model):
    """A provider with a workflow, and what a person says of them in YAML."""

    provider: str = Field(description="Which service runs it.", examples=["floyo"])
    resource: str | None = Field(
        default=None, description="Resource key of the account that pays; default: the provider."
    )
    workflow: str = Field(
        description=(
            "What is run. floyo: a ComfyUI graph in API format, relative to this file or s3://; "
            "elsewhere an id or slug at the provider."
        ),
        examples=["sd15_txt2img.json"],
    )
    parameters: RawParameters = Field(default_factory=dict)
    price_usd_per_run: Amount = Field(
        default=None, description="Price of a run, where the provider states none."
    )
    allow_identical: bool = Field(
        default=False, description="Allow requests that the provider answers from its cache."
    )


class BatchSource(dg.Component, dg.Model):
    """Base of the components that define prompt batches, with the fields that they share."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    name: str = Field(
        description="Name, [a-z0-9_]+: first part of its assets' keys, folder in S3.",
        examples=["city_posters"],
    )
    prompts: RawTable
    runs_per_prompt: int = Field(
        default=1, ge=1, description="Copies of each row; of a comparison: on each side."
    )
    partitions_def: Partitions = None
    schedule: str | None = Field(
        default=None,
        description=(
            "Cron expression in the partitions' time zone, for the last complete partition (of "
            "every side). On from the start. Needs time partitions."
        ),
        examples=["0 2 * * *"],
    )
    deadline_seconds: float = Field(
        default=4 * 3600.0,
        gt=0,
        description=(
            "From the schedule's time until a night has to be in the bucket; then the check "
            "`last_night_exists` fails."
        ),
    )
    owners: list[str] = Field(
        default_factory=list,
        description="Whom to ask: e-mail addresses, or team:name; owners of every asset.",
        examples=[["team:pictures", "ana@example.com"]],
    )
    budget_usd: Amount = Field(
        default=None,
        description="Most to spend on one partition; of a comparison: on each side.",
    )
    run_timeout_seconds: float = Field(
        default=3600.0, gt=0, description="From submission; then a provider run is overdue."
    )
    inline_wait_seconds: float = Field(
        default=600.0,
        ge=0,
        description="How long a run that includes `images` waits for provider runs.",
    )
    empty_cells: EmptyCells = "refuse"
    stop_after_failures: int = Field(
        default=10,
        ge=1,
        description=(
            "When the first so many provider runs that ended all failed, nothing more of a "
            "partition is sent until somebody materializes `provider_runs` again."
        ),
    )

    _built: "tuple[Batch, ...]" = PrivateAttr(default=())

    @property
    def built(self) -> "Sequence[Batch]":
        """The batches that definitions were built of; none before."""
        return self._built

    @abstractmethod
    def purchases(self) -> Sequence[Purchase]:
        """Return its batches, as they are written."""

    @abstractmethod
    def own_definitions(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build what no other component shares. Raises: InvalidBatch."""

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build the definitions. Raises: InvalidBatch, with file, line and column."""
        own = self.own_definitions(context)
        return dg.Definitions.merge(own, shared_definitions(context, self))


def written_in(path: Path) -> tuple[Path, str | None]:
    """Return a component's folder and `defs.yaml`, if there is one; `path` is either of them."""
    folder = path if path.is_dir() else path.parent
    file = folder / "defs.yaml"
    return folder, str(file) if file.is_file() else None


def location_with(context: dg.ComponentLoadContext, component: BatchSource) -> Location:
    """Return the code location of a component; one of its own, where it is in no tree."""
    found = location_of(context)
    if found is None:
        purchases = sorted(component.purchases(), key=lambda purchase: purchase.batch)
        return Location(purchases, [component.name])
    return found


def shared_definitions(context: dg.ComponentLoadContext, component: BatchSource) -> dg.Definitions:
    """Return what spans batches, from the component of the first batch that needs it.

    Dagster makes a copy of every definition that comes out of YAML, so the very same object
    from two components would count as two of one name.
    """
    from flow_pipelines.assets import cost_report_asset, provider_runs_sensor

    location, own = location_with(context, component), component.purchases()
    sensors = []
    for provider in sorted({purchase.provider for purchase in own}):
        siblings = location.by_provider[provider]
        if siblings.first in own:
            sensors.append(provider_runs_sensor(provider, siblings.resources))
    reports = []
    if location.purchases[0] in own:
        reports.append(cost_report_asset([purchase.batch for purchase in location.purchases]))
    return dg.Definitions(assets=reports, sensors=sensors)
