"""`PromptComparisonComponent`: the same prompts on two to four sides, and what came of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import dagster as dg
from pydantic import ConfigDict, Field, PrivateAttr

from flow_pipelines.assets import Batch
from flow_pipelines.assets.comparison import (
    ComparedBatch,
    Comparison,
    comparison_asset,
    comparisons_sensor,
)
from flow_pipelines.batches.positions import placed
from flow_pipelines.component.comparison_checks import comparison_faults
from flow_pipelines.component.fields import (
    STOP_AFTER_FAILURES,
    Amount,
    Partitions,
    RawParameters,
    RawTable,
)
from flow_pipelines.component.prompt_batch import PromptBatchComponent
from flow_pipelines.component.shared import BatchSource, Purchase, purchases_of
from flow_pipelines.model import BatchSettings
from flow_pipelines.model.errors import InvalidBatch


class ComparedSide(dg.Model, dg.Resolvable):
    """One of the ways that the prompts go: a provider with a workflow."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    provider: str = Field(description="Which service runs it.", examples=["floyo"])
    name: str | None = Field(
        default=None,
        description=(
            "How the side is called, [a-z0-9_]+; default: the provider. Its batch is "
            "`<name of the comparison>_<name of the side>`."
        ),
    )
    resource: str | None = Field(
        default=None, description="Resource key of the account that pays; default: the provider."
    )
    workflow: str = Field(description="What is run, as in a prompt batch.")
    parameters: RawParameters = Field(default_factory=dict)
    budget_usd: Amount = Field(
        default=None, description="Most to spend on one partition here; default: the comparison's."
    )
    price_usd_per_run: Amount = Field(
        default=None, description="Price of a run, where the provider states none."
    )
    allow_identical: bool = Field(
        default=False, description="Allow requests that the provider answers from its cache."
    )

    @property
    def label(self) -> str:
        """Return the name, as it is written or by default."""
        return self.name or self.provider


class PromptComparisonComponent(BatchSource, dg.Model, dg.Resolvable):
    """The same prompts through two to four providers or workflows, side by side.

    Every side is a prompt batch of its own, `<name>_<side>`, with all that belongs to one: assets,
    checks, job, schedule, sensor, budget. `<name>/comparison` follows when the images of all sides
    are there: a page with a row a prompt and a column a side, and a table of costs and durations.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    name: str = Field(
        description="Name of the comparison, [a-z0-9_]+: its asset's key, its folder in S3.",
        examples=["which_is_best"],
    )
    prompts: RawTable
    sides: Sequence[ComparedSide] = Field(
        description="Two to four ways to run every prompt: a provider and a workflow each."
    )
    runs_per_prompt: int = Field(default=1, ge=1, description="Copies of each row, on each side.")
    partitions_def: Partitions = None
    schedule: str | None = Field(
        default=None,
        description=(
            "Cron expression in the partitions' time zone, for the last complete partition of "
            "every side. On from the start. Needs time partitions."
        ),
        examples=["0 2 * * *"],
    )
    deadline_seconds: float = Field(
        default=4 * 3600.0,
        gt=0,
        description="From the schedule's time until a night has to be in the bucket.",
    )
    owners: list[str] = Field(
        default_factory=list,
        description="Whom to ask: e-mail addresses, or team:name; owners of every asset.",
        examples=[["team:pictures", "ana@example.com"]],
    )
    budget_usd: Amount = Field(
        default=None, description="Most to spend on one partition, on each side."
    )
    run_timeout_seconds: float = Field(
        default=3600.0, gt=0, description="From submission; then a provider run is overdue."
    )
    inline_wait_seconds: float = Field(
        default=600.0,
        ge=0,
        description="How long a run that includes a side's `images` waits for provider runs.",
    )
    stop_after_failures: int = Field(default=10, ge=1, description=STOP_AFTER_FAILURES)

    _built: tuple[Batch, ...] = PrivateAttr(default=())

    @property
    def built(self) -> Sequence[Batch]:
        """The sides' batches, once definitions were built of them."""
        return self._built

    @classmethod
    def get_spec(cls) -> dg.ComponentTypeSpec:
        """Describe the type for Dagster's catalog."""
        return dg.ComponentTypeSpec(
            description="The same prompts through several hosted AI workflows, side by side.",
            tags=["images", "generative-ai", "comfyui"],
            produces=["asset", "asset_check", "job", "schedule", "sensor"],
        )

    def purchases(self) -> Sequence[Purchase]:
        """Return the sides' batches, as they are written."""
        return [
            Purchase(
                batch=self._batch_name(side),
                provider=side.provider,
                resource=side.resource or side.provider,
            )
            for side in self.sides
        ]

    def own_definitions(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Build every side and what compares them. Raises: InvalidBatch, with every problem."""
        batches = self._batches(Path(context.path))
        others = context.component_tree.get_all_components(of_type=PromptComparisonComponent)
        names = sorted([one.name for one in others] or [self.name])
        faults = comparison_faults(
            self.name, self.purchases(), purchases_of(context, self), comparisons=names
        )
        problems = placed(self._written(Path(context.path)), list(faults))
        built = []
        for side, batch in zip(self._sides(), batches, strict=True):
            try:
                built.append(side.definitions_of(batch))
            except InvalidBatch as error:
                problems += error.problems
        if problems:
            # What the sides have in common is told once.
            raise InvalidBatch(self.name, list(dict.fromkeys(problems)))
        self._built = tuple(batches)
        # Dagster takes one sensor of a name: the first comparison of the location brings it.
        sensors = [comparisons_sensor(names)] if self.name == names[0] else []
        own = dg.Definitions(assets=[comparison_asset(self._comparison(batches))], sensors=sensors)
        return dg.Definitions.merge(*built, own)

    def _sides(self) -> Sequence[PromptBatchComponent]:
        """Return each side as the prompt batch that it is."""
        return [
            PromptBatchComponent(
                name=self._batch_name(side),
                provider=side.provider,
                resource=side.resource,
                workflow=side.workflow,
                prompts=self.prompts,
                parameters=side.parameters,
                runs_per_prompt=self.runs_per_prompt,
                partitions_def=self.partitions_def,
                schedule=self.schedule,
                deadline_seconds=self.deadline_seconds,
                owners=self.owners,
                budget_usd=self.budget_usd if side.budget_usd is None else side.budget_usd,
                price_usd_per_run=side.price_usd_per_run,
                run_timeout_seconds=self.run_timeout_seconds,
                inline_wait_seconds=self.inline_wait_seconds,
                allow_identical=side.allow_identical,
                stop_after_failures=self.stop_after_failures,
            )
            for side in self.sides
        ]

    def _batches(self, path: Path) -> Sequence[Batch]:
        """Return the sides' batches, which know where in the file they are written."""
        return [
            replace(
                batch,
                settings=replace(batch.settings, defs_name=self.name, defs_path=("sides", number)),
            )
            for number, batch in enumerate(side.batch(path) for side in self._sides())
        ]

    def _batch_name(self, side: ComparedSide) -> str:
        return f"{self.name}_{side.label}"

    def _comparison(self, batches: Sequence[Batch]) -> Comparison:
        return Comparison(
            name=self.name,
            sides=[
                ComparedBatch(label=side.label, batch=batch)
                for side, batch in zip(self.sides, batches, strict=True)
            ],
            partitions_def=self.partitions_def,
            owners=tuple(self.owners),
        )

    def _written(self, path: Path) -> BatchSettings:
        """Return what tells where the comparison itself is written."""
        folder = path if path.is_dir() else path.parent
        file = folder / "defs.yaml"
        return BatchSettings(
            name=self.name,
            provider="",
            resource="",
            workflow="",
            defs_file=str(file) if file.is_file() else None,
        )
